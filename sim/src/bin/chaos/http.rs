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

async fn exchange(to: To<'_>, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", to.door)).await.ok()?;
    let port = to.port;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\naccept-language: en\r\nconnection: close\r\n"
    );
    if !to.cookie.is_empty() {
        request += &format!("cookie: {}\r\n", to.cookie);
    }
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
