//! Upgrade requests in raw bytes: which are accepted, and how the others are refused.
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{CLOSE, KEY, PING, Reply, next, whole};
use crate::testing::{Guest, Node, TEST_TIMEOUT, node};

/// Returns a valid request.
pub(super) fn request(node: &Node, guest: &Guest) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost:{}\r\nOrigin: {}\r\nCookie: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: maju.v1\r\n\r\n",
        node.address.port(),
        node.origin(),
        guest.cookie
    )
}

/// Reads the head of the response byte by byte, so that what follows stays unread.
pub(super) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("no answer");
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn an_upgrade_is_accepted_or_refused_as_the_protocol_says() {
    let node = node().await;
    let guest = node.guest("en").await;
    let good = request(&node, &guest);
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let mut wrong = Vec::new();
    for (name, request, expected) in [
        ("a good one", good.clone(), 101),
        (
            "names in other cases",
            with("Connection: Upgrade\r\nUpgrade: websocket", "connection: upgrade\r\nupgrade: WebSocket"),
            101,
        ),
        ("upgrade among others", with("Connection: Upgrade", "Connection: keep-alive, Upgrade"), 101),
        ("our protocol among others", with("maju.v1", "chat, maju.v1"), 101),
        (
            "protocols on two lines",
            with("Sec-WebSocket-Protocol: maju.v1", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: maju.v1"),
            101,
        ),
        (
            "an extension is offered",
            with("Upgrade: websocket", "Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate"),
            101,
        ),
        ("version 8", with("Version: 13", "Version: 8"), 426),
        ("version 14", with("Version: 13", "Version: 14"), 426),
        ("no version", with("Sec-WebSocket-Version: 13\r\n", ""), 426),
        ("a version that is no number", with("Version: 13", "Version: x"), 426),
        ("no key", with(&key, ""), 400),
        ("an empty key", with(KEY, ""), 400),
        ("a key of 15 bytes", with(KEY, "dGhlIHNhbXBsZSBub25j"), 400),
        ("a key that is no base64", with(KEY, "dGhlIHNhbXBsZSBub25j*A=="), 400),
        ("no protocol", with("Sec-WebSocket-Protocol: maju.v1\r\n", ""), 400),
        ("another protocol", with("maju.v1", "maju.v2"), 400),
        ("no connection header", with("Connection: Upgrade\r\n", ""), 400),
        ("no upgrade header", with("Upgrade: websocket\r\n", ""), 400),
        ("another upgrade", with("Upgrade: websocket", "Upgrade: h2c"), 400),
        ("POST", with("GET /ws", "POST /ws"), 405),
        ("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 426),
    ] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        if status != Some(expected) {
            wrong.push(format!("{name}: expected {expected}, got {head}"));
        }
        let lower = head.to_ascii_lowercase();
        if name.contains("version") && !lower.contains("sec-websocket-version: 13\r\n") {
            wrong.push(format!("{name}: the supported version is not named"));
        }
        if lower.contains("sec-websocket-extensions") {
            wrong.push(format!("{name}: an extension that is not supported"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn frames_right_behind_the_request_are_read() {
    let node = node().await;
    let guest = node.guest("en").await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let mut bytes = request(&node, &guest).into_bytes();
    bytes.extend(whole(PING, "early"));
    bytes.extend(whole(CLOSE, 1000_u16.to_be_bytes()));
    stream.write_all(&bytes).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(next(&mut stream).await, Reply::Pong(b"early".to_vec()));
    assert_eq!(next(&mut stream).await, Reply::Close(Some(1000)));
    assert_eq!(next(&mut stream).await, Reply::End);
}
