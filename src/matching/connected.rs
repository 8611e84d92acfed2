//! Whether a task that needs a connection of its own gets one, as far as its tries tell.
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a failed try counts. Longer than the time between two tries of the matcher, of which one may take two seconds.
const COUNTS: Duration = Duration::from_secs(4);

/// When a connection could last not be opened; `None` since one could.
#[derive(Default)]
pub(super) struct Connected(Mutex<Option<Instant>>);

impl Connected {
    /// A connection was opened, or could not be.
    pub(super) fn note(&self, opened: bool) {
        let failed = (!opened).then(Instant::now);
        *self.0.lock() = failed;
    }

    /// Returns `false` if the last try failed, and not long ago.
    pub(super) fn holds(&self) -> bool {
        self.0.lock().is_none_or(|at| at.elapsed() > COUNTS)
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNTS, Connected};

    #[tokio::test(start_paused = true)]
    async fn a_failed_try_counts_until_another_succeeds_or_it_is_old() {
        let connected = Connected::default();
        assert!(connected.holds(), "nothing was tried");
        connected.note(false);
        assert!(!connected.holds());
        connected.note(true);
        assert!(connected.holds());
        connected.note(false);
        tokio::time::advance(COUNTS * 2).await;
        assert!(connected.holds(), "nobody has tried since: a node that gets no seeks must not stay away for ever");
    }
}
