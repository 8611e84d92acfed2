//! A loader: what many ask Postgres for at the same time goes there in one query, as writes do in one commit.
//!
//! No timer adds latency: who comes alone asks at once, and whoever comes while the query in hand is running goes with the
//! next. When a thousand sockets come back together, each of their lookups costs a row rather than a round trip.
use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, oneshot};

use crate::error::{Error, Result};

/// Queries of one loader at a time. Two would make them half as large: 4,100 connects a second rather than 5,000.
const TURNS: usize = 1;
/// Keys of one query.
const KEYS: usize = 500;

/// Lookups of one kind, by key.
pub struct Loader<K, V> {
    waiting: Mutex<HashMap<K, Vec<Waiter<V>>>>,
    turns: Semaphore,
}

type Waiter<V> = oneshot::Sender<Result<Option<V>>>;

impl<K, V> Default for Loader<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Semaphore::new(TURNS) }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Loader<K, V> {
    /// Looks a key up: None when there is nothing. `fetch` answers what there is of the keys it is given, and begins after
    /// this call did: whatever was committed before is seen. Errors: those of `fetch`, for all whose keys it was given.
    pub async fn load<F>(&self, key: K, fetch: impl Fn(Vec<K>) -> F) -> Result<Option<V>>
    where
        F: Future<Output = Result<HashMap<K, V>, sqlx::Error>>,
    {
        loop {
            let (tell, mut told) = oneshot::channel();
            self.lock().entry(key).or_default().push(tell);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut told => match answer {
                        Ok(answer) => return answer,
                        // Whoever was asking for us gave up in the middle of it.
                        Err(_) => break,
                    },
                    turn = self.turns.acquire() => {
                        self.ask(&fetch).await;
                        drop(turn);
                    }
                }
            }
        }
    }

    /// Asks for what is waiting now, our own key or not.
    async fn ask<F>(&self, fetch: &impl Fn(Vec<K>) -> F)
    where
        F: Future<Output = Result<HashMap<K, V>, sqlx::Error>>,
    {
        // Whoever is ready to run may have something to ask too. Alone, this takes a microsecond.
        tokio::task::yield_now().await;
        let taken: HashMap<K, Vec<Waiter<V>>> = {
            let mut waiting = self.lock();
            if waiting.len() <= KEYS {
                std::mem::take(&mut *waiting)
            } else {
                let keys: Vec<K> = waiting.keys().take(KEYS).copied().collect();
                keys.into_iter().filter_map(|key| waiting.remove_entry(&key)).collect()
            }
        };
        if taken.is_empty() {
            return;
        }
        let keys = || taken.keys().copied().collect();
        let found = super::within(super::WAIT, async {
            match fetch(keys()).await {
                // Nothing was read on a connection that had died, so the lookup is repeated once on another.
                Err(why) if super::is_broken(&why) => {
                    super::say_unreachable(&why);
                    fetch(keys()).await
                }
                other => other,
            }
        })
        .await;
        if let Err(why) = &found
            && super::is_unreachable(why)
        {
            super::say_unreachable(why);
        }
        let failed = |why: &sqlx::Error| {
            if super::is_unreachable(why) { Error::Unavailable } else { Error::internal(why.to_string()) }
        };
        for (key, waiters) in taken {
            for waiter in waiters {
                let answer = found.as_ref().map(|found| found.get(&key).cloned()).map_err(failed);
                let _ = waiter.send(answer); // who has gone needs none
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

    use super::{KEYS, Loader};
    use crate::error::Error;

    /// Even keys are there, twice as large; each query takes ten milliseconds.
    struct World {
        loader: Loader<usize, usize>,
        queries: AtomicUsize,
        asked: AtomicUsize,
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self { loader: Loader::default(), queries: AtomicUsize::new(0), asked: AtomicUsize::new(0) })
        }

        async fn load(&self, key: usize) -> Result<Option<usize>, Error> {
            let fetch = |keys: Vec<usize>| async move {
                assert!(keys.len() <= KEYS);
                self.queries.fetch_add(1, Ordering::Relaxed);
                self.asked.fetch_add(keys.len(), Ordering::Relaxed);
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
    async fn those_who_come_together_go_together() {
        let world = World::new();
        assert_eq!(world.load(4).await.unwrap(), Some(8));
        assert_eq!(world.queries.load(Ordering::Relaxed), 1, "alone: at once");
        let all = (100..1_700).map(|key| {
            let world = world.clone();
            async move { assert_eq!(world.load(key).await.unwrap(), (key % 2 == 0).then_some(2 * key)) }
        });
        futures_util::future::join_all(all).await;
        assert!(world.queries.load(Ordering::Relaxed) <= 7, "{}", world.queries.load(Ordering::Relaxed));
        let twice = futures_util::future::join(world.load(6), world.load(6)).await;
        assert_eq!((twice.0.unwrap(), twice.1.unwrap()), (Some(12), Some(12)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_everybodys_whose_key_was_in_it() {
        let world = World::new();
        let (one, two) = futures_util::future::join(world.load(13), world.load(13)).await;
        assert_eq!((one.unwrap_err().code(), two.unwrap_err().code()), ("unavailable", "unavailable"));
        assert_eq!(world.load(4).await.unwrap(), Some(8), "and nobody else's");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_nobody_behind() {
        let world = World::new();
        let mut leader = Box::pin(world.load(4));
        assert!(futures_util::poll!(&mut leader).is_pending(), "has its turn, and has not asked");
        drop(leader);
        let mut leader = Box::pin(world.load(6));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut leader).await.is_err(), "asks, for both");
        assert_eq!(world.asked.load(Ordering::Relaxed), 2);
        let (mut second, mut third) = (Box::pin(world.load(8)), Box::pin(world.load(10)));
        for follower in [&mut second, &mut third] {
            assert!(tokio::time::timeout(Duration::from_millis(1), follower).await.is_err());
        }
        drop(leader);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut second).await.is_err(), "asks, for both");
        assert_eq!(world.asked.load(Ordering::Relaxed), 4);
        drop(second);
        assert_eq!(third.await.unwrap(), Some(20));
    }
}
