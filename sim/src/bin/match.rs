//! Matches end to end over real sockets: everybody seeks at once, and a pair counts when both were told.
//!
//! usage: match <file of prepare.mjs> <seekers> [rounds]. One JSON line a round: pairs/s, and the time from `seek` to `found`.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sockets that are opened at a time.
const AT_ONCE: usize = 64;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&args[1]).expect("the file of prepare.mjs");
    let origin = text.lines().next().expect("an origin").to_owned();
    let cookies: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("V ").map(str::to_owned)).collect();
    let seekers: usize = args[2].parse().expect("a number of seekers");
    let rounds: usize = args.get(3).map_or(3, |text| text.parse().expect("a number of rounds"));
    assert!(cookies.len() >= seekers, "prepare more visitors");
    let gate = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut opening = Vec::new();
    for cookie in cookies.into_iter().take(seekers) {
        let (gate, origin) = (gate.clone(), origin.clone());
        opening.push(tokio::spawn(async move {
            let _turn = gate.acquire_owned().await.expect("open");
            open(&origin, &cookie).await
        }));
    }
    let mut sockets = Vec::new();
    for socket in opening {
        sockets.push(socket.await.expect("a socket"));
    }
    for round in 0..rounds {
        sockets = meet(sockets, round).await;
    }
}

/// Says something and waits for its answer; events before it are dropped.
async fn ask(socket: &mut Socket, frame: Value) -> Value {
    socket.send(Message::text(frame.to_string())).await.expect("sent");
    loop {
        let heard = hear(socket).await;
        if heard["re"] == frame["id"] {
            return heard;
        }
    }
}

async fn hear(socket: &mut Socket) -> Value {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("the socket ended: {other:?}"),
        }
    }
}

async fn open(origin: &str, cookie: &str) -> Socket {
    let address = origin.replace("http://localhost", "ws://127.0.0.1").replace("http://", "ws://");
    let mut request = format!("{address}/ws").into_client_request().expect("a request");
    for (name, value) in [("origin", origin), ("cookie", cookie), ("sec-websocket-protocol", "maju.v1")] {
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("an upgrade");
    ask(&mut socket, json!({"id": 1, "type": "hello"})).await;
    socket
}

/// Everybody seeks at once; when both of a pair were told they enter and leave, ready for the next round.
async fn meet(sockets: Vec<Socket>, round: usize) -> Vec<Socket> {
    let count = sockets.len();
    let start = Arc::new(Barrier::new(count));
    let mut seeking = Vec::new();
    for mut socket in sockets {
        let start = start.clone();
        seeking.push(tokio::spawn(async move {
            start.wait().await;
            let began = Instant::now();
            let id = 10 + 10 * round;
            let seek = json!({"id": id, "type": "seek", "interests": [], "languages": ["en"], "translate": false});
            socket.send(Message::text(seek.to_string())).await.expect("sent");
            let found = loop {
                let heard = hear(&mut socket).await;
                assert!(heard.get("error").is_none(), "{heard}");
                if heard["type"] == "found" {
                    break heard;
                }
            };
            let told = Instant::now();
            (socket, found, began, told)
        }));
    }
    let mut done = Vec::with_capacity(count);
    for one in seeking {
        done.push(one.await.expect("a seeker"));
    }
    let began = done.iter().map(|one| one.2).min().expect("somebody");
    let ended = done.iter().map(|one| one.3).max().expect("somebody");
    let mut waits: Vec<f64> = done.iter().map(|one| one.3.duration_since(one.2).as_secs_f64() * 1e3).collect();
    waits.sort_by(f64::total_cmp);
    let mut rooms: Vec<&str> = done.iter().filter_map(|one| one.1["room"].as_str()).collect();
    rooms.sort_unstable();
    let twos = rooms.chunk_by(|a, b| a == b).all(|room| room.len() == 2);
    let seconds = ended.duration_since(began).as_secs_f64();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    println!(
        "{}",
        json!({"scenario": "match", "seekers": count, "pairs": count / 2, "pairs_per_s": (count as f64 / 2.0 / seconds).round(),
            "p50_ms": at(0.5).round(), "p99_ms": at(0.99).round(), "two_in_each_room": twos})
    );
    let mut back = Vec::with_capacity(count);
    let mut leaving = Vec::new();
    for (mut socket, found, _, _) in done {
        leaving.push(tokio::spawn(async move {
            let id = 11 + 10 * round;
            ask(&mut socket, json!({"id": id, "type": "next", "session": found["session"], "seek": false})).await;
            socket
        }));
    }
    for one in leaving {
        back.push(one.await.expect("left"));
    }
    back
}
