//! What every client sent and received, and how each send ended: acknowledged, refused, or unknown.
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::stalls;

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no answer yet, or the last answer does not tell whether the entry was stored.
    Unknown,
    Acked(i64),
    Refused(String),
}

/// One entry that a client wanted written, however often it tried.
pub struct Sent {
    pub who: usize,
    pub room: String,
    pub payload: Value,
    pub outcome: Outcome,
    /// Tries that ended before their answer, or with an answer that does not say whether it was
    /// stored.
    pub unknown: u32,
    /// The times of the first and of the last try, in milliseconds since 1970.
    pub first_ms: i64,
    pub tried_ms: i64,
    /// When its first acknowledgement came, in milliseconds since 1970; 0 while there is none.
    pub acked_ms: i64,
}

/// What one client received of one room.
#[derive(Default)]
pub struct View {
    /// The highest sequence number so far. A gap before it is recorded as a problem.
    pub seen: i64,
    /// Each entry's sequence number and [`digest`], in the order of arrival.
    pub entries: Vec<(i64, u64)>,
}

/// Kinds of broken promises, in the order of the summary.
pub const KINDS: [&str; 22] = [
    "lost",
    "doubled",
    "gap",
    "out of order",
    "changed",
    "double match",
    "waiter",
    // An entry by a visitor who had left.
    "revoked",
    // A node named a head that is older than what the client had received from the other node.
    "stale head",
    // A repeat of an acknowledged send did not get the first answer.
    "repeat",
    "process",
    "liveness",
    // A send had no answer, not even an error, for too long.
    "slow answer",
    // `/livez` was not 200, or `/readyz` was not 503 in time.
    "probe",
    // No acknowledgement in time after Postgres was back.
    "recovery",
    // Nobody was matched in time while the node of the matcher hung.
    "takeover",
    // A node took more memory than its limit: over the run, for a connection, or for a page.
    "memory",
    // A jump of a node's clock had an effect: it ended a talk, hid a page, or changed a stored
    // time.
    "clock",
    // A client that floods was neither disconnected in time nor throttled.
    "flood",
    // Postgres was stopped while its owner (the node that started it) was running.
    "owner",
    // Rolling restarts: a client noticed more than a reconnect.
    "seen",
    // Rolling restarts: entries were delivered too late.
    "delay",
];

/// How long a send can wait for any answer while its node is undisturbed.
const MAX_ANSWER_TIME: Duration = Duration::from_millis(2_500);

#[derive(Default)]
struct Inner {
    sent: HashMap<String, Sent>,
    views: HashMap<(usize, String), View>,
    problems: Vec<(&'static str, String)>,
    counts: HashMap<&'static str, u64>,
    last_ack: Option<Instant>,
    /// One for each node.
    last_acks: [Option<Instant>; 2],
    longest: Duration,
    /// How long sends on undisturbed nodes waited for their answers, in milliseconds.
    answers: Vec<u32>,
    /// The times from the first try of a send to its first acknowledgement, in milliseconds.
    acks: Vec<u32>,
    /// The times from the first try of a send until a client received the entry, in milliseconds.
    delays: Vec<u32>,
    /// The delays of sends before this time are not measured: a client that connects later receives
    /// them late.
    delays_since_ms: i64,
    /// The longest duration measured under each name.
    most: BTreeMap<&'static str, Duration>,
}

/// Returns the 99th percentile and the maximum, in milliseconds.
fn tail(values: &[u32]) -> (u32, u32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied();
    (at(99).unwrap_or_default(), at(100).unwrap_or_default())
}

/// What all clients of a run sent and received, and the problems that were found.
pub struct History {
    began: Instant,
    inner: Mutex<Inner>,
}

/// Returns the milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Returns a digest of an entry's author, content and time. JSON keys are sorted, so equal values
/// have equal digests.
pub fn digest(client_id: &str, sender: &str, payload: &Value, at: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client_id, sender, payload.to_string(), at).hash(&mut hasher);
    hasher.finish()
}

impl History {
    pub fn new() -> Self {
        Self { began: Instant::now(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Records a broken promise of one of the [`KINDS`]. Prints the first 20 of each kind.
    pub fn problem(&self, kind: &'static str, what: String) {
        let what = format!("{:7.2} s  {what}", self.elapsed());
        let mut inner = self.lock();
        if inner.problems.iter().filter(|known| known.0 == kind).count() < 20 {
            println!("!! {kind}: {what}");
        }
        inner.problems.push((kind, what));
    }

    pub fn problems(&self, kind: &str) -> usize {
        self.lock().problems.iter().filter(|known| known.0 == kind).count()
    }

    /// Counts something for the summary.
    pub fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<_> = self.lock().counts.iter().map(|(what, count)| (*what, *count)).collect();
        counts.sort_unstable();
        counts
    }

    /// Records a try to send.
    pub fn record_try(&self, who: usize, room: &str, client_id: &str, payload: &Value) {
        let mut inner = self.lock();
        let sent = inner.sent.entry(client_id.to_owned()).or_insert_with(|| Sent {
            who,
            room: room.to_owned(),
            payload: payload.clone(),
            outcome: Outcome::Unknown,
            unknown: 0,
            first_ms: now_ms(),
            tried_ms: 0,
            acked_ms: 0,
        });
        sent.tried_ms = now_ms();
    }

    /// Records that a try ended without a definite answer.
    pub fn unknown_outcome(&self, client_id: &str) {
        if let Some(sent) = self.lock().sent.get_mut(client_id) {
            sent.unknown += 1;
        }
    }

    pub fn refused(&self, client_id: &str, code: &str) {
        if let Some(sent) = self.lock().sent.get_mut(client_id) {
            sent.outcome = Outcome::Refused(code.to_owned());
        }
    }

    /// Records an acknowledgement by a node. `node` is `None` if a balancer chose the node.
    pub fn acked(&self, client_id: &str, seq: i64, node: Option<usize>) {
        let mut inner = self.lock();
        let now = Instant::now();
        if let Some(node) = node {
            inner.last_acks[node] = Some(now);
        }
        let gap = inner.last_ack.replace(now).map_or(Duration::ZERO, |last| now - last);
        inner.longest = inner.longest.max(gap);
        let Some(sent) = inner.sent.get_mut(client_id) else { return };
        let took = (now_ms() - sent.first_ms).max(0) as u32;
        let before = std::mem::replace(&mut sent.outcome, Outcome::Acked(seq));
        if !matches!(before, Outcome::Acked(_)) {
            sent.acked_ms = now_ms();
            inner.acks.push(took);
        }
        drop(inner);
        match before {
            Outcome::Acked(first) if first != seq => {
                self.problem("doubled", format!("{client_id} was acked as {first} and again as {seq}"));
            }
            Outcome::Refused(code) => {
                self.problem("changed", format!("{client_id} was refused ({code}) and then acked as {seq}"));
            }
            _ => {}
        }
    }

    /// Returns when a node last acknowledged anything.
    pub fn last_ack(&self, node: usize) -> Option<Instant> {
        self.lock().last_acks[node]
    }

    /// Records how long a send has waited for its answer on an undisturbed node. `answered` is
    /// `false` if the client stopped waiting. Stalls of the machine itself are subtracted.
    pub fn record_answer_time(&self, client_id: &str, since: Instant, answered: bool) {
        let length = since.elapsed().saturating_sub(stalls::since(since));
        self.lock().answers.push(length.as_millis() as u32);
        if length > MAX_ANSWER_TIME {
            let how = if answered { "was answered after" } else { "had no answer for" };
            let who = self.lock().sent.get(client_id).map(|sent| sent.who);
            self.problem("slow answer", format!("{client_id} of client {who:?} {how} {} ms", length.as_millis()));
        }
    }

    /// Returns the 99th percentile and the maximum of the answer times, in milliseconds.
    pub fn answers(&self) -> (u32, u32) {
        tail(&self.lock().answers)
    }

    /// Returns how many answer times are recorded so far: a mark for [`History::answers_since`].
    pub fn answered(&self) -> usize {
        self.lock().answers.len()
    }

    /// Returns how many answer times were recorded since the mark, with their 99th percentile and
    /// their maximum in milliseconds.
    pub fn answers_since(&self, mark: usize) -> (usize, u32, u32) {
        let inner = self.lock();
        let since = inner.answers.get(mark..).unwrap_or_default();
        let (p99, most) = tail(since);
        (since.len(), p99, most)
    }

    /// Returns the 99th percentile and the maximum of the time from a send's first try to its
    /// first acknowledgement, in milliseconds. Faults and failed tries in between are included.
    pub fn acks(&self) -> (u32, u32) {
        tail(&self.lock().acks)
    }

    /// Returns how many entries were received, with the 99th percentile and the maximum of their
    /// delay in milliseconds.
    pub fn delays(&self) -> (usize, u32, u32) {
        let inner = self.lock();
        let (p99, most) = tail(&inner.delays);
        (inner.delays.len(), p99, most)
    }

    /// Forgets the delays so far. Only those of sends from now on are measured.
    pub fn measure_delays(&self) {
        let mut inner = self.lock();
        inner.delays.clear();
        inner.delays_since_ms = now_ms();
    }

    /// Records a duration under a name. The longest one is kept.
    pub fn record(&self, what: &'static str, length: Duration) {
        let mut inner = self.lock();
        let most = inner.most.entry(what).or_default();
        *most = length.max(*most);
    }

    /// Returns the longest duration under each name.
    pub fn maxima(&self) -> Vec<(&'static str, Duration)> {
        self.lock().most.iter().map(|(what, length)| (*what, *length)).collect()
    }

    /// Returns the longest time between two acknowledgements.
    pub fn longest_silence(&self) -> Duration {
        self.lock().longest
    }

    /// Returns the highest sequence number that a client received of a room; 0 if there is none.
    pub fn seen(&self, who: usize, room: &str) -> i64 {
        self.lock().views.get(&(who, room.to_owned())).map_or(0, |view| view.seen)
    }

    /// Records an entry that a client received, from the socket or (after a `resync`) from the log.
    pub fn received(&self, who: usize, event: &Value, how: &str) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (room, seq) = (text(&event["room"]), event["seq"].as_i64().unwrap_or_default());
        let client_id = text(&event["client_id"]);
        let digest = digest(&client_id, &text(&event["sender"]["id"]), &event["payload"], &text(&event["at"]));
        let mut inner = self.lock();
        if let Some(sent) = inner.sent.get(&client_id)
            && sent.first_ms >= inner.delays_since_ms
        {
            let delay = (now_ms() - sent.first_ms).max(0) as u32;
            inner.delays.push(delay);
        }
        let view = inner.views.entry((who, room.clone())).or_default();
        let seen = view.seen;
        view.entries.push((seq, digest));
        view.seen = seen.max(seq);
        drop(inner);
        let short = room.get(..8).unwrap_or_default();
        if seq > seen + 1 {
            self.problem("gap", format!("client {who} in {short}: {seq} came after {seen} ({how})"));
        } else if seq <= seen {
            self.problem("out of order", format!("client {who} in {short}: {seq} came after {seen} ({how})"));
        }
    }

    /// Calls `read` with all sends, by client id. The history is locked meanwhile.
    pub fn with_sent<T>(&self, read: impl FnOnce(&HashMap<String, Sent>) -> T) -> T {
        read(&self.lock().sent)
    }

    /// Calls `read` with all views, by client and room. The history is locked meanwhile.
    pub fn with_views<T>(&self, read: impl FnOnce(&HashMap<(usize, String), View>) -> T) -> T {
        read(&self.lock().views)
    }
}
