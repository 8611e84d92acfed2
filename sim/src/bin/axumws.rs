//! bare axum 0.8 broadcast: one tokio::sync::broadcast per room, Utf8Bytes shared by all receivers
use axum::{
    Router,
    extract::{
        Path, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
};
use dashmap::DashMap;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
type Rooms = Arc<DashMap<u32, broadcast::Sender<Utf8Bytes>>>;
static TUNED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
async fn up(ws: WebSocketUpgrade, Path(r): Path<u32>, State(s): State<Rooms>) -> Response {
    let ws = match TUNED.load(std::sync::atomic::Ordering::Relaxed) {
        1 => ws.read_buffer_size(1024).write_buffer_size(0).max_message_size(8192),
        2 => ws.read_buffer_size(1024).max_message_size(8192),
        _ => ws,
    };
    ws.on_upgrade(move |w| run(w, r, s))
}
async fn run(w: WebSocket, r: u32, s: Rooms) {
    let tx = s.entry(r).or_insert_with(|| broadcast::channel(64).0).clone();
    let mut rx = tx.subscribe();
    let (mut o, mut i) = w.split();
    if o.send(Message::Text("hello".into())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            m = rx.recv() => match m {
                Ok(t) => {
                    if o.feed(Message::Text(t)).await.is_err() { break }
                    while let Ok(t) = rx.try_recv() { if o.feed(Message::Text(t)).await.is_err() { break } }
                    if o.flush().await.is_err() { break }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(_) => break,
            },
            m = i.next() => match m {
                Some(Ok(Message::Text(t))) => { let _ = tx.send(t); }
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => break,
                _ => {}
            }
        }
    }
}
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    TUNED.store(
        match a.get(2).map(|x| x.as_str()) {
            Some("tuned") => 1,
            Some("best") => 2,
            _ => 0,
        },
        std::sync::atomic::Ordering::Relaxed,
    );
    let app = Router::new().route("/ws/{room}", any(up)).with_state(Rooms::default());
    let s = tokio::net::TcpSocket::new_v4().unwrap();
    s.set_reuseaddr(true).unwrap();
    s.bind(a[1].parse().unwrap()).unwrap();
    use axum::serve::ListenerExt;
    let l = s.listen(4096).unwrap().tap_io(|t| {
        let _ = t.set_nodelay(true);
    });
    axum::serve(l, app).await.unwrap();
}
