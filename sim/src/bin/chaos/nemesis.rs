//! The nemesis: a plan of faults drawn from the seed before anything runs, carried out one after the other, some together.
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::history::History;
use crate::proxy::Mode;
use crate::rng::Rng;
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
}

impl Fault {
    pub const ALL: [(&'static str, Self); 11] = [
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
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|known| known.1 == self).map_or("", |known| known.0)
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

/// What a fault is done to: two of one family do not come together.
fn family(fault: Fault) -> u8 {
    match fault {
        Fault::NodeKill | Fault::NodeHang | Fault::NodeTerm => 0,
        Fault::RedisKill | Fault::RedisHang | Fault::RedisFlush => 1,
        Fault::BackendKill | Fault::PostgresKill | Fault::PostgresHang => 2,
        Fault::RedisApart => 3,
        Fault::ClientsApart => 4,
    }
}

/// Draws a plan: every kind comes before one comes again. `overlap` of a hundred faults get company.
pub fn plan(seed: u64, kinds: &[Fault], length: Duration, overlap: u64) -> Vec<Step> {
    let mut rng = Rng::of(seed, "nemesis");
    // A stream of its own: the faults of a seed are the same with and without company.
    let mut company = Rng::of(seed, "company");
    let (mut steps, mut bag, mut time) = (Vec::new(), Vec::new(), QUIET);
    while time < length && !kinds.is_empty() {
        if bag.is_empty() {
            bag = kinds.to_vec();
            rng.shuffle(&mut bag);
        }
        let Some(fault) = bag.pop() else { break };
        let hold = match fault {
            Fault::NodeKill | Fault::NodeTerm | Fault::RedisKill => rng.millis(0, 3_000),
            Fault::RedisFlush | Fault::BackendKill | Fault::PostgresKill => Duration::ZERO,
            _ => rng.millis(1_000, 6_000),
        };
        let modes = [Mode::Hold, Mode::HoldUp, Mode::HoldDown, Mode::Cut];
        let step = Step {
            fault,
            node: rng.range(0, 2) as usize,
            hold,
            mode: modes[rng.range(0, 4) as usize],
            gap: rng.millis(800, 3_000),
            joined: company.chance(overlap),
        };
        time += step.hold + step.gap;
        steps.push(step);
    }
    steps
}

/// Carries the plan out until it or the time is over, then heals everything. Answers what was done.
pub async fn run(world: &World, history: &History, plan: &[Step], length: Duration) -> Vec<Fault> {
    let until = Instant::now() + length;
    sleep(QUIET.min(length)).await;
    let mut done = Vec::new();
    let mut steps = plan.iter().peekable();
    while let Some(step) = steps.next() {
        let left = until.saturating_duration_since(Instant::now());
        if left < Duration::from_secs(1) {
            break;
        }
        say(history, step, "");
        done.push(step.fault);
        let second = steps.next_if(|next| step.joined && family(next.fault) != family(step.fault));
        if let Some(second) = second {
            done.push(second.fault);
            let later = async {
                sleep((step.hold / 3).min(left)).await;
                say(history, second, ", with the one before");
                act(world, history, second, left).await;
            };
            tokio::join!(act(world, history, step, left), later);
        } else {
            act(world, history, step, left).await;
        }
        sleep(step.gap.min(until.saturating_duration_since(Instant::now()))).await;
    }
    sleep(until.saturating_duration_since(Instant::now())).await;
    done
}

fn say(history: &History, step: &Step, more: &str) {
    let place = match step.fault {
        Fault::NodeKill | Fault::NodeHang | Fault::NodeTerm | Fault::RedisApart | Fault::ClientsApart => {
            format!(" node {}", step.node + 1)
        }
        _ => String::new(),
    };
    let how = match step.fault {
        Fault::RedisApart | Fault::ClientsApart => format!(" {:?}", step.mode),
        _ => String::new(),
    };
    println!("{:7.2} s  {}{place}{how} for {} ms{more}", history.elapsed(), step.fault.name(), step.hold.as_millis());
}

async fn act(world: &World, history: &History, step: &Step, left: Duration) {
    let hold = step.hold.min(left);
    let node = &world.nodes[step.node];
    match step.fault {
        Fault::NodeKill => {
            world.kill_node(step.node);
            sleep(hold).await;
            world.start_node(step.node);
        }
        Fault::NodeHang => hang(world.pid(step.node).into_iter().collect(), hold).await,
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
        Fault::BackendKill => {
            // Postgres ends all its sessions after it, and replays its log.
            if let Some(pid) = world.backends("maju maju").first() {
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
        }
        Fault::RedisApart => hold_back(&node.link, step.mode, hold).await,
        Fault::ClientsApart => hold_back(&node.door, step.mode, hold).await,
    }
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

async fn hold_back(proxy: &crate::proxy::Proxy, mode: Mode, hold: Duration) {
    proxy.set(mode);
    sleep(hold).await;
    proxy.set(Mode::Pass);
}
