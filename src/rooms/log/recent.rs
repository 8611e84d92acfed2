//! Recent client ids: most repeats of an entry are answered from here, before they reach the
//! database.
use std::collections::{HashMap, HashSet, VecDeque};

use time::OffsetDateTime;
use uuid::Uuid;

use super::PendingEntry;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::rooms::Posted;

/// Largest number of client ids that a shard remembers. The oldest are forgotten first.
const MAX_ENTRIES: usize = 20_000;

/// An entry that was committed before.
#[derive(Clone, Copy)]
pub(super) struct Committed {
    pub sender: VisitorId,
    pub seq: Seq,
    pub at: OffsetDateTime,
}

impl Committed {
    /// Returns the answer to a repeat by `sender`: the first answer again.
    ///
    /// # Errors
    /// `conflict` if somebody else used the client id.
    pub(super) fn answer_to(self, sender: VisitorId) -> Result<Posted> {
        repeated(sender == self.sender, self.seq, self.at)
    }
}

/// Returns the answer to a repeat: the first answer again if it is the same entry.
///
/// # Errors
/// `conflict` if it is not.
pub(super) fn repeated(is_same: bool, seq: Seq, at: OffsetDateTime) -> Result<Posted> {
    if is_same || faults::on(Fault::ConflictAccepted) {
        Ok(Posted { seq, at, repeated: true })
    } else {
        Err(Error::Conflict("This client_id is taken in this room. Use a fresh UUID for every entry."))
    }
}

/// The recent entries of a shard, by room and client id.
#[derive(Default)]
pub(super) struct Recent {
    known: HashMap<(RoomId, Uuid), Committed>,
    order: VecDeque<(RoomId, Uuid)>,
}

/// Entries of a batch, parted by whether the batch holds them for the first time.
pub(super) struct Parted {
    pub first: Vec<PendingEntry>,
    /// Repeats of entries in `first`.
    pub repeats: Vec<PendingEntry>,
}

impl Recent {
    /// Returns the committed entry with this client id.
    pub(super) fn find(&self, room: RoomId, client_id: Uuid) -> Option<Committed> {
        self.known.get(&(room, client_id)).copied()
    }

    /// Remembers a committed entry.
    pub(super) fn insert(&mut self, room: RoomId, client_id: Uuid, committed: Committed) {
        if self.known.insert((room, client_id), committed).is_none() {
            self.order.push_back((room, client_id));
            if self.order.len() > MAX_ENTRIES
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }

    /// Answers the repeats of known entries, and parts the rest.
    pub(super) fn answer_repeats(&self, batch: Vec<PendingEntry>) -> Parted {
        let mut seen = HashSet::with_capacity(batch.len());
        let mut parted = Parted { first: Vec::with_capacity(batch.len()), repeats: Vec::new() };
        for entry in batch {
            let key = (entry.room.id, entry.client_id);
            if let Some(committed) = self.find(key.0, key.1) {
                let answer = committed.answer_to(entry.member.visitor);
                (entry.answer)(answer);
            } else if seen.insert(key) {
                parted.first.push(entry);
            } else {
                parted.repeats.push(entry);
            }
        }
        parted
    }
}
