//! Stalls of the machine itself: a thread that only sleeps wakes far too late. The time that a
//! client waited during a stall says nothing about a node.
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long the thread sleeps at a time, and how much longer counts as a stall.
const SLEEP: Duration = Duration::from_millis(10);
const MIN_STALL: Duration = Duration::from_millis(100);

/// Begin and end of each stall.
static STALLS: Mutex<Vec<(Instant, Instant)>> = Mutex::new(Vec::new());

/// Starts the thread, which runs until the program ends.
pub fn watch() {
    thread::spawn(|| {
        loop {
            let due = Instant::now() + SLEEP;
            thread::sleep(SLEEP);
            let now = Instant::now();
            if now > due + MIN_STALL {
                STALLS.lock().push((due, now));
            }
        }
    });
}

/// Returns how long the machine has stalled since `then`.
pub fn since(then: Instant) -> Duration {
    overlap(&STALLS.lock(), then)
}

/// Returns how often it has stalled, and the longest stall.
pub fn all() -> (usize, Duration) {
    let stalls = STALLS.lock();
    (stalls.len(), stalls.iter().map(|(from, until)| *until - *from).max().unwrap_or_default())
}

fn overlap(stalls: &[(Instant, Instant)], then: Instant) -> Duration {
    stalls.iter().map(|(from, until)| until.saturating_duration_since(then.max(*from))).sum()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, overlap};

    #[test]
    fn only_what_lies_after_the_moment_counts() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let stalls = [(at(0), at(200)), (at(1_000), at(1_500)), (at(3_000), at(4_000))];
        let since = |ms| overlap(&stalls, at(ms)).as_millis();
        assert_eq!([since(0), since(100), since(500), since(1_200), since(5_000)], [1_700, 1_600, 1_500, 1_300, 0]);
    }
}
