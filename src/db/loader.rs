//! A loader: combines lookups that are requested at the same time into one query, as writes are
//! combined into one commit.
//!
//! No timer adds latency. A single lookup is queried at once; lookups that arrive while a query
//! runs go into the next one. When a thousand sockets reconnect together, each of their lookups
//! costs a row rather than a round trip.
use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, oneshot};

use crate::error::{Error, Result};

/// The most queries of one loader at a time. With two, each was half as large: 4,100 connects a
/// second rather than 5,000.
const MAX_CONCURRENT_QUERIES: usize = 1;
/// The most keys of one query.
const MAX_QUERY_KEYS: usize = 500;

/// Lookups of one kind, by key.
pub struct Loader<K, V> {
    waiting: Mutex<HashMap<K, Vec<Waiter<V>>>>,
    query_slots: Semaphore,
}

type Waiter<V> = oneshot::Sender<Result<Option<V>>>;

impl<K, V> Default for Loader<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), query_slots: Semaphore::new(MAX_CONCURRENT_QUERIES) }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Loader<K, V> {
    /// Looks up a key. `None` if `fetch` finds no value for it.
    ///
    /// `fetch` is given the keys of one query. It starts after this call, so it reads everything
    /// that was committed before.
    ///
    /// # Errors
    /// Returns the error of `fetch`, to all callers whose keys were in the query.
    pub async fn load<F>(&self, key: K, fetch: impl Fn(Vec<K>) -> F) -> Result<Option<V>>
    where
        F: Future<Output = Result<HashMap<K, V>, sqlx::Error>>,
    {
        loop {
            let (sender, mut answer) = oneshot::channel();
            self.lock().entry(key).or_default().push(sender);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => match answer {
                        Ok(answer) => return answer,
                        // The caller that ran the query was cancelled.
                        Err(_) => break,
                    },
                    slot = self.query_slots.acquire() => {
                        self.query_waiting(&fetch).await;
                        drop(slot);
                    }
                }
            }
        }
    }

    /// Queries the keys that are waiting now, whether the caller's key is among them or not.
    async fn query_waiting<F>(&self, fetch: &impl Fn(Vec<K>) -> F)
    where
        F: Future<Output = Result<HashMap<K, V>, sqlx::Error>>,
    {
        // Other tasks that are ready to run can add lookups. With no other task this takes a
        // microsecond.
        tokio::task::yield_now().await;
        let taken: HashMap<K, Vec<Waiter<V>>> = {
            let mut waiting = self.lock();
            if waiting.len() <= MAX_QUERY_KEYS {
                std::mem::take(&mut *waiting)
            } else {
                let keys: Vec<K> = waiting.keys().take(MAX_QUERY_KEYS).copied().collect();
                keys.into_iter().filter_map(|key| waiting.remove_entry(&key)).collect()
            }
        };
        if taken.is_empty() {
            return;
        }
        let keys = || taken.keys().copied().collect();
        let found = super::with_timeout(super::REQUEST_TIMEOUT, async {
            match fetch(keys()).await {
                // The connection was dead, so the lookup is retried once on another.
                Err(why) if super::is_broken(&why) => {
                    super::log_unreachable(&why);
                    fetch(keys()).await
                }
                other => other,
            }
        })
        .await;
        if let Err(why) = &found
            && super::is_unreachable(why)
        {
            super::log_unreachable(why);
        }
        let failed = |why: &sqlx::Error| {
            if super::is_unreachable(why) { Error::Unavailable } else { Error::internal(why.to_string()) }
        };
        for (key, waiters) in taken {
            for waiter in waiters {
                let answer = found.as_ref().map(|found| found.get(&key).cloned()).map_err(failed);
                let _ = waiter.send(answer); // Fails if the caller was cancelled.
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<Waiter<V>>>> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Loader, MAX_QUERY_KEYS};
    use crate::error::Error;

    /// A table in which every even key has a value, twice the key. Each query takes ten
    /// milliseconds.
    struct Table {
        loader: Loader<usize, usize>,
        queries: AtomicUsize,
        keys: AtomicUsize,
    }

    impl Table {
        fn new() -> Arc<Self> {
            Arc::new(Self { loader: Loader::default(), queries: AtomicUsize::new(0), keys: AtomicUsize::new(0) })
        }

        async fn load(&self, key: usize) -> Result<Option<usize>, Error> {
            let fetch = |keys: Vec<usize>| async move {
                assert!(keys.len() <= MAX_QUERY_KEYS);
                self.queries.fetch_add(1, Ordering::Relaxed);
                self.keys.fetch_add(keys.len(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
                if keys.contains(&13) {
                    return Err(sqlx::Error::PoolTimedOut);
                }
                Ok(keys.into_iter().filter(|key| key % 2 == 0).map(|key| (key, 2 * key)).collect::<HashMap<_, _>>())
            };
            self.loader.load(key, fetch).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_lookups_are_combined() {
        let table = Table::new();
        assert_eq!(table.load(4).await.unwrap(), Some(8));
        assert_eq!(table.queries.load(Ordering::Relaxed), 1, "a single lookup is queried at once");
        let all = (100..1_700).map(|key| {
            let table = table.clone();
            async move { assert_eq!(table.load(key).await.unwrap(), (key % 2 == 0).then_some(2 * key)) }
        });
        futures_util::future::join_all(all).await;
        assert!(table.queries.load(Ordering::Relaxed) <= 7, "{}", table.queries.load(Ordering::Relaxed));
        let twice = futures_util::future::join(table.load(6), table.load(6)).await;
        assert_eq!((twice.0.unwrap(), twice.1.unwrap()), (Some(12), Some(12)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_query_fails_all_its_lookups_and_no_others() {
        let table = Table::new();
        let (one, two) = futures_util::future::join(table.load(13), table.load(13)).await;
        assert_eq!((one.unwrap_err().code(), two.unwrap_err().code()), ("unavailable", "unavailable"));
        assert_eq!(table.load(4).await.unwrap(), Some(8), "other lookups succeed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_lookup_does_not_block_the_others() {
        let table = Table::new();
        let mut leader = Box::pin(table.load(4));
        assert!(futures_util::poll!(&mut leader).is_pending(), "has the slot, and has not queried");
        drop(leader);
        let mut leader = Box::pin(table.load(6));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut leader).await.is_err(), "queries for both");
        assert_eq!(table.keys.load(Ordering::Relaxed), 2);
        let (mut second, mut third) = (Box::pin(table.load(8)), Box::pin(table.load(10)));
        for follower in [&mut second, &mut third] {
            assert!(tokio::time::timeout(Duration::from_millis(1), follower).await.is_err());
        }
        drop(leader);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut second).await.is_err(), "queries for both");
        assert_eq!(table.keys.load(Ordering::Relaxed), 4);
        drop(second);
        assert_eq!(third.await.unwrap(), Some(20));
    }
}
