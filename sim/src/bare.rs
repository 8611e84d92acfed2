//! What the bare axum servers share: they mark what is possible without Maju's promises.
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::serve::ListenerExt as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

/// Texts that a room keeps for its slowest receiver.
pub const ROOM_BUFFER: usize = 64;

/// The sender of a room's texts.
pub type Sender = broadcast::Sender<Utf8Bytes>;

/// A text that waits for a writer, with its room and whom to broadcast it to.
pub type Queued = (u32, Utf8Bytes, Sender);

/// Where the texts of a client go.
pub enum Publisher {
    /// To everybody in the room.
    Broadcast(Sender),
    /// To a writer, which broadcasts them.
    Queue(u32, mpsc::Sender<Queued>, Sender),
}

impl Publisher {
    fn room(&self) -> &Sender {
        match self {
            Self::Broadcast(room) | Self::Queue(_, _, room) => room,
        }
    }

    /// Returns `false` if there is no writer any more.
    async fn publish(&self, text: Utf8Bytes) -> bool {
        match self {
            Self::Broadcast(room) => {
                let _ = room.send(text);
                true
            }
            Self::Queue(number, queue, room) => queue.send((*number, text, room.clone())).await.is_ok(),
        }
    }
}

/// Serves a socket: texts of the room go out, texts of the client are published, until one of them
/// ends.
pub async fn serve_socket(socket: WebSocket, publisher: Publisher) {
    let mut room = publisher.room().subscribe();
    let (mut out, mut incoming) = socket.split();
    if out.send(Message::Text("hello".into())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            text = room.recv() => match text {
                Ok(text) => {
                    if out.feed(Message::Text(text)).await.is_err() {
                        break;
                    }
                    while let Ok(text) = room.try_recv() {
                        if out.feed(Message::Text(text)).await.is_err() {
                            break;
                        }
                    }
                    if out.flush().await.is_err() {
                        break;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            message = incoming.next() => {
                let goes_on = match message {
                    Some(Ok(Message::Text(text))) => publisher.publish(text).await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => false,
                    Some(Ok(_)) => true,
                };
                if !goes_on {
                    break;
                }
            }
        }
    }
}

/// Serves a router on an address, with the socket options of a server under load.
///
/// # Panics
/// If the address is taken.
pub async fn listen(address: &str, router: Router) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket takes the option");
    socket.bind(address.parse().expect("an address with a port")).expect("the address is free");
    let listener = socket.listen(4_096).expect("the socket listens").tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.expect("the server runs");
}
