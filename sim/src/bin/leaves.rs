//! Visitors who leave rooms at a steady rate, over real sockets: what that costs those who write in
//! other rooms.
//!
//! usage: leaves <file of visitors> <Postgres, as tokio-postgres reads it> <leaves a second>
//! <seconds>
//!
//! The memberships they end are written into Postgres beforehand, so that nothing but leaving is
//! measured. Prints `ready` when they are there, then leaves; at the end one JSON line: leaves a
//! second, failures, the time of an answer.
#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::disallowed_methods, reason = "there is no app whose tasks these could be")]
use std::time::{Duration, Instant};

use serde_json::json;
use sim::client::{self, Socket};
use sim::people::People;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let People { origin, cookies, rooms } = People::read(&args[1]);
    let rate: f64 = args[3].parse().expect("leaves a second");
    let seconds: f64 = args[4].parse().expect("seconds");
    assert!((cookies.len() * rooms.len()) as f64 >= rate * seconds, "the file has too few visitors or rooms");
    let (mut sockets, mut visitors) = (Vec::new(), Vec::new());
    for cookie in &cookies {
        let (socket, hello) = client::open(&origin, cookie).await;
        sockets.push(socket);
        visitors.push(hello["ok"]["visitor"]["id"].as_str().expect("hello names the visitor").to_owned());
    }
    join(&args[2], &rooms, &visitors).await;
    println!("ready");
    let began = Instant::now();
    let every = Duration::from_secs_f64(sockets.len() as f64 / rate);
    let count = sockets.len() as u32;
    let leaving = sockets.into_iter().enumerate().map(|(n, socket)| {
        // Spread evenly, one visitor after the other.
        let first = began + every * n as u32 / count;
        tokio::spawn(leave(socket, rooms.clone(), first, every, began + Duration::from_secs_f64(seconds)))
    });
    let mut all = Leaves::default();
    for one in leaving.collect::<Vec<_>>() {
        let Leaves { left, failed, took } = one.await.expect("a visitor leaves");
        all.left += left;
        all.failed += failed;
        all.took.extend(took);
    }
    all.took.sort_unstable();
    let ms = |at: f64| {
        let time = all.took.get((all.took.len() as f64 * at) as usize);
        time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    let per_second = (all.left as f64 / began.elapsed().as_secs_f64()).round();
    println!("{}", json!({"leaves_s": per_second, "failed": all.failed, "p50_ms": ms(0.5), "p99_ms": ms(0.99)}));
}

/// What became of the leaves of a visitor.
#[derive(Default)]
struct Leaves {
    left: usize,
    failed: usize,
    /// The times of the answers.
    took: Vec<Duration>,
}

/// Makes every visitor a member of every room, or lets it come back.
async fn join(postgres: &str, rooms: &[String], visitors: &[String]) {
    let (client, connection) =
        tokio_postgres::connect(postgres, tokio_postgres::NoTls).await.expect("Postgres takes a connection");
    tokio::spawn(connection);
    let joined = client
        .execute(
            "INSERT INTO membership (room_id, visitor_id, public_id, color, animal, name)
             SELECT r.id, v.id, gen_random_uuid(), v.color, v.animal, 'Leaver'
             FROM chat_room r, visitor v
             WHERE r.public_id = ANY($1::text[]::uuid[]) AND v.public_id = ANY($2::text[]::uuid[])
             ON CONFLICT ON CONSTRAINT membership_pk DO UPDATE SET left_at = NULL",
            &[&rooms, &visitors],
        )
        .await
        .expect("Postgres writes the memberships");
    assert_eq!(joined as usize, rooms.len() * visitors.len(), "a room or visitor is missing");
}

/// Leaves one room after another, one in each `every`, until the time is over.
async fn leave(mut socket: Socket, rooms: Vec<String>, first: Instant, every: Duration, until: Instant) -> Leaves {
    let mut leaves = Leaves::default();
    for (n, room) in rooms.iter().enumerate() {
        let due = first + every * n as u32;
        if due >= until {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let requested_at = Instant::now();
        let answer = client::ask(&mut socket, json!({"id": n + 2, "type": "leave", "room": room})).await;
        leaves.took.push(requested_at.elapsed());
        if answer.get("ok").is_some() { leaves.left += 1 } else { leaves.failed += 1 }
    }
    leaves
}
