//! Presence: how many people have a room open, on all nodes together. Published at most once a
//! second for each room; it is never an entry of the log.
use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::faults::{self, Fault};
use crate::ids::RoomId;
use crate::realtime::{NodeEvent, Topic};
use crate::rooms::model::RoomEvent;

/// How often a node publishes its counts again.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(5);
/// How long the counts of a node that has died are used.
const COUNT_EXPIRES_AFTER: Duration = Duration::from_secs(10);

/// What this node knows of presence.
#[derive(Default)]
pub(super) struct Presence(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Rooms whose count has changed, by their inner and public ids.
    changed: HashMap<(RoomId, Uuid), Origin>,
    /// The counts of other nodes, by room and node, and when they arrived.
    elsewhere: HashMap<RoomId, HashMap<Uuid, (usize, Instant)>>,
    announced_at: Option<Instant>,
}

/// Where a count has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// On this node. The count is published to the other nodes too.
    Here,
    Elsewhere,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}

/// Records that the number of subscribers of a room on this node can have changed. Not used for
/// talks, whose sides receive `partner` instead.
pub(super) fn changed_here(app: &App, room: RoomId, public: Uuid) {
    app.rooms.delivery.presence.lock().changed.insert((room, public), Origin::Here);
}

/// Returns how many different people have the room open: those of this node, and what the other
/// nodes published.
pub(super) fn online(app: &App, room: RoomId) -> usize {
    app.hub.subscribed_owners(Topic::Room(room)).len() + online_elsewhere(app, room)
}

/// Returns how many people have the room open on other nodes.
pub(super) fn online_elsewhere(app: &App, room: RoomId) -> usize {
    let presence = app.rooms.delivery.presence.lock();
    let Some(nodes) = presence.elsewhere.get(&room) else { return 0 };
    nodes.values().filter(|(_, at)| at.elapsed() < COUNT_EXPIRES_AFTER).map(|(count, _)| count).sum()
}

/// Applies the count that another node published for a room (its inner and its public id).
pub(super) fn apply_relayed(app: &App, node: Uuid, (id, room): (RoomId, Uuid), online: u64) {
    let online = usize::try_from(online).unwrap_or(usize::MAX);
    let mut inner = app.rooms.delivery.presence.lock();
    let nodes = inner.elsewhere.entry(id).or_default();
    let before = nodes.insert(node, (online, Instant::now())).map_or(0, |(count, _)| count);
    if before != online {
        inner.changed.entry((id, room)).or_insert(Origin::Elsewhere);
    }
}

/// Publishes the counts that have changed, to the sockets here and to the other nodes. Called once
/// a second.
pub(in crate::rooms) fn publish_changes(app: &App) {
    if faults::on(Fault::PresenceNeverTold) {
        return;
    }
    let (changed, is_announcement_due) = {
        let mut inner = app.rooms.delivery.presence.lock();
        let is_due = inner.announced_at.is_none_or(|at| at.elapsed() >= ANNOUNCE_PERIOD);
        let is_due = app.relay.has_others() && is_due;
        if is_due {
            inner.announced_at = Some(Instant::now());
            inner.elsewhere.retain(|_, nodes| {
                nodes.retain(|_, (count, at)| *count > 0 && at.elapsed() < COUNT_EXPIRES_AFTER);
                !nodes.is_empty()
            });
        }
        (std::mem::take(&mut inner.changed), is_due)
    };
    for ((id, room), origin) in changed {
        let frame = RoomEvent::Presence { room, online: online(app, id) }.encode();
        app.hub.publish(Topic::Room(id), &frame, None);
        if origin == Origin::Here {
            announce(app, id, room);
        }
    }
    if is_announcement_due {
        for (id, room) in app.rooms.delivery.feed.with_subscribers(app) {
            announce(app, id, room);
        }
    }
}

/// Publishes this node's count to the other nodes.
fn announce(app: &App, id: RoomId, room: Uuid) {
    let online = app.hub.subscribed_owners(Topic::Room(id)).len() as u64;
    app.hub.send_event(Topic::Room(id), NodeEvent::OnlineCount { room, online });
}
