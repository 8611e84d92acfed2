//! Matches end to end over real sockets: every visitor seeks at once, and a pair counts when both
//! have received `found`.
//!
//! usage: match <file of visitors> <seekers> [rounds]
//!
//! One JSON line a round: pairs a second, and the time from `seek` to `found`.
#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::disallowed_methods, reason = "there is no app whose tasks these could be")]
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use sim::client::{self, Socket};
use sim::people::People;
use tokio::sync::Barrier;

/// Sockets that are opened at a time.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let people = People::read(&args[1]);
    let seekers: usize = args[2].parse().expect("a number of seekers");
    let rounds: usize = args.get(3).map_or(3, |text| text.parse().expect("a number of rounds"));
    assert!(people.cookies.len() >= seekers, "the file has too few visitors");
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut opening = Vec::new();
    for cookie in people.cookies.into_iter().take(seekers) {
        let (permits, origin) = (permits.clone(), people.origin.clone());
        opening.push(tokio::spawn(async move {
            let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            client::open(&origin, &cookie).await.0
        }));
    }
    let mut sockets = Vec::new();
    for socket in opening {
        sockets.push(socket.await.expect("a socket opens"));
    }
    for round in 0..rounds {
        sockets = meet(sockets, round).await;
    }
}

/// A seeker whose talk was found.
struct Matched {
    socket: Socket,
    found: Value,
    began: Instant,
    told: Instant,
}

/// Lets every socket seek at once. When all are matched they leave, ready for the next round.
async fn meet(sockets: Vec<Socket>, round: usize) -> Vec<Socket> {
    let start = Arc::new(Barrier::new(sockets.len()));
    let mut seeking = Vec::new();
    for socket in sockets {
        seeking.push(tokio::spawn(seek(socket, start.clone(), 10 + 10 * round)));
    }
    let mut matched = Vec::new();
    for one in seeking {
        matched.push(one.await.expect("a seeker is matched"));
    }
    report(&matched);
    let mut leaving = Vec::new();
    for Matched { mut socket, found, .. } in matched {
        leaving.push(tokio::spawn(async move {
            let id = 11 + 10 * round;
            let next = json!({"id": id, "type": "next", "session": found["session"], "seek": false});
            client::ask(&mut socket, next).await;
            socket
        }));
    }
    let mut back = Vec::new();
    for one in leaving {
        back.push(one.await.expect("a seeker leaves"));
    }
    back
}

/// Seeks when all others do, and waits for `found`.
async fn seek(mut socket: Socket, start: Arc<Barrier>, id: usize) -> Matched {
    start.wait().await;
    let began = Instant::now();
    let seek = json!({"id": id, "type": "seek", "interests": [], "languages": ["en"], "translate": false});
    client::send(&mut socket, &seek).await;
    let found = loop {
        let received = client::receive(&mut socket).await;
        assert!(received.get("error").is_none(), "{received}");
        if received["type"] == "found" {
            break received;
        }
    };
    Matched { socket, found, began, told: Instant::now() }
}

fn report(matched: &[Matched]) {
    let began = matched.iter().map(|one| one.began).min().expect("there are seekers");
    let ended = matched.iter().map(|one| one.told).max().expect("there are seekers");
    let mut waits: Vec<f64> = matched.iter().map(|one| (one.told - one.began).as_secs_f64() * 1e3).collect();
    waits.sort_by(f64::total_cmp);
    let mut rooms: Vec<&str> = matched.iter().filter_map(|one| one.found["room"].as_str()).collect();
    rooms.sort_unstable();
    let twos = rooms.chunk_by(|a, b| a == b).all(|room| room.len() == 2);
    let seconds = ended.duration_since(began).as_secs_f64();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].round();
    let (count, pairs) = (matched.len(), matched.len() / 2);
    println!(
        "{}",
        json!({"scenario": "match", "seekers": count, "pairs": pairs, "pairs_per_s": (count as f64 / 2.0 / seconds).round(),
            "p50_ms": at(0.5), "p99_ms": at(0.99), "two_in_each_room": twos})
    );
}
