//! Excess: frames beyond the rate limit. Each is refused, and a client that goes on all the same is disconnected.
use std::time::Duration;

use tokio::time::Instant;

/// How long a run of refused frames may last.
const SUSTAINED: Duration = Duration::from_secs(1);
/// Refused frames that are never too many: a client that is slightly too fast slows down when it is told to.
const FEW: u32 = 40;
/// A pause without a refused frame after which a new run begins.
const PAUSE: Duration = Duration::from_millis(500);

/// The refused frames of one socket.
#[derive(Default)]
pub(super) struct Excess(Option<Run>);

/// Refused frames that follow one another.
struct Run {
    began: Instant,
    last: Instant,
    frames: u32,
}

impl Excess {
    /// Notes a refused frame. Returns `true` if the client has gone on for too long.
    pub(super) fn refused(&mut self) -> bool {
        let now = Instant::now();
        let run = match self.0.take().filter(|run| now - run.last < PAUSE) {
            Some(run) => Run { last: now, frames: run.frames.saturating_add(1), ..run },
            None => Run { began: now, last: now, frames: 1 },
        };
        let goes_on = run.frames > FEW && now - run.began >= SUSTAINED;
        self.0 = Some(run);
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Excess, FEW};

    /// Refused frames until the end, this far apart.
    async fn frames_until_the_end(apart: Duration) -> Option<u32> {
        let mut excess = Excess::default();
        for count in 1..10_000 {
            if excess.refused() {
                return Some(count);
            }
            advance(apart).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_refused_frames_ends_the_socket_and_a_burst_does_not() {
        assert_eq!(frames_until_the_end(Duration::from_millis(1)).await, Some(1_001), "after a second");
        assert_eq!(frames_until_the_end(Duration::from_millis(100)).await, Some(FEW + 1), "not for a few");
        assert_eq!(frames_until_the_end(Duration::from_millis(500)).await, None, "whoever pauses begins anew");
        let mut excess = Excess::default();
        for burst in 0..10 {
            assert!((0..2_000).all(|_| !excess.refused()), "burst {burst}");
            advance(Duration::from_secs(1)).await;
        }
    }
}
