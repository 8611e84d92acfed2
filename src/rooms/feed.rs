//! The feed: a room's entries reach every open socket in order and without a hole.
//!
//! For each room with local members it keeps the last seq delivered and a small memory of recent entries. An entry that
//! comes early waits for its predecessors for a moment, then they are read from Postgres. Every two seconds the heads of
//! the rooms in use are compared, so that the last entry before a silence cannot stay hidden.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

use super::model::{self, ChatRoom, RoomEvent};
use super::pace::{COMMIT, Pace, TOGETHER};
use super::store::{self, Window};
use super::{presence, rights};
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::realtime::{Frame, Publication, Queue, RelayEvent, Topic, TopicKind};

/// Entries and bytes a room's memory holds.
const RECENT: usize = 128;
const RECENT_BYTES: usize = 64 * 1024;
/// How long an early entry waits for its predecessors.
const EARLY: Duration = Duration::from_millis(100);
/// How often heads are compared.
const LOOK: Duration = Duration::from_secs(2);
/// How long a room without local members is remembered, for those who come back.
const KEEP: Duration = Duration::from_secs(60);
/// Entries that are read from Postgres at a time, and their bytes: what a socket may have queued.
pub(super) const PAGE: i64 = 100;
const PAGE_BYTES: i64 = 64 * 1024;

/// The rooms in use on this node, by inner id.
#[derive(Default)]
pub(super) struct Feed {
    rooms: Mutex<HashMap<i64, RoomFeed>>,
}

/// A room in use.
pub(super) struct RoomFeed {
    room: Arc<ChatRoom>,
    /// The last seq handed to the sockets; None until the head was read.
    pub(super) delivered: Option<i64>,
    /// The version of the room's rights that its listeners here have been checked against; None until the head was read.
    pub(super) rights: Option<i64>,
    pub(super) recent: VecDeque<(i64, Frame)>,
    recent_bytes: usize,
    early: BTreeMap<i64, Frame>,
    early_since: Option<Instant>,
    /// The head that a look has found, and when: entries up to it are due.
    due: Option<(i64, Instant)>,
    /// Delivered and remembered, and handed to the sockets in a moment.
    held: Vec<(i64, Frame)>,
    /// When sockets were last written to.
    written: Option<Instant>,
    used: Instant,
}

impl Feed {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<i64, RoomFeed>> {
        self.rooms.lock()
    }

    /// Rooms, other than talks, that somebody listens to here.
    pub(super) fn with_listeners(&self, app: &App) -> Vec<(i64, Uuid)> {
        let rooms = self.lock();
        let shown = rooms.values().filter(|feed| feed.room.kind != model::RoomKind::Talk);
        let heard = shown.filter(|feed| app.hub.listeners(Topic::Room(feed.room.id)) > 0);
        heard.map(|feed| (feed.room.id, feed.room.public_id)).collect()
    }

    /// The rights of a room have risen by one, and whoever it was about does not listen here any more. False: they had
    /// risen before by something else, which [`look`] finds.
    pub(super) fn rights_rose(&self, room: i64, rights: i64) -> bool {
        let mut rooms = self.lock();
        let Some(known) = rooms.get_mut(&room).and_then(|feed| feed.rights.as_mut()) else { return false };
        let next = *known + 1 == rights;
        if next {
            *known = rights;
        }
        next
    }

    /// The version of a room's rights that its listeners here have been checked against.
    pub(super) fn rights(&self, room: i64) -> Option<i64> {
        self.lock().get(&room)?.rights
    }

    /// How many rooms are in use.
    #[cfg(test)]
    pub(super) fn rooms(&self) -> usize {
        self.lock().len()
    }
}

impl RoomFeed {
    /// Takes an entry: delivers it when it is next, keeps it when it is early, drops it when it was delivered.
    fn take(&mut self, app: &App, seq: i64, frame: Frame) {
        match self.delivered {
            Some(delivered) if seq <= delivered => {}
            Some(delivered) if seq == delivered + 1 || faults::on(Fault::GapIgnored) => {
                self.deliver(app, seq, frame);
                while let Some(entry) = self.early.first_entry() {
                    let next = self.delivered.unwrap_or_default() + 1;
                    if *entry.key() > next {
                        break;
                    }
                    let (seq, frame) = entry.remove_entry();
                    if seq == next {
                        self.deliver(app, seq, frame);
                    }
                }
                if self.early.is_empty() {
                    self.early_since = None;
                }
            }
            _ => {
                self.early.insert(seq, frame);
                self.early_since.get_or_insert_with(Instant::now);
                if self.early.len() > RECENT {
                    self.early.pop_last(); // it is read from Postgres in its turn
                }
            }
        }
    }

    /// Takes entries that came together: at once when they follow one on another.
    fn take_all(&mut self, app: &App, entries: &mut Vec<(i64, Frame)>) {
        let next = self.delivered.map_or(0, |delivered| delivered + 1);
        if next > 0 && self.early.is_empty() && entries.iter().map(|(seq, _)| *seq).eq((next..).take(entries.len())) {
            self.write(app, entries);
            for (seq, frame) in entries.drain(..) {
                self.remember(seq, frame);
            }
        } else {
            for (seq, frame) in entries.drain(..) {
                self.take(app, seq, frame);
            }
        }
    }

    fn deliver(&mut self, app: &App, seq: i64, frame: Frame) {
        self.write(app, &[(seq, frame.clone())]);
        self.remember(seq, frame);
    }

    /// Hands entries to the sockets, or holds them for a moment when a large room was written to a moment ago.
    fn write(&mut self, app: &App, entries: &[(i64, Frame)]) {
        let pace = Pace::of(app, self.room.id);
        let Some((at, pace)) = self.written.zip(pace).filter(|(at, pace)| at.elapsed() < pace.longest) else {
            if self.held.is_empty() {
                app.hub.publish_entries(self.room.id, entries);
                self.written = Some(Instant::now());
            } else {
                self.held.extend_from_slice(entries);
                self.write_held(app);
            }
            return;
        };
        let is_first = self.held.is_empty();
        self.held.extend_from_slice(entries);
        let enough = self.held.len() >= TOGETHER;
        if enough && at.elapsed() >= pace.shortest {
            self.write_held(app);
        } else if is_first {
            let (app, room) = (app.clone(), self.room.id);
            app.clone().tasks.spawn("rooms.pace", async move {
                for until in [at + pace.shortest, at + pace.longest] {
                    tokio::time::sleep_until(until).await;
                    let mut rooms = app.rooms.feed.lock();
                    let Some(feed) = rooms.get_mut(&room).filter(|feed| feed.written == Some(at)) else { return };
                    if until > at + pace.shortest || feed.held.len() >= TOGETHER {
                        feed.write_held(&app);
                        return;
                    }
                }
            });
        }
    }

    /// Hands over what is held. Who begins to listen calls it before: it has read these entries from the memory.
    pub(super) fn write_held(&mut self, app: &App) {
        if !self.held.is_empty() {
            app.hub.publish_entries(self.room.id, &std::mem::take(&mut self.held));
            self.written = Some(Instant::now());
        }
    }

    /// Goes on at the head when more is missing than the memory holds. For a room that nobody listens to: whoever reads it
    /// from further back reads Postgres.
    fn pass_over(&mut self, head: i64) {
        if self.delivered.is_some_and(|delivered| head - delivered > RECENT as i64) {
            self.recent.clear();
            self.recent_bytes = 0;
            self.delivered = Some(head);
            // What came early and is passed over would be waited for, with a look into Postgres every time, until the next entry.
            self.early = self.early.split_off(&(head + 1));
            if self.early.is_empty() {
                self.early_since = None;
            }
        }
    }

    fn remember(&mut self, seq: i64, frame: Frame) {
        self.delivered = Some(seq);
        self.recent_bytes += frame.len();
        self.recent.push_back((seq, frame));
        while self.recent.len() > RECENT || self.recent_bytes > RECENT_BYTES {
            let Some((_, old)) = self.recent.pop_front() else { break };
            self.recent_bytes -= old.len();
        }
    }
}

/// Until when entries of a room can wait for their commit, and for how many, so that its sockets hear them no later: they wait
/// there for as many. None: they are handed over at once.
pub(super) fn leisure(app: &App, room: i64) -> Option<(Instant, usize)> {
    let rooms = app.rooms.feed.lock();
    let feed = rooms.get(&room)?;
    let until = feed.written? + Pace::of(app, room)?.longest.checked_sub(COMMIT)?;
    (until > Instant::now()).then(|| (until, TOGETHER.saturating_sub(feed.held.len())))
}

/// Whether anybody would get an entry of this room: a local member, or another node.
pub(super) fn is_wanted(app: &App, room: i64) -> bool {
    app.relay.has_others() || app.rooms.feed.lock().contains_key(&room)
}

/// Entries of a room that this node committed together, one on another: to the sockets here.
pub(super) fn committed(app: &App, room: i64, entries: &mut Vec<(i64, Frame)>) {
    if !entries.is_empty()
        && let Some(feed) = app.rooms.feed.lock().get_mut(&room)
    {
        feed.take_all(app, entries);
    }
    entries.clear();
}

/// What a passing frame (typing, read, presence) says to a room, here and on the other nodes.
pub(super) fn pass(app: &App, room: i64, event: &RoomEvent, except: Option<&Arc<Queue>>) {
    let frame = event.encode();
    app.hub.publish(Topic::Room(room), &frame, except);
    if app.relay.has_others() {
        let node = if faults::on(Fault::RelayEchoes) { Uuid::nil() } else { app.node };
        app.relay.publish(Publication { node, topic: Topic::Room(room), seq: None, frame });
    }
}

/// Brings a room into use and answers its head. Errors: `not_found` when the room is gone.
pub(super) async fn open(app: &App, room: &Arc<ChatRoom>) -> Result<i64> {
    {
        let mut rooms = app.rooms.feed.lock();
        let feed = rooms.entry(room.id).or_insert_with(|| RoomFeed {
            room: room.clone(),
            delivered: None,
            rights: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            early: BTreeMap::new(),
            early_since: None,
            due: None,
            held: Vec::new(),
            written: None,
            used: Instant::now(),
        });
        feed.used = Instant::now();
        if let Some(delivered) = feed.delivered
            && app.hub.listeners(Topic::Room(room.id)) > 0
        {
            return Ok(delivered);
        }
    }
    // Entries committed from here on reach the feed as early ones and are taken up below.
    let found = app.rooms.heads.load(room.id, |ids| store::heads(&app.db, ids)).await?;
    let (head, rights) = found.ok_or(Error::NotFound)?;
    let known = {
        let mut rooms = app.rooms.feed.lock();
        let feed = rooms.get_mut(&room.id);
        feed.and_then(|feed| {
            feed.rights.get_or_insert(rights);
            if app.hub.listeners(Topic::Room(room.id)) == 0 {
                feed.pass_over(head);
            }
            feed.delivered
        })
    };
    match known {
        Some(known) if known < head => repair(app, room.id).await?,
        Some(_) => {}
        None => set_head(app, room.id, head),
    }
    Ok(app.rooms.feed.lock().get(&room.id).and_then(|feed| feed.delivered).unwrap_or(head))
}

fn set_head(app: &App, room: i64, head: i64) {
    let mut rooms = app.rooms.feed.lock();
    let Some(feed) = rooms.get_mut(&room) else { return };
    if feed.delivered.is_some() {
        return;
    }
    feed.delivered = Some(head);
    let early = std::mem::take(&mut feed.early);
    feed.early_since = None;
    for (seq, frame) in early {
        feed.take(app, seq, frame);
    }
}

/// Entries after `after`, as they go over a socket, and whether there are more.
pub(super) async fn read(app: &App, room: &ChatRoom, after: i64, limit: i64) -> Result<(Vec<(i64, Frame)>, bool)> {
    let window = Window { after, before: i64::MAX, limit, bytes: PAGE_BYTES, newest: false };
    let (entries, more) = store::entries(&app.db, room, window).await?;
    Ok((entries.into_iter().map(|entry| (entry.seq, RoomEvent::Message(entry).encode())).collect(), more))
}

/// Reads what is missing behind the feed's position until it has reached the head.
pub(super) async fn repair(app: &App, room: i64) -> Result<()> {
    loop {
        let (membership, from) = {
            let rooms = app.rooms.feed.lock();
            let Some(feed) = rooms.get(&room) else { return Ok(()) };
            let Some(delivered) = feed.delivered else { return Ok(()) };
            (feed.room.clone(), delivered)
        };
        let (entries, more) = read(app, &membership, from, PAGE).await?;
        let mut rooms = app.rooms.feed.lock();
        let Some(feed) = rooms.get_mut(&room) else { return Ok(()) };
        for (seq, frame) in entries {
            feed.take(app, seq, frame);
        }
        if !more {
            return Ok(());
        }
    }
}

/// Starts what keeps the feed whole: other nodes' entries, early entries, hidden heads, rooms out of use.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("rooms.relay", move || relayed(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("rooms.feed", move || keep_whole(node.clone()));
}

async fn keep_whole(node: App) {
    let mut tick = tokio::time::interval(EARLY / 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut looked = Instant::now();
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        for room in overdue(&node) {
            report(db::with_timeout(db::JOB_TIMEOUT, repair(&node, room)).await);
        }
        if looked.elapsed() >= LOOK && !faults::on(Fault::HeadsNotCompared) {
            looked = Instant::now();
            report(db::with_timeout(db::JOB_TIMEOUT, look(&node)).await);
        }
    }
}

fn report(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::debug!(error.cause = %why, "the feed looks again in two seconds");
    }
}

/// Rooms in which an early entry, or the sockets for a head, have waited long enough.
pub(super) fn overdue(app: &App) -> Vec<i64> {
    let mut rooms = app.rooms.feed.lock();
    let late = rooms.iter_mut().filter_map(|(room, feed)| {
        let early = feed.early_since.is_some_and(|since| since.elapsed() >= EARLY);
        let due = feed.due.take_if(|(head, since)| feed.delivered >= Some(*head) || since.elapsed() >= EARLY);
        (early || due.is_some_and(|(head, _)| feed.delivered < Some(head))).then_some(*room)
    });
    late.collect()
}

/// Compares the heads of the rooms in use in one query, and forgets the rooms out of use. What is missing is read soon, unless
/// it comes by itself.
pub(super) async fn look(app: &App) -> Result<()> {
    let (mut ids, mut seqs, mut rights) = (Vec::new(), Vec::new(), Vec::new());
    {
        let mut rooms = app.rooms.feed.lock();
        rooms.retain(|id, feed| {
            if app.hub.listeners(Topic::Room(*id)) > 0 {
                feed.used = Instant::now();
            }
            feed.used.elapsed() < KEEP
        });
        for (id, feed) in rooms.iter() {
            let (Some(seq), Some(known)) = (feed.delivered, feed.rights) else { continue };
            ids.push(*id);
            seqs.push(seq);
            rights.push(known);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let past = store::heads_past(&app.db, &ids, &seqs, &rights).await?;
    recheck(app, &past).await?;
    // What was committed a moment ago is still on its way: on a busy node that is something in every other room.
    let now = Instant::now();
    let mut rooms = app.rooms.feed.lock();
    for (room, head, _) in past {
        // Where nobody listens nothing is read: whoever comes back finds the head.
        if let Some(feed) = rooms.get_mut(&room)
            && app.hub.listeners(Topic::Room(room)) > 0
        {
            feed.due.get_or_insert((head, now));
        }
    }
    Ok(())
}

/// Rooms whose rights have risen without word of how: whoever listens here without a place is sent away.
async fn recheck(app: &App, heads: &[(i64, i64, i64)]) -> Result<()> {
    let mut risen = Vec::new();
    {
        let mut rooms = app.rooms.feed.lock();
        for (room, _, rights) in heads {
            let Some(feed) = rooms.get_mut(room) else { continue };
            if feed.rights.is_some_and(|known| known < *rights) {
                // From here on nobody begins to listen who was not checked against it.
                risen.push((feed.room.clone(), feed.rights.replace(*rights)));
            }
        }
    }
    let rooms: Vec<Arc<ChatRoom>> = risen.iter().map(|(room, _)| room.clone()).collect();
    let checked = rights::send_away(app, &rooms).await;
    if checked.is_err() {
        let mut rooms = app.rooms.feed.lock();
        for (room, before) in risen {
            if let Some(feed) = rooms.get_mut(&room.id) {
                feed.rights = before; // looked at again
            }
        }
    }
    checked
}

/// Takes up what other nodes published to rooms.
async fn relayed(app: App) {
    let mut relay = app.relay.listen(TopicKind::Rooms);
    loop {
        let said = tokio::select! {
            () = app.tasks.stopping.cancelled() => return,
            said = relay.next() => said,
        };
        match said {
            Some(RelayEvent::Published(said)) if said.first().is_some_and(|one| one.node != app.node) => {
                take_up(&app, &said)
            }
            Some(RelayEvent::Published(_)) => {}
            Some(RelayEvent::Missed) => report(db::with_timeout(db::JOB_TIMEOUT, look(&app)).await),
            None => return,
        }
    }
}

/// Takes up what came together. The feed is locked once for all entries between two passing frames, and a room's sockets
/// wake once for its run of them.
fn take_up(app: &App, said: &[Publication]) {
    let mut entries = Vec::new();
    for alike in said.chunk_by(|one, next| one.seq.is_some() == next.seq.is_some()) {
        if alike.iter().any(|one| one.seq.is_none()) {
            alike.iter().for_each(|one| pass_on(app, one));
            continue;
        }
        let mut rooms = app.rooms.feed.lock();
        for run in alike.chunk_by(|one, next| one.topic == next.topic) {
            let Some(Publication { topic: Topic::Room(room), .. }) = run.first() else { continue };
            let Some(feed) = rooms.get_mut(room) else { continue };
            entries.extend(run.iter().filter_map(|one| Some((one.seq?, one.frame.clone()))));
            feed.take_all(app, &mut entries);
        }
    }
}

/// A passing frame of another node: meant for this one, or for the sockets.
fn pass_on(app: &App, Publication { node, topic, frame, .. }: &Publication) {
    let Topic::Room(room) = *topic else { return };
    if !presence::heard(app, *node, room, frame) && !rights::heard(app, room, frame) {
        app.hub.publish(*topic, frame, None);
    }
}
