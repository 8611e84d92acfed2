//! A yardstick: axum with PostgreSQL. A message is broadcast after its commit only; writers take
//! what is queued into one insert (group commit).
//!
//! usage: axumpg <address:port> <Postgres, as tokio-postgres reads it> <writers> <messages of an
//! insert>
#![expect(clippy::disallowed_methods, reason = "a bare server has no app whose tasks these could be")]
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use dashmap::DashMap;
use sim::bare::{self, Publisher, Queued, Sender};
use tokio::sync::{Mutex, broadcast, mpsc};

/// Messages that wait for a writer.
const QUEUE: usize = 65_536;

#[derive(Clone)]
struct Server {
    rooms: Arc<DashMap<u32, Sender>>,
    queue: mpsc::Sender<Queued>,
}

async fn upgrade(socket: WebSocketUpgrade, Path(room): Path<u32>, State(server): State<Server>) -> Response {
    socket.read_buffer_size(1_024).max_message_size(8_192).on_upgrade(move |socket| async move {
        let sender = server.rooms.entry(room).or_insert_with(|| broadcast::channel(bare::ROOM_BUFFER).0).clone();
        bare::serve_socket(socket, Publisher::Queue(room, server.queue, sender)).await;
    })
}

async fn connect(postgres: &str) -> tokio_postgres::Client {
    let connecting = tokio_postgres::connect(postgres, tokio_postgres::NoTls).await;
    let (client, connection) = connecting.expect("Postgres takes a connection");
    tokio::spawn(connection);
    client
}

/// Inserts what is queued, up to `most` messages at a time, and broadcasts it after the commit.
async fn write(postgres: tokio_postgres::Client, queue: Arc<Mutex<mpsc::Receiver<Queued>>>, most: usize) {
    let sql =
        "insert into msg(room, sender, body) select * from unnest($1::text[], $2::text[], $3::text[]) returning id";
    let insert = postgres.prepare(sql).await.expect("Postgres prepares the insert");
    let mut batch: Vec<Queued> = Vec::new();
    loop {
        batch.clear();
        if queue.lock().await.recv_many(&mut batch, most).await == 0 {
            return;
        }
        let rooms: Vec<String> = batch.iter().map(|message| message.0.to_string()).collect();
        let senders: Vec<&str> = batch.iter().map(|_| "u").collect();
        let bodies: Vec<&str> = batch.iter().map(|message| message.1.as_str()).collect();
        postgres.query(&insert, &[&rooms, &senders, &bodies]).await.expect("Postgres inserts");
        for (_, text, sender) in batch.drain(..) {
            let _ = sender.send(text);
        }
    }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (writers, most): (usize, usize) = match (args[3].parse(), args[4].parse()) {
        (Ok(writers), Ok(most)) => (writers, most),
        _ => panic!("writers and messages of an insert are numbers"),
    };
    let (sender, queue) = mpsc::channel(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    let schema =
        "create table if not exists msg (id bigint generated always as identity primary key, room text not null,
            sender text not null, body text not null, at timestamptz not null default now());
         create index if not exists msg_room on msg (room, id)";
    connect(&args[2]).await.batch_execute(schema).await.expect("Postgres makes the table");
    for _ in 0..writers {
        tokio::spawn(write(connect(&args[2]).await, queue.clone(), most));
    }
    let server = Server { rooms: Arc::default(), queue: sender };
    bare::listen(&args[1], Router::new().route("/ws/{room}", any(upgrade)).with_state(server)).await;
}
