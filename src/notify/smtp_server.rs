//! A real SMTP server on loopback, for tests: it keeps what it is sent, and can refuse and delay.
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use parking_lot::Mutex;

use crate::testing::eventually;

/// A mail as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// The name in EHLO.
    pub(crate) hello: String,
    /// The user and password in AUTH PLAIN. `None` if the client did not sign in.
    pub(crate) user: Option<(String, String)>,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Head and body.
    pub(crate) raw: String,
}

impl Received {
    /// Returns a header's value with its continuation lines. Empty if there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.raw.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        found.unwrap_or_default()
    }

    /// Returns the text of the body.
    pub(crate) fn text(&self) -> String {
        let body = self.raw.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        match self.header("Content-Transfer-Encoding").as_str() {
            "base64" => {
                let joined: String = body.split_whitespace().collect();
                String::from_utf8(base64::engine::general_purpose::STANDARD.decode(joined).unwrap()).unwrap()
            }
            "quoted-printable" => quoted_printable(&body.replace("=\r\n", "")),
            _ => body.to_owned(),
        }
    }
}

fn quoted_printable(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        match (first, others.get(..2)) {
            (b'=', Some(digits)) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// What the next mails are answered, instead of `250`.
    answers: VecDeque<&'static str>,
    /// Whether each mail waits this long for its answer.
    delay: Duration,
    /// What clients wrote, of all connections.
    written: String,
}

/// A server, which runs until the tests end.
#[derive(Clone)]
pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl SmtpServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = own.state.clone();
                std::thread::spawn(move || converse(stream, &state));
            }
        });
        server
    }

    /// The setting `--smtp-url` for this server.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Sets the answers to the next mails.
    pub(crate) fn answer(&self, answers: &[&'static str]) {
        self.state.lock().answers.extend(answers);
    }

    /// Returns how many of these answers were not given yet.
    pub(crate) fn planned(&self) -> usize {
        self.state.lock().answers.len()
    }

    /// Makes each mail wait for its answer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.lock().delay = delay;
    }

    /// Returns the mails that were accepted.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// Returns everything that clients wrote.
    pub(crate) fn written(&self) -> String {
        self.state.lock().written.clone()
    }

    /// Waits until this many mails were accepted, and returns them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually("the mails arrive", || async { self.received().len() >= count }).await;
        self.received()
    }
}

/// Speaks SMTP with one client (RFC 5321), until it leaves.
fn converse(stream: TcpStream, state: &Mutex<State>) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let mut mail = Received::default();
    let mut say = move |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    let mut goes_on = say("220 loopback ready");
    while goes_on {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        state.lock().written.push_str(&line);
        let line = line.trim_end();
        goes_on = match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => {
                mail.hello = line[5..].to_owned();
                say("250-loopback\r\n250-8BITMIME\r\n250 AUTH PLAIN")
            }
            "AUTH" => {
                let secret =
                    base64::engine::general_purpose::STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
                let parts: Vec<&[u8]> = secret.split(|byte| *byte == 0).collect();
                let text = |nth: usize| String::from_utf8_lossy(parts[nth]).into_owned();
                mail.user = Some((text(1), text(2)));
                say("235 2.7.0 welcome")
            }
            "MAIL" => {
                mail.from = address(line);
                say("250 2.1.0 ok")
            }
            "RCPT" => {
                mail.to = address(line);
                say("250 2.1.5 ok")
            }
            "DATA" => {
                say("354 go on");
                mail.raw = read_data(&mut lines);
                say(accept(&mail, state))
            }
            "QUIT" => {
                say("221 bye");
                false
            }
            _ => say("250 ok"),
        };
    }
}

fn address(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn read_data(lines: &mut BufReader<TcpStream>) -> String {
    let mut raw = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or_default() == 0 || line == ".\r\n" {
            return raw;
        }
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// Keeps a mail unless another answer was planned, and returns the answer.
fn accept(mail: &Received, state: &Mutex<State>) -> &'static str {
    let delay = state.lock().delay;
    std::thread::sleep(delay);
    let mut state = state.lock();
    if let Some(answer) = state.answers.pop_front() {
        return answer;
    }
    state.received.push(mail.clone());
    "250 2.0.0 kept"
}
