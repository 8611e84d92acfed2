//! The pace of large rooms: a moment in which entries gather, so that each socket is written to once for several.
use std::time::Duration;

use crate::app::App;
use crate::realtime::Topic;

/// What writing an entry to one socket costs, roughly: a room is written to at most every so often for each of its sockets,
/// and entries that come faster go out together. So no room takes more than about half of one core.
const COST: Duration = Duration::from_micros(8);
/// The longest that an entry is held for that, and a wait that is not worth a timer.
const HOLD: Duration = Duration::from_millis(10);
const AT_ONCE: Duration = Duration::from_millis(1);
/// Where entries come more slowly than that, they are still held until so many go out together, for so many times as long:
/// nobody sees 20 ms, and what each socket costs is halved at a hundred entries a second.
pub(super) const TOGETHER: usize = 8;
const LONGER: f64 = 2.5;
/// What a commit takes, about: entries that gather for their commit too are committed that much sooner.
pub(super) const COMMIT: Duration = Duration::from_millis(2);

/// After a room was written to.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// How long nothing is handed over.
    pub shortest: Duration,
    /// How long fewer entries than [`TOGETHER`] wait.
    pub longest: Duration,
}

impl Pace {
    /// The pace of a room for its sockets here. None: they are so few that every entry goes out at once.
    pub(super) fn of(app: &App, room: i64) -> Option<Self> {
        let sockets = app.hub.subscriber_count(Topic::Room(room));
        let shortest = COST.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX)).min(HOLD);
        (shortest > AT_ONCE).then(|| Self { shortest, longest: shortest.mul_f64(LONGER) })
    }
}
