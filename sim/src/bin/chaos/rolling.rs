//! Rolling restarts: two nodes behind a balancer stop and start in turn while clients talk. A
//! client can notice a reconnect and nothing else.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::sleep;

use crate::balancer::Balancer;
use crate::client::{Client, ClientKind};
use crate::context::{Context, Phase, Visitor};
use crate::workload;
use crate::{Args, checker, http};

/// How long a node can take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(25);
/// How long it can take to be ready again, and to be found ready by the balancer.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two restarts: longer than the reconnect delay that a node asks of its sockets.
const RESTART_INTERVAL: Duration = Duration::from_millis(2_500);
/// The limit of the 99th percentile of the delay from the first try of a send until a client
/// receives it, in milliseconds.
const MAX_DELAY_MS: u32 = 3_000;
/// Clients that connect a second at first.
const ARRIVALS_PER_SECOND: u32 = 200;
/// Clients that request pages and lists meanwhile.
const PAGE_READERS: usize = 8;
/// What must not have been counted at the end: everything that a client could notice except a
/// reconnect.
const NOTICEABLE: [&str; 8] = [
    "sends answered unavailable",
    "sends answered internal",
    "hellos refused",
    "joins refused",
    "upgrades answered 5xx",
    "http 5xx",
    "http without an answer",
    "connections that no node took",
];

/// Runs all rounds. Returns `true` if every promise held.
pub async fn run(shared: &Arc<Context>, args: &Args) -> bool {
    let balancer = Balancer::start(shared.clone()).await;
    while !(balancer.has(0) && balancer.has(1)) {
        sleep(Duration::from_millis(20)).await;
    }
    let mut visitors: Vec<Visitor> =
        stream::iter(0..args.clients).map(|who| workload::visitor(shared, who)).buffer_unordered(8).collect().await;
    visitors.sort_unstable_by_key(|visitor| visitor.who);
    let mut rooms = Vec::new();
    for number in 0..args.rooms {
        rooms.push(workload::room(shared, &visitors[number % visitors.len()], number).await);
    }
    let pace = (args.clients as u64 * 1_000).div_ceil(args.rate);
    let (mut people, mut listeners) = (Vec::new(), Vec::new());
    for visitor in &visitors {
        let own = vec![rooms[visitor.who % rooms.len()].clone()];
        listeners.push((visitor.who, own.clone()));
        let mut client = Client::new(shared.clone(), visitor.clone(), Vec::new());
        client.kind = ClientKind::Browser;
        // Until it has joined.
        shared.set_waits(visitor.who, 1);
        let turn = Duration::from_secs(1) * visitor.who as u32 / ARRIVALS_PER_SECOND;
        people.push(tokio::spawn(async move {
            sleep(turn).await;
            workload::talk(client, own, Some(pace)).await;
        }));
    }
    for number in 0..PAGE_READERS {
        people.push(tokio::spawn(read(
            shared.clone(),
            visitors[number % visitors.len()].cookie.clone(),
            rooms[0].clone(),
        )));
    }
    let talking = Instant::now();
    // A send under way counts too, and with many clients there always is one.
    while shared.pending_count() > args.clients / 100 && talking.elapsed() < 2 * START_DEADLINE {
        sleep(Duration::from_millis(50)).await;
    }
    println!("{:7.2} s  everybody talks", shared.history.elapsed());
    shared.history.measure_delays();
    sleep(RESTART_INTERVAL).await;
    for round in 1..=args.rounds {
        for node in 0..2 {
            restart(shared, &balancer, round, node).await;
            sleep(RESTART_INTERVAL).await;
        }
    }
    crate::settle(shared).await;
    let found = match checker::connect(shared).await {
        Ok(db) => checker::check(shared, &db, &listeners).await,
        Err(why) => Err(why),
    };
    crate::end(shared, people).await;
    crate::check_for_panics(shared);
    let Ok(found) = found else {
        println!("the checker could not read Postgres");
        return false;
    };
    judge(shared);
    println!("\nrestarts      {} of {} rounds", args.rounds * 2, args.rounds);
    crate::report_messages(shared, &found);
    crate::verdict(shared, args)
}

/// Stops a node in order and starts it again. Returns when it receives connections.
async fn restart(shared: &Context, balancer: &Balancer, round: usize, node: usize) {
    let (cluster, history) = (&shared.cluster, &shared.history);
    let began = Instant::now();
    match cluster.stop_node(node, STOP_DEADLINE).await {
        Some(status) if status.success() => {}
        Some(status) => history.problem("process", format!("node {} stopped with {status}", node + 1)),
        None => history.problem("process", format!("node {} did not stop within {STOP_DEADLINE:?}", node + 1)),
    }
    let stopped = began.elapsed();
    history.record("stop", stopped);
    cluster.start_node(node);
    let up = cluster.ready_within(node, START_DEADLINE).await;
    let started = began.elapsed() - stopped;
    while !balancer.has(node) && began.elapsed() < STOP_DEADLINE + START_DEADLINE {
        sleep(Duration::from_millis(20)).await;
    }
    if up && balancer.has(node) {
        history.record("start", started);
        let (at, stop, start) = (history.elapsed(), stopped.as_millis(), started.as_millis());
        println!("{at:7.2} s  round {round}: node {} stopped in {stop} ms, ready after {start} ms", node + 1);
    } else {
        history.problem("liveness", format!("node {} is not ready {START_DEADLINE:?} after its start", node + 1));
    }
}

/// Requests pages and lists, one after another.
async fn read(shared: Arc<Context>, cookie: String, room: String) {
    let paths = ["/".to_owned(), "/api/v1/me".to_owned(), format!("/api/v1/rooms/{room}/messages?limit=20")];
    for path in paths.iter().cycle() {
        if shared.phase() > Phase::Run {
            return;
        }
        let answer = http::ask(shared.cluster.endpoint(0, &cookie), "GET", path, None).await;
        shared.history.count(match answer.map(|answer| answer.status) {
            Some(200..500) => "http answers",
            Some(_) => "http 5xx",
            None => "http without an answer",
        });
        sleep(Duration::from_millis(100)).await;
    }
}

/// Reports what the checker cannot see: what clients noticed, and delays.
fn judge(shared: &Context) {
    let history = &shared.history;
    for (what, count) in history.counts() {
        if NOTICEABLE.contains(&what) {
            history.problem("seen", format!("{what}: {count}"));
        }
    }
    let (_, p99, _) = history.delays();
    if p99 > MAX_DELAY_MS {
        history.problem("delay", format!("one of a hundred entries took {p99} ms or more to be delivered"));
    }
}
