//! How many requests a node has answered, and how many of them with an error of the server.
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

/// The requests since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Traffic {
    /// Counts an answer: one relaxed addition, and another one for an error of the server.
    pub(super) fn count(&self, status: StatusCode) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of requests that were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that were answered with 500 or above.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
