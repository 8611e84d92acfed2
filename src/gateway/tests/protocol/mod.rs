//! RFC 6455 on the real socket, in raw bytes: the answer in each case, and that no connection ends
//! with a reset.
mod cases;
mod upgrade;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::testing::{Guest, Node, TEST_TIMEOUT, node};
use cases::{Case, End, cases};

/// Opcodes.
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The key of the example in the RFC, and the value that accepts it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    /// The answer to a frame. `None` if the frame had no usable id.
    Answer(Option<u64>),
    Pong(Vec<u8>),
    /// A close with its code. `None` if it has no code.
    Close(Option<u16>),
    /// The connection ended properly.
    End,
    /// The connection was reset, or the server sent something it must not send.
    Broken(String),
}

/// Returns a frame with this first byte. Clients have to mask their frames; the mask is any four
/// bytes.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let flag = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(flag | u8::try_from(length).unwrap()),
        length @ 126..=65_535 => {
            bytes.push(flag | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(flag | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// Returns an unfragmented frame of a client.
fn whole(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0x80 | opcode, payload.as_ref(), Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// Reads the next frame of a server, or the end.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let reading = async {
        let mut head = [0; 2];
        match stream.read(&mut head[..1]).await {
            Ok(0) => return Ok(Reply::End),
            Ok(_) => drop(stream.read_exact(&mut head[1..]).await?),
            Err(why) => return Err(why),
        }
        let length = match head[1] {
            126 => usize::from(stream.read_u16().await?),
            127 => usize::try_from(stream.read_u64().await?).unwrap(),
            length => usize::from(length),
        };
        if length > 1 << 20 {
            return Ok(Reply::Broken(format!("a masked or endless frame: {head:?}")));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        Ok(parsed(head[0], payload))
    };
    match tokio::time::timeout(TEST_TIMEOUT, reading).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(why)) => Reply::Broken(why.kind().to_string()),
        Err(_) => Reply::Broken("silence".to_owned()),
    }
}

fn parsed(first: u8, payload: Vec<u8>) -> Reply {
    match first {
        0x81 => match serde_json::from_slice::<serde_json::Value>(&payload) {
            Ok(answer) if answer.get("re").is_some() => Reply::Answer(answer["re"].as_u64()),
            other => Reply::Broken(format!("{other:?}")),
        },
        0x8a => Reply::Pong(payload),
        0x88 if payload.is_empty() => Reply::Close(None),
        // A close reason has to be UTF-8 and fit a control frame.
        0x88 if payload.len() <= 125 && std::str::from_utf8(payload.get(2..).unwrap_or(&[0xff])).is_ok() => {
            Reply::Close(Some(u16::from_be_bytes([payload[0], payload[1]])))
        }
        _ => Reply::Broken(format!("a frame that begins with {first:#x}")),
    }
}

/// Opens a connection and upgrades it.
async fn connect(node: &Node, guest: &Guest) -> TcpStream {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(upgrade::request(node, guest).as_bytes()).await.unwrap();
    let head = upgrade::head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
    assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: maju.v1"), "{head}");
    stream
}

/// Runs a case. Returns how the outcome differs from the expected one; `None` if it does not. If
/// the connection should stay open, it has to answer a ping and a close afterwards.
async fn run(node: &Node, guest: &Guest, case: Case) -> Option<String> {
    let mut stream = connect(node, guest).await;
    let (mut sends, mut expected) = (case.sends, case.expected);
    match case.end {
        End::StaysOpen => {
            sends.extend([whole(PING, "there?"), whole(CLOSE, 1000_u16.to_be_bytes())]);
            expected.extend([Reply::Pong(b"there?".to_vec()), Reply::Close(Some(1000))]);
        }
        End::Closed(code) | End::Fails(code) => expected.push(Reply::Close(code)),
        End::HalfClosed => {}
    }
    expected.push(Reply::End);
    let (mut from, mut to) = stream.split();
    let writing = async {
        for bytes in &sends {
            if case.chopped {
                for byte in bytes {
                    to.write_all(&[*byte]).await?;
                    tokio::task::yield_now().await;
                }
            } else {
                to.write_all(bytes).await?;
            }
        }
        if case.end == End::HalfClosed { to.shutdown().await } else { Ok(()) }
    };
    let reading = async {
        let mut received = Vec::new();
        loop {
            let reply = next(&mut from).await;
            let is_last = matches!(reply, Reply::Close(_) | Reply::End | Reply::Broken(_));
            received.push(reply);
            if is_last {
                return received;
            }
        }
    };
    let (wrote, mut received) = tokio::join!(writing, reading);
    if matches!(received.last(), Some(Reply::Close(_))) {
        if let (End::Fails(code), true) = (&case.end, wrote.is_ok()) {
            // The client answers the close and waits for the server to end the connection.
            let code = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
            if let Err(why) = stream.write_all(&whole(CLOSE, code)).await {
                received.push(Reply::Broken(format!("the answer to the close: {}", why.kind())));
            }
        }
        received.push(next(&mut stream).await);
    }
    let broken = wrote.err().or_else(|| stream.take_error().unwrap()).map(|why| why.kind().to_string());
    let same = received == expected && broken.is_none();
    (!same).then(|| format!("{}: expected {expected:?}, received {received:?}, broken {broken:?}", case.name))
}

#[tokio::test]
async fn every_case_is_answered_as_the_protocol_says() {
    let node = node().await;
    let guest = node.guest("en").await;
    let cases = cases();
    let count = cases.len();
    assert!(count >= 100, "{count} cases");
    let mut wrong = Vec::new();
    for case in cases {
        wrong.extend(run(&node, &guest, case).await);
    }
    assert!(wrong.is_empty(), "{} of {count} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
