//! The memory of a node: for each socket and for each page that is read. Measured at the end, on a
//! node that has just started, because memory that was used before and is free again would hide it.
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::context::{Context, Visitor};
use crate::http;
use crate::monitor;
use crate::raw_socket::{RawSocket, TEXT, frame};
use crate::workload;

/// The node that is measured.
const MEASURED_NODE: usize = 0;
/// How long it can take to stop and to start.
const RESTART_DEADLINE: Duration = Duration::from_secs(30);
/// Visitors with sockets, and sockets of each: as many as a node allows a visitor, less one.
const VISITORS: usize = 25;
const SOCKETS_EACH: usize = 19;
/// The most that a joined idle socket can take, in KiB. A debug build takes 7.
const IDLE_KIB: u64 = 24;
/// The most that it can take while half a frame has arrived, in KiB. A debug build takes 19, and
/// this leaves room for a buffer of twice the size.
const HALF_KIB: u64 = 48;
/// Bytes of the half frame: less than a frame can have.
const HALF_FRAME_BYTES: usize = 15 * 1024;
/// The most that a page of entries can have, in KiB: 256 of payloads, and the rest of each entry.
/// `PAGE_COPIES` is how often a node can hold it for each reader: a debug build holds it three
/// times, read, encoded and sent.
const PAGE_KIB: u64 = 320;
const PAGE_COPIES: u64 = 6;
/// How many read pages at once.
const READERS: usize = 8;
/// Memory that is neither for sockets nor for pages, in KiB.
const ALLOWANCE_KIB: u64 = 8 * 1024;
/// Entries of a page.
const PAGE_ENTRIES: usize = 100;
/// A page that is larger is not read to its end, nor by several at once.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What was measured, in KiB.
#[derive(Clone, Debug, Default)]
pub struct MemoryUse {
    pub sockets: u64,
    pub idle: u64,
    pub half: u64,
    /// The size of each entry's payload as it was sent, in bytes.
    pub payload: usize,
    /// The size of the page as it was served in bytes, and how far memory rose while so many read
    /// it.
    pub page: usize,
    pub readers: u64,
    pub pages: u64,
}

/// Returns what takes too much.
fn judge(used: &MemoryUse) -> Vec<String> {
    let mut broken = Vec::new();
    let mut bound = |what: &str, rose: u64, most: u64| {
        if rose > most {
            broken.push(format!("{what} took {rose} KiB, at most {most} are allowed"));
        }
    };
    bound("idle sockets", used.idle, used.sockets * IDLE_KIB + ALLOWANCE_KIB);
    bound("sockets with half a frame", used.half, used.sockets * HALF_KIB + ALLOWANCE_KIB);
    bound("a page of entries", used.page as u64 / 1024, PAGE_KIB);
    bound("readers of pages", used.pages, used.readers * PAGE_KIB * PAGE_COPIES + ALLOWANCE_KIB);
    broken
}

/// Measures one node and reports what takes too much. `None` if it could not be measured.
pub async fn run(shared: &Arc<Context>) -> Option<MemoryUse> {
    let history = &shared.history;
    match measure(shared).await {
        Ok(used) => {
            judge(&used)
                .into_iter()
                .for_each(|what| history.problem("memory", format!("node {}: {what}", MEASURED_NODE + 1)));
            Some(used)
        }
        Err(what) => {
            history.problem("memory", format!("node {} could not be measured: {what}", MEASURED_NODE + 1));
            None
        }
    }
}

/// Fails with what did not succeed.
async fn measure(shared: &Arc<Context>) -> Result<MemoryUse, &'static str> {
    shared.cluster.stop_node(MEASURED_NODE, RESTART_DEADLINE).await.ok_or("it did not stop")?;
    shared.cluster.start_node(MEASURED_NODE);
    shared.cluster.ready_within(MEASURED_NODE, RESTART_DEADLINE).await.then_some(()).ok_or("it did not start")?;
    let pid = shared.cluster.pid(MEASURED_NODE).ok_or("it ended")?;
    let mut used = MemoryUse::default();
    let mut people = Vec::new();
    for _ in 0..VISITORS {
        people.push(workload::visitor_at(shared, shared.stranger(), MEASURED_NODE).await.ok_or("it made no visitor")?);
    }
    let room = workload::room(shared, &people[0], 0).await;
    // One socket of each visitor first: the memory of the first in a room and of the first of a
    // visitor is not that of a socket.
    let mut members = Vec::new();
    for visitor in &people {
        members.push(enter(shared, visitor, &room).await.ok_or("it let nobody in")?);
    }
    let memory = || monitor::memory(pid).ok_or("it ended");
    let before = memory()?;
    let (shared, room) = (&**shared, &*room);
    let entering = people.iter().map(|visitor| async move {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS_EACH {
            sockets.push(enter(shared, visitor, room).await?);
        }
        Some(sockets)
    });
    let sockets: Option<Vec<Vec<RawSocket>>> = join_all(entering).await.into_iter().collect();
    let mut sockets: Vec<RawSocket> = sockets.ok_or("a socket was refused")?.into_iter().flatten().collect();
    sleep(Duration::from_millis(500)).await;
    used.sockets = sockets.len() as u64;
    used.idle = memory()?.saturating_sub(before);
    let half = frame(TEXT, true, &[b' '; HALF_FRAME_BYTES]);
    for socket in &mut sockets {
        socket.write(&half[..half.len() - 1]).await.then_some(()).ok_or("half a frame was not taken")?;
    }
    sleep(Duration::from_millis(500)).await;
    used.half = memory()?.saturating_sub(before);
    drop((sockets, members));
    sleep(Duration::from_millis(500)).await;
    pages(shared, pid, &people, room, &mut used).await.ok_or("a page was not filled or not read")?;
    Ok(used)
}

async fn enter(shared: &Context, visitor: &Visitor, room: &str) -> Option<RawSocket> {
    let mut raw = RawSocket::open(shared.cluster.direct_endpoint(MEASURED_NODE, &visitor.cookie)).await?;
    raw.enter(room, None).await.then_some(raw)
}

/// Returns payloads from the largest to the smallest. The first that is accepted fills the room.
fn payloads() -> [Value; 4] {
    let worst = |text: &str, count: usize| json!({"kind": "text", "text": text, "x": vec![json!(1e308); count]});
    let text = "😀".repeat(2_000);
    [worst("hi", 9_000), worst(&text, 24), worst(&text, 12), json!({"kind": "text", "text": text})]
}

/// Fills the room with the largest payloads, and lets several visitors read its newest page at
/// once.
async fn pages(shared: &Context, pid: i32, people: &[Visitor], room: &str, used: &mut MemoryUse) -> Option<()> {
    let path = format!("/api/v1/rooms/{room}/messages");
    let mut payloads = payloads().into_iter();
    let mut payload = payloads.next()?;
    let mut posted = 0;
    let mut tries = 0;
    while posted < PAGE_ENTRIES {
        tries += 1;
        if tries > 3 * PAGE_ENTRIES {
            return None;
        }
        let visitor = &people[posted % people.len()];
        let client_id = sim::rng::Rng::new(shared.seed, &format!("page {posted} {}", shared.history.elapsed())).uuid();
        let body = json!({"client_id": client_id, "payload": payload});
        match http::ask(shared.cluster.direct_endpoint(MEASURED_NODE, &visitor.cookie), "POST", &path, Some(&body))
            .await?
            .status
        {
            201 => posted += 1,
            // Refused for now: the machine is busy.
            429 | 500.. => sleep(Duration::from_millis(300)).await,
            _ if posted == 0 => payload = payloads.next()?,
            _ => return None,
        }
    }
    used.payload = payload.to_string().len();
    let path = format!("{path}?limit=100");
    used.page =
        http::size(shared.cluster.direct_endpoint(MEASURED_NODE, &people[0].cookie), &path, MAX_PAGE_BYTES).await?;
    if used.page >= MAX_PAGE_BYTES {
        return Some(());
    }
    let before = monitor::memory(pid)?;
    monitor::forget_peak(pid);
    let read = people.iter().cycle().take(READERS).map(|visitor| {
        let to = shared.cluster.direct_endpoint(MEASURED_NODE, &visitor.cookie);
        http::size(to, &path, MAX_PAGE_BYTES)
    });
    join_all(read).await.into_iter().collect::<Option<Vec<usize>>>()?;
    used.readers = READERS as u64;
    used.pages = monitor::peak(pid)?.saturating_sub(before);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{ALLOWANCE_KIB, IDLE_KIB, MemoryUse, judge};

    fn usual() -> MemoryUse {
        let (idle, half, page) = (3_500, 9_500, 250 * 1024);
        MemoryUse { sockets: 475, idle, half, payload: 12_000, page, readers: 8, pages: 6_500 }
    }

    #[test]
    fn what_takes_too_much_memory_is_found() {
        assert!(judge(&usual()).is_empty());
        assert_eq!(judge(&MemoryUse { idle: 475 * IDLE_KIB + ALLOWANCE_KIB + 1, ..usual() }).len(), 1, "idle sockets");
        assert_eq!(judge(&MemoryUse { half: 475 * 80, ..usual() }).len(), 1, "half frames");
        assert_eq!(judge(&MemoryUse { page: 400 << 10, ..usual() }).len(), 1, "a page that swells");
        assert_eq!(judge(&MemoryUse { pages: 40 << 10, ..usual() }).len(), 1, "pages held many times over");
    }
}
