//! Moments in which the machine itself stood still: a thread that only sleeps woke far too late. What a client waited then says
//! nothing of a node.
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the thread sleeps at a time, and how much longer than that is noted.
const NAP: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(100);

/// When the thread slept too long: from and until.
static STOOD: Mutex<Vec<(Instant, Instant)>> = Mutex::new(Vec::new());

/// Starts to watch, until the program ends.
pub fn watch() {
    thread::spawn(|| {
        loop {
            let due = Instant::now() + NAP;
            thread::sleep(NAP);
            let now = Instant::now();
            if now > due + LATE {
                STOOD.lock().unwrap_or_else(PoisonError::into_inner).push((due, now));
            }
        }
    });
}

/// How long the machine stood still since then.
pub fn since(then: Instant) -> Duration {
    overlap(&STOOD.lock().unwrap_or_else(PoisonError::into_inner), then)
}

/// How often, and for how long at most, since the start.
pub fn all() -> (usize, Duration) {
    let stood = STOOD.lock().unwrap_or_else(PoisonError::into_inner);
    (stood.len(), stood.iter().map(|(from, until)| *until - *from).max().unwrap_or_default())
}

fn overlap(stood: &[(Instant, Instant)], then: Instant) -> Duration {
    stood.iter().map(|(from, until)| until.saturating_duration_since(then.max(*from))).sum()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, overlap};

    #[test]
    fn only_what_lies_after_the_moment_counts() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let stood = [(at(0), at(200)), (at(1_000), at(1_500)), (at(3_000), at(4_000))];
        let since = |ms| overlap(&stood, at(ms)).as_millis();
        assert_eq!([since(0), since(100), since(500), since(1_200), since(5_000)], [1_700, 1_600, 1_500, 1_300, 0]);
    }
}
