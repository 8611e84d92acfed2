//! The nodes' wall clocks: libfaketime gives each node one that a file moves. Postgres keeps the machine's, and so does what measures
//! durations.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{self, Couple};
use crate::context::{Context, Guest};
use crate::http;
use crate::line::{Line, Manner};
use crate::postgres;

/// What the clocks of a node and of the other one say instead, in turn: either may be the one that decides.
pub const JUMPS: [[&str; 2]; 4] = [["+60", "+60"], ["+25h", "-1h"], ["-1h", "+25h"], ["+0", "+0"]];
/// How long each lasts: nodes look for what is due every second.
pub const EACH: Duration = Duration::from_millis(1_200);
/// How long it may take until somebody without a socket counts as away.
const NOTICED: Duration = Duration::from_secs(6);
/// A partner may be away for thirty seconds; a check that takes longer says nothing.
const AWAY: Duration = Duration::from_secs(25);
/// How often it is tried to gather people: a fault before may still be felt.
const TRIES: usize = 3;
/// How long people may take to be matched.
const MATCHED: Duration = Duration::from_secs(10);
/// Where distributions put the library, below these and their folders.
const PLACES: [&str; 3] = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];

/// The library, and the files that say what time it is.
pub struct Clocks {
    library: PathBuf,
    folder: PathBuf,
}

impl Clocks {
    /// Finds the library and sets both clocks right. Errors: one line, where there is none.
    pub fn find(folder: &Path) -> Result<Self, String> {
        let missing = || "libfaketime is not installed (the Debian package faketime)".to_owned();
        let library = PLACES.iter().find_map(|place| library(Path::new(place))).ok_or_else(missing)?;
        let clocks = Self { library, folder: folder.to_owned() };
        (0..2).for_each(|node| clocks.set(node, "+0"));
        Ok(clocks)
    }

    fn file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("clock{}", node + 1))
    }

    /// Has a node that is started read its clock.
    pub fn give(&self, node: usize, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.file(node));
        for name in ["FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
            command.env(name, "1");
        }
    }

    /// Removes what the library leaves behind in memory when its process is killed.
    pub fn forget(&self, pid: i32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    /// Moves a node's clock by an offset from the machine's.
    fn set(&self, node: usize, offset: &str) {
        let (file, new) = (self.file(node), self.file(node).with_extension("new"));
        // In one piece: a node may read it at any moment.
        let _ = std::fs::write(&new, offset).and_then(|()| std::fs::rename(&new, &file));
    }
}

/// The library in a folder or one below it.
fn library(place: &Path) -> Option<PathBuf> {
    let name = Path::new("faketime/libfaketimeMT.so.1");
    let below = std::fs::read_dir(place).ok()?.flatten().map(|entry| entry.path().join(name));
    std::iter::once(place.join(name)).chain(below).find(|path| path.exists())
}

/// What was seen of a node after a jump.
struct Seen {
    /// Why the open talk ended, if it did: one side of it stays, the other is away.
    ended: Option<String>,
    /// What was asked for, and the status that was answered.
    pages: Vec<(String, Option<u16>)>,
    /// Whether the one who waits still has a ticket.
    waits: bool,
}

/// What a jump broke.
fn judge(jump: &str, seen: &Seen) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(reason) = &seen.ended {
        broken.push(format!("the clock said {jump}, and an open talk ended ({reason})"));
    }
    for (path, status) in seen.pages.iter().filter(|page| page.1 != Some(200)) {
        broken.push(format!("the clock said {jump}, and {path} was answered {status:?}"));
    }
    if !seen.waits {
        broken.push(format!("the clock said {jump}, and a ticket was gone"));
    }
    broken
}

/// Those in whose lives time may break something, all on one node.
struct People {
    /// One stays, the other is away.
    open: Couple,
    /// Their talk has ended.
    over: Couple,
    waiting: Line,
}

/// The nodes' clocks jump, there and back. People, talks, tickets and pages stay as they are.
pub async fn jump(shared: &Arc<Context>, node: usize) {
    let history = &shared.history;
    let Ok(clocks) = &shared.world.clocks else { return };
    let mut gathered = None;
    for _ in 0..TRIES {
        gathered = gather(shared, node).await;
        if gathered.is_some() {
            break;
        }
    }
    let Some(mut people) = gathered else { return history.count("clock jumps without people") };
    let (began, turns) = (Instant::now(), shared.watch.turns());
    people.open.two.drop_socket();
    let away = Instant::now();
    let is_away = |event: &Value| event["type"] == "partner" && event["state"] == "away";
    while !people.open.one.events.iter().any(is_away) && away.elapsed() < NOTICED {
        if people.open.one.listen(Duration::from_millis(50)).await.is_err() {
            break;
        }
    }
    let mut broken = Vec::new();
    // One who waits loses the socket for a moment: the ticket has ten seconds.
    people.waiting.drop_socket();
    for offsets in JUMPS {
        clocks.set(node, offsets[0]);
        clocks.set(1 - node, offsets[1]);
        let offset = offsets[0];
        let listened = people.open.one.listen(EACH).await;
        let seen = look(shared, node, &people).await;
        if listened.is_ok()
            && let Some(seen) = seen
        {
            broken.extend(judge(offset, &seen));
        } else {
            broken.push(format!("the clock said {offset}, and somebody lost the node"));
        }
        if !people.waiting.is_up() {
            broken.extend(waits_on(&mut people.waiting).await);
        }
    }
    // The one who was away comes back to the talk, and what is said there is heard.
    let back = people.open.two.open().await.unwrap_or_default();
    if back["session"]["session"] != people.open.session {
        broken.push(format!("who came back after the jumps found the talk {}", back["session"]));
    }
    broken.extend(waits_on(&mut people.waiting).await);
    let calm = (0..2).all(|node| shared.world.is_calm(node, began))
        && turns.is_multiple_of(2)
        && turns == shared.watch.turns();
    if calm && away.elapsed() < AWAY {
        history.count("clock jumps measured");
        broken.into_iter().for_each(|what| history.problem("clock", format!("node {}: {what}", node + 1)));
    } else {
        history.count("clock jumps not measured");
    }
    people.open.end().await;
    people.over.end().await;
    client::retire(&mut people.waiting).await;
}

/// Opens a socket for the one who waits. Answers what is wrong with the ticket then.
async fn waits_on(line: &mut Line) -> Option<String> {
    let hello = line.open().await.unwrap_or_default();
    let seeking = &hello["seeking"];
    (!seeking.is_object()).then(|| format!("who waited over a jump came back and has the ticket {seeking}"))
}

/// Two who talk, two who have talked, and one who waits for somebody who speaks a language of nobody's.
async fn gather(shared: &Arc<Context>, node: usize) -> Option<People> {
    let mut open = client::couple(shared, [node; 2], "la", MATCHED).await?;
    let Some(mut over) = client::couple(shared, [node; 2], "vo", MATCHED).await else {
        open.end().await;
        return None;
    };
    let (room, session) = (over.room.clone(), over.session.clone());
    let _ = over.one.ask(json!({"type": "next", "session": session, "seek": false})).await;
    over.two.forget(&room);
    let waiting = async {
        let guest = client::guest_at(shared, shared.stranger(), node).await?;
        let mut line = Line::new(shared.clone(), guest, Vec::new());
        (line.pinned, line.manner) = (Some(node), Manner::Patient);
        line.open().await.ok()?;
        let seek = json!({"type": "seek", "interests": [], "languages": ["io"], "translate": false});
        line.ask(seek).await.ok()?["ok"].as_object()?;
        Some(line)
    };
    let Some(waiting) = waiting.await else {
        open.end().await;
        over.end().await;
        return None;
    };
    Some(People { open, over, waiting })
}

/// Looks at everything that a clock could take away. None: Postgres did not answer.
async fn look(shared: &Context, node: usize, people: &People) -> Option<Seen> {
    let ended = people.open.one.events.iter().find(|event| event["type"] == "ended");
    let (public, open, over) = (&shared.writers.get()?.1, &people.open, &people.over);
    // The first one made the first room.
    let owner = shared.people.lock().expect("no panic").get(&0)?.clone();
    let me = "/api/v1/me".to_owned();
    let log = |room: &str| format!("/api/v1/rooms/{room}/messages?limit=5");
    let asked: [(&Guest, String); 6] = [
        (&open.one.guest, me.clone()),
        (&open.one.guest, log(&open.room)),
        (&open.two.guest, log(&open.room)),
        (&over.one.guest, log(&over.room)),
        (&over.two.guest, log(&over.room)),
        (&owner, log(public)),
    ];
    let mut pages = Vec::new();
    for (guest, path) in asked {
        let answer = http::ask(shared.world.to(node, &guest.cookie), "GET", &path, None).await;
        pages.push((path, answer.map(|answer| answer.status)));
    }
    let inside = postgres::connect(&shared.world.socket_folder(), "chaos").await.ok()?;
    let ticket = "SELECT 1 FROM random_ticket t JOIN visitor v ON v.id = t.visitor_id
        WHERE v.public_id = $1::text::uuid AND t.cancelled_at IS NULL";
    let waits = !inside.query(ticket, &[&people.waiting.guest.id]).await.ok()?.is_empty();
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
