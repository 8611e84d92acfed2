//! What a node weighs: resident memory for each socket and for each page that is read. At the end, on a node that has just started:
//! what was used before and is free again would hide it.
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client;
use crate::context::{Context, Guest};
use crate::http;
use crate::raw::{Raw, TEXT, frame};
use crate::watch;

/// The node that is weighed.
const NODE: usize = 0;
/// How long it may take to stop and to start.
const RESTART: Duration = Duration::from_secs(30);
/// Visitors with sockets, and sockets of each: as many as a node lets a visitor have, and one to spare.
const VISITORS: usize = 25;
const EACH: usize = 19;
/// What a socket that follows a room and waits may take, in KiB: a debug build takes 7.
const IDLE_KIB: u64 = 24;
/// What it may take while half a frame has come: 19 in a debug build, and room for a buffer of twice the size.
const HALF_KIB: u64 = 48;
/// Bytes of the half frame: below what a frame may have.
const HALF_FRAME: usize = 15 * 1024;
/// What a page of entries may have, in KiB: 256 of payloads, and the rest of each entry. How often a node may hold it for each reader:
/// a debug build holds it three times, read, encoded and sent.
const PAGE_KIB: u64 = 320;
const COPIES: u64 = 6;
/// How many read pages at a time.
const READERS: usize = 8;
/// What comes and goes without being a socket or a page, in KiB.
const ALLOWANCE_KIB: u64 = 8 * 1024;
/// Entries of a page.
const ENTRIES: usize = 100;
/// A page that is larger is not read to its end, nor by several at a time.
const MOST_OF_A_PAGE: usize = 4 * 1024 * 1024;

/// What was measured, in KiB.
#[derive(Clone, Debug, Default)]
pub struct Priority {
    pub sockets: u64,
    pub idle: u64,
    pub half: u64,
    /// What was stored of each entry of the page, in bytes as it was sent.
    pub payload: usize,
    /// Bytes of the page as it was served, and how far memory rose while so many read it.
    pub page: usize,
    pub readers: u64,
    pub pages: u64,
}

/// What is too much of it.
fn judge(weight: &Priority) -> Vec<String> {
    let mut broken = Vec::new();
    let mut bound = |what: &str, rose: u64, most: u64| {
        if rose > most {
            broken.push(format!("{what} took {rose} KiB, at most {most} are allowed"));
        }
    };
    bound("idle sockets", weight.idle, weight.sockets * IDLE_KIB + ALLOWANCE_KIB);
    bound("sockets with half a frame", weight.half, weight.sockets * HALF_KIB + ALLOWANCE_KIB);
    bound("a page of entries", weight.page as u64 / 1024, PAGE_KIB);
    bound("readers of pages", weight.pages, weight.readers * PAGE_KIB * COPIES + ALLOWANCE_KIB);
    broken
}

/// Weighs one node and judges it. `None` when it could not be done.
pub async fn run(shared: &Arc<Context>) -> Option<Priority> {
    let history = &shared.history;
    match measure(shared).await {
        Ok(weight) => {
            judge(&weight).into_iter().for_each(|what| history.problem("memory", format!("node {}: {what}", NODE + 1)));
            Some(weight)
        }
        Err(what) => {
            history.problem("memory", format!("node {} could not be weighed: {what}", NODE + 1));
            None
        }
    }
}

/// Errors: what did not go well.
async fn measure(shared: &Arc<Context>) -> Result<Priority, &'static str> {
    shared.world.stop_node(NODE, RESTART).await.ok_or("it did not stop")?;
    shared.world.start_node(NODE);
    shared.world.ready_within(NODE, RESTART).await.then_some(()).ok_or("it did not start")?;
    let pid = shared.world.pid(NODE).ok_or("it ended")?;
    let mut weight = Priority::default();
    let mut people = Vec::new();
    for _ in 0..VISITORS {
        people.push(client::guest_at(shared, shared.stranger(), NODE).await.ok_or("it made no visitor")?);
    }
    let room = client::room(shared, &people[0], 0).await;
    // One of each person first: what the first in a room and the first of a visitor take is not a socket's.
    let mut members = Vec::new();
    for guest in &people {
        members.push(enter(shared, guest, &room).await.ok_or("it let nobody in")?);
    }
    let memory = || watch::memory(pid).ok_or("it ended");
    let before = memory()?;
    let (shared, room) = (&**shared, &*room);
    let entering = people.iter().map(|guest| async move {
        let mut sockets = Vec::new();
        for _ in 0..EACH {
            sockets.push(enter(shared, guest, room).await?);
        }
        Some(sockets)
    });
    let sockets: Option<Vec<Vec<Raw>>> = join_all(entering).await.into_iter().collect();
    let mut sockets: Vec<Raw> = sockets.ok_or("a socket was refused")?.into_iter().flatten().collect();
    sleep(Duration::from_millis(500)).await;
    weight.sockets = sockets.len() as u64;
    weight.idle = memory()?.saturating_sub(before);
    let half = frame(TEXT, true, &[b' '; HALF_FRAME]);
    for socket in &mut sockets {
        socket.write(&half[..half.len() - 1]).await.then_some(()).ok_or("half a frame was not taken")?;
    }
    sleep(Duration::from_millis(500)).await;
    weight.half = memory()?.saturating_sub(before);
    drop((sockets, members));
    sleep(Duration::from_millis(500)).await;
    pages(shared, pid, &people, room, &mut weight).await.ok_or("a page was not filled or not read")?;
    Ok(weight)
}

async fn enter(shared: &Context, guest: &Guest, room: &str) -> Option<Raw> {
    let mut raw = Raw::open(shared.world.straight(NODE, &guest.cookie)).await?;
    raw.enter(room, None).await.then_some(raw)
}

/// Payloads from the largest on: the first that is accepted fills the room.
fn payloads() -> [Value; 4] {
    let worst = |text: &str, count: usize| json!({"kind": "text", "text": text, "x": vec![json!(1e308); count]});
    let text = "😀".repeat(2_000);
    [worst("hi", 9_000), worst(&text, 24), worst(&text, 12), json!({"kind": "text", "text": text})]
}

/// Fills the room with the largest payloads, and has its newest page read by several at a time.
async fn pages(shared: &Context, pid: i32, people: &[Guest], room: &str, weight: &mut Priority) -> Option<()> {
    let path = format!("/api/v1/rooms/{room}/messages");
    let mut payloads = payloads().into_iter();
    let mut payload = payloads.next()?;
    let mut posted = 0;
    let mut tries = 0;
    while posted < ENTRIES {
        tries += 1;
        if tries > 3 * ENTRIES {
            return None;
        }
        let guest = &people[posted % people.len()];
        let client_id = crate::rng::Rng::of(shared.seed, &format!("page {posted} {}", shared.history.elapsed())).uuid();
        let body = json!({"client_id": client_id, "payload": payload});
        match http::ask(shared.world.straight(NODE, &guest.cookie), "POST", &path, Some(&body)).await?.status {
            201 => posted += 1,
            // Not now, whatever it is: a machine that is busy.
            429 | 500.. => sleep(Duration::from_millis(300)).await,
            _ if posted == 0 => payload = payloads.next()?,
            _ => return None,
        }
    }
    weight.payload = payload.to_string().len();
    let path = format!("{path}?limit=100");
    weight.page = http::size(shared.world.straight(NODE, &people[0].cookie), &path, MOST_OF_A_PAGE).await?;
    if weight.page >= MOST_OF_A_PAGE {
        return Some(());
    }
    let before = watch::memory(pid)?;
    watch::forget_peak(pid);
    let read = people.iter().cycle().take(READERS).map(|guest| {
        let to = shared.world.straight(NODE, &guest.cookie);
        http::size(to, &path, MOST_OF_A_PAGE)
    });
    join_all(read).await.into_iter().collect::<Option<Vec<usize>>>()?;
    weight.readers = READERS as u64;
    weight.pages = watch::peak(pid)?.saturating_sub(before);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{ALLOWANCE_KIB, IDLE_KIB, Priority, judge};

    fn usual() -> Priority {
        let (idle, half, page) = (3_500, 9_500, 250 * 1024);
        Priority { sockets: 475, idle, half, payload: 12_000, page, readers: 8, pages: 6_500 }
    }

    #[test]
    fn what_takes_too_much_memory_is_found() {
        assert!(judge(&usual()).is_empty());
        assert_eq!(judge(&Priority { idle: 475 * IDLE_KIB + ALLOWANCE_KIB + 1, ..usual() }).len(), 1, "idle sockets");
        assert_eq!(judge(&Priority { half: 475 * 80, ..usual() }).len(), 1, "half frames");
        assert_eq!(judge(&Priority { page: 400 << 10, ..usual() }).len(), 1, "a page that swells");
        assert_eq!(judge(&Priority { pages: 40 << 10, ..usual() }).len(), 1, "pages held many times over");
    }
}
