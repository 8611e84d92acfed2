//! Coalescing: entries of a large room wait briefly, so that each of its sockets is written to once
//! for several.
use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::ids::RoomId;
use crate::realtime::Topic;

/// About what a write to one socket costs. A room is written to at most once in this time for each
/// of its sockets, and entries that come faster go out together, so that no room takes more than
/// about half of a core.
const COST_PER_SOCKET: Duration = Duration::from_micros(8);
/// The longest time that this cost makes an entry wait.
const MAX_MIN_WAIT: Duration = Duration::from_millis(10);
/// A wait that is not worth a timer.
const NEGLIGIBLE_WAIT: Duration = Duration::from_millis(1);
/// Entries that come more slowly wait until so many go out together, for [`MAX_WAIT_FACTOR`] times
/// as long: nobody sees 20 ms, and the cost of each socket is halved at a hundred entries a second.
pub(super) const MIN_BATCH: usize = 8;
const MAX_WAIT_FACTOR: f64 = 2.5;
/// About what a commit takes. Entries that gather for their commit are committed that much earlier.
const COMMIT_TIME: Duration = Duration::from_millis(2);

/// How long entries of a room wait after the room was written to.
#[derive(Clone, Copy)]
pub(super) struct CoalescePolicy {
    /// Nothing is written before this time has passed.
    pub min_wait: Duration,
    /// Fewer than [`MIN_BATCH`] entries wait this long.
    pub max_wait: Duration,
}

impl CoalescePolicy {
    /// Returns the policy for a room's sockets on this node. `None` if they are so few that each
    /// entry goes out at once.
    pub(super) fn of(app: &App, room: RoomId) -> Option<Self> {
        let sockets = app.hub.subscriber_count(Topic::Room(room));
        let min_wait = COST_PER_SOCKET.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX)).min(MAX_MIN_WAIT);
        (min_wait > NEGLIGIBLE_WAIT).then(|| Self { min_wait, max_wait: min_wait.mul_f64(MAX_WAIT_FACTOR) })
    }

    /// Returns how long entries can wait for their commit, if `held` wait for the sockets since
    /// `written_at`. `None` if the time is over.
    pub(super) fn batch_window(self, written_at: Instant, held: usize) -> Option<BatchWindow> {
        let until = written_at + self.max_wait.checked_sub(COMMIT_TIME)?;
        (until > Instant::now()).then(|| BatchWindow { until, max_entries: MIN_BATCH.saturating_sub(held) })
    }
}

/// How long entries of a room can wait for their commit without a later delivery.
#[derive(Clone, Copy)]
pub(in crate::rooms) struct BatchWindow {
    pub until: Instant,
    /// Number of entries that end the wait.
    pub max_entries: usize,
}
