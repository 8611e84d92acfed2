//! Hostile people: floods by hand-made sockets, sockets that are not read, requests that are never finished, and a partner and a member
//! of a room who send the worst that is allowed. Everybody else is served as if they were not there.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::client::{self, Couple};
use crate::context::Context;
use crate::line::{Line, Lost, Manner};
use crate::raw::{BINARY, Flow, PING, PONG, Raw, TEXT, frame};
use crate::stalls;

/// Longest time until a node ends a flood: two seconds are promised.
pub const ENDED: Duration = Duration::from_secs(6);
/// What a node that goes on reading a flood may take of it in a second: a visitor may send 40 frames.
const HELD_TO: u64 = 400;
/// The page that names every close code, a row each.
const WIRE: &str = include_str!("../../../../docs/WIRE.md");
/// Codes that tell a client something that is not so: that all was in order, or that its session or its rights are gone.
const MISLEADING: [u16; 7] = [1000, 1001, 1012, 4401, 4403, 4409, 4410];
/// Requests that are never finished.
const HALF: usize = 100;
/// Sockets that are not read, all of one visitor.
const UNREAD: usize = 15;
/// Bytes of a frame at most, as the wire has it.
const FRAME: usize = 32 * 1024;
/// How long people may take to be matched, and to get their last answers.
const MATCHED: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(5);
/// What a hostile partner and the other one wait between two sends.
const PACE: Duration = Duration::from_millis(250);

/// What is sent without end, each by a visitor of its own.
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

    /// One frame of it.
    fn frame(self, id: u64, room: &str) -> Vec<u8> {
        let text = |text: String| frame(TEXT, true, text.as_bytes());
        match self {
            Self::Pongs => frame(PONG, true, &[b'.'; 125]),
            Self::Pings => frame(PING, true, &[b'.'; 125]),
            Self::Frames => text(format!(r#"{{"id":{id},"type":"ping"}}"#)),
            Self::Typing => text(format!(r#"{{"id":{id},"type":"typing","room":"{room}"}}"#)),
            Self::Large => text(format!("{:<FRAME$}", format!(r#"{{"id":{id},"type":"ping"}}"#))),
            // The first begins a message that never ends.
            Self::Pieces => frame(if id == 10 { TEXT } else { 0 }, false, b" "),
            Self::Binary => frame(BINARY, true, b"."),
            Self::Unreadable => text(".".to_owned()),
        }
    }
}

/// The close codes that the wire's page names.
fn codes() -> impl Iterator<Item = u16> {
    let rows = WIRE.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    rows.flat_map(|(first, _)| first.split(", ")).filter_map(|code| code.parse().ok()).filter(|code| *code >= 1_000)
}

/// What is wrong with how a flood went.
fn judge(flow: &Flow) -> Option<String> {
    let Flow { lasted, ended, code, last_second, .. } = flow;
    match (ended, code) {
        (true, Some(code)) if MISLEADING.contains(code) || !codes().any(|known| known == *code) => {
            Some(format!("was closed with {code}"))
        }
        (true, _) if *lasted > ENDED => Some(format!("was ended after {} ms only", lasted.as_millis())),
        (false, _) if *lasted >= ENDED && *last_second > HELD_TO => {
            Some(format!("was not ended in {} ms, and {last_second} frames a second are taken", lasted.as_millis()))
        }
        _ => None,
    }
}

/// All floods at once against one node, for `hold`.
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
    if let Some(couple) = client::couple(shared, [node, 1 - node], "ie", MATCHED).await {
        partner(shared, couple, hold, began).await;
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
    history.measured("an answer to others during floods", Duration::from_millis(most.into()));
}

/// One flood, by somebody new who comes back whenever the node ends it.
async fn one(shared: Arc<Context>, node: usize, room: String, kind: Flood, hold: Duration) {
    let (history, until) = (&shared.history, Instant::now() + hold);
    let Some(guest) = client::guest_at(&shared, shared.stranger(), node).await else {
        return history.count("floods not made");
    };
    let mut longest: Option<Flow> = None;
    while Instant::now() < until {
        let since = Instant::now();
        let Some(mut raw) = Raw::open(shared.world.to(node, &guest.cookie)).await else {
            history.count("floods refused at the door");
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if !raw.enter(&room, None).await {
            history.count("floods refused at the door");
            sleep(Duration::from_millis(200)).await;
            continue;
        }
        let mut flow = raw.flood(until.saturating_duration_since(Instant::now()), |id| kind.frame(id, &room)).await;
        flow.lasted = flow.lasted.saturating_sub(stalls::since(since));
        history.count(if flow.ended { "floods ended" } else { "floods that lasted to the end" });
        if !shared.world.is_calm(node, since) {
            return history.count("floods not judged");
        }
        if let Some(what) = judge(&flow) {
            history.problem("flood", format!("node {}: a flood of {kind:?} {what}", node + 1));
        }
        if longest.as_ref().is_none_or(|known| known.lasted < flow.lasted) {
            longest = Some(flow);
        }
        sleep(Duration::from_millis(100)).await;
    }
    if let Some(flow) = longest.filter(|flow| flow.ended) {
        history.measured("a flood until it was ended", flow.lasted);
    }
}

/// Connections with half a request each: they are kept until they are dropped.
async fn half_requests(shared: &Context, node: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..HALF {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", shared.world.nodes[node].door.port)).await {
            let _ = stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nhost: local").await;
            all.push(stream);
        }
    }
    all
}

/// Sockets that ask for everything a room holds and read nothing of it.
async fn unread(shared: Arc<Context>, node: usize, room: String, hold: Duration) {
    let Some(guest) = client::guest_at(&shared, shared.stranger(), node).await else { return };
    let mut all = Vec::new();
    for _ in 0..UNREAD {
        if let Some(mut raw) = Raw::open(shared.world.to(node, &guest.cookie)).await
            && raw.enter(&room, Some(0)).await
        {
            all.push(raw);
        }
    }
    sleep(hold).await;
}

/// The worst payloads that a partner may try. Some are refused.
fn payload(number: usize) -> Value {
    let many = |count: usize| vec![json!(1e308); count];
    match number % 8 {
        // 24,000 bytes when it is escaped, 8,000 as stored.
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

/// A member of a public room who sends the worst that is allowed: everybody there hears it, and who missed it pages through it.
async fn member(shared: Arc<Context>, node: usize, room: String, hold: Duration) {
    let Some(guest) = client::guest_at(&shared, shared.stranger(), node).await else { return };
    let mut line = Line::new(shared.clone(), guest, Vec::new());
    (line.pinned, line.manner, line.escapes) = (Some(node), Manner::Patient, true);
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < hold + LAST && (began.elapsed() < hold || line.waits() > 0) {
        // A socket that comes back resumes the room by itself.
        let up = line.is_up() || line.open().await.is_ok();
        let entered = up && (line.rooms.contains(&room) || line.join(&room).await.is_ok());
        let said = if entered && began.elapsed() < hold && line.waits() < 4 {
            number += 1;
            line.post_payload(&room, payload(number)).await
        } else {
            Ok(())
        };
        if said.is_err() || line.listen(PACE).await.is_err() {
            line.drop_socket();
        }
    }
}

/// The first of the two sends the worst that is allowed; the second writes as always, and must notice nothing of it.
async fn partner(shared: &Arc<Context>, mut couple: Couple, hold: Duration, began: Instant) {
    let (history, turns) = (&shared.history, shared.watch.turns());
    couple.one.escapes = true;
    let talked = talk(&mut couple, hold).await;
    let calm = (0..2).all(|node| shared.world.is_calm(node, began));
    if !calm || turns % 2 == 1 || turns != shared.watch.turns() {
        history.count("hostile partners not measured");
    } else if talked.is_err() {
        history.problem("flood", "somebody lost the node while the partner was hostile".to_owned());
    } else {
        history.count("hostile partners");
        let (one, two) = (couple.one.guest.who, couple.two.guest.who);
        let (all, heard) = (history.seen(one, &couple.room), history.seen(two, &couple.room));
        let waits = couple.one.waits() + couple.two.waits();
        if all != heard || waits > 0 {
            let what =
                format!("of a talk with a hostile partner {heard} of {all} entries were heard, {waits} sends wait");
            history.problem("flood", what);
        }
    }
    couple.end().await;
}

async fn talk(couple: &mut Couple, hold: Duration) -> Result<(), Lost> {
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < hold {
        // Refused or not, each is answered; one that waits for its turn is enough.
        if couple.one.waits() < 4 {
            couple.one.post_payload(&couple.room, payload(number)).await?;
        }
        couple.two.post(&couple.room, format!("beside it {number}")).await?;
        number += 1;
        let until = Instant::now() + PACE;
        while Instant::now() < until {
            couple.one.listen(PACE / 10).await?;
            couple.two.listen(PACE / 10).await?;
        }
    }
    let since = Instant::now();
    let shared = couple.one.shared.clone();
    let quiet = |couple: &Couple| {
        let seen = [&couple.one, &couple.two].map(|line| shared.history.seen(line.guest.who, &couple.room));
        couple.one.waits() + couple.two.waits() == 0 && seen[0] == seen[1]
    };
    while !quiet(couple) && since.elapsed() < LAST {
        couple.one.listen(PACE / 10).await?;
        couple.two.listen(PACE / 10).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FRAME, Flood, Flow, judge};

    fn flow(ms: u64, code: Option<u16>, last_second: u64) -> Flow {
        Flow { lasted: Duration::from_millis(ms), ended: true, code, last_second }
    }

    #[test]
    fn a_flood_that_is_taken_without_end_is_found() {
        assert_eq!(judge(&flow(1_900, Some(4400), 900_000)), None);
        assert_eq!(judge(&flow(1_900, None, 900_000)), None, "reset before the code came");
        assert_eq!(judge(&Flow { ended: false, ..flow(9_000, None, 40) }), None, "held to a rate");
        assert_eq!(judge(&Flow { ended: false, ..flow(900, None, 900_000) }), None, "too short to tell");
        assert!(judge(&Flow { ended: false, ..flow(6_000, None, 900_000) }).is_some(), "taken for ever");
        assert!(judge(&flow(8_000, Some(4400), 900_000)).is_some(), "ended late");
        assert!(judge(&flow(1_000, Some(1005), 10)).is_some(), "a code that the wire does not know");
        assert!(judge(&flow(1_000, Some(1000), 10)).is_some(), "a code that says that all was in order");
    }

    #[test]
    fn the_largest_frame_of_a_flood_is_as_large_as_a_frame_may_be() {
        assert_eq!(Flood::Large.frame(10, "").len(), 2 + 2 + 4 + FRAME);
    }
}
