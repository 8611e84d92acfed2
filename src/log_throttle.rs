//! Limits how often one log line is written: many requests can meet the same failure at the same
//! time.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Writes a log line at most once per interval, and counts those that are suppressed.
pub struct LogThrottle {
    interval: Duration,
    state: Mutex<State>,
}

struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogThrottle {
    /// Returns a throttle that has written no line yet.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(State { last: None, suppressed: 0 }) }
    }

    /// Returns how many lines were suppressed before this one. `None` if this one is suppressed
    /// too.
    pub fn allow(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::LogThrottle;

    #[test]
    fn a_line_is_written_once_per_interval_with_the_number_of_suppressed_ones() {
        let (line, began) = (LogThrottle::new(Duration::from_secs(10)), Instant::now());
        let at = |secs| began + Duration::from_secs(secs);
        assert_eq!(line.allow(at(0)), Some(0));
        assert_eq!([line.allow(at(0)), line.allow(at(9)), line.allow(at(9))], [None; 3]);
        assert_eq!(line.allow(at(10)), Some(3));
        assert_eq!([line.allow(at(11)), line.allow(at(20))], [None, Some(1)]);
    }
}
