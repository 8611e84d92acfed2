//! A value that is read again when somebody asks for it and it is old.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::db;

/// A read is followed by a pause of at least this many times its duration, so that reading takes at
/// most 1/20 of a node's time.
const PAUSE_FACTOR: u32 = 20;
/// The age up to which a value is used if it cannot be read again.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The last value. While it is read, others who ask wait for it.
pub(super) struct Refreshed<T>(Mutex<Slot<T>>);

struct Slot<T> {
    value: Option<(Arc<T>, Instant)>,
    next_read: Option<Instant>,
}

impl<T> Default for Refreshed<T> {
    fn default() -> Self {
        Self(Mutex::new(Slot { value: None, next_read: None }))
    }
}

impl<T> Refreshed<T> {
    /// Returns the value, read at most once per `interval`. `None` if it cannot be read and the
    /// last one is too old.
    pub(super) async fn get(
        &self,
        clock: &Clock,
        interval: Duration,
        read: impl Future<Output = sqlx::Result<T>>,
    ) -> Option<Arc<T>> {
        let mut slot = self.0.lock().await;
        let began = clock.instant();
        if slot.next_read.is_none_or(|next| next <= began) {
            match db::with_timeout(db::REQUEST_TIMEOUT, read).await {
                Ok(value) => slot.value = Some((Arc::new(value), began)),
                Err(why) => tracing::debug!(error.cause = %why, "a value for the page was not read, retrying"),
            }
            let now = clock.instant();
            slot.next_read = Some(now + interval.max((now - began) * PAUSE_FACTOR));
        }
        let (value, read_at) = slot.value.as_ref()?;
        (began - *read_at < MAX_AGE.max(interval * 2)).then(|| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{MAX_AGE, Refreshed};
    use crate::clock::Clock;

    const INTERVAL: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_value_is_read_once_per_interval_however_many_ask() {
        let (value, clock, reads) = (Refreshed::default(), Clock::default(), AtomicU32::new(0));
        let get = || value.get(&clock, INTERVAL, async { Ok(reads.fetch_add(1, Ordering::Relaxed)) });
        let answers = futures_util::future::join_all((0..50).map(|_| get())).await;
        assert!(answers.iter().all(|answer| answer.as_deref() == Some(&0)));
        clock.advance(INTERVAL);
        assert_eq!(get().await.as_deref(), Some(&1));
        assert_eq!(get().await.as_deref(), Some(&1));
    }

    #[tokio::test]
    async fn an_old_value_serves_for_a_while_if_it_cannot_be_read() {
        let (value, clock) = (Refreshed::default(), Clock::default());
        let broken = || value.get(&clock, INTERVAL, async { Err(sqlx::Error::PoolClosed) });
        assert_eq!(broken().await, None);
        clock.advance(INTERVAL);
        assert_eq!(value.get(&clock, INTERVAL, async { Ok(7) }).await.as_deref(), Some(&7));
        clock.advance(MAX_AGE - Duration::from_secs(1));
        assert_eq!(broken().await.as_deref(), Some(&7));
        clock.advance(Duration::from_secs(1));
        assert_eq!(broken().await, None);
    }
}
