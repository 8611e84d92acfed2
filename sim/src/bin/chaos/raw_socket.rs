//! A hand-made WebSocket: it sends frames that no honest client sends, as fast as they are taken,
//! and reads or does not read.
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::http::Endpoint;

/// How long a handshake can take.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes of one write.
const WRITE_BYTES: usize = 16 * 1024;

/// The beginning of the answer to the frame with id 2.
const OK_PREFIX: &[u8] = br#"{"re":2,"ok":"#;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Returns a client's frame, masked with zeros. `last` is `false` for all but the last fragment of
/// a message.
pub fn frame(op: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if last { 0x80 } else { 0 } | op];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// How a flood ended.
#[derive(Clone, Debug)]
pub struct FloodResult {
    pub lasted: Duration,
    /// `true` if the node ended it.
    pub ended: bool,
    /// The close code, if one arrived. A node that closes while the client goes on writing resets
    /// the connection, and then the code can be lost.
    pub code: Option<u16>,
    /// Frames that were taken in the last second.
    pub last_second: u64,
}

/// An upgraded socket.
pub struct RawSocket {
    read: ReadHalf<TcpStream>,
    write: WriteHalf<TcpStream>,
}

impl RawSocket {
    /// Opens a socket. `None` if the node refuses or does not answer.
    pub async fn open(to: Endpoint<'_>) -> Option<Self> {
        timeout(OPEN_DEADLINE, Self::upgrade(to)).await.ok()?
    }

    async fn upgrade(to: Endpoint<'_>) -> Option<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", to.connect_port)).await.ok()?;
        let (port, cookie, address) = (to.port, to.cookie, to.address());
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\ncookie: {cookie}\r\n\
             x-forwarded-for: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: maju.v1\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return None;
        }
        let (read, write) = split(stream);
        Some(Self { read, write })
    }

    /// Writes bytes. Returns `false` if the socket is gone or takes nothing for three seconds.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(OPEN_DEADLINE, self.write.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Says hello, joins a room and waits for the answers. Returns `true` if both succeed.
    pub async fn enter(&mut self, room: &str, after: Option<u64>) -> bool {
        let after = after.map_or_else(String::new, |seq| format!(r#","after":{seq}"#));
        let join = format!(r#"{{"id":2,"type":"join","room":"{room}"{after}}}"#);
        self.write(&frame(TEXT, true, br#"{"id":1,"type":"hello"}"#)).await
            && self.write(&frame(TEXT, true, join.as_bytes())).await
            && matches!(timeout(OPEN_DEADLINE, self.answered()).await, Ok(true))
    }

    /// Reads until the answer to the frame with id 2. What comes before it is thrown away.
    async fn answered(&mut self) -> bool {
        while let Some((op, payload)) = next(&mut self.read).await {
            if op == TEXT && payload.starts_with(OK_PREFIX) {
                return true;
            }
        }
        false
    }

    /// Sends frames without end, each made with the next id, until `length` is over or the node
    /// ends it.
    pub async fn flood(self, length: Duration, mut make: impl FnMut(u64) -> Vec<u8>) -> FloodResult {
        let Self { read, mut write } = self;
        let began = Instant::now();
        let mut ending = tokio::spawn(end(read));
        let (mut taken, mut id) = (0, 10);
        // How many frames had been taken, and when.
        let mut marks = vec![(Duration::ZERO, 0)];
        let mut code = None;
        let ended = loop {
            let left = length.saturating_sub(began.elapsed());
            if left.is_zero() {
                break false;
            }
            let (mut bytes, first) = (Vec::new(), id);
            while bytes.len() < WRITE_BYTES {
                bytes.extend(make(id));
                id += 1;
            }
            tokio::select! {
                wrote = timeout(left, write.write_all(&bytes)) => match wrote {
                    Ok(Ok(())) => taken += id - first,
                    Ok(Err(_)) => {
                        code = timeout(Duration::from_millis(200), &mut ending).await.ok().and_then(Result::ok).flatten();
                        break true;
                    }
                    Err(_) => break false,
                },
                last = &mut ending => {
                    code = last.ok().flatten();
                    break true;
                }
            }
            // As fast as a good connection: this program must leave the machine to the nodes.
            sleep(Duration::from_millis(3)).await;
            if marks.last().is_none_or(|mark| mark.0 + Duration::from_millis(50) <= began.elapsed()) {
                marks.push((began.elapsed(), taken));
            }
        };
        ending.abort();
        let lasted = began.elapsed();
        let before = lasted.saturating_sub(Duration::from_secs(1));
        let then = marks.iter().rev().find(|mark| mark.0 <= before).map_or(0, |mark| mark.1);
        FloodResult { lasted, ended, code, last_second: taken - then }
    }
}

/// Reads frames until the socket ends. Returns the close code, if one arrived.
async fn end(mut read: ReadHalf<TcpStream>) -> Option<u16> {
    loop {
        let (op, payload) = next(&mut read).await?;
        if op == CLOSE {
            return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        }
    }
}

/// Returns the opcode and payload of the next frame. `None` if the socket is gone.
async fn next(read: &mut ReadHalf<TcpStream>) -> Option<(u8, Vec<u8>)> {
    let op = read.read_u8().await.ok()? & 0x0f;
    let length = match read.read_u8().await.ok()? & 0x7f {
        126 => usize::from(read.read_u16().await.ok()?),
        127 => read.read_u64().await.ok()? as usize,
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    read.read_exact(&mut payload).await.ok()?;
    Some((op, payload))
}

#[cfg(test)]
mod tests {
    use super::{BINARY, PING, TEXT, frame};

    #[test]
    fn frames_name_their_length_in_the_shortest_form() {
        assert_eq!(frame(PING, true, b"ab"), [0x89, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(frame(TEXT, false, &[])[..2], [0x01, 0x80]);
        assert_eq!(frame(BINARY, true, &[0; 32_768])[..4], [0x82, 0xfe, 0x80, 0x00]);
        assert_eq!(frame(TEXT, true, &[0; 65_536])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
