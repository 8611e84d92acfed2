//! The clock of a node, and how the wire shows a time.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::faults::{self, Fault};

/// How long a question for the database's time can take for its answer to be used.
const MAX_SYNC_DELAY: Duration = Duration::from_millis(500);

/// A difference between two answers that delay and drift do not explain: the database's clock has
/// jumped.
const MIN_JUMP: Duration = Duration::from_secs(2);

/// The source of time: the database's clock when it was last read, carried on by the monotonic
/// clock of this machine.
///
/// A jump of the machine's own clock therefore changes nothing, and all nodes agree on what has
/// expired. Durations on this node alone are measured with [`Clock::instant`]. Tests move both by
/// hand. The order of a room's log never depends on either. Clones share one state.
#[derive(Clone, Default)]
pub struct Clock(Arc<State>);

#[derive(Default)]
struct State {
    last_reading: Mutex<Option<Reading>>,
    #[cfg(test)]
    advanced_ms: std::sync::atomic::AtomicI64,
    #[cfg(test)]
    system_jump_ms: std::sync::atomic::AtomicI64,
}

/// The database's time, and the moment at which it was read.
#[derive(Clone, Copy)]
struct Reading {
    time: OffsetDateTime,
    at: Instant,
}

impl Clock {
    /// Returns the present time in UTC. Before the first [`Clock::sync`] it is the machine's.
    pub fn now(&self) -> OffsetDateTime {
        let last = self.last_reading().filter(|_| !faults::on(Fault::MachineClockBelieved));
        last.map_or_else(|| self.system(), |reading| reading.time + reading.at.elapsed()) + self.advanced()
    }

    /// Adopts `now`, the database's answer to a question asked at `requested_at`. Called once a
    /// second.
    ///
    /// An answer that took longer than [`MAX_SYNC_DELAY`] is too inaccurate and is ignored, unless
    /// it is the first.
    pub fn sync(&self, now: OffsetDateTime, requested_at: Instant) {
        let mut last = self.0.last_reading.lock();
        if last.is_none() || requested_at.elapsed() < MAX_SYNC_DELAY {
            *last = Some(Reading { time: now, at: Instant::now() });
        }
    }

    /// Adopts the database's time after a jump, once what depended on the old time is corrected,
    /// however long that took.
    pub fn sync_after_jump(&self, now: OffsetDateTime, requested_at: Instant) {
        let reading = Reading { time: now + requested_at.elapsed(), at: Instant::now() };
        *self.0.last_reading.lock() = Some(reading);
    }

    /// Returns how far the database's clock has jumped if it answered `now` to a question asked at
    /// `requested_at`; a jump forward is positive. `None` if it has not jumped.
    ///
    /// An answer can arrive late: it was given at some moment since the question.
    pub fn jump_to(&self, now: OffsetDateTime, requested_at: Instant) -> Option<time::Duration> {
        let Reading { time, at } = self.last_reading()?;
        let (earliest, latest) = (time + requested_at.saturating_duration_since(at), time + at.elapsed());
        let jump = now - now.clamp(earliest, latest);
        (jump.unsigned_abs() > MIN_JUMP).then_some(jump)
    }

    /// Returns a moment of the monotonic clock, for durations on this node.
    pub fn instant(&self) -> Instant {
        Instant::now() + self.advanced()
    }

    fn last_reading(&self) -> Option<Reading> {
        *self.0.last_reading.lock()
    }

    #[cfg(not(test))]
    fn advanced(&self) -> Duration {
        Duration::ZERO
    }

    #[cfg(not(test))]
    #[expect(clippy::disallowed_methods, reason = "the only place that asks the system for the time")]
    fn system(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

#[cfg(test)]
impl Clock {
    /// Lets time pass, both for the database and for this node.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.advanced_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// Makes the machine's own clock jump forward.
    pub fn jump_system(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.system_jump_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    fn advanced(&self) -> Duration {
        let ms = self.0.advanced_ms.load(std::sync::atomic::Ordering::Relaxed);
        Duration::from_millis(ms.unsigned_abs())
    }

    #[expect(clippy::disallowed_methods, reason = "the only place that asks the system for the time")]
    fn system(&self) -> OffsetDateTime {
        let ms = self.0.system_jump_ms.load(std::sync::atomic::Ordering::Relaxed);
        OffsetDateTime::now_utc() + time::Duration::milliseconds(ms)
    }
}

/// Returns a time as the wire shows it: RFC 3339, UTC, with milliseconds.
pub fn format_timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}
