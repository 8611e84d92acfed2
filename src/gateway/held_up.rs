//! Held up: what a socket said while a frame before it was waited for is read late, and is not to wait as long again.
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

/// What takes longer has held up what came meanwhile.
const NOTICEABLE: Duration = Duration::from_millis(200);
/// Frames that may have come meanwhile; the rest of a socket that never runs dry came later.
const FRAMES: usize = 64;

/// Since when frames that are read now may have waited, and how many of them.
#[derive(Default)]
pub(super) struct HeldUp(Option<(Instant, usize)>);

impl HeldUp {
    /// Reads the next: when nothing is there yet, nothing was held up.
    pub(super) async fn reading<T>(&mut self, next: impl Future<Output = T>) -> T {
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

    /// When a frame that has just been read came, at the earliest.
    pub(super) fn came(&mut self) -> Instant {
        match &mut self.0 {
            Some((since, left)) if *left > 0 => {
                *left -= 1;
                *since
            }
            _ => Instant::now(),
        }
    }

    /// Something for a frame that came then has been waited for, from `began` until now.
    pub(super) fn waited(&mut self, came: Instant, began: Instant) {
        if began.elapsed() > NOTICEABLE {
            let earlier = self.0.filter(|(_, left)| *left > 0).map_or(came, |(since, _)| since.min(came));
            self.0 = Some((earlier, FRAMES));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::{Instant, advance, timeout};

    use super::{FRAMES, HeldUp};

    #[tokio::test(start_paused = true)]
    async fn what_is_read_behind_a_wait_came_when_it_began_until_the_socket_runs_dry() {
        let (mut held_up, began) = (HeldUp::default(), Instant::now());
        assert_eq!(held_up.came(), began);
        advance(Duration::from_millis(100)).await;
        held_up.waited(began, began);
        assert_eq!(held_up.came(), Instant::now(), "a moment holds nothing up");
        advance(Duration::from_secs(1)).await;
        held_up.waited(began, began);
        for _ in 0..FRAMES {
            held_up.reading(ready(())).await;
            assert_eq!(held_up.came(), began);
        }
        assert_eq!(held_up.came(), Instant::now(), "it cannot all have come before");
        held_up.waited(began, began);
        held_up.waited(Instant::now(), began);
        assert_eq!(held_up.came(), began, "one wait after the other");
        assert!(timeout(Duration::from_millis(1), held_up.reading(pending::<()>())).await.is_err());
        assert_eq!(held_up.came(), Instant::now(), "what comes now comes now");
    }
}
