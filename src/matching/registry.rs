//! Whose sockets and tickets this node holds. In memory only: the table is the queue, this is who answers for it.
use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::model::{DEBOUNCE, Seek, TICKET_GRACE};

/// Tickets of unknown outcome kept for deletion at most; past it they are left to be adopted.
const UNSURE: usize = 10_000;

/// A seeker whose socket (or its grace) this node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seeker {
    pub ticket: Uuid,
    pub seek: Seek,
    pub since: OffsetDateTime,
}

/// A visitor whose last socket on this node has closed.
struct Gone {
    since: Instant,
    /// Whether the other side of a talk was told.
    told: bool,
    /// Whether it was noted of the ticket.
    noted: bool,
}

/// The sockets and seekers of a node.
#[derive(Default)]
pub(super) struct Registry(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    sockets: HashMap<i64, usize>,
    gone: HashMap<i64, Gone>,
    seekers: HashMap<i64, Seeker>,
    /// The talk that a visitor's sockets here have entered.
    inside: HashMap<i64, i64>,
    unsure: Vec<Uuid>,
}

impl Inner {
    fn leave_if_alone(&mut self, visitor: i64, now: Instant) {
        if !self.sockets.contains_key(&visitor) {
            self.gone.insert(visitor, Gone { since: now, told: false, noted: false });
        }
    }
}

impl Registry {
    /// A socket opened.
    pub(super) fn connected(&self, visitor: i64) {
        let mut inner = self.lock();
        *inner.sockets.entry(visitor).or_default() += 1;
        inner.gone.remove(&visitor);
    }

    /// A socket closed.
    pub(super) fn disconnected(&self, visitor: i64, now: Instant) {
        let mut inner = self.lock();
        let Some(count) = inner.sockets.get_mut(&visitor) else { return };
        *count -= 1;
        if *count == 0 {
            inner.sockets.remove(&visitor);
            if inner.seekers.contains_key(&visitor) || inner.inside.contains_key(&visitor) {
                inner.leave_if_alone(visitor, now);
            }
        }
    }

    /// Holds a seeker, in place of the ticket it had before. One without a socket has its grace from now on.
    pub(super) fn hold(&self, visitor: i64, seeker: Seeker, now: Instant) {
        let mut inner = self.lock();
        inner.seekers.insert(visitor, seeker);
        match inner.gone.get_mut(&visitor) {
            Some(gone) => gone.noted = false, // of the ticket before
            None => inner.leave_if_alone(visitor, now),
        }
    }

    /// Holds a seeker no longer, whatever its ticket.
    pub(super) fn release(&self, visitor: i64) {
        self.lock().seekers.remove(&visitor);
    }

    /// Holds a seeker no longer, unless it has another ticket by now.
    pub(super) fn release_ticket(&self, visitor: i64, ticket: Uuid) {
        let mut inner = self.lock();
        if inner.seekers.get(&visitor).is_some_and(|seeker| seeker.ticket == ticket) {
            inner.seekers.remove(&visitor);
        }
    }

    /// Everybody who is held.
    pub(super) fn seekers(&self) -> Vec<(i64, Seeker)> {
        self.lock().seekers.iter().map(|(visitor, seeker)| (*visitor, seeker.clone())).collect()
    }

    /// Seekers without a socket here whose tickets do not say so yet.
    pub(super) fn to_note_gone(&self) -> Vec<(i64, Uuid)> {
        let inner = self.lock();
        let gone = inner.gone.iter().filter(|(_, gone)| !gone.noted);
        gone.filter_map(|(visitor, _)| Some((*visitor, inner.seekers.get(visitor)?.ticket))).collect()
    }

    /// The tickets of these seekers say it now.
    pub(super) fn noted_gone(&self, seekers: &[(i64, Uuid)]) {
        let mut inner = self.lock();
        let Inner { gone, seekers: held, .. } = &mut *inner;
        for (visitor, ticket) in seekers {
            if let Some(gone) = gone.get_mut(visitor)
                && held.get(visitor).is_some_and(|seeker| seeker.ticket == *ticket)
            {
                gone.noted = true;
            }
        }
    }

    /// Whether a visitor has a socket here.
    pub(super) fn is_connected(&self, visitor: i64) -> bool {
        self.lock().sockets.contains_key(&visitor)
    }

    /// Whether a visitor has a socket here, or lost it less than the grace ago.
    pub(super) fn is_present(&self, visitor: i64) -> bool {
        let inner = self.lock();
        inner.sockets.contains_key(&visitor) || inner.gone.contains_key(&visitor)
    }

    /// A socket here entered a talk.
    pub(super) fn entered(&self, visitor: i64, talk: i64, now: Instant) {
        let mut inner = self.lock();
        inner.inside.insert(visitor, talk);
        inner.leave_if_alone(visitor, now);
    }

    /// A visitor has heard that its talk ended.
    pub(super) fn left(&self, visitor: i64) {
        self.lock().inside.remove(&visitor);
    }

    /// The visitors with a socket here that are inside a talk, and which.
    pub(super) fn inside(&self) -> Vec<(i64, i64)> {
        let inner = self.lock();
        let here = inner.inside.iter().filter(|(visitor, _)| inner.sockets.contains_key(visitor));
        here.map(|(visitor, talk)| (*visitor, *talk)).collect()
    }

    /// Visitors without a socket for so long that the other side of their talk is to be told.
    pub(super) fn to_mark_away(&self, now: Instant) -> Vec<i64> {
        let inner = self.lock();
        let due = inner
            .gone
            .iter()
            .filter(|(visitor, gone)| !gone.told && now - gone.since >= DEBOUNCE && inner.inside.contains_key(visitor));
        due.map(|(visitor, _)| *visitor).collect()
    }

    /// The other sides of these visitors have been told.
    pub(super) fn marked_away(&self, visitors: &[i64]) {
        let mut inner = self.lock();
        for visitor in visitors {
            if let Some(gone) = inner.gone.get_mut(visitor) {
                gone.told = true;
                inner.inside.remove(visitor);
            }
        }
    }

    /// Forgets those who have had no socket for the grace, and answers the tickets they leave behind.
    pub(super) fn lapse(&self, now: Instant) -> Vec<(i64, Uuid)> {
        let mut inner = self.lock();
        let Inner { gone, seekers, inside, .. } = &mut *inner;
        let mut left = Vec::new();
        gone.retain(|visitor, gone| {
            let keep = now - gone.since < TICKET_GRACE || (inside.contains_key(visitor) && !gone.told);
            if !keep && let Some(seeker) = seekers.remove(visitor) {
                left.push((*visitor, seeker.ticket));
            }
            keep
        });
        left
    }

    /// Remembers tickets whose commit is unknown: their seekers were told `unavailable`, so they must not stand.
    pub(super) fn doubt(&self, tickets: impl IntoIterator<Item = Uuid>) {
        let mut inner = self.lock();
        let room = UNSURE.saturating_sub(inner.unsure.len());
        inner.unsure.extend(tickets.into_iter().take(room));
    }

    /// The tickets of unknown outcome.
    pub(super) fn doubted(&self) -> Vec<Uuid> {
        self.lock().unsure.clone()
    }

    /// These are known not to stand any more.
    pub(super) fn settle_doubts(&self, tickets: &[Uuid]) {
        self.lock().unsure.retain(|ticket| !tickets.contains(ticket));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}
