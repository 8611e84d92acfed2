//! As much HTTP/1.1 as the workload needs: one request a connection, JSON in and out.
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// Whom a request is for, and who asks.
#[derive(Clone, Copy)]
pub struct To<'a> {
    /// Where to connect.
    pub door: u16,
    /// The node's own port: what its `Host` and `Origin` name.
    pub port: u16,
    pub cookie: &'a str,
}

impl To<'_> {
    /// The address that a proxy in front would name: each visitor has one of its own, and those without a cookie share one.
    pub fn address(&self) -> String {
        let hash = self
            .cookie
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let network = if self.cookie.is_empty() { 0 } else { (hash >> 32) as u16 };
        format!("10.{}.{}.1", network >> 8, network & 0xff)
    }
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub cookie: Option<String>,
    pub json: Value,
}

/// Asks; `None` when no whole answer came in time.
pub async fn ask(to: To<'_>, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, exchange(to, method, path, body)).await.ok()?
}

/// The size of an answer's body in bytes, which is thrown away; no more than `most` is read of it. `None` unless it is 200.
pub async fn size(to: To<'_>, path: &str, most: usize) -> Option<usize> {
    let read = async {
        let mut stream = TcpStream::connect(("127.0.0.1", to.door)).await.ok()?;
        stream.write_all(head(to, "GET", path).as_bytes()).await.ok()?;
        stream.write_all(b"\r\n").await.ok()?;
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.ok()?);
        }
        seen.starts_with(b"HTTP/1.1 200").then_some(())?;
        let (mut size, mut piece) = (0, vec![0; 64 * 1024]);
        while size < most {
            match stream.read(&mut piece).await.ok()? {
                0 => break,
                count => size += count,
            }
        }
        Some(size)
    };
    tokio::time::timeout(PATIENCE, read).await.ok()?
}

/// A request up to where its body is named.
fn head(to: To<'_>, method: &str, path: &str) -> String {
    let (port, address) = (to.port, to.address());
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\naccept-language: en\r\nconnection: close\r\nx-forwarded-for: {address}\r\n"
    );
    if !to.cookie.is_empty() {
        request += &format!("cookie: {}\r\n", to.cookie);
    }
    request
}

async fn exchange(to: To<'_>, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", to.door)).await.ok()?;
    let mut request = head(to, method, path);
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    if let Some(length) = header("content-length")
        && length.parse() != Ok(rest.len())
    {
        return None;
    }
    let cookie = header("set-cookie").and_then(|line| Some(line.split(';').next()?.to_owned()));
    Some(Answer { status, cookie, json: serde_json::from_str(rest).unwrap_or(Value::Null) })
}
