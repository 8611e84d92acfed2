//! Rate limits: token buckets per visitor, address prefix and room, in bounded memory.
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{ClientIp, Prefix};
use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};

/// Shards keep takers of different keys out of each other's way.
const SHARDS: usize = 32;
/// Keys remembered in a shard; 100,000 in all, about 5 MB.
const KEYS: usize = 100_000 / SHARDS;
/// Keys a full shard makes room for at once, so that the sweep costs O(1) a key.
const SWEEP: usize = KEYS / 8;

/// Lets a request to the API pass while its address prefix has tokens: this bounds every route, whatever it costs. A visitor's
/// own limit comes on top.
pub async fn limited(State(app): State<App>, address: ClientIp, request: Request, next: Next) -> Response {
    match app.limits.take(Bucket::PrefixRequests, Key::Prefix(address.prefix())) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whose tokens are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Visitor(i64),
    Prefix(Prefix),
    Room(i64),
    /// Several things at once, such as a prefix in a room, as a hash ([`Limits::take_for`]).
    Together(u64),
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
    /// Bytes of those entries as they are stored: 2 MiB an hour, 1 MiB at once. Nobody who types comes near it.
    Bytes,
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
    /// REST requests of a visitor, reads and writes: 50 a second, 200 at once.
    Requests,
    /// REST requests from a prefix, all its visitors together and those without one: 200 a second, 2,000 at once.
    PrefixRequests,
    /// Cookies from a prefix that name no session; each costs a look: 10 a second, 400 at once.
    Cookies,
    /// Frames from a prefix, all its visitors together: 2,000 a second, 8,000 at once.
    PrefixFrames,
    /// Hellos of a visitor's sockets: 2 a second, 40 at once.
    Hellos,
    /// Rooms a visitor enters: 2 a second, 60 at once.
    Joins,
    /// Rooms and talks a visitor leaves: as many as it enters.
    Leaves,
    /// Seeks a visitor takes back: as many as it begins.
    Cancels,
    /// People a visitor blocks: 1 a second, 20 at once.
    Blocks,
    /// `typing` and `read` of a visitor: 20 a second, 60 at once. Most are not told to others.
    Signs,
    /// `typing` of a member that a room is told of: 1 in 2 seconds, 6 at once: each message that went off makes the next letter news.
    Typing,
    /// `read` of a member that a room is told of at once: 1 a second. The last one is told a moment later.
    Reading,
    /// Deliveries of `typing` and `read` in a room: 1,000 a second, 3,000 at once.
    Deliveries,
    /// Entries that a room of many takes: 100 a second, 300 at once.
    RoomSends,
    /// Entries that it takes from one prefix, as a school has: 20 a second, 120 at once.
    PrefixSends,
    /// The same text from one prefix: 1 a second, 20 at once.
    SameText,
    /// Those who enter a room from one prefix: 10 a second, 200 at once.
    PrefixJoins,
}

impl Bucket {
    /// The time in which one token comes back, and how many tokens a full bucket holds.
    fn figures(self) -> (Duration, u32) {
        let (every_us, burst) = match self {
            Self::Frames => (25_000, 80),
            Self::Excess => (25_000, 500),
            Self::Sends => (125_000, 30),
            Self::Bytes => (1_717, 1024 * 1024),
            Self::Seeks => (500_000, 20),
            Self::Reports => (10_000_000, 10),
            Self::Rooms => (1_000_000, 30),
            Self::Visitors => (100_000, 400),
            Self::Sockets => (20_000, 500),
            Self::Requests => (20_000, 200),
            Self::PrefixRequests => (5_000, 2_000),
            Self::Cookies => (100_000, 400),
            Self::PrefixFrames => (500, 8_000),
            Self::Hellos => (500_000, 40),
            Self::Joins | Self::Leaves => (500_000, 60),
            Self::Cancels => (500_000, 20),
            Self::Blocks => (1_000_000, 20),
            Self::Signs => (50_000, 60),
            Self::Typing => (2_000_000, 6),
            Self::Reading => (1_000_000, 1),
            Self::Deliveries => (1_000, 3_000),
            Self::RoomSends => (10_000, 300),
            Self::PrefixSends => (50_000, 120),
            Self::SameText => (1_000_000, 20),
            Self::PrefixJoins => (100_000, 200),
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
        self.take_many(bucket, key, 1)
    }

    /// Takes a token for several things together, such as a prefix in a room. Errors: as [`Limits::take`].
    pub fn take_for(&self, bucket: Bucket, whose: impl Hash) -> Result<()> {
        // Where limits are off nothing is hashed.
        if self.shards.is_none() { Ok(()) } else { self.take(bucket, Key::Together(self.hasher.hash_one(whose))) }
    }

    /// Returns a number for what several things have in common; 0 where limits are off.
    pub fn hash(&self, what: impl Hash) -> u64 {
        if self.shards.is_none() { 0 } else { self.hasher.hash_one(what) }
    }

    /// Takes several tokens at once, at most as many as a full bucket holds. Errors: as [`Limits::take`].
    pub fn take_many(&self, bucket: Bucket, key: Key, tokens: u32) -> Result<()> {
        let Some(shards) = &self.shards else { return Ok(()) };
        let (every, burst) = bucket.figures();
        let now = Instant::now();
        let place = (bucket, key);
        let mut shard = shards[self.shard_of(place)].lock();
        let full_at = shard.get(&place).copied().unwrap_or(now).max(now) + every * tokens.min(burst);
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

    /// Puts back a token that was taken for something that turned out to be free.
    pub fn give_back(&self, bucket: Bucket, key: Key) {
        let Some(shards) = &self.shards else { return };
        let (every, _) = bucket.figures();
        let place = (bucket, key);
        let mut shard = shards[self.shard_of(place)].lock();
        if let Some(full_at) = shard.get_mut(&place) {
            *full_at -= every;
        }
    }

    fn shard_of(&self, place: (Bucket, Key)) -> usize {
        usize::try_from(self.hasher.hash_one(place) % SHARDS as u64).unwrap_or_default()
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let shards = self.shards.iter().flatten();
        shards.map(|shard| shard.lock().len()).sum()
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
