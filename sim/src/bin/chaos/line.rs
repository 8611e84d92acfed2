//! One person's line: a socket to either node, opened again whenever it is lost, and the sends that wait for their answers.
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

use crate::context::{Context, Guest};
use crate::http;
use crate::rng::Rng;

/// Between two entries that were too many: as often as a visitor may write.
const PACE: Duration = Duration::from_millis(125);
/// How long a connection may take to open.
const OPEN: Duration = Duration::from_secs(3);
/// Quiet after which a client asks whether the node is still there.
const QUIET: Duration = Duration::from_secs(2);

/// How long one who is not restless waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A browser's first and longest wait before it comes back, as web/src/wire/socket.ts has them.
const FIRST_WAIT_MS: u64 = 500;
const LONGEST_WAIT_MS: u64 = 30_000;

/// How a client takes what happens to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Gives up on a node after seconds of its own choice, goes away by whim, comes back at once.
    Restless,
    /// Waits for its answers, and comes back at once.
    Patient,
    /// As the web client does it.
    Browser,
}

/// The socket is gone, or its node does not answer.
pub struct Lost;

/// A frame that waits for its answer.
enum Asked {
    Send {
        room: String,
        client_id: String,
        payload: Value,
    },
    /// Somebody waits in `ask`, or nobody cares.
    Other,
}

/// What a client wants written, until it is answered.
#[derive(Clone)]
struct Pending {
    room: String,
    payload: Value,
    /// When to try again; none while a try is on its way.
    again: Option<Instant>,
}

/// A client.
pub struct Line {
    pub shared: Arc<Context>,
    pub guest: Guest,
    pub rng: Rng,
    /// The rooms that a new socket resumes.
    pub rooms: Vec<String>,
    /// `found`, `partner` and `ended`, as they came.
    pub events: VecDeque<Value>,
    socket: Option<WebSocketStream<TcpStream>>,
    node: usize,
    next_id: u64,
    asked: HashMap<u64, (Asked, Instant)>,
    /// Frames up to this one were not listened for all the time: what their answers took says nothing of the node.
    deaf_until: u64,
    /// The only node that it goes to.
    pub pinned: Option<usize>,
    pub manner: Manner,
    /// Escapes what is not ASCII, as some programs do: `\ud83d\ude00`.
    pub escapes: bool,
    /// When a browser comes back: the time that the last close named, else more with every failure.
    stay_away: Option<Duration>,
    failures: u32,
    answers: HashMap<u64, Value>,
    pending: HashMap<String, Pending>,
    /// When the next of those that were too many goes out: all at once, as each is told, they would be a flood.
    slot: Instant,
    /// How long this socket's node may leave a frame unanswered.
    patience: Duration,
    heard: Instant,
    /// Rooms to page through: more was missed than a replay brings.
    behind: Vec<(String, i64)>,
}

impl Line {
    pub fn new(shared: Arc<Context>, guest: Guest, rooms: Vec<String>) -> Self {
        let rng = Rng::of(shared.seed, &format!("client {}", guest.who));
        Self {
            shared,
            guest,
            rng,
            rooms,
            events: VecDeque::new(),
            socket: None,
            node: 0,
            next_id: 1,
            asked: HashMap::new(),
            deaf_until: 0,
            pinned: None,
            manner: Manner::Restless,
            escapes: false,
            stay_away: None,
            failures: 0,
            answers: HashMap::new(),
            pending: HashMap::new(),
            slot: Instant::now(),
            patience: Duration::ZERO,
            heard: Instant::now(),
            behind: Vec::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.socket.is_some()
    }

    pub fn waits(&self) -> usize {
        self.pending.len()
    }

    /// Lets go of the socket without a word. What was not answered is unknown, and is said again on the next socket.
    pub fn drop_socket(&mut self) {
        self.socket = None;
        self.behind.clear();
        self.answers.clear();
        for (id, (asked, since)) in std::mem::take(&mut self.asked) {
            if let Asked::Send { client_id, .. } = asked {
                if self.is_measured(id, since) {
                    self.shared.history.waited(&client_id, since, false);
                }
                self.shared.history.unsure(&client_id);
                if let Some(pending) = self.pending.get_mut(&client_id) {
                    pending.again = Some(Instant::now());
                }
            }
        }
    }

    /// Forgets the sends to a room: nobody will say them again, and their outcome stays as it is known.
    pub fn forget(&mut self, room: &str) {
        self.pending.retain(|_, pending| pending.room != room);
        self.rooms.retain(|known| known != room);
    }

    /// Opens a socket on a node of its choice and resumes its rooms. Answers the `ok` of hello.
    pub async fn open(&mut self) -> Result<Value, Lost> {
        self.drop_socket();
        let drawn = self.rng.range(0, 2) as usize;
        self.node = self.pinned.unwrap_or(drawn);
        // Some notice a hanging node sooner than others; some outlast it.
        let drawn = self.rng.millis(1_500, 8_000);
        self.patience = if self.manner == Manner::Restless { drawn } else { PATIENCE };
        let pause = self.rng.millis(50, 500);
        if self.manner == Manner::Browser {
            sleep(self.absence()).await;
        }
        let opened = match timeout(OPEN, self.upgrade()).await {
            Ok(Some(socket)) => {
                self.socket = Some(socket);
                self.heard = Instant::now();
                self.hello().await
            }
            _ => Err(Lost),
        };
        if opened.is_err() {
            self.drop_socket();
            if self.manner != Manner::Browser {
                sleep(pause).await;
            }
        } else {
            self.failures = 0;
            self.shared.history.count("sockets");
        }
        opened
    }

    /// How long a browser stays away now. As web/src/wire/socket.ts has it.
    fn absence(&mut self) -> Duration {
        if let Some(asked) = self.stay_away.take() {
            return asked;
        }
        let most = FIRST_WAIT_MS << self.failures.min(6);
        self.failures += 1;
        self.rng.millis(0, most.min(LONGEST_WAIT_MS))
    }

    async fn upgrade(&self) -> Option<WebSocketStream<TcpStream>> {
        let to = self.shared.world.to(self.node, &self.guest.cookie);
        let stream = TcpStream::connect(("127.0.0.1", to.door)).await.ok()?;
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
        let seen = |room: &String| json!({"room": room, "after": self.shared.history.seen(self.guest.who, room)});
        let resume: Vec<Value> = self.rooms.iter().map(seen).collect();
        let said = self.ask(json!({"type": "hello", "resume": resume})).await?;
        let Some(ok) = said.get("ok").cloned() else {
            self.shared.history.count("hellos refused");
            return Err(Lost);
        };
        for room in ok["rooms"].as_array().into_iter().flatten() {
            self.note_resync(room);
        }
        Ok(ok)
    }

    /// An answer or event that says how far to page, if it does.
    fn note_resync(&mut self, said: &Value) {
        if said["resync"] == true || said["type"] == "resync" {
            let room = said["room"].as_str().or_else(|| said["room"]["id"].as_str()).unwrap_or_default();
            let head = said["head"].as_i64().unwrap_or_default();
            let seen = self.shared.history.seen(self.guest.who, room);
            if head < seen {
                self.shared.history.problem(
                    "stale head",
                    format!(
                        "client {} has seen {seen} of a room whose head is {head}, says node {}",
                        self.guest.who,
                        self.node + 1
                    ),
                );
            }
            self.shared.history.count("resyncs");
            self.behind.push((room.to_owned(), head));
        }
    }

    /// Follows a room from where this client is in it, on this socket and the next ones.
    pub async fn join(&mut self, room: &str) -> Result<Value, Lost> {
        let after = self.shared.history.seen(self.guest.who, room);
        let said = self.ask(json!({"type": "join", "room": room, "after": after})).await?;
        if said.get("ok").is_none() {
            self.shared.history.count("joins refused");
        }
        if let Some(ok) = said.get("ok") {
            if ok["resync"] == true {
                self.note_resync(ok);
            }
            if !self.rooms.iter().any(|known| known == room) {
                self.rooms.push(room.to_owned());
            }
        }
        Ok(said)
    }

    /// Says something and waits for its answer, whatever comes before.
    pub async fn ask(&mut self, frame: Value) -> Result<Value, Lost> {
        let id = self.say(frame, Asked::Other).await?;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.hear(Duration::from_millis(200)).await?;
        }
    }

    async fn say(&mut self, mut frame: Value, asked: Asked) -> Result<u64, Lost> {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = id.into();
        let patience = self.patience;
        self.asked.insert(id, (asked, Instant::now()));
        let text = if self.escapes { escaped(&frame.to_string()) } else { frame.to_string() };
        let Some(socket) = &mut self.socket else { return Err(Lost) };
        match timeout(patience, socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(id),
            _ => Err(Lost),
        }
    }

    /// Sends a text under a fresh id; its answer comes when it comes.
    pub async fn post(&mut self, room: &str, text: String) -> Result<(), Lost> {
        self.post_payload(room, json!({"kind": "text", "text": text})).await
    }

    /// The same with a payload of any shape.
    pub async fn post_payload(&mut self, room: &str, payload: Value) -> Result<(), Lost> {
        let client_id = self.rng.uuid();
        let pending = Pending { room: room.to_owned(), payload: payload.clone(), again: None };
        self.pending.insert(client_id.clone(), pending);
        self.attempt(room.to_owned(), client_id, payload).await
    }

    async fn attempt(&mut self, room: String, client_id: String, payload: Value) -> Result<(), Lost> {
        self.shared.history.tried(self.guest.who, &room, &client_id, &payload);
        self.shared.history.count("tries to send");
        let frame = json!({"type": "send", "room": room, "client_id": client_id, "payload": payload});
        self.say(frame, Asked::Send { room, client_id, payload }).await.map(drop)
    }

    /// Listens for a while, says again what is due, and asks for a sign of life when it is quiet.
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
                self.attempt(pending.room, client_id, pending.payload).await?;
            }
            if self.heard.elapsed() > QUIET && self.asked.is_empty() {
                self.say(json!({"type": "ping"}), Asked::Other).await?;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.hear(left.min(Duration::from_millis(200))).await?;
        }
    }

    /// Takes the next frame, if one comes in time.
    async fn hear(&mut self, length: Duration) -> Result<(), Lost> {
        let patience = self.patience;
        if self.asked.values().any(|(_, since)| since.elapsed() > patience) {
            self.shared.history.count("sockets given up");
            return Err(Lost);
        }
        let Some(socket) = &mut self.socket else { return Err(Lost) };
        match timeout(length, socket.next()).await {
            Err(_) => Ok(()),
            Ok(Some(Ok(Message::Text(text)))) => {
                self.heard = Instant::now();
                match serde_json::from_str(&text) {
                    Ok(frame) => self.take(frame),
                    Err(_) => self.shared.history.problem("process", format!("not JSON: {text}")),
                }
                Ok(())
            }
            Ok(Some(Ok(Message::Close(frame)))) => {
                let (code, reason) = frame.map_or((1005, None), |frame| (frame.code.into(), Some(frame.reason)));
                match code {
                    1012 => {
                        let said: Value = reason.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                        let delay = said["delay_ms"].as_u64().unwrap_or(1_000).min(LONGEST_WAIT_MS);
                        self.stay_away = Some(Duration::from_millis(delay));
                        self.shared.history.count("closed 1012");
                    }
                    4408 if self.manner == Manner::Browser => {
                        self.stay_away = Some(Duration::ZERO);
                        self.shared.history.count("closed 4408");
                    }
                    1013 => self.shared.history.count("closed 1013"),
                    4408 => self.shared.history.count("closed 4408"),
                    1000 | 1001 | 1005 => self.shared.history.count("closed in order"),
                    code => self
                        .shared
                        .history
                        .problem("process", format!("client {} was closed with {code}", self.guest.who)),
                }
                Err(Lost)
            }
            Ok(Some(Ok(_))) => {
                self.heard = Instant::now();
                Ok(())
            }
            Ok(Some(Err(_)) | None) => Err(Lost),
        }
    }

    fn take(&mut self, frame: Value) {
        if let Some(id) = frame["re"].as_u64() {
            match self.asked.remove(&id) {
                Some((Asked::Send { room, client_id, payload }, since)) => {
                    if self.is_measured(id, since) {
                        self.shared.history.waited(&client_id, since, true);
                    }
                    self.answered(room, client_id, payload, &frame);
                }
                _ => drop(self.answers.insert(id, frame)),
            }
            // Pings are answered too, and nobody takes these away.
            if self.answers.len() > 100 {
                self.answers.clear();
            }
            return;
        }
        match frame["type"].as_str() {
            Some("message") => {
                self.shared.history.count("entries heard");
                self.shared.history.heard(self.guest.who, &frame, if self.node == 0 { "node 1" } else { "node 2" });
            }
            Some("resync") => self.note_resync(&frame),
            Some("found" | "ended" | "partner") => self.events.push_back(frame),
            _ => {}
        }
    }

    /// Whether what a frame's answer took says something about its node.
    fn is_measured(&self, id: u64, since: Instant) -> bool {
        let world = &self.shared.world;
        id > self.deaf_until && !world.is_balanced() && world.is_calm(self.node, since)
    }

    fn answered(&mut self, room: String, client_id: String, payload: Value, frame: &Value) {
        let history = &self.shared.history;
        if let Some(seq) = frame["ok"]["seq"].as_i64() {
            history.acked(&client_id, seq, (!self.shared.world.is_balanced()).then_some(self.node));
            self.pending.remove(&client_id);
            return;
        }
        match frame["error"]["code"].as_str().unwrap_or("no code") {
            // Whether it was stored is open: the same is said again.
            code @ ("unavailable" | "internal" | "rate_limited") => {
                history.count(if code == "internal" {
                    "sends answered internal"
                } else {
                    "sends answered unavailable"
                });
                history.unsure(&client_id);
                let wait = frame["error"]["retry_after_ms"].as_u64().unwrap_or(500).min(2_000);
                let mut at = Instant::now() + Duration::from_millis(wait);
                if code == "rate_limited" {
                    self.slot = at.max(self.slot + PACE);
                    at = self.slot;
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

    /// Pages through the log where a replay would have been too long, up to where the socket goes on.
    async fn catch_up(&mut self) -> Result<(), Lost> {
        while let Some((room, head)) = self.behind.pop() {
            self.deaf_until = self.next_id;
            let who = self.guest.who;
            while self.shared.history.seen(who, &room) < head {
                let after = self.shared.history.seen(who, &room);
                let path = format!("/api/v1/rooms/{room}/log?after={after}&limit=100");
                let to = self.shared.world.to(self.node, &self.guest.cookie);
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
                    self.shared.history.heard(who, item, "log");
                }
            }
        }
        Ok(())
    }
}

/// JSON with everything that is not ASCII escaped.
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
