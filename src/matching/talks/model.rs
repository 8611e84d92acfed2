//! Talks: their sides and how they end, no I/O.
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids::{RoomId, VisitorId};
use crate::matching::limits::{ENTRY_DEADLINE, RETURN_DEADLINE};
use crate::matching::model::{EndReason, PartnerState, Seek, SeekingRef, TalkEvent};
use crate::rooms::Slot;

/// One side of a stored talk.
#[derive(Clone, Debug)]
pub(in crate::matching) struct Side {
    pub visitor: VisitorId,
    pub seek: Seek,
    /// When its visitor started to wait for this talk.
    pub since: OffsetDateTime,
    /// The node that has its socket. `None` until the side has entered.
    pub node: Option<Uuid>,
    pub away_since: Option<OffsetDateTime>,
}

impl Side {
    /// Returns `true` if the side has entered and is not away.
    fn is_here(&self) -> bool {
        self.node.is_some() && self.away_since.is_none()
    }
}

/// A stored talk.
#[derive(Clone, Debug)]
pub(in crate::matching) struct Talk {
    pub public_id: Uuid,
    pub room_id: RoomId,
    pub room: Uuid,
    pub a: Side,
    pub b: Side,
    pub created_at: OffsetDateTime,
    pub ended: bool,
}

impl Talk {
    /// Returns the side in a slot.
    pub(in crate::matching) fn side(&self, slot: Slot) -> &Side {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// Returns the slot of a visitor. `None` if the visitor is not in this talk.
    pub(in crate::matching) fn slot_of(&self, visitor: VisitorId) -> Option<Slot> {
        [Slot::A, Slot::B].into_iter().find(|slot| self.side(*slot).visitor == visitor)
    }

    /// Returns the partner of a visitor. `None` if the visitor is not in this talk.
    pub(super) fn partner_of(&self, visitor: VisitorId) -> Option<VisitorId> {
        self.slot_of(visitor).map(|slot| self.side(other_slot(slot)).visitor)
    }

    /// Returns the ending of this talk by one of its visitors. `None` if the visitor is not in it.
    pub(in crate::matching) fn ending_by(&self, visitor: VisitorId, reason: EndReason) -> Option<Ending> {
        Some(Ending { reason, ended_by: Some(self.slot_of(visitor)?), requeued: None })
    }
}

fn other_slot(slot: Slot) -> Slot {
    match slot {
        Slot::A => Slot::B,
        Slot::B => Slot::A,
    }
}

/// How a talk is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::matching) struct Ending {
    pub reason: EndReason,
    /// The side that ended it. `None` if a deadline passed.
    pub ended_by: Option<Slot>,
    /// The side that goes back to the front of the waiting pool.
    pub requeued: Option<Slot>,
}

/// Returns how a talk ends because a side never entered or was away too long. `None` if no deadline
/// has passed.
///
/// A side goes back to the front of the waiting pool only if it entered and is still there: its
/// partner never came.
pub(in crate::matching) fn timeout_ending(talk: &Talk, now: OffsetDateTime) -> Option<Ending> {
    let lost = |requeued| Some(Ending { reason: EndReason::Lost, ended_by: None, requeued });
    let slots = [Slot::A, Slot::B];
    let entry_is_over = now - talk.created_at >= ENTRY_DEADLINE;
    if slots.iter().any(|slot| talk.side(*slot).node.is_none()) && entry_is_over {
        return lost(slots.into_iter().find(|slot| talk.side(*slot).is_here()));
    }
    let is_lost = |slot: &Slot| talk.side(*slot).away_since.is_some_and(|since| now - since >= RETURN_DEADLINE);
    if slots.iter().any(is_lost) { lost(None) } else { None }
}

/// Returns the events that tell both sides of an end, in order. `ticket` is the new ticket of the
/// side that waits again.
pub(in crate::matching) fn end_events(
    talk: &Talk,
    ending: Ending,
    ticket: Option<Uuid>,
) -> Vec<(VisitorId, TalkEvent)> {
    let session = talk.public_id;
    let ended = |reason, seeking| TalkEvent::Ended { session, reason, seeking };
    let mut events = Vec::with_capacity(4);
    for slot in [Slot::A, Slot::B] {
        let side = talk.side(slot);
        if ending.requeued == Some(slot) {
            events.push((side.visitor, ended(ending.reason, ticket.map(|ticket| SeekingRef { ticket }))));
            continue;
        }
        // After a timeout nobody has left: both sides learn that the connection was lost.
        if ending.ended_by == Some(other_slot(slot)) {
            let left = TalkEvent::Partner { session, state: PartnerState::Left, until: None };
            events.push((side.visitor, left));
        }
        let reason = ending.reason.shown_to_side(ending.ended_by == Some(slot));
        events.push((side.visitor, ended(reason, None)));
    }
    events
}
