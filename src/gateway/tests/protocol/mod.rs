//! RFC 6455 on the real socket, in raw bytes: what comes back in each case, and that every connection ends without a reset.
mod cases;
mod upgrade;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::testing::{Guest, Node, PATIENCE, node};
use cases::{Case, End, cases};

/// Opcodes.
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The key of the RFC's own example, and what it is accepted with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// The answer to a frame; None where the frame had no id that could be read.
    Answer(Option<u64>),
    Pong(Vec<u8>),
    /// With its code, or empty.
    Close(Option<u16>),
    /// The connection ended in order.
    End,
    /// It was reset, or something came that no server may say.
    Broken(String),
}

/// A frame as a client sends it, unless told otherwise: `first` is its first byte, the mask any four bytes.
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

/// A whole frame of a client.
fn whole(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0x80 | opcode, payload.as_ref(), Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// The next frame of a server, or the end.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Said {
    let heard = async {
        let mut head = [0; 2];
        match stream.read(&mut head[..1]).await {
            Ok(0) => return Ok(Said::End),
            Ok(_) => drop(stream.read_exact(&mut head[1..]).await?),
            Err(why) => return Err(why),
        }
        let length = match head[1] {
            126 => usize::from(stream.read_u16().await?),
            127 => usize::try_from(stream.read_u64().await?).unwrap(),
            length => usize::from(length),
        };
        if length > 1 << 20 {
            return Ok(Said::Broken(format!("a masked or endless frame: {head:?}")));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        Ok(understood(head[0], payload))
    };
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(said)) => said,
        Ok(Err(why)) => Said::Broken(why.kind().to_string()),
        Err(_) => Said::Broken("silence".to_owned()),
    }
}

fn understood(first: u8, payload: Vec<u8>) -> Said {
    match first {
        0x81 => match serde_json::from_slice::<serde_json::Value>(&payload) {
            Ok(answer) if answer.get("re").is_some() => Said::Answer(answer["re"].as_u64()),
            other => Said::Broken(format!("{other:?}")),
        },
        0x8a => Said::Pong(payload),
        0x88 if payload.is_empty() => Said::Close(None),
        // Whatever is said in words must be UTF-8, and fit.
        0x88 if payload.len() <= 125 && std::str::from_utf8(payload.get(2..).unwrap_or(&[0xff])).is_ok() => {
            Said::Close(Some(u16::from_be_bytes([payload[0], payload[1]])))
        }
        _ => Said::Broken(format!("a frame that begins with {first:#x}")),
    }
}

/// An upgraded connection.
async fn connect(node: &Node, guest: &Guest) -> TcpStream {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(upgrade::request(node, guest).as_bytes()).await.unwrap();
    let head = upgrade::head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
    assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: maju.v1"), "{head}");
    stream
}

/// What differs from what a case should bring. A case that the connection should survive is asked for a sign of life.
async fn tried(node: &Node, guest: &Guest, case: Case) -> Option<String> {
    let mut stream = connect(node, guest).await;
    let (mut says, mut expected) = (case.says, case.hears);
    match case.end {
        End::Lives => {
            says.extend([whole(PING, "there?"), whole(CLOSE, 1000_u16.to_be_bytes())]);
            expected.extend([Said::Pong(b"there?".to_vec()), Said::Close(Some(1000))]);
        }
        End::Closed(code) | End::Fails(code) => expected.push(Said::Close(code)),
        End::HalfClosed => {}
    }
    expected.push(Said::End);
    let (mut from, mut to) = stream.split();
    let writing = async {
        for bytes in &says {
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
        let mut heard = Vec::new();
        loop {
            let said = next(&mut from).await;
            let is_last = matches!(said, Said::Close(_) | Said::End | Said::Broken(_));
            heard.push(said);
            if is_last {
                return heard;
            }
        }
    };
    let (wrote, mut heard) = tokio::join!(writing, reading);
    if matches!(heard.last(), Some(Said::Close(_))) {
        if let (End::Fails(code), true) = (&case.end, wrote.is_ok()) {
            // A client that is told to go answers, and waits for the server to end the connection.
            let code = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
            if let Err(why) = stream.write_all(&whole(CLOSE, code)).await {
                heard.push(Said::Broken(format!("the answer to the close: {}", why.kind())));
            }
        }
        heard.push(next(&mut stream).await);
    }
    let broken = wrote.err().or_else(|| stream.take_error().unwrap()).map(|why| why.kind().to_string());
    let same = heard == expected && broken.is_none();
    (!same).then(|| format!("{}: expected {expected:?}, heard {heard:?}, broken {broken:?}", case.name))
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
        wrong.extend(tried(&node, &guest, case).await);
    }
    assert!(wrong.is_empty(), "{} of {count} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
