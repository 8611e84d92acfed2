//! Rate limits: token buckets per visitor and per address prefix, in bounded memory.
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Prefix;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};

/// Shards keep takers of different keys out of each other's way.
const SHARDS: usize = 32;
/// Keys remembered in a shard; 100,000 in all, about 5 MB.
const KEYS: usize = 100_000 / SHARDS;
/// Keys a full shard makes room for at once, so that the sweep costs O(1) a key.
const SWEEP: usize = KEYS / 8;

/// Whose tokens are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Visitor(i64),
    Prefix(Prefix),
}

/// What is limited. A bucket starts full; each act takes one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Frames of a visitor's sockets: 40 a second, 80 at once.
    Frames,
    /// Frames beyond those, which are refused: 40 a second, 500 at once. Past that the visitor's sockets are closed.
    Excess,
    /// Entries a visitor writes to rooms: 8 a second, 30 at once.
    Sends,
    /// Searches for a partner: 2 a second, 20 at once.
    Seeks,
    /// Reports: 1 in 10 seconds, 10 at once.
    Reports,
    /// Rooms a visitor creates: 1 a second, 30 at once.
    Rooms,
    /// New visitors from a prefix: 10 a second, 400 at once.
    Visitors,
    /// Socket upgrades from a prefix: 50 a second, 500 at once.
    Sockets,
    /// REST requests: 50 a second, 200 at once.
    Requests,
    /// Frames from a prefix, all its visitors together: 2,000 a second, 8,000 at once.
    PrefixFrames,
}

impl Bucket {
    /// The time in which one token comes back, and how many tokens a full bucket holds.
    fn figures(self) -> (Duration, u32) {
        let (every_us, burst) = match self {
            Self::Frames => (25_000, 80),
            Self::Excess => (25_000, 500),
            Self::Sends => (125_000, 30),
            Self::Seeks => (500_000, 20),
            Self::Reports => (10_000_000, 10),
            Self::Rooms => (1_000_000, 30),
            Self::Visitors => (100_000, 400),
            Self::Sockets => (20_000, 500),
            Self::Requests => (20_000, 200),
            Self::PrefixFrames => (500, 8_000),
        };
        (Duration::from_micros(every_us), burst)
    }
}

/// A bucket is kept as the moment at which it is full again (the generic cell rate algorithm, ITU-T I.371): one value
/// holds both the tokens and their age, and a moment in the past is the same as no entry.
type Shard = HashMap<(Bucket, Key), Instant>;

/// The token buckets of this node.
pub struct Limits {
    /// None: limits are off.
    shards: Option<Vec<Mutex<Shard>>>,
    hasher: RandomState,
}

impl Limits {
    /// Empty memory, or none at all where the settings lift the limits.
    pub fn new(config: &Config) -> Self {
        let shards = (config.limits && !faults::on(Fault::RateLimitOff))
            .then(|| (0..SHARDS).map(|_| Mutex::default()).collect());
        Self { shards, hasher: RandomState::new() }
    }

    /// Takes one token, in O(1). Errors: `rate_limited` with the time until there is one; a refusal costs nothing.
    ///
    /// Past 100,000 keys the buckets that are the nearest to full are forgotten, so whoever is being held back stays so.
    pub fn take(&self, bucket: Bucket, key: Key) -> Result<()> {
        let Some(shards) = &self.shards else { return Ok(()) };
        let (every, burst) = bucket.figures();
        let now = Instant::now();
        let place = (bucket, key);
        let index = usize::try_from(self.hasher.hash_one(place) % SHARDS as u64).unwrap_or_default();
        let mut shard = shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = shard.get(&place).copied().unwrap_or(now).max(now) + every;
        let allowed = now + every * burst;
        if full_at > allowed {
            return Err(Error::RateLimited { after: full_at - allowed });
        }
        if shard.len() >= KEYS && !shard.contains_key(&place) {
            sweep(&mut shard, now);
        }
        shard.insert(place, full_at);
        Ok(())
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let shards = self.shards.iter().flatten();
        shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// Forgets the buckets that are full again, which loses nothing; if those are few, the nearest to full as well.
fn sweep(shard: &mut Shard, now: Instant) {
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() + SWEEP <= KEYS {
        return;
    }
    let mut moments: Vec<Instant> = shard.values().copied().collect();
    let place = SWEEP.min(moments.len().saturating_sub(1));
    let (_, limit, _) = moments.select_nth_unstable(place);
    let limit = *limit;
    let mut forgotten = 0;
    shard.retain(|_, full_at| {
        let stays = *full_at > limit || forgotten == SWEEP;
        forgotten += usize::from(!stays);
        stays
    });
}
