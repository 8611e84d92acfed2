//! Rolling restarts: two nodes behind a balancer stop and start in turn, while people talk and nobody may notice more than a
//! reconnect.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::sleep;

use crate::balancer::Balancer;
use crate::client;
use crate::context::{Context, Guest, Phase};
use crate::line::{Line, Manner};
use crate::{Args, checker, http};

/// How long a node may take to stop.
const STOP: Duration = Duration::from_secs(25);
/// How long it may take to be ready again, and to be found so by the balancer.
const START: Duration = Duration::from_secs(30);
/// Quiet between two restarts: longer than a node tells its sockets to stay away.
const GAP: Duration = Duration::from_millis(2_500);
/// From the first try of a send until somebody hears it, for 99 of a hundred.
const DELAY_MS: u32 = 3_000;
/// How many come in a second at first.
const ARRIVALS: u32 = 200;
/// Those who look at pages and lists meanwhile.
const READERS: usize = 8;
/// What must not have been counted at the end: what a person would see, other than a reconnect.
const SEEN: [&str; 8] = [
    "sends answered unavailable",
    "sends answered internal",
    "hellos refused",
    "joins refused",
    "upgrades answered 5xx",
    "http 5xx",
    "http without an answer",
    "connections that no node took",
];

/// All rounds. Answers whether every promise held.
pub async fn run(shared: &Arc<Context>, args: &Args) -> bool {
    let balancer = Balancer::start(shared.clone()).await;
    while !(balancer.has(0) && balancer.has(1)) {
        sleep(Duration::from_millis(20)).await;
    }
    let mut guests: Vec<Guest> =
        stream::iter(0..args.clients).map(|who| client::guest(shared, who)).buffer_unordered(8).collect().await;
    guests.sort_unstable_by_key(|guest| guest.who);
    let mut rooms = Vec::new();
    for number in 0..args.rooms {
        rooms.push(client::room(shared, &guests[number % guests.len()], number).await);
    }
    let pace = (args.clients as u64 * 1_000).div_ceil(args.rate);
    let (mut people, mut listeners) = (Vec::new(), Vec::new());
    for guest in &guests {
        let own = vec![rooms[guest.who % rooms.len()].clone()];
        listeners.push((guest.who, own.clone()));
        let mut line = Line::new(shared.clone(), guest.clone(), Vec::new());
        line.manner = Manner::Browser;
        // Until it has joined.
        shared.set_waits(guest.who, 1);
        let turn = Duration::from_secs(1) * guest.who as u32 / ARRIVALS;
        people.push(tokio::spawn(async move {
            sleep(turn).await;
            client::talk(line, own, Some(pace)).await;
        }));
    }
    for number in 0..READERS {
        people.push(tokio::spawn(read(shared.clone(), guests[number % guests.len()].cookie.clone(), rooms[0].clone())));
    }
    let talking = Instant::now();
    // A send on its way counts as waiting too, and with many people there always is one.
    while shared.waits() > args.clients / 100 && talking.elapsed() < 2 * START {
        sleep(Duration::from_millis(50)).await;
    }
    println!("{:7.2} s  everybody talks", shared.history.elapsed());
    shared.history.measure_delays();
    sleep(GAP).await;
    for round in 1..=args.rounds {
        for node in 0..2 {
            restart(shared, &balancer, round, node).await;
            sleep(GAP).await;
        }
    }
    crate::settle(shared).await;
    let found = match checker::connect(shared).await {
        Ok(db) => checker::check(shared, &db, &listeners).await,
        Err(why) => Err(why),
    };
    crate::end(shared, people).await;
    crate::look_for_panics(shared);
    let Ok(found) = found else {
        println!("the checker could not read Postgres");
        return false;
    };
    judge(shared);
    println!("\nrestarts      {} of {} rounds", args.rounds * 2, args.rounds);
    crate::told(shared, &found);
    crate::verdict(shared, args)
}

/// Stops a node in order and starts it again; answers when it gets connections.
async fn restart(shared: &Context, balancer: &Balancer, round: usize, node: usize) {
    let (world, history) = (&shared.world, &shared.history);
    let began = Instant::now();
    match world.stop_node(node, STOP).await {
        Some(status) if status.success() => {}
        Some(status) => history.problem("process", format!("node {} stopped with {status}", node + 1)),
        None => history.problem("process", format!("node {} did not stop within {STOP:?}", node + 1)),
    }
    let stopped = began.elapsed();
    history.measured("stop", stopped);
    world.start_node(node);
    let up = world.ready_within(node, START).await;
    let started = began.elapsed() - stopped;
    while !balancer.has(node) && began.elapsed() < STOP + START {
        sleep(Duration::from_millis(20)).await;
    }
    if up && balancer.has(node) {
        history.measured("start", started);
        let (at, stop, start) = (history.elapsed(), stopped.as_millis(), started.as_millis());
        println!("{at:7.2} s  round {round}: node {} stopped in {stop} ms, ready after {start} ms", node + 1);
    } else {
        history.problem("liveness", format!("node {} is not ready {START:?} after its start", node + 1));
    }
}

/// Looks at pages and lists, one after the other.
async fn read(shared: Arc<Context>, cookie: String, room: String) {
    let paths = ["/".to_owned(), "/api/v1/me".to_owned(), format!("/api/v1/rooms/{room}/messages?limit=20")];
    for path in paths.iter().cycle() {
        if shared.phase() > Phase::Run {
            return;
        }
        let answer = http::ask(shared.world.to(0, &cookie), "GET", path, None).await;
        shared.history.count(match answer.map(|answer| answer.status) {
            Some(200..500) => "http answers",
            Some(_) => "http 5xx",
            None => "http without an answer",
        });
        sleep(Duration::from_millis(100)).await;
    }
}

/// What the checker cannot see: what people saw, and how long it took.
fn judge(shared: &Context) {
    let history = &shared.history;
    for (what, count) in history.counts() {
        if SEEN.contains(&what) {
            history.problem("seen", format!("{what}: {count}"));
        }
    }
    let (_, p99, _) = history.delays();
    if p99 > DELAY_MS {
        history.problem("delay", format!("one of a hundred entries took {p99} ms or more to be heard"));
    }
}
