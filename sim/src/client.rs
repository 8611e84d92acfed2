//! A WebSocket client that asks and waits for the answer.
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// An open socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long a frame can take.
const RECEIVE_DEADLINE: Duration = Duration::from_secs(60);

/// Opens a socket for a visitor and says hello. Returns the socket and the answer.
///
/// # Panics
/// If the server refuses: the measurement has no meaning then.
pub async fn open(origin: &str, cookie: &str) -> (Socket, Value) {
    let address = origin.replace("http://localhost", "ws://127.0.0.1").replace("http://", "ws://");
    let mut request = format!("{address}/ws").into_client_request().expect("the origin makes a request");
    for (name, value) in [("origin", origin), ("cookie", cookie), ("sec-websocket-protocol", "maju.v1")] {
        request.headers_mut().insert(name, value.parse().expect("origin and cookie are headers"));
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("the server upgrades");
    let hello = ask(&mut socket, json!({"id": 1, "type": "hello"})).await;
    (socket, hello)
}

/// Sends a frame and returns its answer. Frames before the answer are dropped.
///
/// # Panics
/// If the socket ends.
pub async fn ask(socket: &mut Socket, frame: Value) -> Value {
    send(socket, &frame).await;
    loop {
        let received = receive(socket).await;
        if received["re"] == frame["id"] {
            return received;
        }
    }
}

/// Sends a frame.
///
/// # Panics
/// If the socket ends.
pub async fn send(socket: &mut Socket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).await.expect("the socket takes a frame");
}

/// Returns the next frame.
///
/// # Panics
/// If the socket ends, or nothing comes for a minute.
pub async fn receive(socket: &mut Socket) -> Value {
    loop {
        match tokio::time::timeout(RECEIVE_DEADLINE, socket.next()).await.expect("a frame comes in time") {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("frames are JSON"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("the socket ended: {other:?}"),
        }
    }
}
