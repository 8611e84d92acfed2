//! The nemesis: a plan of faults that is drawn from the seed before anything runs. They are carried
//! out one after another, and some together.
use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::rng::Rng;
use sim::sys::{SIGCONT, SIGKILL, SIGSTOP, signal};
use tokio::time::sleep;

use crate::clocks;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::hostile;
use crate::matcher_hang;
use crate::monitor::{self, UNREADY_DEADLINE};
use crate::postgres::{ConnectionHog, connect};
use crate::postgres_files;
use crate::proxy::{Mode, Proxy};
use crate::writer_hang;

/// How long everything is left alone at first.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// How long a node can take to stop in order.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// What can be done to the cluster.
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
    /// A node cannot reach Redis, or receives nothing from it.
    RedisApart,
    /// Clients and a node cannot reach each other, in one direction or both.
    ClientsApart,
    /// A node cannot reach Postgres, or receives nothing from it.
    PostgresApart,
    /// Postgres's volume is full.
    PostgresFull,
    /// Another client takes all of Postgres's connections.
    PostgresCrowd,
    /// The node of the matcher hangs.
    MatcherHang,
    /// A node hangs in the middle of a batch.
    WriterHang,
    /// The socket of a node's own Postgres is deleted.
    PostgresSocket,
    /// The lock of the data folder is deleted, and another node starts there.
    PostgresLock,
    /// The wall clocks of the nodes jump, there and back.
    ClockJump,
    /// Visitors flood a node, and a partner sends the worst payloads that are allowed.
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

    /// Returns what it affects: two faults of one family are never together.
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

    /// Returns `true` if the fault is possible where Postgres runs separately (`aside`), or where a
    /// node runs it.
    pub fn fits(self, aside: bool) -> bool {
        match self {
            Self::PostgresApart | Self::MatcherHang | Self::WriterHang => aside,
            Self::PostgresSocket | Self::PostgresLock => !aside,
            _ => true,
        }
    }

    /// Returns why it is not possible in this cluster.
    pub fn impossible(self, cluster: &Cluster) -> Option<String> {
        match self {
            _ if !self.fits(cluster.is_aside()) && cluster.is_aside() => Some("no node owns Postgres".to_owned()),
            _ if !self.fits(cluster.is_aside()) => Some("the nodes share a Postgres of their own".to_owned()),
            Self::ClockJump => cluster.clocks.as_ref().err().cloned(),
            Self::PostgresFull => cluster.volume.as_ref().err().cloned(),
            _ => None,
        }
    }
}

/// One fault of the plan.
#[derive(Clone, Debug)]
pub struct Step {
    pub fault: Fault,
    pub node: usize,
    /// How long it lasts, or how long a killed process stays down.
    hold: Duration,
    /// What happens to bytes, for faults of the network.
    mode: Mode,
    /// The pause after it.
    gap: Duration,
    /// Whether the next fault of the plan begins while this one lasts.
    joined: bool,
}

/// How much is planned.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    For(Duration),
    /// Every fault so often, each short.
    Each(usize),
}

/// Draws a plan in which every kind comes once before one comes again. `overlap` percent of the
/// faults are joined by the next one.
pub fn plan(seed: u64, kinds: &[Fault], length: Length, overlap: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "nemesis");
    // A random stream of its own: the faults of a seed are the same with and without `--overlap`.
    let mut company = Rng::new(seed, "company");
    let (mut steps, mut bag, mut time) = (Vec::new(), Vec::new(), FIRST_PAUSE);
    let goes_on = |time: Duration, steps: usize| match length {
        // More than fits, because faults that come together take no time of their own.
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
            Fault::PostgresLock => postgres_files::LOCK_WATCH_TIME,
            Fault::ClockJump => clocks::JUMP_DURATION * clocks::JUMPS.len() as u32,
            Fault::Hostile => hostile::FLOOD_DEADLINE + Duration::from_secs(if short { 1 } else { 4 }),
            Fault::MatcherHang => matcher_hang::MATCH_DEADLINE + Duration::from_secs(1),
            Fault::WriterHang => writer_hang::HOLD_LIMIT + Duration::from_secs(1),
            // Long enough to see what the nodes report meanwhile.
            Fault::PostgresHang | Fault::PostgresApart | Fault::PostgresFull | Fault::PostgresCrowd if short => {
                UNREADY_DEADLINE + rng.millis(200, 800)
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

/// Carries out the plan until it or the time is over, and heals everything. Returns the faults that
/// were carried out.
pub async fn run(shared: &Arc<Context>, plan: &[Step], length: Length) -> Vec<Fault> {
    let limit = if let Length::For(length) = length { length } else { Duration::from_secs(3_600) };
    let until = Instant::now() + limit;
    sleep(FIRST_PAUSE.min(limit)).await;
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
    let (cluster, history) = (&shared.cluster, &shared.history);
    let hold = step.hold.min(left);
    let node = &cluster.nodes[step.node];
    match step.fault {
        Fault::NodeKill => {
            cluster.kill_node(step.node);
            sleep(hold).await;
            cluster.start_node(step.node);
        }
        Fault::NodeHang => {
            cluster.set_disturbed(step.node, true);
            hang(cluster.pid(step.node).into_iter().collect(), hold).await;
            cluster.set_disturbed(step.node, false);
        }
        Fault::NodeTerm => {
            let began = Instant::now();
            match cluster.stop_node(step.node, STOP_DEADLINE).await {
                Some(status) if status.success() => {
                    println!("{:7.2} s  stopped in order after {} ms", history.elapsed(), began.elapsed().as_millis())
                }
                Some(status) => history.problem("process", format!("node {} stopped with {status}", step.node + 1)),
                None => {
                    history.problem("process", format!("node {} did not stop within {STOP_DEADLINE:?}", step.node + 1))
                }
            }
            sleep(hold).await;
            cluster.start_node(step.node);
        }
        Fault::RedisKill => {
            cluster.kill_redis();
            sleep(hold).await;
            cluster.start_redis().await;
        }
        Fault::RedisHang => hang(cluster.redis_pid().into_iter().collect(), hold).await,
        Fault::RedisFlush => {
            cluster.redis_command("FLUSHALL").await;
        }
        Fault::RedisApart => hold_back(&node.redis_proxy, step.mode, hold).await,
        Fault::ClientsApart => {
            cluster.set_disturbed(step.node, true);
            hold_back(&node.client_proxy, step.mode, hold).await;
            cluster.set_disturbed(step.node, false);
        }
        Fault::MatcherHang => matcher_hang::hang_matcher(shared, hold).await,
        Fault::WriterHang => writer_hang::hang_writer(shared, step.node, hold).await,
        Fault::ClockJump => clocks::jump(shared, step.node).await,
        Fault::Hostile => hostile::flood(shared, step.node, hold).await,
        Fault::PostgresLock => postgres_files::lock_gone(shared).await,
        _ => {
            shared.monitor.postgres_fault_changed();
            let hurt = postgres(shared, step, hold).await;
            monitor::recovered(shared, &hurt).await;
            shared.monitor.postgres_fault_changed();
        }
    }
}

/// Carries out a fault of Postgres, or of the way to it. Returns the affected nodes when it is
/// healed.
async fn postgres(shared: &Context, step: &Step, hold: Duration) -> Vec<usize> {
    let (cluster, both, began) = (&shared.cluster, [0, 1], Instant::now());
    match step.fault {
        Fault::BackendKill => {
            // Postgres then ends all its sessions and replays its log.
            if let Some(pid) = cluster.backends(" maju [local]").first() {
                signal(*pid, SIGKILL);
            }
        }
        Fault::PostgresKill => {
            if let Some(pid) = cluster.postmaster() {
                signal(pid, SIGKILL);
            }
        }
        Fault::PostgresHang => {
            let mut all: Vec<i32> = cluster.postmaster().into_iter().collect();
            all.extend(cluster.backends(""));
            hang(all, hold).await;
            monitor::judge_unready(shared, &both, began);
        }
        Fault::PostgresApart => {
            hold_back(&cluster.nodes[step.node].postgres_proxy, step.mode, hold).await;
            monitor::judge_unready(shared, &[step.node], began);
            return vec![step.node];
        }
        Fault::PostgresFull => full(shared, hold).await,
        Fault::PostgresSocket => postgres_files::socket_gone(shared).await,
        Fault::PostgresCrowd => {
            let crowd = ConnectionHog::start(cluster.socket_folder());
            sleep(hold).await;
            monitor::judge_unready(shared, &both, began);
            drop(crowd);
        }
        _ => {}
    }
    both.to_vec()
}

/// Fills Postgres's volume and makes Postgres write. It stops, and cannot start until there is
/// space again.
async fn full(shared: &Context, hold: Duration) {
    let (cluster, began) = (&shared.cluster, Instant::now());
    let Ok(volume) = &cluster.volume else { return };
    let mut away: Option<Instant> = None;
    while began.elapsed() < hold || (away.is_none() && began.elapsed() < 3 * UNREADY_DEADLINE) {
        volume.fill();
        if let Ok(inside) = connect(&cluster.socket_folder(), "chaos").await {
            // The current WAL segment is full: the next record needs a new one.
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
            sleep((since + UNREADY_DEADLINE + Duration::from_millis(200)).saturating_duration_since(Instant::now()))
                .await;
            monitor::judge_unready(shared, &[0, 1], since);
        }
        None => shared.history.count("Postgres outlived a full disk"),
    }
    volume.free();
}

async fn hang(pids: Vec<i32>, hold: Duration) {
    for pid in &pids {
        signal(*pid, SIGSTOP);
    }
    sleep(hold).await;
    for pid in &pids {
        signal(*pid, SIGCONT);
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
