//! Ephemeral frames: typing and read markers. They are in no log and can be dropped. They are
//! published seldom, and within what a room's deliveries may cost.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{feed, is_subscribed, online, presence, store};
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};
use crate::ids::{RoomId, Seq, SessionEpoch, VisitorId};
use crate::realtime::{Queue, Topic};
use crate::rooms::limits::MAX_PEOPLE_FOR_READ_MARKERS;
use crate::rooms::membership::{self, Membership, Mute};
use crate::rooms::model::{ChatRoom, RoomEvent};

/// A member of a room, with the epoch of the session that sent a marker: `None` for a guest.
type MarkerKey = (RoomId, VisitorId, Option<SessionEpoch>);

/// Read markers by room and visitor, until they are written and published.
#[derive(Default)]
pub(super) struct ReadMarkers {
    unwritten: Mutex<HashMap<MarkerKey, Seq>>,
    unpublished: Mutex<HashMap<(RoomId, VisitorId), UnpublishedMarker>>,
}

/// A read marker that the others in a room have not received yet.
struct UnpublishedMarker {
    room: Arc<ChatRoom>,
    member: Uuid,
    seq: Seq,
    /// The socket that sent it.
    own: Arc<Queue>,
}

impl ReadMarkers {
    fn unwritten(&self) -> MutexGuard<'_, HashMap<MarkerKey, Seq>> {
        self.unwritten.lock()
    }

    fn unpublished(&self) -> MutexGuard<'_, HashMap<(RoomId, VisitorId), UnpublishedMarker>> {
        self.unpublished.lock()
    }
}

/// Returns the membership for an ephemeral frame, which no batch checks again. A cached membership
/// is enough if the visitor is subscribed to the room on this node, because such a node learns of a
/// lost right within a second.
async fn current_membership(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    match membership::cached_membership(app, who, room) {
        Some(cached)
            if is_subscribed(app, &cached.room, who.id)
                && app.rooms.delivery.feed.rights(cached.room.id).is_some_and(|checked| checked <= cached.rights) =>
        {
            Ok(cached)
        }
        _ => membership::membership(app, who, room).await,
    }
}

/// Publishes an ephemeral event to a room, on this node and on the others.
fn publish_ephemeral(app: &App, room: RoomId, event: &RoomEvent, except: Option<&Arc<Queue>>) {
    app.hub.broadcast(Topic::Room(room), event.encode(), except);
}

/// Tells the others in the room that the visitor is typing, unless they were told a moment ago or
/// the room is too busy.
///
/// # Errors
/// `not_found`, `closed`, `muted`, `banned`, `unavailable`.
pub async fn typing(app: &App, who: &Visitor, room: Uuid, own: &Arc<Queue>) -> Result<()> {
    let membership = current_membership(app, who, room).await?;
    if membership.room.closed_at.is_some() {
        return Err(Error::Closed);
    }
    if let Some(Mute { after }) = membership.muted {
        return Err(Error::Muted { after });
    }
    let is_due = app.limits.take_for(Bucket::Typing, (membership.room.id, who.id)).is_ok();
    if (is_due && has_capacity(app, membership.room.id)) || faults::on(Fault::TypingAlwaysTold) {
        let sender = membership.member.sender.clone();
        publish_ephemeral(app, membership.room.id, &RoomEvent::Typing { room, sender }, Some(own));
    }
    Ok(())
}

/// Records how far the visitor has read. The marker is written within a second, and published to a
/// small room at once or within some seconds.
///
/// # Errors
/// `not_found`, `banned`, `bad_frame` if there is no such entry, `unavailable`.
pub async fn read(app: &App, who: &Visitor, room: Uuid, seq: Seq, own: &Arc<Queue>) -> Result<()> {
    let membership = current_membership(app, who, room).await?;
    let head = feed::open(app, &membership.room).await?;
    if !(Seq::ZERO..=head).contains(&seq) {
        return Err(Error::bad_field("seq", "There is no such entry in this room."));
    }
    let key = (membership.room.id, who.id);
    let seq = {
        let mut markers = app.rooms.delivery.read_markers.unwritten();
        let known = markers.entry((membership.room.id, who.id, who.session_epoch())).or_default();
        *known = seq.max(*known);
        *known
    };
    let member = membership.member.sender.id;
    let marker = UnpublishedMarker { room: membership.room.clone(), member, seq, own: own.clone() };
    let mut unpublished = app.rooms.delivery.read_markers.unpublished();
    if !unpublished.contains_key(&key) && publish_marker(app, key, &marker) {
        return Ok(());
    }
    // A later marker replaces an earlier one.
    unpublished.insert(key, marker);
    Ok(())
}

/// Publishes the read markers that could not be published at once. Called once a second.
pub(in crate::rooms) fn publish_read_markers(app: &App) {
    // Not under the lock, which each `read` frame needs.
    let due = std::mem::take(&mut *app.rooms.delivery.read_markers.unpublished());
    let rest: Vec<_> = due.into_iter().filter(|(key, marker)| !publish_marker(app, *key, marker)).collect();
    let mut unpublished = app.rooms.delivery.read_markers.unpublished();
    for (key, marker) in rest {
        unpublished.entry(key).or_insert(marker); // a later marker stays
    }
}

/// Publishes a read marker. Returns `false` if it must wait, because the last one was too recent or
/// the room is too busy.
fn publish_marker(app: &App, key: (RoomId, VisitorId), marker: &UnpublishedMarker) -> bool {
    if online(app, &marker.room) > MAX_PEOPLE_FOR_READ_MARKERS {
        return true; // a large room gets no markers
    }
    if app.limits.take_for(Bucket::ReadMarkers, key).is_err() || !has_capacity(app, marker.room.id) {
        return false;
    }
    let event = RoomEvent::Read { room: marker.room.public_id, member: marker.member, seq: marker.seq };
    publish_ephemeral(app, marker.room.id, &event, Some(&marker.own));
    true
}

/// Returns `true` if a room can have one more ephemeral frame delivered to everybody in it.
fn has_capacity(app: &App, room: RoomId) -> bool {
    let deliveries = app.hub.subscriber_count(Topic::Room(room)) + presence::online_elsewhere(app, room);
    let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX).max(1);
    app.limits.take_many(Bucket::EphemeralDeliveries, Key::Room(room), deliveries).is_ok()
}

/// Writes the read markers to Postgres. Markers that cannot be written are written with the next
/// call. Those of a session that was revoked meanwhile are dropped.
pub(in crate::rooms) async fn write_read_markers(app: &App) {
    let markers = std::mem::take(&mut *app.rooms.delivery.read_markers.unwritten());
    if markers.is_empty() {
        return;
    }
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, save(app, &markers)).await {
        tracing::debug!(error.cause = %why, "read markers could not be written; trying again in a second");
        let mut unwritten = app.rooms.delivery.read_markers.unwritten();
        for (key, seq) in markers {
            let known = unwritten.entry(key).or_default();
            *known = seq.max(*known);
        }
    }
}

async fn save(app: &App, markers: &HashMap<MarkerKey, Seq>) -> Result<(), sqlx::Error> {
    let members: Vec<VisitorId> =
        markers.keys().filter(|(.., epoch)| epoch.is_some()).map(|(_, visitor, _)| *visitor).collect();
    let mut tx = app.db.begin().await?;
    let epochs = if members.is_empty() {
        HashMap::new()
    } else {
        fence::lock_shared(&mut tx).await?;
        accounts::lock_against_sweep(&mut tx, &members).await?
    };
    let is_live = |(_, visitor, epoch): &MarkerKey| {
        epoch.is_none()
            || epochs.get(visitor).copied().flatten() == *epoch
            || faults::on(Fault::EpochNotComparedInWrites)
    };
    let (mut rooms, mut visitors, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    for ((room, visitor, _), seq) in markers.iter().filter(|(key, _)| is_live(key)) {
        rooms.push(*room);
        visitors.push(*visitor);
        seqs.push(*seq);
    }
    store::save_read_markers(&mut tx, &rooms, &visitors, &seqs).await?;
    tx.commit().await
}
