//! The nodes' wall clocks. libfaketime gives each node a clock that a file moves. Postgres keeps
//! the machine's clock, and so do all measurements of durations.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, ClientKind};
use crate::context::{Context, Visitor};
use crate::http;
use crate::postgres;
use crate::workload::{self, Pair};

/// The offsets of one node's clock and of the other's, in turn, because either node can be the one
/// that decides.
pub const JUMPS: [[&str; 2]; 4] = [["+60", "+60"], ["+25h", "-1h"], ["-1h", "+25h"], ["+0", "+0"]];
/// How long each offset lasts. Nodes look for what is due once a second.
pub const JUMP_DURATION: Duration = Duration::from_millis(1_200);
/// How long a node can take to mark a visitor without a socket as away.
const AWAY_DEADLINE: Duration = Duration::from_secs(6);
/// A partner can be away for thirty seconds, so a check that takes longer proves nothing.
const MAX_AWAY: Duration = Duration::from_secs(25);
/// How often the visitors of a check are made: an earlier fault can still have effects.
const GATHER_TRIES: usize = 3;
/// How long two visitors can take to be matched.
const MATCH_DEADLINE: Duration = Duration::from_secs(10);
/// Distributions put the library into these folders, or into folders directly below them.
const LIBRARY_FOLDERS: [&str; 3] = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];

/// The library, and the files with the offsets.
pub struct Clocks {
    library: PathBuf,
    folder: PathBuf,
}

impl Clocks {
    /// Finds the library and sets both clocks right.
    ///
    /// # Errors
    /// If libfaketime is not installed.
    pub fn find(folder: &Path) -> Result<Self, String> {
        let missing = || "libfaketime is not installed (the Debian package faketime)".to_owned();
        let library = LIBRARY_FOLDERS.iter().find_map(|place| library(Path::new(place))).ok_or_else(missing)?;
        let clocks = Self { library, folder: folder.to_owned() };
        (0..2).for_each(|node| clocks.set(node, "+0"));
        Ok(clocks)
    }

    fn file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("clock{}", node + 1))
    }

    /// Makes a node that is about to start read its own clock file.
    pub fn give(&self, node: usize, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.file(node));
        for name in ["FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
            command.env(name, "1");
        }
    }

    /// Removes the shared memory that the library leaves behind when its process is killed.
    pub fn forget(&self, pid: i32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    /// Sets the offset of a node's clock from the machine's.
    fn set(&self, node: usize, offset: &str) {
        let (file, new) = (self.file(node), self.file(node).with_extension("new"));
        // Replaced as a whole, because a node can read it at any moment.
        let _ = std::fs::write(&new, offset).and_then(|()| std::fs::rename(&new, &file));
    }
}

/// Returns the library in a folder or directly below it.
fn library(place: &Path) -> Option<PathBuf> {
    let name = Path::new("faketime/libfaketimeMT.so.1");
    let below = std::fs::read_dir(place).ok()?.flatten().map(|entry| entry.path().join(name));
    std::iter::once(place.join(name)).chain(below).find(|path| path.exists())
}

/// What was observed of a node after a jump.
struct Seen {
    /// The reason if the open talk ended. One side of it stays, the other is away.
    ended: Option<String>,
    /// Each path that was requested, and the status of its answer.
    pages: Vec<(String, Option<u16>)>,
    /// `true` if the seeker still has a ticket.
    waits: bool,
}

/// Returns what a jump broke.
fn judge(jump: &str, seen: &Seen) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(reason) = &seen.ended {
        broken.push(format!("the clock showed {jump}, and an open talk ended ({reason})"));
    }
    for (path, status) in seen.pages.iter().filter(|page| page.1 != Some(200)) {
        broken.push(format!("the clock showed {jump}, and {path} was answered {status:?}"));
    }
    if !seen.waits {
        broken.push(format!("the clock showed {jump}, and a ticket was gone"));
    }
    broken
}

/// Visitors in a state that time could end, all on one node.
struct People {
    /// One stays, the other is away.
    open: Pair,
    /// A pair whose talk has ended.
    over: Pair,
    waiting: Client,
}

/// Makes the nodes' clocks jump, there and back. Visitors, talks, tickets and pages must stay as
/// they are.
pub async fn jump(shared: &Arc<Context>, node: usize) {
    let history = &shared.history;
    let Ok(clocks) = &shared.cluster.clocks else { return };
    let mut gathered = None;
    for _ in 0..GATHER_TRIES {
        gathered = gather(shared, node).await;
        if gathered.is_some() {
            break;
        }
    }
    let Some(mut people) = gathered else { return history.count("clock jumps without people") };
    let (began, turns) = (Instant::now(), shared.monitor.postgres_fault_changes());
    people.open.two.drop_socket();
    let away = Instant::now();
    let is_away = |event: &Value| event["type"] == "partner" && event["state"] == "away";
    while !people.open.one.events.iter().any(is_away) && away.elapsed() < AWAY_DEADLINE {
        if people.open.one.listen(Duration::from_millis(50)).await.is_err() {
            break;
        }
    }
    let mut broken = Vec::new();
    // The seeker loses its socket for a moment. Its ticket is kept for ten seconds.
    people.waiting.drop_socket();
    for offsets in JUMPS {
        clocks.set(node, offsets[0]);
        clocks.set(1 - node, offsets[1]);
        let offset = offsets[0];
        let listened = people.open.one.listen(JUMP_DURATION).await;
        let seen = look(shared, node, &people).await;
        if listened.is_ok()
            && let Some(seen) = seen
        {
            broken.extend(judge(offset, &seen));
        } else {
            broken.push(format!("the clock showed {offset}, and a client lost its node"));
        }
        if !people.waiting.is_up() {
            broken.extend(waits_on(&mut people.waiting).await);
        }
    }
    // The visitor who was away returns to the talk.
    let back = people.open.two.open().await.unwrap_or_default();
    if back["session"]["session"] != people.open.session {
        broken.push(format!("who came back after the jumps found the talk {}", back["session"]));
    }
    broken.extend(waits_on(&mut people.waiting).await);
    let calm = (0..2).all(|node| shared.cluster.is_undisturbed(node, began))
        && turns.is_multiple_of(2)
        && turns == shared.monitor.postgres_fault_changes();
    if calm && away.elapsed() < MAX_AWAY {
        history.count("clock jumps measured");
        broken.into_iter().for_each(|what| history.problem("clock", format!("node {}: {what}", node + 1)));
    } else {
        history.count("clock jumps not measured");
    }
    people.open.end().await;
    people.over.end().await;
    workload::retire(&mut people.waiting).await;
}

/// Opens a socket for the seeker and returns what is wrong with its ticket.
async fn waits_on(client: &mut Client) -> Option<String> {
    let hello = client.open().await.unwrap_or_default();
    let seeking = &hello["seeking"];
    (!seeking.is_object()).then(|| format!("who waited over a jump came back and has the ticket {seeking}"))
}

/// Makes two visitors who are in a talk, two whose talk has ended, and one who seeks in a language
/// that nobody else speaks.
async fn gather(shared: &Arc<Context>, node: usize) -> Option<People> {
    let mut open = workload::pair(shared, [node; 2], "la", MATCH_DEADLINE).await?;
    let Some(mut over) = workload::pair(shared, [node; 2], "vo", MATCH_DEADLINE).await else {
        open.end().await;
        return None;
    };
    let (room, session) = (over.room.clone(), over.session.clone());
    let _ = over.one.ask(json!({"type": "next", "session": session, "seek": false})).await;
    over.two.forget_room(&room);
    let waiting = async {
        let visitor = workload::visitor_at(shared, shared.stranger(), node).await?;
        let mut client = Client::new(shared.clone(), visitor, Vec::new());
        (client.pinned, client.kind) = (Some(node), ClientKind::Patient);
        client.open().await.ok()?;
        let seek = json!({"type": "seek", "interests": [], "languages": ["io"], "translate": false});
        client.ask(seek).await.ok()?["ok"].as_object()?;
        Some(client)
    };
    let Some(waiting) = waiting.await else {
        open.end().await;
        over.end().await;
        return None;
    };
    Some(People { open, over, waiting })
}

/// Observes everything that a clock could take away. `None` if Postgres does not answer.
async fn look(shared: &Context, node: usize, people: &People) -> Option<Seen> {
    let ended = people.open.one.events.iter().find(|event| event["type"] == "ended");
    let (public, open, over) = (&shared.writers.get()?.1, &people.open, &people.over);
    // The first visitor made the first room.
    let owner = shared.people.lock().get(&0)?.clone();
    let me = "/api/v1/me".to_owned();
    let log = |room: &str| format!("/api/v1/rooms/{room}/messages?limit=5");
    let asked: [(&Visitor, String); 6] = [
        (&open.one.visitor, me.clone()),
        (&open.one.visitor, log(&open.room)),
        (&open.two.visitor, log(&open.room)),
        (&over.one.visitor, log(&over.room)),
        (&over.two.visitor, log(&over.room)),
        (&owner, log(public)),
    ];
    let mut pages = Vec::new();
    for (visitor, path) in asked {
        let answer = http::ask(shared.cluster.endpoint(node, &visitor.cookie), "GET", &path, None).await;
        pages.push((path, answer.map(|answer| answer.status)));
    }
    let inside = postgres::connect(&shared.cluster.socket_folder(), "chaos").await.ok()?;
    let ticket = "SELECT 1 FROM random_ticket t JOIN visitor v ON v.id = t.visitor_id
        WHERE v.public_id = $1::text::uuid AND t.cancelled_at IS NULL";
    let waits = !inside.query(ticket, &[&people.waiting.visitor.id]).await.ok()?.is_empty();
    let ended = ended.map(|event| event["reason"].as_str().unwrap_or_default().to_owned());
    Some(Seen { ended, pages, waits })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Seen, judge, library};

    #[test]
    fn the_library_is_found_below_a_folder_of_its_architecture() {
        let place = std::env::temp_dir().join(format!("maju-clocks-{}", std::process::id()));
        let folder = place.join("x86_64-linux-gnu/faketime");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(library(&place), None);
        std::fs::write(folder.join("libfaketimeMT.so.1"), "").unwrap();
        assert_eq!(library(&place), Some(folder.join("libfaketimeMT.so.1")));
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(library(Path::new("/nowhere")), None);
    }

    fn seen() -> Seen {
        Seen { ended: None, pages: vec![("/api/v1/me".to_owned(), Some(200))], waits: true }
    }

    #[test]
    fn a_talk_that_ends_a_page_that_is_gone_and_a_lost_ticket_are_found() {
        assert!(judge("+60", &seen()).is_empty());
        let ended = Seen { ended: Some("lost".to_owned()), ..seen() };
        let gone = Seen { pages: vec![("/api/v1/rooms/r/messages".to_owned(), Some(404))], ..seen() };
        let silent = Seen { pages: vec![("/api/v1/me".to_owned(), None)], ..seen() };
        let lost = Seen { waits: false, ..seen() };
        for (what, seen) in [("ended", ended), ("gone", gone), ("silent", silent), ("lost", lost)] {
            assert_eq!(judge("+25h", &seen).len(), 1, "{what}");
        }
    }
}
