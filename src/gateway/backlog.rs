//! The backlog timer: a frame that arrived while an earlier one was being handled has waited
//! already, and that time counts against its deadline.
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

/// Waits that are not longer are ignored.
const MIN_WAIT: Duration = Duration::from_millis(200);
/// Frames that can have arrived during one wait. Further frames of a client that never pauses have
/// arrived later.
const MAX_BACKLOG_FRAMES: usize = 64;

/// Measures how long the requests of a socket have waited before they are read.
#[derive(Default)]
pub(super) struct BacklogTimer(Option<Backlog>);

#[derive(Clone, Copy)]
struct Backlog {
    /// The earliest time at which its frames can have arrived.
    since: Instant,
    frames_left: usize,
}

impl BacklogTimer {
    /// Waits for `next`, the next frame. If the frame is not there at once, the backlog is empty.
    pub(super) async fn read<T>(&mut self, next: impl Future<Output = T>) -> T {
        let mut next = pin!(next);
        poll_fn(|context| {
            let read = next.as_mut().poll(context);
            if read.is_pending() {
                self.0 = None;
            }
            read
        })
        .await
    }

    /// Returns the earliest time at which the frame that was just read can have arrived.
    pub(super) fn requested_at(&mut self) -> Instant {
        match &mut self.0 {
            Some(backlog) if backlog.frames_left > 0 => {
                backlog.frames_left -= 1;
                backlog.since
            }
            _ => Instant::now(),
        }
    }

    /// Records a wait from `began` until now for a frame that arrived at `requested_at`.
    pub(super) fn record_wait(&mut self, requested_at: Instant, began: Instant) {
        if began.elapsed() > MIN_WAIT {
            let backlog = self.0.filter(|backlog| backlog.frames_left > 0);
            let since = backlog.map_or(requested_at, |backlog| backlog.since.min(requested_at));
            self.0 = Some(Backlog { since, frames_left: MAX_BACKLOG_FRAMES });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::{Instant, advance, timeout};

    use super::{BacklogTimer, MAX_BACKLOG_FRAMES};

    #[tokio::test(start_paused = true)]
    async fn frames_behind_a_wait_count_from_its_start_until_the_socket_is_idle() {
        let (mut timer, began) = (BacklogTimer::default(), Instant::now());
        assert_eq!(timer.requested_at(), began);
        advance(Duration::from_millis(100)).await;
        timer.record_wait(began, began);
        assert_eq!(timer.requested_at(), Instant::now(), "a short wait makes no backlog");
        advance(Duration::from_secs(1)).await;
        timer.record_wait(began, began);
        for _ in 0..MAX_BACKLOG_FRAMES {
            timer.read(ready(())).await;
            assert_eq!(timer.requested_at(), began);
        }
        assert_eq!(timer.requested_at(), Instant::now(), "more frames cannot have arrived before");
        timer.record_wait(began, began);
        timer.record_wait(Instant::now(), began);
        assert_eq!(timer.requested_at(), began, "two waits in a row");
        assert!(timeout(Duration::from_millis(1), timer.read(pending::<()>())).await.is_err());
        assert_eq!(timer.requested_at(), Instant::now(), "the socket was idle");
    }
}
