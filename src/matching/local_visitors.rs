//! The visitors that this node tracks: their sockets, their waiting tickets and the talks they
//! entered.
//!
//! In memory only. The table `random_ticket` decides who waits; this records which tickets this
//! node is responsible for.
use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::limits::{AWAY_DEBOUNCE, TICKET_GRACE};
use super::model::{Seek, TalkId};
use crate::ids::VisitorId;

/// The largest number of tickets with an uncertain commit that are kept for deletion. Further ones
/// are not deleted; the node adopts them when it compares its tickets with the table.
const MAX_UNCERTAIN_TICKETS: usize = 10_000;

/// A waiting ticket that this node tracks, because it has the visitor's socket or had it a moment
/// ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrackedTicket {
    pub ticket: Uuid,
    pub seek: Seek,
    pub since: OffsetDateTime,
}

/// The state of a visitor whose last socket on this node has closed.
struct Disconnection {
    since: Instant,
    /// The side of the visitor's talk is marked away, and `partner` was sent to the other side.
    marked_away: bool,
    /// The row of the visitor's ticket is marked as not connected.
    ticket_marked: bool,
}

/// The silent sockets of a visitor.
#[derive(Default)]
struct Silent {
    sockets: usize,
    /// The talk that the visitor was in, for the time when a socket is heard again.
    talk: Option<TalkId>,
}

/// The visitors of a node.
#[derive(Default)]
pub(super) struct LocalVisitors(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The number of open sockets of each visitor.
    sockets: HashMap<VisitorId, usize>,
    disconnected: HashMap<VisitorId, Disconnection>,
    tickets: HashMap<VisitorId, TrackedTicket>,
    /// The talk that a visitor's sockets on this node have entered.
    entered: HashMap<VisitorId, TalkId>,
    /// The open sockets whose clients do not answer. They are not in `sockets`.
    silent: HashMap<VisitorId, Silent>,
    uncertain: Vec<Uuid>,
}

impl Inner {
    fn start_grace_if_disconnected(&mut self, visitor: VisitorId, now: Instant) {
        if !self.sockets.contains_key(&visitor) {
            let disconnection = Disconnection { since: now, marked_away: false, ticket_marked: false };
            self.disconnected.insert(visitor, disconnection);
        }
    }

    fn discount(&mut self, visitor: VisitorId, since: Instant) {
        let Some(count) = self.sockets.get_mut(&visitor) else { return };
        *count -= 1;
        if *count == 0 {
            self.sockets.remove(&visitor);
            if self.tickets.contains_key(&visitor) || self.entered.contains_key(&visitor) {
                self.start_grace_if_disconnected(visitor, since);
            }
        }
    }

    /// Removes a socket from the silent ones. Returns the talk that the visitor was in.
    fn remove_silent(&mut self, visitor: VisitorId) -> Option<TalkId> {
        let silent = self.silent.get_mut(&visitor)?;
        silent.sockets -= 1;
        let talk = silent.talk;
        if silent.sockets == 0 {
            self.silent.remove(&visitor);
        }
        talk
    }
}

impl LocalVisitors {
    /// Counts a socket that opened.
    pub(super) fn connected(&self, visitor: VisitorId) {
        let mut inner = self.lock();
        *inner.sockets.entry(visitor).or_default() += 1;
        inner.disconnected.remove(&visitor);
    }

    /// Discounts a socket that closed. After the last one the visitor's grace period starts.
    pub(super) fn disconnected(&self, visitor: VisitorId, now: Instant) {
        self.lock().discount(visitor, now);
    }

    /// Discounts a socket whose client does not answer. Its silence was long enough, so after the
    /// last one the visitor's side is due to be marked away.
    pub(super) fn fell_silent(&self, visitor: VisitorId, now: Instant) {
        let mut inner = self.lock();
        let talk = inner.entered.get(&visitor).copied();
        let silent = inner.silent.entry(visitor).or_default();
        silent.sockets += 1;
        silent.talk = talk.or(silent.talk);
        inner.discount(visitor, now.checked_sub(AWAY_DEBOUNCE).unwrap_or(now));
    }

    /// Counts a socket again whose client had fallen silent. If the visitor's talk is still open,
    /// its side has returned; [`LocalVisitors::entered_talks`] names it from now on.
    pub(super) fn heard_again(&self, visitor: VisitorId) {
        let mut inner = self.lock();
        if let Some(talk) = inner.remove_silent(visitor) {
            inner.entered.entry(visitor).or_insert(talk);
        }
        *inner.sockets.entry(visitor).or_default() += 1;
        inner.disconnected.remove(&visitor);
    }

    /// Forgets a silent socket that closed.
    pub(super) fn closed_silently(&self, visitor: VisitorId) {
        self.lock().remove_silent(visitor);
    }

    /// Returns `true` if a visitor's sockets here have entered a talk that is open.
    pub(super) fn is_in_talk(&self, visitor: VisitorId) -> bool {
        self.lock().entered.contains_key(&visitor)
    }

    /// Tracks a ticket in place of the visitor's earlier one. The grace period of a visitor without
    /// a socket starts now.
    pub(super) fn track(&self, visitor: VisitorId, ticket: TrackedTicket, now: Instant) {
        let mut inner = self.lock();
        inner.tickets.insert(visitor, ticket);
        match inner.disconnected.get_mut(&visitor) {
            Some(disconnection) => disconnection.ticket_marked = false, // the mark was on the earlier ticket
            None => inner.start_grace_if_disconnected(visitor, now),
        }
    }

    /// Stops tracking a visitor's ticket, whichever it is.
    pub(super) fn untrack(&self, visitor: VisitorId) {
        self.lock().tickets.remove(&visitor);
    }

    /// Stops tracking a ticket, unless the visitor has another one by now.
    pub(super) fn untrack_ticket(&self, visitor: VisitorId, ticket: Uuid) {
        let mut inner = self.lock();
        if inner.tickets.get(&visitor).is_some_and(|tracked| tracked.ticket == ticket) {
            inner.tickets.remove(&visitor);
        }
    }

    /// Returns all tracked tickets.
    pub(super) fn tracked(&self) -> Vec<(VisitorId, TrackedTicket)> {
        self.lock().tickets.iter().map(|(visitor, tracked)| (*visitor, tracked.clone())).collect()
    }

    /// Returns the tracked tickets of visitors without a socket here whose rows are not marked yet.
    pub(super) fn unmarked_disconnected(&self) -> Vec<(VisitorId, Uuid)> {
        let inner = self.lock();
        let unmarked = inner.disconnected.iter().filter(|(_, disconnection)| !disconnection.ticket_marked);
        unmarked.filter_map(|(visitor, _)| Some((*visitor, inner.tickets.get(visitor)?.ticket))).collect()
    }

    /// Records that the rows of these tickets are marked as not connected.
    pub(super) fn set_marked_disconnected(&self, marked: &[(VisitorId, Uuid)]) {
        let mut inner = self.lock();
        let Inner { disconnected, tickets, .. } = &mut *inner;
        for (visitor, ticket) in marked {
            if let Some(disconnection) = disconnected.get_mut(visitor)
                && tickets.get(visitor).is_some_and(|tracked| tracked.ticket == *ticket)
            {
                disconnection.ticket_marked = true;
            }
        }
    }

    /// Returns `true` if a visitor has a socket here.
    pub(super) fn is_connected(&self, visitor: VisitorId) -> bool {
        self.lock().sockets.contains_key(&visitor)
    }

    /// Returns `true` if a visitor has a socket here, or its grace period has not ended.
    pub(super) fn is_present(&self, visitor: VisitorId) -> bool {
        let inner = self.lock();
        inner.sockets.contains_key(&visitor) || inner.disconnected.contains_key(&visitor)
    }

    /// Records that a visitor's socket here entered a talk.
    pub(super) fn entered_talk(&self, visitor: VisitorId, talk: TalkId, now: Instant) {
        let mut inner = self.lock();
        inner.entered.insert(visitor, talk);
        if let Some(silent) = inner.silent.get_mut(&visitor) {
            silent.talk = Some(talk);
        }
        inner.start_grace_if_disconnected(visitor, now);
    }

    /// Records that a visitor's talk ended.
    pub(super) fn left_talk(&self, visitor: VisitorId) {
        let mut inner = self.lock();
        inner.entered.remove(&visitor);
        if let Some(silent) = inner.silent.get_mut(&visitor) {
            silent.talk = None;
        }
    }

    /// Returns the visitors with a socket here that are in a talk, each with that talk.
    pub(super) fn entered_talks(&self) -> Vec<(VisitorId, TalkId)> {
        let inner = self.lock();
        let connected = inner.entered.iter().filter(|(visitor, _)| inner.sockets.contains_key(visitor));
        connected.map(|(visitor, talk)| (*visitor, *talk)).collect()
    }

    /// Returns the visitors in a talk that have had no socket for [`AWAY_DEBOUNCE`] and are not
    /// marked away yet.
    pub(super) fn due_away(&self, now: Instant) -> Vec<VisitorId> {
        let inner = self.lock();
        let due = inner.disconnected.iter().filter(|(visitor, disconnection)| {
            !disconnection.marked_away
                && now - disconnection.since >= AWAY_DEBOUNCE
                && inner.entered.contains_key(visitor)
        });
        due.map(|(visitor, _)| *visitor).collect()
    }

    /// Records that the sides of these visitors are marked away.
    pub(super) fn set_marked_away(&self, visitors: &[VisitorId]) {
        let mut inner = self.lock();
        for visitor in visitors {
            if let Some(disconnection) = inner.disconnected.get_mut(visitor) {
                disconnection.marked_away = true;
                inner.entered.remove(visitor);
            }
        }
    }

    /// Forgets the visitors whose grace period has ended, and returns the tickets they had.
    pub(super) fn expire(&self, now: Instant) -> Vec<(VisitorId, Uuid)> {
        let mut inner = self.lock();
        let Inner { disconnected, tickets, entered, .. } = &mut *inner;
        let mut expired = Vec::new();
        disconnected.retain(|visitor, disconnection| {
            let must_be_marked = entered.contains_key(visitor) && !disconnection.marked_away;
            let keep = now - disconnection.since < TICKET_GRACE || must_be_marked;
            if !keep && let Some(tracked) = tickets.remove(visitor) {
                expired.push((*visitor, tracked.ticket));
            }
            keep
        });
        expired
    }

    /// Remembers tickets whose commit is uncertain. Their visitors got the answer `unavailable`, so
    /// the tickets must be deleted if they were committed.
    pub(super) fn add_uncertain(&self, tickets: impl IntoIterator<Item = Uuid>) {
        let mut inner = self.lock();
        let free = MAX_UNCERTAIN_TICKETS.saturating_sub(inner.uncertain.len());
        inner.uncertain.extend(tickets.into_iter().take(free));
    }

    /// Returns the tickets whose commit is uncertain.
    pub(super) fn uncertain(&self) -> Vec<Uuid> {
        self.lock().uncertain.clone()
    }

    /// Forgets tickets that have been deleted.
    pub(super) fn remove_uncertain(&self, tickets: &[Uuid]) {
        self.lock().uncertain.retain(|ticket| !tickets.contains(ticket));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}
