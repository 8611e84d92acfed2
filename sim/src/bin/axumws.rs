//! A yardstick: axum with one `tokio::sync::broadcast` a room, whose receivers share the bytes of a
//! text.
//!
//! usage: axumws <address:port> [tuned|best]
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use dashmap::DashMap;
use sim::bare::{self, Publisher, Sender};
use tokio::sync::broadcast;

/// How sockets are buffered.
#[derive(Clone, Copy)]
enum Buffers {
    /// As axum has them.
    Usual,
    /// A small read buffer, no write buffer.
    Tuned,
    /// A small read buffer: what measured best.
    Best,
}

#[derive(Clone)]
struct Server {
    rooms: Arc<DashMap<u32, Sender>>,
    buffers: Buffers,
}

async fn upgrade(socket: WebSocketUpgrade, Path(room): Path<u32>, State(server): State<Server>) -> Response {
    let socket = match server.buffers {
        Buffers::Usual => socket,
        Buffers::Tuned => socket.read_buffer_size(1_024).write_buffer_size(0).max_message_size(8_192),
        Buffers::Best => socket.read_buffer_size(1_024).max_message_size(8_192),
    };
    socket.on_upgrade(move |socket| async move {
        let sender = server.rooms.entry(room).or_insert_with(|| broadcast::channel(bare::ROOM_BUFFER).0).clone();
        bare::serve_socket(socket, Publisher::Broadcast(sender)).await;
    })
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let buffers = match args.get(2).map(String::as_str) {
        Some("tuned") => Buffers::Tuned,
        Some("best") => Buffers::Best,
        _ => Buffers::Usual,
    };
    let server = Server { rooms: Arc::default(), buffers };
    bare::listen(&args[1], Router::new().route("/ws/{room}", any(upgrade)).with_state(server)).await;
}
