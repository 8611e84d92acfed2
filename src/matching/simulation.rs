//! The pairing rule without a server, for measurements (`sim`) and models (tests).
use time::OffsetDateTime;
use uuid::Uuid;

pub use super::model::Seek;
use super::model::{Ticket, TicketId};
use super::pair::{Exclusions, pair};
pub use crate::ids::VisitorId;

/// A waiting pool in memory: tickets, and pairs of visitors who should not be matched.
#[derive(Default)]
pub struct Simulation {
    tickets: Vec<Ticket>,
    exclusions: Exclusions,
}

/// What one round of pairing made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Pairs in all.
    pub pairs: usize,
    /// Pairs that share an interest.
    pub sharing: usize,
}

impl Simulation {
    /// Adds the ticket of a visitor, who has none yet and waits since `since`.
    pub fn add(&mut self, visitor: VisitorId, seek: Seek, since: OffsetDateTime) {
        self.tickets.push(Ticket { id: TicketId(visitor.0), public_id: Uuid::nil(), visitor, seek, since });
    }

    /// Keeps two visitors apart because their talk ended at `ended`.
    pub fn exclude_recent(&mut self, one: VisitorId, other: VisitorId, ended: OffsetDateTime) {
        self.exclusions.add_recent(one, other, ended);
    }

    /// Keeps two visitors apart, because one has blocked the other.
    pub fn block(&mut self, one: VisitorId, other: VisitorId) {
        self.exclusions.add_block(one, other);
    }

    /// Runs one round. The pool stays as it is.
    pub fn pair(&self, now: OffsetDateTime) -> Round {
        let made = pair(&self.tickets, &self.exclusions, now);
        Round { pairs: made.len(), sharing: made.iter().filter(|one| one.shared > 0).count() }
    }
}

/// A stream of pseudo-random numbers (SplitMix64): the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// Returns the stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns the next number, below `limit`, which is not 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit
    }

    /// Returns one of the items. There must be at least one.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap_or_default()]
    }
}
