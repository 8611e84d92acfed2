//! What a node remembers of rooms and places, so that a send needs no query before its batch. The batch checks it again.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::model::{ChatRoom, Member};

/// Rooms remembered at most; past it the memory starts afresh.
const ROOMS: usize = 50_000;

/// Somebody's checked place in a room.
#[derive(Clone)]
pub struct Membership {
    pub room: Arc<ChatRoom>,
    pub member: Arc<Member>,
    /// The version of the room's rights this was read at.
    pub rights: i64,
    /// The fence's version this was read at.
    pub fence: i64,
    /// The right to write is taken away for now, here or everywhere.
    pub muted: Option<Mute>,
}

/// A mute, and how long it still lasts; None: until it is lifted.
#[derive(Clone, Copy, Debug)]
pub struct Mute {
    pub after: Option<Duration>,
}

/// Places by room and visitor.
#[derive(Default)]
pub(super) struct Directory {
    rooms: Mutex<HashMap<Uuid, HashMap<i64, Membership>>>,
}

impl Directory {
    /// A remembered place.
    pub(super) fn find(&self, room: Uuid, visitor: i64) -> Option<Membership> {
        self.lock().get(&room)?.get(&visitor).cloned()
    }

    /// Remembers a place. One without the right to write is not remembered: it ends by the database's clock.
    pub(super) fn remember(&self, membership: &Membership) {
        if membership.muted.is_some() {
            return;
        }
        let mut rooms = self.lock();
        if rooms.len() >= ROOMS && !rooms.contains_key(&membership.room.public_id) {
            rooms.clear();
        }
        rooms.entry(membership.room.public_id).or_default().insert(membership.member.visitor, membership.clone());
    }

    /// Forgets a room: somebody's rights in it have changed.
    pub(super) fn forget(&self, room: Uuid) {
        self.lock().remove(&room);
    }

    /// Forgets one place: the visitor has got a new one, which says nothing of the others.
    pub(super) fn forget_membership(&self, room: Uuid, visitor: i64) {
        if let Some(places) = self.lock().get_mut(&room) {
            places.remove(&visitor);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, HashMap<i64, Membership>>> {
        self.rooms.lock()
    }
}
