//! The feed of one room: what was delivered to its sockets on this node, and what waits.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::coalesce::{BatchWindow, CoalescePolicy, MIN_BATCH};
use crate::app::App;
use crate::faults::{self, Fault};
use crate::ids::{RightsVersion, RoomId, Seq};
use crate::realtime::{Entry, Frame};
use crate::rooms::model::ChatRoom;

/// Largest number of recent entries that a room keeps in memory.
pub(super) const MAX_RECENT_ENTRIES: usize = 128;
/// Largest size of those entries.
const MAX_RECENT_BYTES: usize = 64 * 1024;

/// A room in use on this node.
pub(super) struct RoomFeed {
    pub(super) room: Arc<ChatRoom>,
    /// The last seq that was delivered: `None` until the head was read.
    pub(super) delivered: Option<Seq>,
    /// The version of the room's rights for which its subscribers here were checked: `None` until
    /// the head was read.
    pub(super) rights: Option<RightsVersion>,
    pub(super) recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// Entries that came before their predecessors.
    early: BTreeMap<Seq, Frame>,
    pub(super) early_since: Option<Instant>,
    /// A head that was found in Postgres, and when: entries up to it are due.
    pub(super) due: Option<(Seq, Instant)>,
    /// Delivered entries that will be written to the sockets in a moment.
    held: Vec<Entry>,
    /// When the sockets were last written to.
    written_at: Option<Instant>,
    pub(super) used_at: Instant,
}

impl RoomFeed {
    /// Creates the feed of a room whose head was not read yet.
    pub(super) fn new(room: Arc<ChatRoom>) -> Self {
        Self {
            room,
            delivered: None,
            rights: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            early: BTreeMap::new(),
            early_since: None,
            due: None,
            held: Vec::new(),
            written_at: None,
            used_at: Instant::now(),
        }
    }

    /// Sets the head, unless something was delivered already, and delivers the early entries that
    /// follow it.
    pub(super) fn set_head(&mut self, app: &App, head: Seq) {
        if self.delivered.is_some() {
            return;
        }
        self.delivered = Some(head);
        self.early_since = None;
        for (seq, frame) in std::mem::take(&mut self.early) {
            self.apply(app, Entry { seq, frame });
        }
    }

    /// Delivers an entry if it is the next one, keeps it if it is early, and drops it if it was
    /// delivered before.
    pub(super) fn apply(&mut self, app: &App, entry: Entry) {
        match self.delivered {
            Some(delivered) if entry.seq <= delivered => {}
            Some(delivered) if entry.seq == delivered.next() || faults::on(Fault::GapIgnored) => {
                self.deliver(app, entry);
                self.deliver_early(app);
            }
            _ => {
                self.early.insert(entry.seq, entry.frame);
                self.early_since.get_or_insert_with(Instant::now);
                if self.early.len() > MAX_RECENT_ENTRIES {
                    self.early.pop_last(); // it will be read from Postgres
                }
            }
        }
    }

    fn deliver_early(&mut self, app: &App) {
        while let Some(first) = self.early.first_entry() {
            let next = self.delivered.unwrap_or_default().next();
            if *first.key() > next {
                break;
            }
            let (seq, frame) = first.remove_entry();
            if seq == next {
                self.deliver(app, Entry { seq, frame });
            }
        }
        if self.early.is_empty() {
            self.early_since = None;
        }
    }

    /// Applies entries that came together: at once if they follow one another. Empties the list.
    pub(super) fn apply_all(&mut self, app: &App, entries: &mut Vec<Entry>) {
        let follows = self
            .delivered
            .is_some_and(|delivered| entries.iter().zip(1..).all(|(entry, nth)| entry.seq == delivered.plus(nth)));
        if self.early.is_empty() && follows {
            self.write(app, entries);
            for entry in entries.drain(..) {
                self.remember(entry);
            }
        } else {
            for entry in entries.drain(..) {
                self.apply(app, entry);
            }
        }
    }

    fn deliver(&mut self, app: &App, entry: Entry) {
        self.write(app, std::slice::from_ref(&entry));
        self.remember(entry);
    }

    /// Writes entries to the sockets, or holds them for a moment if a large room was written to a
    /// moment ago.
    fn write(&mut self, app: &App, entries: &[Entry]) {
        let policy = CoalescePolicy::of(app, self.room.id);
        let recent_write = self.written_at.zip(policy).filter(|(at, policy)| at.elapsed() < policy.max_wait);
        let Some((written_at, policy)) = recent_write else {
            if self.held.is_empty() {
                app.hub.publish_entries(self.room.id, entries);
                self.written_at = Some(Instant::now());
            } else {
                self.held.extend_from_slice(entries);
                self.write_held(app);
            }
            return;
        };
        let is_first = self.held.is_empty();
        self.held.extend_from_slice(entries);
        let is_enough = self.held.len() >= MIN_BATCH;
        if is_enough && written_at.elapsed() >= policy.min_wait {
            self.write_held(app);
        } else if is_first {
            write_held_later(app, self.room.id, written_at, policy);
        }
    }

    /// Writes the held entries to the sockets. A socket that subscribes calls it first: it has read
    /// them from memory.
    pub(super) fn write_held(&mut self, app: &App) {
        if !self.held.is_empty() {
            app.hub.publish_entries(self.room.id, &std::mem::take(&mut self.held));
            self.written_at = Some(Instant::now());
        }
    }

    /// Returns how long the next entries can wait for their commit. `None` if they must not wait.
    pub(super) fn batch_window(&self, app: &App) -> Option<BatchWindow> {
        CoalescePolicy::of(app, self.room.id)?.batch_window(self.written_at?, self.held.len())
    }

    /// Moves on to the head if more is missing than the recent entries can hold. For a room without
    /// subscribers: a client that reads from further back reads Postgres.
    pub(super) fn skip_to(&mut self, head: Seq) {
        let is_far_behind = self.delivered.is_some_and(|delivered| head.since(delivered) > MAX_RECENT_ENTRIES as i64);
        if is_far_behind {
            self.recent.clear();
            self.recent_bytes = 0;
            self.delivered = Some(head);
            // An early entry that is skipped would be waited for until the next entry, with a query
            // each time.
            self.early = self.early.split_off(&head.next());
            if self.early.is_empty() {
                self.early_since = None;
            }
        }
    }

    fn remember(&mut self, entry: Entry) {
        self.delivered = Some(entry.seq);
        self.recent_bytes += entry.frame.len();
        self.recent.push_back(entry);
        while self.recent.len() > MAX_RECENT_ENTRIES || self.recent_bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.frame.len();
        }
    }
}

/// Writes what a room holds when its time is over, unless the room was written to before.
fn write_held_later(app: &App, room: RoomId, written_at: Instant, policy: CoalescePolicy) {
    let node = app.clone();
    app.tasks.spawn("rooms.coalesce", async move {
        let (earliest, latest) = (written_at + policy.min_wait, written_at + policy.max_wait);
        for until in [earliest, latest] {
            tokio::time::sleep_until(until).await;
            let mut rooms = node.rooms.delivery.feed.lock();
            let Some(feed) = rooms.get_mut(&room).filter(|feed| feed.written_at == Some(written_at)) else { return };
            if until == latest || feed.held.len() >= MIN_BATCH {
                feed.write_held(&node);
                return;
            }
        }
    });
}
