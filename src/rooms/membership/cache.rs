//! The membership cache: memberships known to this node, so that a send needs no query before its
//! batch. The batch checks them again.
use std::collections::HashMap;

use parking_lot::Mutex;
use uuid::Uuid;

use super::Membership;
use crate::ids::VisitorId;

/// Largest number of rooms in the cache. A full cache is emptied.
const MAX_ROOMS: usize = 50_000;

/// Memberships by room and visitor.
#[derive(Default)]
pub(in crate::rooms) struct Cache {
    rooms: Mutex<HashMap<Uuid, HashMap<VisitorId, Membership>>>,
}

impl Cache {
    /// Returns a cached membership.
    pub(in crate::rooms) fn find(&self, room: Uuid, visitor: VisitorId) -> Option<Membership> {
        self.rooms.lock().get(&room)?.get(&visitor).cloned()
    }

    /// Caches a membership, unless the member is muted: a mute ends by the database's clock.
    pub(in crate::rooms) fn insert(&self, membership: &Membership) {
        if membership.muted.is_some() {
            return;
        }
        let mut rooms = self.rooms.lock();
        if rooms.len() >= MAX_ROOMS && !rooms.contains_key(&membership.room.public_id) {
            rooms.clear();
        }
        rooms.entry(membership.room.public_id).or_default().insert(membership.member.visitor, membership.clone());
    }

    /// Removes all memberships of a room, because rights in it have changed.
    pub(in crate::rooms) fn remove_room(&self, room: Uuid) {
        self.rooms.lock().remove(&room);
    }

    /// Removes one membership. The others of the room stay: a new member changes nothing for them.
    pub(in crate::rooms) fn remove_member(&self, room: Uuid, visitor: VisitorId) {
        if let Some(members) = self.rooms.lock().get_mut(&room) {
            members.remove(&visitor);
        }
    }
}
