//! Refused frames: a frame above the rate limit is refused, and a client that keeps sending them is
//! disconnected.
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{MAX_REFUSAL_RUN, MAX_TOLERATED_REFUSALS};

/// A pause without a refused frame after which a new run starts.
const RUN_PAUSE: Duration = Duration::from_millis(500);

/// Counts the refused frames of one socket.
#[derive(Default)]
pub(super) struct RefusedFrames(Option<Run>);

/// Refused frames without a pause between them.
struct Run {
    began: Instant,
    last: Instant,
    frames: u32,
}

impl RefusedFrames {
    /// Counts a refused frame. Returns `true` if the client has kept sending for too long.
    pub(super) fn record(&mut self) -> bool {
        let now = Instant::now();
        let run = match self.0.take().filter(|run| now - run.last < RUN_PAUSE) {
            Some(run) => Run { last: now, frames: run.frames.saturating_add(1), ..run },
            None => Run { began: now, last: now, frames: 1 },
        };
        let is_too_long = run.frames > MAX_TOLERATED_REFUSALS && now - run.began >= MAX_REFUSAL_RUN;
        self.0 = Some(run);
        is_too_long
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{MAX_TOLERATED_REFUSALS, RefusedFrames};

    /// Returns how many refused frames, this far apart, end a socket.
    async fn frames_until_the_end(apart: Duration) -> Option<u32> {
        let mut refused = RefusedFrames::default();
        for count in 1..10_000 {
            if refused.record() {
                return Some(count);
            }
            advance(apart).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_refused_frames_ends_the_socket_and_a_burst_does_not() {
        assert_eq!(frames_until_the_end(Duration::from_millis(1)).await, Some(1_001), "after a second");
        let tolerated = frames_until_the_end(Duration::from_millis(100)).await;
        assert_eq!(tolerated, Some(MAX_TOLERATED_REFUSALS + 1), "not for a few");
        assert_eq!(frames_until_the_end(Duration::from_millis(500)).await, None, "a pause starts a new run");
        let mut refused = RefusedFrames::default();
        for burst in 0..10 {
            assert!((0..2_000).all(|_| !refused.record()), "burst {burst}");
            advance(Duration::from_secs(1)).await;
        }
    }
}
