//! Presence: how many have a room open, on all nodes together. Told at most once a room and second; never an entry.
use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::model::RoomEvent;
use crate::app::App;
use crate::faults::{self, Fault};
use crate::realtime::{Frame, Publication, Topic};

/// How often a node says again how many it has: one that has died is forgotten after twice as long.
const AGAIN: Duration = Duration::from_secs(5);
const FORGET: Duration = Duration::from_secs(10);
/// How what nodes tell each other begins; it is for nodes, never for sockets.
const MARK: &str = r#"{"here":"#;

/// What this node knows of presence.
#[derive(Default)]
pub(super) struct Presence(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Rooms to be told of; true: by our own doing, so that the other nodes are told too.
    stirred: HashMap<(i64, Uuid), bool>,
    /// What other nodes said, by room: how many they have, and when they said so.
    elsewhere: HashMap<i64, HashMap<Uuid, (usize, Instant)>>,
    announced: Option<Instant>,
}

/// What a node tells the others of a room.
#[derive(Serialize, Deserialize)]
struct Here {
    here: usize,
    room: Uuid,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}

/// Somebody came or went here. Not in a talk: the two are told of each other.
pub(super) fn stir(app: &App, room: i64, public: Uuid) {
    app.rooms.presence.lock().stirred.insert((room, public), true);
}

/// How many different people have the room open: those here, and what the other nodes said of theirs. Somebody who has
/// it open on two nodes counts twice.
pub(super) fn online(app: &App, room: i64) -> usize {
    app.hub.subscribed_owners(Topic::Room(room)).len() + elsewhere(app, room)
}

/// How many people the other nodes said have the room open there.
pub(super) fn elsewhere(app: &App, room: i64) -> usize {
    let presence = app.rooms.presence.lock();
    let Some(nodes) = presence.elsewhere.get(&room) else { return 0 };
    nodes.values().filter(|(_, at)| at.elapsed() < FORGET).map(|(count, _)| count).sum()
}

/// Takes what another node said of a room. False: it is a frame for sockets.
pub(super) fn heard(app: &App, node: Uuid, room: i64, frame: &Frame) -> bool {
    if !frame.starts_with(MARK) {
        return false;
    }
    let Ok(said) = serde_json::from_str::<Here>(frame) else { return true };
    let mut inner = app.rooms.presence.lock();
    let nodes = inner.elsewhere.entry(room).or_default();
    let before = nodes.insert(node, (said.here, Instant::now())).map_or(0, |(count, _)| count);
    if before != said.here {
        inner.stirred.entry((room, said.room)).or_insert(false);
    }
    true
}

/// Once a second: tells the sockets of rooms that changed, and the other nodes what changed here.
pub(super) fn tell(app: &App) {
    if faults::on(Fault::PresenceNeverTold) {
        return;
    }
    let (stirred, announce) = {
        let mut inner = app.rooms.presence.lock();
        let announce = app.relay.has_others() && inner.announced.is_none_or(|at| at.elapsed() >= AGAIN);
        if announce {
            inner.announced = Some(Instant::now());
            inner.elsewhere.retain(|_, nodes| {
                nodes.retain(|_, (count, at)| *count > 0 && at.elapsed() < FORGET);
                !nodes.is_empty()
            });
        }
        (std::mem::take(&mut inner.stirred), announce)
    };
    for ((id, room), by_us) in stirred {
        let frame = RoomEvent::Presence { room, online: online(app, id) }.encode();
        app.hub.publish(Topic::Room(id), &frame, None);
        if by_us {
            say(app, id, room);
        }
    }
    if announce {
        for (id, room) in app.rooms.feed.with_listeners(app) {
            say(app, id, room);
        }
    }
}

fn say(app: &App, id: i64, room: Uuid) {
    if app.relay.has_others() {
        let here = Here { here: app.hub.subscribed_owners(Topic::Room(id)).len(), room };
        let frame = Frame::json(&here);
        app.relay.publish(Publication { node: app.node, topic: Topic::Room(id), seq: None, frame });
    }
}
