//! As much HTTP/1.1 as the workload needs: one request a connection, JSON in and out.
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a request can take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(6);

/// Where a request is sent, and for which visitor.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    /// The port to connect to.
    pub connect_port: u16,
    /// The port of the site, which `Host` and `Origin` name.
    pub port: u16,
    pub cookie: &'a str,
}

impl Endpoint<'_> {
    /// Returns the address that a reverse proxy would name. Each visitor has its own, and requests
    /// without a cookie share one.
    pub fn address(&self) -> String {
        let hash = self
            .cookie
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let network = if self.cookie.is_empty() { 0 } else { (hash >> 32) as u16 };
        format!("10.{}.{}.1", network >> 8, network & 0xff)
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub cookie: Option<String>,
    pub json: Value,
}

/// Sends a request and waits for its answer. `None` if no complete answer came in time.
pub async fn ask(to: Endpoint<'_>, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    tokio::time::timeout(REQUEST_DEADLINE, exchange(to, method, path, body)).await.ok()?
}

/// Returns the size of an answer's body in bytes and throws the body away. At most `most` bytes are
/// read. `None` unless the status is 200.
pub async fn size(to: Endpoint<'_>, path: &str, most: usize) -> Option<usize> {
    let read = async {
        let mut stream = TcpStream::connect(("127.0.0.1", to.connect_port)).await.ok()?;
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
    tokio::time::timeout(REQUEST_DEADLINE, read).await.ok()?
}

/// Returns a request up to the headers of its body.
fn head(to: Endpoint<'_>, method: &str, path: &str) -> String {
    let (port, address) = (to.port, to.address());
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\naccept-language: en\r\nconnection: close\r\nx-forwarded-for: {address}\r\n"
    );
    if !to.cookie.is_empty() {
        request += &format!("cookie: {}\r\n", to.cookie);
    }
    request
}

async fn exchange(to: Endpoint<'_>, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", to.connect_port)).await.ok()?;
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
