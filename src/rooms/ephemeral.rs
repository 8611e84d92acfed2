//! What passes and is in no log: who types, and how far people have read. Told seldom, and within what a room may cost.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::model::{ChatRoom, RoomEvent};
use super::{Mute, current_membership, feed, online, presence, store};
use crate::accounts::Visitor;
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};
use crate::realtime::{Queue, Topic};

/// People up to whom a room hears who has read how far.
const SMALL: usize = 50;

/// How far people have read, by room and visitor, until it is written and told.
#[derive(Default)]
pub(super) struct Reads {
    unwritten: Mutex<HashMap<(i64, i64), i64>>,
    untold: Mutex<HashMap<(i64, i64), Untold>>,
}

/// What the others in a room have not been told yet.
struct Untold {
    room: Arc<ChatRoom>,
    member: Uuid,
    seq: i64,
    own: Arc<Queue>,
}

impl Reads {
    fn unwritten(&self) -> MutexGuard<'_, HashMap<(i64, i64), i64>> {
        self.unwritten.lock()
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<(i64, i64), Untold>> {
        self.untold.lock()
    }
}

/// Tells the others in the room that the visitor is typing, unless they heard so a moment ago or the room has no time for it.
///
/// Errors: `not_found`, `closed`, `muted`, `banned`.
pub async fn typing(app: &App, who: &Visitor, room: Uuid, own: &Arc<Queue>) -> Result<()> {
    let membership = current_membership(app, who, room).await?;
    if membership.room.closed_at.is_some() {
        return Err(Error::Closed);
    }
    if let Some(Mute { after }) = membership.muted {
        return Err(Error::Muted { after });
    }
    let is_due = app.limits.take_for(Bucket::Typing, (membership.room.id, who.id)).is_ok();
    if (is_due && may_pass(app, membership.room.id)) || faults::on(Fault::TypingAlwaysTold) {
        let sender = membership.member.sender.clone();
        feed::pass(app, membership.room.id, &RoomEvent::Typing { room, sender }, Some(own));
    }
    Ok(())
}

/// Records how far the visitor has read, written within a second, and tells a small room: at once, or within some seconds.
///
/// Errors: `not_found`, `banned`, `bad_frame` for an entry that is not there.
pub async fn read(app: &App, who: &Visitor, room: Uuid, seq: i64, own: &Arc<Queue>) -> Result<()> {
    let membership = current_membership(app, who, room).await?;
    let head = feed::open(app, &membership.room).await?;
    if !(0..=head).contains(&seq) {
        return Err(Error::bad_field("seq", "There is no such entry in this room."));
    }
    let key = (membership.room.id, who.id);
    let seq = {
        let mut reads = app.rooms.reads.unwritten();
        let known = reads.entry(key).or_default();
        *known = seq.max(*known);
        *known
    };
    let untold = Untold { room: membership.room.clone(), member: membership.member.sender.id, seq, own: own.clone() };
    let mut waiting = app.rooms.reads.untold();
    if !waiting.contains_key(&key) && tell_read(app, key, &untold) {
        return Ok(());
    }
    // The last one counts.
    waiting.insert(key, untold);
    Ok(())
}

/// Tells what was not told at once.
pub(super) fn tell_reads(app: &App) {
    // Not under the lock: each `read` frame needs it.
    let due = std::mem::take(&mut *app.rooms.reads.untold());
    let rest: Vec<_> = due.into_iter().filter(|(key, untold)| !tell_read(app, *key, untold)).collect();
    let mut waiting = app.rooms.reads.untold();
    for (key, untold) in rest {
        waiting.entry(key).or_insert(untold); // a later one counts
    }
}

/// Returns `false` if it is too soon, or too much for the room.
fn tell_read(app: &App, key: (i64, i64), read: &Untold) -> bool {
    if online(app, &read.room) > SMALL {
        return true; // nobody is told in a large room
    }
    if app.limits.take_for(Bucket::ReadMarkers, key).is_err() || !may_pass(app, read.room.id) {
        return false;
    }
    let event = RoomEvent::Read { room: read.room.public_id, member: read.member, seq: read.seq };
    feed::pass(app, read.room.id, &event, Some(&read.own));
    true
}

/// Whether a room may have another passing frame delivered to everybody in it.
fn may_pass(app: &App, room: i64) -> bool {
    let deliveries = app.hub.listeners(Topic::Room(room)) + presence::elsewhere(app, room);
    let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX).max(1);
    app.limits.take_many(Bucket::EphemeralDeliveries, Key::Room(room), deliveries).is_ok()
}

/// Writes how far people have read. What fails is written with the next tick.
pub(super) async fn write_reads(app: &App) {
    let reads = std::mem::take(&mut *app.rooms.reads.unwritten());
    if reads.is_empty() {
        return;
    }
    let (mut rooms, mut visitors, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    for ((room, visitor), seq) in &reads {
        rooms.push(*room);
        visitors.push(*visitor);
        seqs.push(*seq);
    }
    if let Err(why) = db::within(db::JOB, store::save_reads(&app.db, &rooms, &visitors, &seqs)).await {
        tracing::debug!(error.cause = %why, "how far people have read is written with the next tick");
        let mut kept = app.rooms.reads.unwritten();
        for (key, seq) in reads {
            let known = kept.entry(key).or_default();
            *known = seq.max(*known);
        }
    }
}
