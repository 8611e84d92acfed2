//! The feed: a room's entries reach every open socket in order and without a hole.
//!
//! For each room with local members it keeps the last seq delivered and a small memory of recent entries. An entry that
//! comes early waits for its predecessors for a moment, then they are read from Postgres. Every two seconds the heads of
//! the rooms in use are compared, so that the last entry before a silence cannot stay hidden.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use uuid::Uuid;

use super::model::{ChatRoom, Kind, RoomEvent};
use super::presence;
use super::store::{self, Window};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::realtime::{CAUGHT_UP, Frame, Queue, Relayed, Topic};

/// Entries and bytes a room's memory holds.
const RECENT: usize = 128;
const RECENT_BYTES: usize = 64 * 1024;
/// How long an early entry waits for its predecessors.
const EARLY: Duration = Duration::from_millis(100);
/// How often heads are compared.
const LOOK: Duration = Duration::from_secs(2);
/// How long a room without local members is remembered, for those who come back.
const KEEP: Duration = Duration::from_secs(60);
/// Entries a replay brings at most; past it the client is told to page (DESIGN.md 4).
pub const REPLAY: i64 = 500;
/// Entries of one page of a replay.
const PAGE: i64 = 100;

/// The rooms in use on this node, by inner id.
#[derive(Default)]
pub(super) struct Feed {
    rooms: Mutex<HashMap<i64, RoomFeed>>,
}

struct RoomFeed {
    room: Arc<ChatRoom>,
    /// The last seq handed to the sockets; None until the head was read.
    delivered: Option<i64>,
    recent: VecDeque<(i64, Frame)>,
    recent_bytes: usize,
    early: BTreeMap<i64, Frame>,
    early_since: Option<Instant>,
    used: Instant,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, HashMap<i64, RoomFeed>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rooms, other than talks, that somebody listens to here.
    pub(super) fn with_listeners(&self, app: &App) -> Vec<(i64, Uuid)> {
        let rooms = self.lock();
        let shown = rooms.values().filter(|feed| feed.room.kind != Kind::Talk);
        let heard = shown.filter(|feed| app.hub.listeners(Topic::Room(feed.room.id)) > 0);
        heard.map(|feed| (feed.room.id, feed.room.public_id)).collect()
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

    /// Takes entries that follow one on another.
    fn take_all(&mut self, app: &App, entries: &mut Vec<(i64, Frame)>) {
        let first = entries.first().map(|(seq, _)| *seq);
        if self.early.is_empty() && self.delivered.map(|delivered| delivered + 1) == first {
            app.hub.publish_entries(self.room.id, entries);
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
        app.hub.publish_entries(self.room.id, &[(seq, frame.clone())]);
        self.remember(seq, frame);
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

/// Whether anybody would get an entry of this room: a local member, or another node.
pub(super) fn is_wanted(app: &App, room: i64) -> bool {
    app.relay.has_others() || app.rooms.feed.lock().contains_key(&room)
}

/// Entries of a room that this node committed together, one on another: to the sockets here and to the other nodes.
pub(super) fn committed(app: &App, room: i64, entries: &mut Vec<(i64, Frame)>) {
    if entries.is_empty() {
        return;
    }
    if app.relay.has_others() {
        for (seq, frame) in entries.iter() {
            let topic = Topic::Room(room);
            app.relay.publish(Relayed { node: app.node, topic, seq: Some(*seq), frame: frame.clone() });
        }
    }
    if let Some(feed) = app.rooms.feed.lock().get_mut(&room) {
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
        app.relay.publish(Relayed { node, topic: Topic::Room(room), seq: None, frame });
    }
}

/// Brings a room into use and answers its head. Errors: `not_found` when the room is gone.
pub(super) async fn open(app: &App, room: &Arc<ChatRoom>) -> Result<i64> {
    {
        let mut rooms = app.rooms.feed.lock();
        let feed = rooms.entry(room.id).or_insert_with(|| RoomFeed {
            room: room.clone(),
            delivered: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            early: BTreeMap::new(),
            early_since: None,
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
    let head = store::head(&app.db, room.id).await?.ok_or(Error::NotFound)?;
    let known = app.rooms.feed.lock().get(&room.id).and_then(|feed| feed.delivered);
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

/// What is missing between a client and the feed.
pub struct Replay {
    room: Arc<ChatRoom>,
    next: i64,
    left: i64,
}

/// One step of a replay.
pub enum Step {
    /// Frames to write now, in order; then ask again.
    Page(Vec<Frame>),
    /// The socket listens from here on and has missed nothing.
    Following,
    /// More than a replay may bring happened meanwhile: the socket listens from `head` on, and the client pages.
    Resync(i64),
}

impl Replay {
    /// A replay of everything after `after`.
    pub(super) fn new(room: Arc<ChatRoom>, after: i64) -> Self {
        Self { room, next: after + 1 + i64::from(faults::on(Fault::ReplaySkipsOne)), left: REPLAY }
    }

    /// The last entry it has brought.
    pub fn reached(&self) -> i64 {
        self.next - 1
    }

    /// How many entries lie between its start and a head.
    pub fn entries(&self, head: i64) -> i64 {
        (head + 1 - self.next).max(0)
    }

    /// The next page, or the moment at which the socket has caught up and listens.
    pub async fn step(&mut self, app: &App, queue: &Arc<Queue>) -> Result<Step> {
        if self.next > open(app, &self.room).await? + 1 {
            repair(app, self.room.id).await?; // the client is ahead: it was on another node
        }
        let upto = {
            let mut rooms = app.rooms.feed.lock();
            let Some(feed) = rooms.get_mut(&self.room.id) else { return Err(Error::Unavailable) };
            let delivered = feed.delivered.unwrap_or_default();
            if self.next > delivered || self.left <= 0 {
                // Under the lock: nothing is delivered between the check and the subscription.
                app.hub.subscribe(Topic::Room(self.room.id), queue);
                return Ok(if self.next > delivered { Step::Following } else { Step::Resync(delivered) });
            }
            let page: Vec<Frame> = match feed.recent.front() {
                Some((oldest, _)) if *oldest <= self.next => {
                    let wanted = feed.recent.iter().skip_while(|(seq, _)| *seq < self.next);
                    wanted.take(usize::try_from(PAGE).unwrap_or(100)).map(|(_, frame)| frame.clone()).collect()
                }
                _ => Vec::new(),
            };
            if !page.is_empty() {
                return Ok(Step::Page(self.advance(page)));
            }
            delivered
        };
        // Not past what the feed has delivered: what comes after it reaches the socket through the hub.
        let limit = PAGE.min(upto + 1 - self.next);
        let frames = read(app, &self.room, self.next - 1, limit).await?;
        if frames.is_empty() {
            return Err(Error::Unavailable);
        }
        Ok(Step::Page(self.advance(frames.into_iter().map(|(_, frame)| frame).collect())))
    }

    fn advance(&mut self, page: Vec<Frame>) -> Vec<Frame> {
        let count = i64::try_from(page.len()).unwrap_or(PAGE);
        self.next += count;
        self.left -= count;
        page
    }
}

async fn read(app: &App, room: &ChatRoom, after: i64, limit: i64) -> Result<Vec<(i64, Frame)>> {
    let window = Window { after, before: i64::MAX, limit, newest: false };
    let entries = store::entries(&app.db, room, window).await?;
    Ok(entries.into_iter().map(|entry| (entry.seq, RoomEvent::Message(entry).encode())).collect())
}

/// Reads what is missing behind the feed's position until it has reached the head.
pub(super) async fn repair(app: &App, room: i64) -> Result<()> {
    loop {
        let (place, from) = {
            let rooms = app.rooms.feed.lock();
            let Some(feed) = rooms.get(&room) else { return Ok(()) };
            let Some(delivered) = feed.delivered else { return Ok(()) };
            (feed.room.clone(), delivered)
        };
        let entries = read(app, &place, from, PAGE).await?;
        let count = entries.len();
        let mut rooms = app.rooms.feed.lock();
        let Some(feed) = rooms.get_mut(&room) else { return Ok(()) };
        for (seq, frame) in entries {
            feed.take(app, seq, frame);
        }
        if count < usize::try_from(PAGE).unwrap_or(100) {
            return Ok(());
        }
    }
}

/// Starts what keeps the feed whole: other nodes' entries, early entries, hidden heads, rooms out of use.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn("rooms.relay", relayed(node));
    let node = app.clone();
    app.tasks.spawn("rooms.feed", async move {
        let mut tick = tokio::time::interval(EARLY / 2);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = node.tasks.stopping.cancelled() => return,
                _ = tick.tick() => {}
            }
            for room in overdue(&node) {
                report(repair(&node, room).await);
            }
            if looked.elapsed() >= LOOK && !faults::on(Fault::HeadsNotCompared) {
                looked = Instant::now();
                report(look(&node).await);
            }
        }
    });
}

fn report(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::debug!(error.cause = %why, "the feed looks again in two seconds");
    }
}

/// Rooms in which an early entry has waited long enough.
fn overdue(app: &App) -> Vec<i64> {
    let rooms = app.rooms.feed.lock();
    let late = rooms.iter().filter(|(_, feed)| feed.early_since.is_some_and(|since| since.elapsed() >= EARLY));
    late.map(|(room, _)| *room).collect()
}

/// Compares the heads of the rooms in use in one query, and forgets the rooms out of use.
async fn look(app: &App) -> Result<()> {
    let (ids, known): (Vec<i64>, Vec<i64>) = {
        let mut rooms = app.rooms.feed.lock();
        rooms.retain(|id, feed| {
            if app.hub.listeners(Topic::Room(*id)) > 0 {
                feed.used = Instant::now();
            }
            feed.used.elapsed() < KEEP
        });
        rooms.iter().filter_map(|(id, feed)| Some((*id, feed.delivered?))).unzip()
    };
    if ids.is_empty() {
        return Ok(());
    }
    for (room, _) in store::heads_past(&app.db, &ids, &known).await? {
        repair(app, room).await?;
    }
    Ok(())
}

/// Takes up what other nodes published to rooms.
async fn relayed(app: App) {
    let mut relay = app.relay.subscribe();
    loop {
        let said = tokio::select! {
            () = app.tasks.stopping.cancelled() => return,
            said = relay.recv() => said,
        };
        match said {
            Ok(Relayed { node, topic: Topic::Room(room), seq, frame }) if node != app.node => match seq {
                Some(seq) => {
                    if let Some(feed) = app.rooms.feed.lock().get_mut(&room) {
                        feed.take(&app, seq, frame);
                    }
                }
                None if presence::heard(&app, node, room, &frame) => {}
                None => app.hub.publish(Topic::Room(room), &frame, None),
            },
            Ok(Relayed { topic: Topic::Nodes, frame, .. }) if frame.as_str() == CAUGHT_UP => report(look(&app).await),
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(relay.missed = missed, "the relay was too fast; looking everything up");
                report(look(&app).await);
            }
            Err(RecvError::Closed) => return,
        }
    }
}
