//! People who leave rooms at a steady rate, over real sockets: what that costs those who write elsewhere.
//!
//! usage: leaves <file of prepare.mjs> <Postgres, as tokio-postgres reads it> <leaves a second> <seconds>
//! The places they leave are written into Postgres beforehand, so that nothing but leaving is measured. Says `ready` when they
//! are there, then leaves; one JSON line at the end: leaves a second, failures, the time of an answer.
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&args[1]).expect("the file of prepare.mjs");
    let rate: f64 = args[3].parse().expect("leaves a second");
    let seconds: f64 = args[4].parse().expect("seconds");
    let origin = text.lines().next().expect("an origin").to_owned();
    let lines = |mark: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(mark).map(str::to_owned)).collect()
    };
    let (cookies, rooms) = (lines("V "), lines("R "));
    assert!((cookies.len() * rooms.len()) as f64 >= rate * seconds, "prepare more visitors or rooms");
    let (mut sockets, mut visitors) = (Vec::new(), Vec::new());
    for cookie in &cookies {
        let (socket, visitor) = open(&origin, cookie).await;
        sockets.push(socket);
        visitors.push(visitor);
    }
    take_places(&args[2], &rooms, &visitors).await;
    println!("ready");
    let began = Instant::now();
    let every = Duration::from_secs_f64(sockets.len() as f64 / rate);
    let count = sockets.len() as u32;
    let leaving = sockets.into_iter().enumerate().map(|(n, socket)| {
        // Spread evenly: each its turn, one after the other.
        let first = began + every * n as u32 / count;
        tokio::spawn(leave(socket, rooms.clone(), first, every, began + Duration::from_secs_f64(seconds)))
    });
    let (mut left, mut failed, mut took) = (0, 0, Vec::new());
    for one in leaving.collect::<Vec<_>>() {
        let (done, wrong, times) = one.await.expect("a leaver");
        left += done;
        failed += wrong;
        took.extend(times);
    }
    took.sort_unstable();
    let ms = |at: f64| took.get((took.len() as f64 * at) as usize).map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
    let per_second = (left as f64 / began.elapsed().as_secs_f64()).round();
    println!("{}", json!({"leaves_s": per_second, "failed": failed, "p50_ms": ms(0.5), "p99_ms": ms(0.99)}));
}

/// Every visitor gets a place in every room, or the old one back.
async fn take_places(postgres: &str, rooms: &[String], visitors: &[String]) {
    let (client, connection) = tokio_postgres::connect(postgres, tokio_postgres::NoTls).await.expect("Postgres");
    tokio::spawn(connection);
    let taken = client
        .execute(
            "INSERT INTO membership (room_id, visitor_id, public_id, color, animal, name)
             SELECT r.id, v.id, gen_random_uuid(), v.color, v.animal, 'Leaver'
             FROM chat_room r, visitor v
             WHERE r.public_id = ANY($1::text[]::uuid[]) AND v.public_id = ANY($2::text[]::uuid[])
             ON CONFLICT ON CONSTRAINT membership_pk DO UPDATE SET left_at = NULL",
            &[&rooms, &visitors],
        )
        .await
        .expect("places");
    assert_eq!(taken as usize, rooms.len() * visitors.len(), "a room or visitor is missing");
}

/// Leaves one room after the other, `every` so often, until the time is over. Answers how many, failures, and times.
async fn leave(
    mut socket: Socket,
    rooms: Vec<String>,
    first: Instant,
    every: Duration,
    until: Instant,
) -> (usize, usize, Vec<Duration>) {
    let (mut left, mut failed, mut took) = (0, 0, Vec::new());
    for (n, room) in rooms.iter().enumerate() {
        let due = first + every * n as u32;
        if due >= until {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let asked = Instant::now();
        let answer = ask(&mut socket, json!({"id": n + 2, "type": "leave", "room": room})).await;
        took.push(asked.elapsed());
        if answer.get("ok").is_some() { left += 1 } else { failed += 1 }
    }
    (left, failed, took)
}

/// Says something and waits for its answer; events before it are dropped.
async fn ask(socket: &mut Socket, frame: Value) -> Value {
    socket.send(Message::text(frame.to_string())).await.expect("sent");
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Text(text))) => {
                let heard: Value = serde_json::from_str(&text).expect("JSON");
                if heard["re"] == frame["id"] {
                    return heard;
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("the socket ended: {other:?}"),
        }
    }
}

/// A socket that has said hello, and its visitor's id.
async fn open(origin: &str, cookie: &str) -> (Socket, String) {
    let address = origin.replace("http://localhost", "ws://127.0.0.1").replace("http://", "ws://");
    let mut request = format!("{address}/ws").into_client_request().expect("a request");
    for (name, value) in [("origin", origin), ("cookie", cookie), ("sec-websocket-protocol", "maju.v1")] {
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("an upgrade");
    let hello = ask(&mut socket, json!({"id": 1, "type": "hello"})).await;
    let visitor = hello["ok"]["visitor"]["id"].as_str().expect("a visitor").to_owned();
    (socket, visitor)
}
