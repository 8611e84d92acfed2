//! Whether a task that needs its own database connection can open one.
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a failed attempt counts. This is longer than the time between two attempts of the
/// matcher, one of which can take two seconds.
const FAILURE_VALIDITY: Duration = Duration::from_secs(4);

/// The time of the last failed attempt to connect. `None` since an attempt succeeded.
#[derive(Default)]
pub struct ConnectionHealth(Mutex<Option<Instant>>);

impl ConnectionHealth {
    /// Records whether an attempt to connect succeeded.
    pub fn record(&self, opened: bool) {
        let failed = (!opened).then(Instant::now);
        *self.0.lock() = failed;
    }

    /// Returns `false` if the last attempt failed less than [`FAILURE_VALIDITY`] ago.
    pub fn is_healthy(&self) -> bool {
        self.0.lock().is_none_or(|at| at.elapsed() > FAILURE_VALIDITY)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionHealth, FAILURE_VALIDITY};

    #[tokio::test(start_paused = true)]
    async fn a_failed_attempt_counts_until_another_succeeds_or_it_is_old() {
        let health = ConnectionHealth::default();
        assert!(health.is_healthy(), "nothing was tried");
        health.record(false);
        assert!(!health.is_healthy());
        health.record(true);
        assert!(health.is_healthy());
        health.record(false);
        tokio::time::advance(FAILURE_VALIDITY * 2).await;
        assert!(health.is_healthy(), "without new attempts, a node without seeks must become ready again");
    }
}
