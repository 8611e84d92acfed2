//! Revocation: what follows a change of rights in a room. The caches and sockets of this node are
//! updated at once, and a node event is published to the room's topic for the other nodes.
//! [`super::reconcile`] finds the changes whose event was lost.
use std::sync::Arc;

use super::presence;
use crate::app::App;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::{RoomId, VisitorId};
use crate::realtime::{NodeEvent, Topic};
use crate::rooms::membership::{self, RightsChange};
use crate::rooms::model::ChatRoom;

/// Applies a change of rights after its commit: to this node, then to the others.
pub(in crate::rooms) fn rights_changed(app: &App, change: RightsChange) {
    apply(app, change);
    let RightsChange { room, public, rights, removed } = change;
    app.hub.send_event(Topic::Room(room), NodeEvent::RightsChanged { room: public, rights, removed });
    if change.removed.is_some() {
        presence::changed_here(app, change.room, change.public);
    }
}

/// Applies a change of rights to this node.
pub(super) fn apply(app: &App, change: RightsChange) {
    app.rooms.membership.cache.remove_room(change.public);
    // The version first: a later subscriber is checked against it.
    app.rooms.delivery.feed.rights_raised(change.room, change.rights);
    if let Some(removed) = change.removed.filter(|_| !faults::on(Fault::LeaverStillHears)) {
        app.hub.unsubscribe_owner(Topic::Room(change.room), removed);
    }
}

/// Unsubscribes everybody from these rooms on this node who has no access to them.
///
/// # Errors
/// `unavailable`.
pub(super) async fn unsubscribe_without_access(app: &App, rooms: &[Arc<ChatRoom>]) -> Result<()> {
    let (mut ids, mut visitors) = (Vec::new(), Vec::new());
    for room in rooms {
        app.rooms.membership.cache.remove_room(room.public_id);
        for visitor in app.hub.subscribed_owners(Topic::Room(room.id)) {
            ids.push(room.id);
            visitors.push(visitor);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    for (room, visitor) in membership::without_access(&app.db, &ids, &visitors).await? {
        app.hub.unsubscribe_owner(Topic::Room(room), visitor);
    }
    Ok(())
}

/// Returns `true` if a visitor has no access to a room.
///
/// # Errors
/// `unavailable`.
pub(super) async fn has_no_access(app: &App, room: RoomId, visitor: VisitorId) -> Result<bool> {
    Ok(!membership::without_access(&app.db, &[room], &[visitor]).await?.is_empty())
}
