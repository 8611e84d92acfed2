//! axum + PostgreSQL: a message is broadcast only after the commit; writers drain the queue into one UNNEST insert (group commit)
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
use tokio::sync::{
    Mutex,
    broadcast::{self, error::RecvError},
    mpsc,
};
type Tx = broadcast::Sender<Utf8Bytes>;
#[derive(Clone)]
struct S {
    rooms: Arc<DashMap<u32, Tx>>,
    q: mpsc::Sender<(u32, Utf8Bytes, Tx)>,
}
async fn up(ws: WebSocketUpgrade, Path(r): Path<u32>, State(s): State<S>) -> Response {
    ws.read_buffer_size(1024).max_message_size(8192).on_upgrade(move |w| run(w, r, s))
}
async fn run(w: WebSocket, r: u32, s: S) {
    let tx = s.rooms.entry(r).or_insert_with(|| broadcast::channel(64).0).clone();
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
                Some(Ok(Message::Text(t))) => { if s.q.send((r, t, tx.clone())).await.is_err() { break } }
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => break,
                _ => {}
            }
        }
    }
}
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (q, rx) = mpsc::channel(65536);
    let rx = Arc::new(Mutex::new(rx));
    let (writers, max): (usize, usize) = (a[3].parse().unwrap(), a[4].parse().unwrap());
    {
        let (c, conn) = tokio_postgres::connect(&a[2], tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(conn);
        c.batch_execute(
            "create table if not exists msg (id bigint generated always as identity primary key, room text not null,
                sender text not null, body text not null, at timestamptz not null default now());
             create index if not exists msg_room on msg (room, id)",
        )
        .await
        .unwrap();
    }
    for _ in 0..writers {
        let (c, conn) = tokio_postgres::connect(&a[2], tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(conn);
        let rx = rx.clone();
        tokio::spawn(async move {
            let st = c.prepare("insert into msg(room, sender, body) select * from unnest($1::text[], $2::text[], $3::text[]) returning id").await.unwrap();
            let mut b: Vec<(u32, Utf8Bytes, Tx)> = Vec::new();
            loop {
                b.clear();
                if rx.lock().await.recv_many(&mut b, max).await == 0 {
                    return;
                }
                let rooms: Vec<String> = b.iter().map(|x| x.0.to_string()).collect();
                let who: Vec<&str> = b.iter().map(|_| "u").collect();
                let body: Vec<&str> = b.iter().map(|x| x.1.as_str()).collect();
                c.query(&st, &[&rooms, &who, &body]).await.unwrap();
                for (_, t, tx) in b.drain(..) {
                    let _ = tx.send(t);
                }
            }
        });
    }
    let app = Router::new().route("/ws/{room}", any(up)).with_state(S { rooms: Arc::default(), q });
    let s = tokio::net::TcpSocket::new_v4().unwrap();
    s.set_reuseaddr(true).unwrap();
    s.bind(a[1].parse().unwrap()).unwrap();
    use axum::serve::ListenerExt;
    axum::serve(
        s.listen(4096).unwrap().tap_io(|t| {
            let _ = t.set_nodelay(true);
        }),
        app,
    )
    .await
    .unwrap();
}
