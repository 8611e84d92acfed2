//! Rate limits: token buckets per visitor, address prefix and room, in bounded memory.
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::limits::{self, Rate};
use super::{ClientIp, Prefix};
use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, VisitorId};

/// Shards let requests with different keys proceed without waiting for each other.
const SHARDS: usize = 32;
/// Keys remembered in all shards; they take about 5 MB.
const MAX_KEYS: usize = 100_000;
/// Keys remembered in one shard.
const MAX_SHARD_KEYS: usize = MAX_KEYS / SHARDS;
/// Keys that a full shard evicts at once, so that eviction costs O(1) per key.
const EVICTED_KEYS: usize = MAX_SHARD_KEYS / 8;

/// Lets a request to the API pass while its address prefix has tokens.
///
/// This limits every route, whatever it costs. A visitor's own limit applies in addition.
pub async fn limit_requests(State(app): State<App>, address: ClientIp, request: Request, next: Next) -> Response {
    match app.limits.take(Bucket::PrefixRequests, Key::Prefix(address.prefix())) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The owner of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Visitor(VisitorId),
    Prefix(Prefix),
    Room(RoomId),
    /// Several owners together, such as a prefix in a room, as a hash ([`RateLimiter::take_for`]).
    Composite(u64),
}

/// What is limited. A bucket starts full; each action takes one token. [`limits`] has the rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    Frames,
    ExcessFrames,
    Entries,
    StoredBytes,
    Seeks,
    Reports,
    Rooms,
    Visitors,
    Sockets,
    Requests,
    PrefixRequests,
    UnknownCookies,
    PrefixFrames,
    Hellos,
    Joins,
    Leaves,
    Cancels,
    Blocks,
    EphemeralFrames,
    Typing,
    ReadMarkers,
    EphemeralDeliveries,
    RoomEntries,
    PrefixEntries,
    RepeatedText,
    PrefixJoins,
    Proofs,
    SignUps,
    Mails,
    Exports,
    Uploads,
}

impl Bucket {
    fn rate(self) -> Rate {
        match self {
            Self::Frames => limits::FRAME_RATE,
            Self::ExcessFrames => limits::EXCESS_FRAME_RATE,
            Self::Entries => limits::ENTRY_RATE,
            Self::StoredBytes => limits::STORED_BYTE_RATE,
            Self::Seeks => limits::SEEK_RATE,
            Self::Reports => limits::REPORT_RATE,
            Self::Rooms => limits::ROOM_RATE,
            Self::Visitors => limits::VISITOR_RATE,
            Self::Sockets => limits::SOCKET_RATE,
            Self::Requests => limits::REQUEST_RATE,
            Self::PrefixRequests => limits::PREFIX_REQUEST_RATE,
            Self::UnknownCookies => limits::UNKNOWN_COOKIE_RATE,
            Self::PrefixFrames => limits::PREFIX_FRAME_RATE,
            Self::Hellos => limits::HELLO_RATE,
            Self::Joins => limits::JOIN_RATE,
            Self::Leaves => limits::LEAVE_RATE,
            Self::Cancels => limits::CANCEL_RATE,
            Self::Blocks => limits::BLOCK_RATE,
            Self::EphemeralFrames => limits::EPHEMERAL_FRAME_RATE,
            Self::Typing => limits::TYPING_RATE,
            Self::ReadMarkers => limits::READ_MARKER_RATE,
            Self::EphemeralDeliveries => limits::EPHEMERAL_DELIVERY_RATE,
            Self::RoomEntries => limits::ROOM_ENTRY_RATE,
            Self::PrefixEntries => limits::PREFIX_ENTRY_RATE,
            Self::RepeatedText => limits::REPEATED_TEXT_RATE,
            Self::PrefixJoins => limits::PREFIX_JOIN_RATE,
            Self::Proofs => limits::PROOF_RATE,
            Self::SignUps => limits::SIGN_UP_RATE,
            Self::Mails => limits::MAIL_RATE,
            Self::Exports => limits::EXPORT_RATE,
            Self::Uploads => limits::UPLOAD_RATE,
        }
    }
}

/// The instants at which buckets are full again.
///
/// This is the generic cell rate algorithm (ITU-T I.371): one value holds both the tokens and
/// their age, and an instant in the past means the same as no entry.
type Shard = HashMap<(Bucket, Key), Instant>;

/// The token buckets of this node.
pub struct RateLimiter {
    /// `None` if the settings switch rate limits off.
    shards: Option<Vec<Mutex<Shard>>>,
    hasher: RandomState,
}

impl RateLimiter {
    /// Creates a limiter in which every bucket is full.
    pub fn new(config: &Config) -> Self {
        let shards = (config.limits && !faults::on(Fault::RateLimitOff))
            .then(|| (0..SHARDS).map(|_| Mutex::default()).collect());
        Self { shards, hasher: RandomState::new() }
    }

    /// Takes one token, in O(1).
    ///
    /// When memory is full, the fullest buckets are evicted, so that keys that are throttled stay
    /// throttled.
    ///
    /// # Errors
    /// `rate_limited` with the time until there is a token. A refusal takes no token.
    pub fn take(&self, bucket: Bucket, key: Key) -> Result<()> {
        self.take_many(bucket, key, 1)
    }

    /// Takes one token of several owners together, such as a prefix in a room.
    ///
    /// # Errors
    /// As [`RateLimiter::take`].
    pub fn take_for(&self, bucket: Bucket, owners: impl Hash) -> Result<()> {
        // Nothing is hashed where limits are off.
        if self.shards.is_none() { Ok(()) } else { self.take(bucket, Key::Composite(self.hasher.hash_one(owners))) }
    }

    /// Returns a hash of a value, to be part of the owners of [`RateLimiter::take_for`]; 0 where
    /// limits are off.
    pub fn hash(&self, value: impl Hash) -> u64 {
        if self.shards.is_none() { 0 } else { self.hasher.hash_one(value) }
    }

    /// Takes several tokens at once, at most as many as a full bucket holds.
    ///
    /// # Errors
    /// As [`RateLimiter::take`].
    pub fn take_many(&self, bucket: Bucket, key: Key, tokens: u32) -> Result<()> {
        let Some(shards) = &self.shards else { return Ok(()) };
        let rate = bucket.rate();
        let interval = rate.refill_interval();
        let now = Instant::now();
        let entry = (bucket, key);
        let mut shard = shards[self.shard_of(entry)].lock();
        let full_at = shard.get(&entry).copied().unwrap_or(now).max(now) + interval * tokens.min(rate.capacity);
        let latest = now + interval * rate.capacity;
        if full_at > latest {
            return Err(Error::RateLimited { after: full_at - latest });
        }
        if shard.len() >= MAX_SHARD_KEYS && !shard.contains_key(&entry) {
            evict(&mut shard, now);
        }
        shard.insert(entry, full_at);
        Ok(())
    }

    /// Returns a token that was taken for an action that turned out to cost nothing.
    pub fn refund(&self, bucket: Bucket, key: Key) {
        let Some(shards) = &self.shards else { return };
        let entry = (bucket, key);
        let mut shard = shards[self.shard_of(entry)].lock();
        if let Some(full_at) = shard.get_mut(&entry) {
            *full_at -= bucket.rate().refill_interval();
        }
    }

    fn shard_of(&self, entry: (Bucket, Key)) -> usize {
        usize::try_from(self.hasher.hash_one(entry) % SHARDS as u64).unwrap_or_default()
    }

    /// Returns the number of keys that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let shards = self.shards.iter().flatten();
        shards.map(|shard| shard.lock().len()).sum()
    }
}

/// Removes the buckets that are full again, which loses nothing. If that frees too little, removes
/// the buckets that are nearest to full as well.
fn evict(shard: &mut Shard, now: Instant) {
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() + EVICTED_KEYS <= MAX_SHARD_KEYS {
        return;
    }
    let mut instants: Vec<Instant> = shard.values().copied().collect();
    let nth = EVICTED_KEYS.min(instants.len().saturating_sub(1));
    let (_, limit, _) = instants.select_nth_unstable(nth);
    let limit = *limit;
    let mut evicted = 0;
    shard.retain(|_, full_at| {
        let stays = *full_at > limit || evicted == EVICTED_KEYS;
        evicted += usize::from(!stays);
        stays
    });
}
