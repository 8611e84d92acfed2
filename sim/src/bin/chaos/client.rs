//! A client: a socket to one of the nodes, opened again whenever it is lost, and the sends that
//! wait for their answers.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::context::{Context, Visitor};
use crate::http;
use sim::rng::Rng;

/// The pause between two sends that a rate limit refused: as often as a visitor can write.
const RETRY_INTERVAL: Duration = Duration::from_millis(125);
/// How long a connection can take to open.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// The silence after which a client pings its node.
const PING_AFTER: Duration = Duration::from_secs(2);

/// How long clients that are not restless wait for an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// A browser's first and longest pause before it reconnects, as in web/src/wire/socket.ts.
const FIRST_BACKOFF_MS: u64 = 500;
const MAX_BACKOFF_MS: u64 = 30_000;

/// How a client behaves when something happens to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Gives up on a node after a few seconds, sometimes disconnects without a reason, reconnects
    /// at once.
    Restless,
    /// Waits for its answers, and reconnects at once.
    Patient,
    /// Behaves like the web client.
    Browser,
}

/// The socket is gone, or its node does not answer.
pub struct Lost;

/// A frame that waits for its answer.
enum Request {
    Send {
        room: String,
        client_id: String,
        payload: Value,
    },
    /// Its answer is taken by [`Client::ask`], or by nobody.
    Other,
}

/// An entry that a client wants written and that has no final answer yet.
#[derive(Clone)]
struct Pending {
    room: String,
    payload: Value,
    /// When to try again. `None` while a try is under way.
    again: Option<Instant>,
}

/// A client.
pub struct Client {
    pub shared: Arc<Context>,
    pub visitor: Visitor,
    pub rng: Rng,
    /// The rooms that a new socket resumes.
    pub rooms: Vec<String>,
    /// `found`, `partner` and `ended` in the order of their arrival.
    pub events: VecDeque<Value>,
    socket: Option<WebSocketStream<TcpStream>>,
    node: usize,
    next_id: u64,
    requests: HashMap<u64, (Request, Instant)>,
    /// The socket was not read all the time while frames up to this id waited: the times of their
    /// answers say nothing about the node.
    unread_until: u64,
    /// The only node that it connects to.
    pub pinned: Option<usize>,
    pub kind: ClientKind,
    /// Escapes every character that is not ASCII, as some programs do: `\ud83d\ude00`.
    pub escapes: bool,
    /// When a browser reconnects: the time that the last close named. `None` for a backoff that
    /// grows with every failure.
    reconnect_delay: Option<Duration>,
    failures: u32,
    answers: HashMap<u64, Value>,
    pending: HashMap<String, Pending>,
    /// When the next send that a rate limit refused is repeated. Repeating all of them when each
    /// allows it would be a flood.
    next_retry: Instant,
    /// How long the node of this socket can leave a frame unanswered.
    answer_deadline: Duration,
    last_received: Instant,
    /// Rooms and heads to page to, because more was missed than a replay contains.
    to_page: Vec<(String, i64)>,
}

impl Client {
    pub fn new(shared: Arc<Context>, visitor: Visitor, rooms: Vec<String>) -> Self {
        let rng = Rng::new(shared.seed, &format!("client {}", visitor.who));
        Self {
            shared,
            visitor,
            rng,
            rooms,
            events: VecDeque::new(),
            socket: None,
            node: 0,
            next_id: 1,
            requests: HashMap::new(),
            unread_until: 0,
            pinned: None,
            kind: ClientKind::Restless,
            escapes: false,
            reconnect_delay: None,
            failures: 0,
            answers: HashMap::new(),
            pending: HashMap::new(),
            next_retry: Instant::now(),
            answer_deadline: Duration::ZERO,
            last_received: Instant::now(),
            to_page: Vec::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.socket.is_some()
    }

    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Drops the socket without a close frame. Sends without an answer have an unknown outcome, and
    /// are repeated on the next socket.
    pub fn drop_socket(&mut self) {
        self.socket = None;
        self.to_page.clear();
        self.answers.clear();
        for (id, (asked, since)) in std::mem::take(&mut self.requests) {
            if let Request::Send { client_id, .. } = asked {
                if self.is_measured(id, since) {
                    self.shared.history.record_answer_time(&client_id, since, false);
                }
                self.shared.history.unknown_outcome(&client_id);
                if let Some(pending) = self.pending.get_mut(&client_id) {
                    pending.again = Some(Instant::now());
                }
            }
        }
    }

    /// Forgets the sends to a room. They are not repeated, and their outcome stays as it is known.
    pub fn forget_room(&mut self, room: &str) {
        self.pending.retain(|_, pending| pending.room != room);
        self.rooms.retain(|known| known != room);
    }

    /// Opens a socket to a random node, resumes the rooms and returns the `ok` of `hello`.
    pub async fn open(&mut self) -> Result<Value, Lost> {
        self.drop_socket();
        let drawn = self.rng.range(0, 2) as usize;
        self.node = self.pinned.unwrap_or(drawn);
        // Some notice a hanging node sooner than others, and some outlast it.
        let drawn = self.rng.millis(1_500, 8_000);
        self.answer_deadline = if self.kind == ClientKind::Restless { drawn } else { ANSWER_DEADLINE };
        let pause = self.rng.millis(50, 500);
        if self.kind == ClientKind::Browser {
            sleep(self.backoff()).await;
        }
        let opened = match timeout(OPEN_DEADLINE, self.upgrade()).await {
            Ok(Some(socket)) => {
                self.socket = Some(socket);
                self.last_received = Instant::now();
                self.hello().await
            }
            _ => Err(Lost),
        };
        if opened.is_err() {
            self.drop_socket();
            if self.kind != ClientKind::Browser {
                sleep(pause).await;
            }
        } else {
            self.failures = 0;
            self.shared.history.count("sockets");
        }
        opened
    }

    /// Returns how long a browser waits before it reconnects, as in web/src/wire/socket.ts.
    fn backoff(&mut self) -> Duration {
        if let Some(asked) = self.reconnect_delay.take() {
            return asked;
        }
        let most = FIRST_BACKOFF_MS << self.failures.min(6);
        self.failures += 1;
        self.rng.millis(0, most.min(MAX_BACKOFF_MS))
    }

    async fn upgrade(&self) -> Option<WebSocketStream<TcpStream>> {
        let to = self.shared.cluster.endpoint(self.node, &self.visitor.cookie);
        let stream = TcpStream::connect(("127.0.0.1", to.connect_port)).await.ok()?;
        let _ = stream.set_nodelay(true);
        let mut request = format!("ws://localhost:{}/ws", to.port).into_client_request().ok()?;
        let origin = format!("http://localhost:{}", to.port);
        for (name, value) in [
            ("origin", &*origin),
            ("cookie", to.cookie),
            ("sec-websocket-protocol", "maju.v1"),
            ("x-forwarded-for", &*to.address()),
        ] {
            request.headers_mut().insert(name, value.parse().ok()?);
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Some(socket),
            Err(why) => {
                if let tungstenite::Error::Http(answer) = &why
                    && answer.status().is_server_error()
                {
                    self.shared.history.count("upgrades answered 5xx");
                }
                None
            }
        }
    }

    async fn hello(&mut self) -> Result<Value, Lost> {
        let seen = |room: &String| json!({"room": room, "after": self.shared.history.seen(self.visitor.who, room)});
        let resume: Vec<Value> = self.rooms.iter().map(seen).collect();
        let answer = self.ask(json!({"type": "hello", "resume": resume})).await?;
        let Some(ok) = answer.get("ok").cloned() else {
            self.shared.history.count("hellos refused");
            return Err(Lost);
        };
        for room in ok["rooms"].as_array().into_iter().flatten() {
            self.note_resync(room);
        }
        Ok(ok)
    }

    /// Remembers how far to page if an answer or event asks for it.
    fn note_resync(&mut self, answer: &Value) {
        if answer["resync"] == true || answer["type"] == "resync" {
            let room = answer["room"].as_str().or_else(|| answer["room"]["id"].as_str()).unwrap_or_default();
            let head = answer["head"].as_i64().unwrap_or_default();
            let seen = self.shared.history.seen(self.visitor.who, room);
            if head < seen {
                self.shared.history.problem(
                    "stale head",
                    format!(
                        "client {} has seen {seen} of a room whose head is {head} on node {}",
                        self.visitor.who,
                        self.node + 1
                    ),
                );
            }
            self.shared.history.count("resyncs");
            self.to_page.push((room.to_owned(), head));
        }
    }

    /// Subscribes to a room from the last entry this client has seen, on this socket and the next
    /// ones.
    pub async fn join(&mut self, room: &str) -> Result<Value, Lost> {
        let after = self.shared.history.seen(self.visitor.who, room);
        let answer = self.ask(json!({"type": "join", "room": room, "after": after})).await?;
        if answer.get("ok").is_none() {
            self.shared.history.count("joins refused");
        }
        if let Some(ok) = answer.get("ok") {
            if ok["resync"] == true {
                self.note_resync(ok);
            }
            if !self.rooms.iter().any(|known| known == room) {
                self.rooms.push(room.to_owned());
            }
        }
        Ok(answer)
    }

    /// Sends a frame and waits for its answer.
    pub async fn ask(&mut self, frame: Value) -> Result<Value, Lost> {
        let id = self.send_frame(frame, Request::Other).await?;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.receive(Duration::from_millis(200)).await?;
        }
    }

    async fn send_frame(&mut self, mut frame: Value, asked: Request) -> Result<u64, Lost> {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = id.into();
        let deadline = self.answer_deadline;
        self.requests.insert(id, (asked, Instant::now()));
        let text = if self.escapes { escaped(&frame.to_string()) } else { frame.to_string() };
        let Some(socket) = &mut self.socket else { return Err(Lost) };
        match timeout(deadline, socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(id),
            _ => Err(Lost),
        }
    }

    /// Sends a text under a new client id, without waiting for the answer.
    pub async fn send_text(&mut self, room: &str, text: String) -> Result<(), Lost> {
        self.send_payload(room, json!({"kind": "text", "text": text})).await
    }

    /// Sends a payload of any shape in the same way.
    pub async fn send_payload(&mut self, room: &str, payload: Value) -> Result<(), Lost> {
        let client_id = self.rng.uuid();
        let pending = Pending { room: room.to_owned(), payload: payload.clone(), again: None };
        self.pending.insert(client_id.clone(), pending);
        self.try_send(room.to_owned(), client_id, payload).await
    }

    async fn try_send(&mut self, room: String, client_id: String, payload: Value) -> Result<(), Lost> {
        self.shared.history.record_try(self.visitor.who, &room, &client_id, &payload);
        self.shared.history.count("tries to send");
        let frame = json!({"type": "send", "room": room, "client_id": client_id, "payload": payload});
        self.send_frame(frame, Request::Send { room, client_id, payload }).await.map(drop)
    }

    /// Listens for a while, repeats the sends that are due, and pings a node that is silent.
    pub async fn listen(&mut self, length: Duration) -> Result<(), Lost> {
        let until = Instant::now() + length;
        loop {
            self.catch_up().await?;
            let now = Instant::now();
            let due = |pending: &Pending| pending.again.is_some_and(|again| again <= now);
            let due: Vec<String> =
                self.pending.iter().filter(|(_, pending)| due(pending)).map(|(id, _)| id.clone()).collect();
            for client_id in due {
                let Some(pending) = self.pending.get_mut(&client_id) else { continue };
                pending.again = None;
                let pending = pending.clone();
                self.try_send(pending.room, client_id, pending.payload).await?;
            }
            if self.last_received.elapsed() > PING_AFTER && self.requests.is_empty() {
                self.send_frame(json!({"type": "ping"}), Request::Other).await?;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.receive(left.min(Duration::from_millis(200))).await?;
        }
    }

    /// Handles the next frame, if one comes in time.
    async fn receive(&mut self, length: Duration) -> Result<(), Lost> {
        let deadline = self.answer_deadline;
        if self.requests.values().any(|(_, since)| since.elapsed() > deadline) {
            self.shared.history.count("sockets given up");
            return Err(Lost);
        }
        let Some(socket) = &mut self.socket else { return Err(Lost) };
        match timeout(length, socket.next()).await {
            Err(_) => Ok(()),
            Ok(Some(Ok(Message::Text(text)))) => {
                self.last_received = Instant::now();
                match serde_json::from_str(&text) {
                    Ok(frame) => self.handle(frame),
                    Err(_) => self.shared.history.problem("process", format!("not JSON: {text}")),
                }
                Ok(())
            }
            Ok(Some(Ok(Message::Close(frame)))) => {
                let (code, reason) = frame.map_or((1005, None), |frame| (frame.code.into(), Some(frame.reason)));
                match code {
                    1012 => {
                        let answer: Value =
                            reason.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                        let delay = answer["delay_ms"].as_u64().unwrap_or(1_000).min(MAX_BACKOFF_MS);
                        self.reconnect_delay = Some(Duration::from_millis(delay));
                        self.shared.history.count("closed 1012");
                    }
                    4408 if self.kind == ClientKind::Browser => {
                        self.reconnect_delay = Some(Duration::ZERO);
                        self.shared.history.count("closed 4408");
                    }
                    1013 => self.shared.history.count("closed 1013"),
                    4408 => self.shared.history.count("closed 4408"),
                    1000 | 1001 | 1005 => self.shared.history.count("closed in order"),
                    code => self
                        .shared
                        .history
                        .problem("process", format!("client {} was closed with {code}", self.visitor.who)),
                }
                Err(Lost)
            }
            Ok(Some(Ok(_))) => {
                self.last_received = Instant::now();
                Ok(())
            }
            Ok(Some(Err(_)) | None) => Err(Lost),
        }
    }

    fn handle(&mut self, frame: Value) {
        if let Some(id) = frame["re"].as_u64() {
            match self.requests.remove(&id) {
                Some((Request::Send { room, client_id, payload }, since)) => {
                    if self.is_measured(id, since) {
                        self.shared.history.record_answer_time(&client_id, since, true);
                    }
                    self.handle_send_answer(room, client_id, payload, &frame);
                }
                _ => drop(self.answers.insert(id, frame)),
            }
            // Pings are answered too, and nobody takes those answers.
            if self.answers.len() > 100 {
                self.answers.clear();
            }
            return;
        }
        match frame["type"].as_str() {
            Some("message") => {
                self.shared.history.count("entries received");
                self.shared.history.received(
                    self.visitor.who,
                    &frame,
                    if self.node == 0 { "node 1" } else { "node 2" },
                );
            }
            Some("resync") => self.note_resync(&frame),
            Some("found" | "ended" | "partner") => self.events.push_back(frame),
            _ => {}
        }
    }

    /// Returns `true` if the time of a frame's answer says something about its node.
    fn is_measured(&self, id: u64, since: Instant) -> bool {
        let cluster = &self.shared.cluster;
        id > self.unread_until && !cluster.is_balanced() && cluster.is_undisturbed(self.node, since)
    }

    fn handle_send_answer(&mut self, room: String, client_id: String, payload: Value, frame: &Value) {
        let history = &self.shared.history;
        if let Some(seq) = frame["ok"]["seq"].as_i64() {
            history.acked(&client_id, seq, (!self.shared.cluster.is_balanced()).then_some(self.node));
            self.pending.remove(&client_id);
            return;
        }
        match frame["error"]["code"].as_str().unwrap_or("no code") {
            // It can be stored or not, so the same send is repeated.
            code @ ("unavailable" | "internal" | "rate_limited") => {
                history.count(if code == "internal" {
                    "sends answered internal"
                } else {
                    "sends answered unavailable"
                });
                history.unknown_outcome(&client_id);
                let wait = frame["error"]["retry_after_ms"].as_u64().unwrap_or(500).min(2_000);
                let mut at = Instant::now() + Duration::from_millis(wait);
                if code == "rate_limited" {
                    self.next_retry = at.max(self.next_retry + RETRY_INTERVAL);
                    at = self.next_retry;
                }
                let again = Some(at);
                if let Some(pending) = self.pending.get_mut(&client_id) {
                    *pending = Pending { room, payload, again };
                }
            }
            code => {
                history.refused(&client_id, code);
                self.pending.remove(&client_id);
            }
        }
    }

    /// Pages through the log, where a replay would have been too long, up to where the socket
    /// continues.
    async fn catch_up(&mut self) -> Result<(), Lost> {
        while let Some((room, head)) = self.to_page.pop() {
            self.unread_until = self.next_id;
            let who = self.visitor.who;
            while self.shared.history.seen(who, &room) < head {
                let after = self.shared.history.seen(who, &room);
                let path = format!("/api/v1/rooms/{room}/log?after={after}&limit=100");
                let to = self.shared.cluster.endpoint(self.node, &self.visitor.cookie);
                let answer =
                    http::ask(to, "GET", &path, None).await.filter(|answer| answer.status == 200).ok_or(Lost)?;
                let items = answer.json["items"].as_array().cloned().unwrap_or_default();
                if items.is_empty() {
                    self.shared
                        .history
                        .problem("gap", format!("client {who}: the log ends at {after}, its head was {head}"));
                    return Err(Lost);
                }
                for item in items.iter().filter(|item| item["seq"].as_i64().is_some_and(|seq| seq <= head)) {
                    self.shared.history.received(who, item, "log");
                }
            }
        }
        Ok(())
    }
}

/// Returns JSON in which every character that is not ASCII is escaped.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    let mut text = String::with_capacity(json.len());
    for one in json.chars() {
        if one.is_ascii() {
            text.push(one);
        } else {
            one.encode_utf16(&mut units).iter().for_each(|unit| text += &format!("\\u{unit:04x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_escaped_is_read_as_it_was() {
        let text = serde_json::json!({"text": "가 😀 \" \n \u{1}"}).to_string();
        let escaped = super::escaped(&text);
        assert!(escaped.is_ascii() && escaped.contains(r"\ud83d\ude00"), "{escaped}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&escaped), read(&text));
    }
}
