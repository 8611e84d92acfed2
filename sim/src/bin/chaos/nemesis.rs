//! The nemesis: a plan of faults drawn from the seed before anything runs, carried out one after the other, some together.
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::clocks;
use crate::context::Context;
use crate::hostile;
use crate::owned;
use crate::postgres::{Crowd, connect};
use crate::proxy::{Mode, Proxy};
use crate::rng::Rng;
use crate::standstill;
use crate::takeover;
use crate::watch::{self, UNREADY};
use crate::world::{World, signal};

/// How long everything is left alone at first.
const QUIET: Duration = Duration::from_secs(4);
/// How long a node may take to stop in order.
const STOP: Duration = Duration::from_secs(30);

/// What can be done to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NodeKill,
    NodeHang,
    NodeTerm,
    RedisKill,
    RedisHang,
    RedisFlush,
    BackendKill,
    PostgresKill,
    PostgresHang,
    /// A node cannot reach Redis, or hears nothing from it.
    RedisApart,
    /// Clients and a node do not hear each other, or one of the two.
    ClientsApart,
    /// A node cannot reach Postgres, or hears nothing from it.
    PostgresApart,
    /// Postgres's volume is full.
    PostgresFull,
    /// Somebody else has all of Postgres's connections.
    PostgresCrowd,
    /// The node that pairs hangs.
    MatcherHang,
    /// A node hangs in the middle of a batch.
    WriterHang,
    /// The socket of a node's own Postgres is deleted.
    PostgresSocket,
    /// The lock of the data folder is deleted, and another node starts there.
    PostgresLock,
    /// The wall clocks of the nodes jump, there and back.
    ClockJump,
    /// Somebody floods a node, and somebody's partner sends the worst that is allowed.
    Hostile,
}

impl Fault {
    pub const ALL: [(&'static str, Self); 20] = [
        ("node-kill", Self::NodeKill),
        ("node-hang", Self::NodeHang),
        ("node-term", Self::NodeTerm),
        ("redis-kill", Self::RedisKill),
        ("redis-hang", Self::RedisHang),
        ("redis-flush", Self::RedisFlush),
        ("pg-backend", Self::BackendKill),
        ("pg-kill", Self::PostgresKill),
        ("pg-hang", Self::PostgresHang),
        ("redis-apart", Self::RedisApart),
        ("clients-apart", Self::ClientsApart),
        ("pg-apart", Self::PostgresApart),
        ("pg-full", Self::PostgresFull),
        ("pg-crowd", Self::PostgresCrowd),
        ("matcher-hang", Self::MatcherHang),
        ("writer-hang", Self::WriterHang),
        ("pg-socket", Self::PostgresSocket),
        ("pg-lock", Self::PostgresLock),
        ("clock-jump", Self::ClockJump),
        ("hostile", Self::Hostile),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|known| known.1 == self).map_or("", |known| known.0)
    }

    /// What it is done to: two of one family do not come together.
    fn family(self) -> u8 {
        match self {
            Self::NodeKill | Self::NodeHang | Self::NodeTerm | Self::MatcherHang | Self::WriterHang => 0,
            Self::RedisKill | Self::RedisHang | Self::RedisFlush => 1,
            Self::RedisApart => 3,
            Self::ClientsApart => 4,
            Self::ClockJump => 5,
            Self::Hostile => 6,
            _ => 2,
        }
    }

    /// Returns whether the fault exists in the tier where Postgres runs apart, or where a node owns it.
    pub fn fits(self, aside: bool) -> bool {
        match self {
            Self::PostgresApart | Self::MatcherHang | Self::WriterHang => aside,
            Self::PostgresSocket | Self::PostgresLock => !aside,
            _ => true,
        }
    }

    /// Why it cannot be done to this world.
    pub fn impossible(self, world: &World) -> Option<String> {
        match self {
            _ if !self.fits(world.is_aside()) && world.is_aside() => Some("no node owns Postgres".to_owned()),
            _ if !self.fits(world.is_aside()) => Some("the nodes share a Postgres of their own".to_owned()),
            Self::ClockJump => world.clocks.as_ref().err().cloned(),
            Self::PostgresFull => world.volume.as_ref().err().cloned(),
            _ => None,
        }
    }
}

/// One fault of the plan.
#[derive(Clone, Debug)]
pub struct Step {
    pub fault: Fault,
    pub node: usize,
    /// How long it lasts, or until what was killed is started again.
    hold: Duration,
    /// How bytes are kept, for the faults of the network.
    mode: Mode,
    /// Quiet afterwards.
    gap: Duration,
    /// Whether the next fault of the plan comes while this one lasts.
    joined: bool,
}

/// How much is planned.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    For(Duration),
    /// Every fault so many times, each short.
    Each(usize),
}

/// Draws a plan: every kind comes before one comes again. `overlap` of a hundred faults get company.
pub fn plan(seed: u64, kinds: &[Fault], length: Length, overlap: u64) -> Vec<Step> {
    let mut rng = Rng::of(seed, "nemesis");
    // A stream of its own: the faults of a seed are the same with and without company.
    let mut company = Rng::of(seed, "company");
    let (mut steps, mut bag, mut time) = (Vec::new(), Vec::new(), QUIET);
    let goes_on = |time: Duration, steps: usize| match length {
        // More than fits: those that come together take no time of their own.
        Length::For(length) => time < 2 * length,
        Length::Each(times) => steps < times * kinds.len(),
    };
    let short = matches!(length, Length::Each(_));
    while goes_on(time, steps.len()) && !kinds.is_empty() {
        if bag.is_empty() {
            bag = kinds.to_vec();
            rng.shuffle(&mut bag);
        }
        let Some(fault) = bag.pop() else { break };
        let hold = match fault {
            Fault::NodeKill | Fault::NodeTerm | Fault::RedisKill => rng.millis(0, if short { 1_000 } else { 3_000 }),
            Fault::RedisFlush | Fault::BackendKill | Fault::PostgresKill | Fault::PostgresSocket => Duration::ZERO,
            Fault::PostgresLock => owned::WATCHED,
            Fault::ClockJump => clocks::EACH * clocks::JUMPS.len() as u32,
            Fault::Hostile => hostile::ENDED + Duration::from_secs(if short { 1 } else { 4 }),
            Fault::MatcherHang => takeover::LIMIT + Duration::from_secs(1),
            Fault::WriterHang => standstill::LIMIT + Duration::from_secs(1),
            // Long enough to see what the nodes say of themselves meanwhile.
            Fault::PostgresHang | Fault::PostgresApart | Fault::PostgresFull | Fault::PostgresCrowd if short => {
                UNREADY + rng.millis(200, 800)
            }
            _ if short => rng.millis(1_000, 2_500),
            _ => rng.millis(1_000, 6_000),
        };
        let modes = [Mode::Hold, Mode::HoldUp, Mode::HoldDown, Mode::Cut];
        let step = Step {
            fault,
            node: rng.range(0, 2) as usize,
            hold,
            mode: modes[rng.range(0, 4) as usize],
            gap: if short { rng.millis(300, 800) } else { rng.millis(800, 3_000) },
            joined: company.chance(overlap),
        };
        time += step.hold + step.gap;
        steps.push(step);
    }
    steps
}

/// Carries the plan out until it or the time is over, then heals everything. Answers what was done.
pub async fn run(shared: &Arc<Context>, plan: &[Step], length: Length) -> Vec<Fault> {
    let limit = if let Length::For(length) = length { length } else { Duration::from_secs(3_600) };
    let until = Instant::now() + limit;
    sleep(QUIET.min(limit)).await;
    let mut done = Vec::new();
    let mut steps = plan.iter().peekable();
    while let Some(step) = steps.next() {
        let left = until.saturating_duration_since(Instant::now());
        if left < Duration::from_secs(1) {
            break;
        }
        say(shared, step, "");
        done.push(step.fault);
        let second = steps.next_if(|next| step.joined && next.fault.family() != step.fault.family());
        if let Some(second) = second {
            done.push(second.fault);
            let later = async {
                sleep((step.hold / 3).min(left)).await;
                say(shared, second, ", with the one before");
                act(shared, second, left).await;
            };
            tokio::join!(act(shared, step, left), later);
        } else {
            act(shared, step, left).await;
        }
        sleep(step.gap.min(until.saturating_duration_since(Instant::now()))).await;
    }
    if matches!(length, Length::For(_)) {
        sleep(until.saturating_duration_since(Instant::now())).await;
    }
    done
}

fn say(shared: &Context, step: &Step, more: &str) {
    use Fault::{
        ClientsApart, ClockJump, Hostile, NodeHang, NodeKill, NodeTerm, PostgresApart, RedisApart, WriterHang,
    };
    let place = match step.fault {
        NodeKill | NodeHang | NodeTerm | WriterHang | RedisApart | ClientsApart | PostgresApart | ClockJump
        | Hostile => {
            format!(" node {}", step.node + 1)
        }
        _ => String::new(),
    };
    let how = match step.fault {
        RedisApart | ClientsApart | PostgresApart => format!(" {:?}", step.mode),
        _ => String::new(),
    };
    let (at, name, ms) = (shared.history.elapsed(), step.fault.name(), step.hold.as_millis());
    println!("{at:7.2} s  {name}{place}{how} for {ms} ms{more}");
}

async fn act(shared: &Arc<Context>, step: &Step, left: Duration) {
    let (world, history) = (&shared.world, &shared.history);
    let hold = step.hold.min(left);
    let node = &world.nodes[step.node];
    match step.fault {
        Fault::NodeKill => {
            world.kill_node(step.node);
            sleep(hold).await;
            world.start_node(step.node);
        }
        Fault::NodeHang => {
            world.set_upset(step.node, true);
            hang(world.pid(step.node).into_iter().collect(), hold).await;
            world.set_upset(step.node, false);
        }
        Fault::NodeTerm => {
            let began = Instant::now();
            match world.stop_node(step.node, STOP).await {
                Some(status) if status.success() => {
                    println!("{:7.2} s  stopped in order after {} ms", history.elapsed(), began.elapsed().as_millis())
                }
                Some(status) => history.problem("process", format!("node {} stopped with {status}", step.node + 1)),
                None => history.problem("process", format!("node {} did not stop within {STOP:?}", step.node + 1)),
            }
            sleep(hold).await;
            world.start_node(step.node);
        }
        Fault::RedisKill => {
            world.kill_redis();
            sleep(hold).await;
            world.start_redis().await;
        }
        Fault::RedisHang => hang(world.redis_pid().into_iter().collect(), hold).await,
        Fault::RedisFlush => {
            world.redis_says("FLUSHALL").await;
        }
        Fault::RedisApart => hold_back(&node.link, step.mode, hold).await,
        Fault::ClientsApart => {
            world.set_upset(step.node, true);
            hold_back(&node.door, step.mode, hold).await;
            world.set_upset(step.node, false);
        }
        Fault::MatcherHang => takeover::hang_matcher(shared, hold).await,
        Fault::WriterHang => standstill::hang_writer(shared, step.node, hold).await,
        Fault::ClockJump => clocks::jump(shared, step.node).await,
        Fault::Hostile => hostile::flood(shared, step.node, hold).await,
        Fault::PostgresLock => owned::lock_gone(shared).await,
        _ => {
            shared.watch.turn();
            let hurt = postgres(shared, step, hold).await;
            watch::recovered(shared, &hurt).await;
            shared.watch.turn();
        }
    }
}

/// A fault of Postgres's, or of the way to it. Answers which nodes it hurt, once it is healed.
async fn postgres(shared: &Context, step: &Step, hold: Duration) -> Vec<usize> {
    let (world, both, began) = (&shared.world, [0, 1], Instant::now());
    match step.fault {
        Fault::BackendKill => {
            // Postgres ends all its sessions after it, and replays its log.
            if let Some(pid) = world.backends(" maju [local]").first() {
                signal(*pid, libc::SIGKILL);
            }
        }
        Fault::PostgresKill => {
            if let Some(pid) = world.postmaster() {
                signal(pid, libc::SIGKILL);
            }
        }
        Fault::PostgresHang => {
            let mut all: Vec<i32> = world.postmaster().into_iter().collect();
            all.extend(world.backends(""));
            hang(all, hold).await;
            watch::judge_unready(shared, &both, began);
        }
        Fault::PostgresApart => {
            hold_back(&world.nodes[step.node].well, step.mode, hold).await;
            watch::judge_unready(shared, &[step.node], began);
            return vec![step.node];
        }
        Fault::PostgresFull => full(shared, hold).await,
        Fault::PostgresSocket => owned::socket_gone(shared).await,
        Fault::PostgresCrowd => {
            let crowd = Crowd::gather(world.socket_folder());
            sleep(hold).await;
            watch::judge_unready(shared, &both, began);
            drop(crowd);
        }
        _ => {}
    }
    both.to_vec()
}

/// Fills Postgres's volume and makes Postgres ask for room. It stops, and cannot start until there is space again.
async fn full(shared: &Context, hold: Duration) {
    let (world, began) = (&shared.world, Instant::now());
    let Ok(volume) = &world.volume else { return };
    let mut away: Option<Instant> = None;
    while began.elapsed() < hold || (away.is_none() && began.elapsed() < 3 * UNREADY) {
        volume.fill();
        if let Ok(inside) = connect(&world.socket_folder(), "chaos").await {
            // A segment of the log that is full already: the next word needs a new one.
            let asked = "SELECT pg_logical_emit_message(true, 'chaos', 'full'); SELECT pg_switch_wal()";
            let _ = tokio::time::timeout(Duration::from_secs(1), inside.batch_execute(asked)).await;
        } else {
            away.get_or_insert_with(Instant::now);
        }
        sleep(Duration::from_millis(50)).await;
    }
    match away {
        Some(since) => {
            shared.history.count("Postgres stopped on a full disk");
            sleep((since + UNREADY + Duration::from_millis(200)).saturating_duration_since(Instant::now())).await;
            watch::judge_unready(shared, &[0, 1], since);
        }
        None => shared.history.count("Postgres outlived a full disk"),
    }
    volume.free();
}

async fn hang(pids: Vec<i32>, hold: Duration) {
    for pid in &pids {
        signal(*pid, libc::SIGSTOP);
    }
    sleep(hold).await;
    for pid in &pids {
        signal(*pid, libc::SIGCONT);
    }
}

async fn hold_back(proxy: &Proxy, mode: Mode, hold: Duration) {
    proxy.set(mode);
    sleep(hold).await;
    proxy.set(Mode::Pass);
}

#[cfg(test)]
mod tests {
    use super::{Fault, Length, plan};

    #[test]
    fn twice_is_two_of_each() {
        let kinds = Fault::ALL.map(|known| known.1);
        for seed in 0..50 {
            let steps = plan(seed, &kinds, Length::Each(2), 0);
            assert_eq!(steps.len(), 2 * kinds.len());
            for (name, kind) in Fault::ALL {
                assert_eq!(steps.iter().filter(|step| step.fault == kind).count(), 2, "{name} of seed {seed}");
            }
        }
    }

    #[test]
    fn every_fault_comes_where_postgres_stands_aside_or_where_a_node_owns_it() {
        for (name, fault) in Fault::ALL {
            assert!(fault.fits(true) || fault.fits(false), "{name}");
        }
        let owned = [Fault::PostgresSocket, Fault::PostgresLock].map(|fault| (fault.fits(true), fault.fits(false)));
        assert_eq!(owned, [(false, true); 2], "only a node that owns Postgres looks after these files");
    }
}
