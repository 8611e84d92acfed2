//! Hostile visitors: floods over hand-made sockets, sockets that are not read, requests that are
//! never finished, and a partner and a room member who send the worst payloads that are allowed.
//! Everybody else must be served as if they were not there.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::client::{Client, ClientKind, Lost};
use crate::context::Context;
use crate::raw_socket::{BINARY, FloodResult, PING, PONG, RawSocket, TEXT, frame};
use crate::stalls;
use crate::workload::{self, Pair};

/// How long a node can take to end a flood. Two seconds are promised.
pub const FLOOD_DEADLINE: Duration = Duration::from_secs(6);
/// How many frames a second a node can read of a flood that it does not end. A visitor can send 40.
const MAX_FLOOD_FRAMES_PER_SECOND: u64 = 400;
/// The page that names every close code, one in a row.
const WIRE_PAGE: &str = include_str!("../../../../docs/WIRE.md");
/// Codes that would tell a client something wrong: that the close was orderly, or that its session
/// or its rights are gone.
const MISLEADING_CODES: [u16; 7] = [1000, 1001, 1012, 4401, 4403, 4409, 4410];
/// Requests that are never finished.
const HALF_REQUESTS: usize = 100;
/// Sockets that are not read, all of one visitor.
const UNREAD_SOCKETS: usize = 15;
/// The largest frame in bytes, as in docs/WIRE.md.
const MAX_FRAME_BYTES: usize = 32 * 1024;
/// How long visitors can take to be matched, and to get their last answers.
const MATCH_DEADLINE: Duration = Duration::from_secs(5);
const LAST_ANSWERS_DEADLINE: Duration = Duration::from_secs(5);
/// The pause between two sends of a hostile partner, and of the other one.
const SEND_INTERVAL: Duration = Duration::from_millis(250);

/// What is sent without end, each kind by a visitor of its own.
#[derive(Clone, Copy, Debug)]
enum Flood {
    Pongs,
    Pings,
    Frames,
    Typing,
    Large,
    Pieces,
    Binary,
    Unreadable,
}

impl Flood {
    const ALL: [Self; 8] = [
        Self::Pongs,
        Self::Pings,
        Self::Frames,
        Self::Typing,
        Self::Large,
        Self::Pieces,
        Self::Binary,
        Self::Unreadable,
    ];

    /// Returns one frame of the flood.
    fn frame(self, id: u64, room: &str) -> Vec<u8> {
        let text = |text: String| frame(TEXT, true, text.as_bytes());
        match self {
            Self::Pongs => frame(PONG, true, &[b'.'; 125]),
            Self::Pings => frame(PING, true, &[b'.'; 125]),
            Self::Frames => text(format!(r#"{{"id":{id},"type":"ping"}}"#)),
            Self::Typing => text(format!(r#"{{"id":{id},"type":"typing","room":"{room}"}}"#)),
            Self::Large => text(format!("{:<MAX_FRAME_BYTES$}", format!(r#"{{"id":{id},"type":"ping"}}"#))),
            // The first frame begins a message that never ends.
            Self::Pieces => frame(if id == 10 { TEXT } else { 0 }, false, b" "),
            Self::Binary => frame(BINARY, true, b"."),
            Self::Unreadable => text(".".to_owned()),
        }
    }
}

/// Returns the close codes of docs/WIRE.md.
fn codes() -> impl Iterator<Item = u16> {
    let rows = WIRE_PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    rows.flat_map(|(first, _)| first.split(", ")).filter_map(|code| code.parse().ok()).filter(|code| *code >= 1_000)
}

/// Returns what is wrong with how a flood ended.
fn judge(result: &FloodResult) -> Option<String> {
    let FloodResult { lasted, ended, code, last_second, .. } = result;
    match (ended, code) {
        (true, Some(code)) if MISLEADING_CODES.contains(code) || !codes().any(|known| known == *code) => {
            Some(format!("was closed with {code}"))
        }
        (true, _) if *lasted > FLOOD_DEADLINE => Some(format!("was ended after {} ms only", lasted.as_millis())),
        (false, _) if *lasted >= FLOOD_DEADLINE && *last_second > MAX_FLOOD_FRAMES_PER_SECOND => {
            Some(format!("was not ended in {} ms, and {last_second} frames a second are taken", lasted.as_millis()))
        }
        _ => None,
    }
}

/// Floods one node in every way at once, for `hold`.
pub async fn flood(shared: &Arc<Context>, node: usize, hold: Duration) {
    let Some(room) = shared.writers.get().map(|writers| writers.1.clone()) else { return };
    let history = &shared.history;
    let (mark, began) = (history.answered(), Instant::now());
    let half = half_requests(shared, node).await;
    let mut floods = Vec::new();
    for kind in Flood::ALL {
        floods.push(tokio::spawn(one(shared.clone(), node, room.clone(), kind, hold)));
    }
    let unread = tokio::spawn(unread(shared.clone(), node, room.clone(), hold));
    let member = tokio::spawn(member(shared.clone(), node, room.clone(), hold));
    if let Some(pair) = workload::pair(shared, [node, 1 - node], "ie", MATCH_DEADLINE).await {
        partner(shared, pair, hold, began).await;
    } else {
        history.count("hostile partners not matched");
    }
    for one in floods {
        let _ = one.await;
    }
    let _ = (unread.await, member.await);
    drop(half);
    let (count, p99, most) = history.answers_since(mark);
    let at = history.elapsed();
    println!("{at:7.2} s  {count} sends of others were answered meanwhile: p99 {p99} ms, {most} ms at most");
    history.record("an answer to others during floods", Duration::from_millis(most.into()));
}

/// Floods a node as a new visitor, who comes back whenever the node ends the flood.
async fn one(shared: Arc<Context>, node: usize, room: String, kind: Flood, hold: Duration) {
    let (history, until) = (&shared.history, Instant::now() + hold);
    let Some(visitor) = workload::visitor_at(&shared, shared.stranger(), node).await else {
        return history.count("floods not made");
    };
    let mut longest: Option<FloodResult> = None;
    while Instant::now() < until {
        let since = Instant::now();
        let Some(mut raw) = RawSocket::open(shared.cluster.endpoint(node, &visitor.cookie)).await else {
            history.count("floods refused at the door");
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if !raw.enter(&room, None).await {
            history.count("floods refused at the door");
            sleep(Duration::from_millis(200)).await;
            continue;
        }
        let mut result = raw.flood(until.saturating_duration_since(Instant::now()), |id| kind.frame(id, &room)).await;
        result.lasted = result.lasted.saturating_sub(stalls::since(since));
        history.count(if result.ended { "floods ended" } else { "floods that lasted to the end" });
        if !shared.cluster.is_undisturbed(node, since) {
            return history.count("floods not judged");
        }
        if let Some(what) = judge(&result) {
            history.problem("flood", format!("node {}: a flood of {kind:?} {what}", node + 1));
        }
        if longest.as_ref().is_none_or(|known| known.lasted < result.lasted) {
            longest = Some(result);
        }
        sleep(Duration::from_millis(100)).await;
    }
    if let Some(result) = longest.filter(|result| result.ended) {
        history.record("a flood until it was ended", result.lasted);
    }
}

/// Opens connections with half a request each. They are kept until they are dropped.
async fn half_requests(shared: &Context, node: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..HALF_REQUESTS {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", shared.cluster.nodes[node].client_proxy.port)).await {
            let _ = stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nhost: local").await;
            all.push(stream);
        }
    }
    all
}

/// Opens sockets that ask for everything in a room and read nothing of it.
async fn unread(shared: Arc<Context>, node: usize, room: String, hold: Duration) {
    let Some(visitor) = workload::visitor_at(&shared, shared.stranger(), node).await else { return };
    let mut all = Vec::new();
    for _ in 0..UNREAD_SOCKETS {
        if let Some(mut raw) = RawSocket::open(shared.cluster.endpoint(node, &visitor.cookie)).await
            && raw.enter(&room, Some(0)).await
        {
            all.push(raw);
        }
    }
    sleep(hold).await;
}

/// Returns one of the worst payloads that a partner can try. Some are refused.
fn payload(number: usize) -> Value {
    let many = |count: usize| vec![json!(1e308); count];
    match number % 8 {
        // 24,000 bytes if escaped, 8,000 as stored.
        0 => json!({"kind": "text", "text": "😀".repeat(2_000)}),
        1 => json!({"kind": "text", "text": "hi", "x": many(2_500)}),
        2 => json!({"kind": "text", "text": "hi", "x": many(12)}),
        3 => json!({"kind": "text", "text": "가".repeat(2_000), "x": "\u{1}".repeat(600)}),
        4 => json!({"kind": "text", "text": "hi", "x": ".".repeat(16_000)}),
        5 => json!({"kind": "text", "text": "hi", "x": [[[[[[[1]]]]]]]}),
        6 => json!({"kind": "text", "text": "\u{1100}\u{1161}".repeat(1_000)}),
        _ => json!({"kind": "text", "text": format!("a{}b", "\n".repeat(1_998))}),
    }
}

/// Joins a public room and sends the worst payloads that are allowed. Every member receives them,
/// and a member who missed them pages through them.
async fn member(shared: Arc<Context>, node: usize, room: String, hold: Duration) {
    let Some(visitor) = workload::visitor_at(&shared, shared.stranger(), node).await else { return };
    let mut client = Client::new(shared.clone(), visitor, Vec::new());
    (client.pinned, client.kind, client.escapes) = (Some(node), ClientKind::Patient, true);
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < hold + LAST_ANSWERS_DEADLINE && (began.elapsed() < hold || client.pending_count() > 0) {
        // A socket that reconnects resumes the room by itself.
        let up = client.is_up() || client.open().await.is_ok();
        let entered = up && (client.rooms.contains(&room) || client.join(&room).await.is_ok());
        let sent = if entered && began.elapsed() < hold && client.pending_count() < 4 {
            number += 1;
            client.send_payload(&room, payload(number)).await
        } else {
            Ok(())
        };
        if sent.is_err() || client.listen(SEND_INTERVAL).await.is_err() {
            client.drop_socket();
        }
    }
}

/// Sends the worst payloads as the first of the pair. The second writes as usual and must not be
/// affected.
async fn partner(shared: &Arc<Context>, mut pair: Pair, hold: Duration, began: Instant) {
    let (history, turns) = (&shared.history, shared.monitor.postgres_fault_changes());
    pair.one.escapes = true;
    let talked = talk(&mut pair, hold).await;
    let calm = (0..2).all(|node| shared.cluster.is_undisturbed(node, began));
    if !calm || turns % 2 == 1 || turns != shared.monitor.postgres_fault_changes() {
        history.count("hostile partners not measured");
    } else if talked.is_err() {
        history.problem("flood", "a client lost its node while the partner was hostile".to_owned());
    } else {
        history.count("hostile partners");
        let (one, two) = (pair.one.visitor.who, pair.two.visitor.who);
        let (all, heard) = (history.seen(one, &pair.room), history.seen(two, &pair.room));
        let waits = pair.one.pending_count() + pair.two.pending_count();
        if all != heard || waits > 0 {
            let what =
                format!("in a talk with a hostile partner {heard} of {all} entries were delivered, {waits} sends wait");
            history.problem("flood", what);
        }
    }
    pair.end().await;
}

async fn talk(pair: &mut Pair, hold: Duration) -> Result<(), Lost> {
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < hold {
        // Every send is answered, refused or not. A few that wait for the rate limit are enough.
        if pair.one.pending_count() < 4 {
            pair.one.send_payload(&pair.room, payload(number)).await?;
        }
        pair.two.send_text(&pair.room, format!("beside it {number}")).await?;
        number += 1;
        let until = Instant::now() + SEND_INTERVAL;
        while Instant::now() < until {
            pair.one.listen(SEND_INTERVAL / 10).await?;
            pair.two.listen(SEND_INTERVAL / 10).await?;
        }
    }
    let since = Instant::now();
    let shared = pair.one.shared.clone();
    let quiet = |pair: &Pair| {
        let seen = [&pair.one, &pair.two].map(|client| shared.history.seen(client.visitor.who, &pair.room));
        pair.one.pending_count() + pair.two.pending_count() == 0 && seen[0] == seen[1]
    };
    while !quiet(pair) && since.elapsed() < LAST_ANSWERS_DEADLINE {
        pair.one.listen(SEND_INTERVAL / 10).await?;
        pair.two.listen(SEND_INTERVAL / 10).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Flood, FloodResult, MAX_FRAME_BYTES, judge};

    fn result(ms: u64, code: Option<u16>, last_second: u64) -> FloodResult {
        FloodResult { lasted: Duration::from_millis(ms), ended: true, code, last_second }
    }

    #[test]
    fn a_flood_that_is_taken_without_end_is_found() {
        assert_eq!(judge(&result(1_900, Some(4400), 900_000)), None);
        assert_eq!(judge(&result(1_900, None, 900_000)), None, "reset before the code came");
        assert_eq!(judge(&FloodResult { ended: false, ..result(9_000, None, 40) }), None, "held to a rate");
        assert_eq!(judge(&FloodResult { ended: false, ..result(900, None, 900_000) }), None, "too short to tell");
        assert!(judge(&FloodResult { ended: false, ..result(6_000, None, 900_000) }).is_some(), "taken for ever");
        assert!(judge(&result(8_000, Some(4400), 900_000)).is_some(), "ended late");
        assert!(judge(&result(1_000, Some(1005), 10)).is_some(), "a code that the wire does not know");
        assert!(judge(&result(1_000, Some(1000), 10)).is_some(), "a code for an orderly close");
    }

    #[test]
    fn the_largest_frame_of_a_flood_is_as_large_as_a_frame_may_be() {
        assert_eq!(Flood::Large.frame(10, "").len(), 2 + 2 + 4 + MAX_FRAME_BYTES);
    }
}
