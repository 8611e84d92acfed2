//! The registry of background tasks: each is counted, stopped and waited for, and an essential one that ends is started again.
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause before an essential task is started again: at first, and at most. It doubles with each failure. Short enough for what
/// waits in a task's queue meanwhile to be answered within two seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);
/// A task that has run this long after a restart counts as running again.
const RECOVERED: Duration = Duration::from_secs(1);
/// A task that has run this long did not fail because of its start: the next pause is the first one again.
const SETTLED: Duration = Duration::from_secs(30);

/// The registry of a node's tasks. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    held: TaskTracker,
    health: Health,
    /// Stop taking new work: not ready, sockets are told to come back later.
    pub draining: CancellationToken,
    /// Stop now: what is in hand has been finished, or the deadline has passed.
    pub stopping: CancellationToken,
    #[cfg(test)]
    pub(crate) strikes: strikes::Strikes,
}

impl Tasks {
    /// Starts a task that is waited for at the end. It should watch [`Tasks::stopping`].
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tracing::trace!(task.name = name, "task started");
        // Not within a block of its own, which would hold the task twice: once to be moved, once to be run.
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Starts a task that the node cannot do without, and starts it again whenever it panics or ends by itself.
    ///
    /// `start` makes the task anew each time, so what must outlive a failure is kept outside of it. From the failure until
    /// the task has run for a second again, [`Tasks::health`] names it. A task may end when the node drains or stops; a panic
    /// while it drains is still followed by a restart.
    pub fn spawn_essential<F>(&self, name: &'static str, mut start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(name, async move {
            let mut pause = FIRST_PAUSE;
            let mut outage: Option<Outage> = None;
            loop {
                let began = Instant::now();
                let task = Box::pin(start());
                #[cfg(test)]
                let task = tasks.strikes.hit(name, task);
                let mut task = Box::pin(AssertUnwindSafe(task).catch_unwind());
                let early = async {
                    sleep(RECOVERED).await;
                    if outage.take().is_some() {
                        tracing::info!(task.name = name, "an essential task runs again");
                    }
                };
                let ended = tokio::select! {
                    ended = &mut task => ended,
                    () = early => task.await,
                };
                let is_over = tasks.stopping.is_cancelled() || (ended.is_ok() && tasks.draining.is_cancelled());
                if is_over {
                    return;
                }
                outage.get_or_insert_with(|| tasks.outage(name));
                if began.elapsed() > SETTLED {
                    pause = FIRST_PAUSE;
                }
                let why = if ended.is_ok() { "ended by itself" } else { "panicked" };
                tracing::error!(task.name = name, "an essential task {why}; it is started again");
                if tasks.stopping.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Starts an essential task that runs `work` at once and then once per `period`, until the node
    /// stops.
    ///
    /// A run that takes longer than `period` delays the next one; missed runs are not made up for. A
    /// run that is under way when the node stops is finished.
    pub fn every<F>(&self, name: &'static str, period: Duration, work: impl Fn() -> F + Clone + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn_essential(name, move || {
            let (mut ticks, work) = (tasks.ticks(period), work.clone());
            async move {
                while ticks.next().await {
                    work().await;
                }
            }
        });
    }

    /// Returns the ticks of a periodic loop that also waits for something else, or that has work to do
    /// after the last tick. For all others there is [`Tasks::every`].
    pub fn ticks(&self, period: Duration) -> Ticks {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticks { interval, stopping: self.stopping.clone() }
    }

    /// Whether all that the node cannot do without runs. Cheap: it asks nobody.
    ///
    /// # Errors
    /// The name of a part that does not run at the moment.
    pub fn health(&self) -> Result<(), &'static str> {
        self.health.lock().keys().next().map_or(Ok(()), |name| Err(name))
    }

    /// Makes [`Tasks::health`] name a part of the node until the guard is dropped.
    pub fn outage(&self, name: &'static str) -> Outage {
        *self.health.lock().entry(name).or_default() += 1;
        Outage { name, health: self.health.clone() }
    }

    /// Counts a task that somebody else drives and that ends by itself when the node drains (a socket, the listener).
    pub fn hold<F: Future<Output = ()>>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        self.held.track_future(self.tracker.track_future(task))
    }

    /// How many tasks run now.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until what [`Tasks::hold`] counts has ended, at most `limit`.
    pub async fn let_go(&self, limit: Duration) -> bool {
        self.held.close();
        tokio::time::timeout(limit, self.held.wait()).await.is_ok()
    }

    /// Waits until every task has ended, at most `limit`. True when all did.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

/// The ticks of a periodic loop: the first at once, then one per period. They end when the node
/// stops. A late tick delays the following ones.
pub struct Ticks {
    interval: Interval,
    stopping: CancellationToken,
}

impl Ticks {
    /// Waits for the next tick. Returns `false` once the node stops. Cancelling the wait loses no tick.
    pub async fn next(&mut self) -> bool {
        self.stopping.run_until_cancelled(self.interval.tick()).await.is_some()
    }
}

/// The parts that do not run at the moment, with how many of each.
#[derive(Clone, Default)]
struct Health(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Health {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock()
    }
}

/// A part of the node that does not run, as long as this lives.
pub struct Outage {
    name: &'static str,
    health: Health,
}

impl Drop for Outage {
    fn drop(&mut self) {
        let mut down = self.health.lock();
        if let Some(count) = down.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                down.remove(self.name);
            }
        }
    }
}

/// Panics on demand inside of essential tasks, for tests.
#[cfg(test)]
pub(crate) mod strikes {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Notify;

    /// The essential tasks that have been started, by name.
    #[derive(Clone, Default)]
    pub(crate) struct Strikes(Arc<Mutex<BTreeMap<&'static str, Arc<Notify>>>>);

    impl Strikes {
        /// The names of all essential tasks.
        pub(crate) fn names(&self) -> Vec<&'static str> {
            self.0.lock().keys().copied().collect()
        }

        /// Makes every running task of this name panic.
        pub(crate) fn strike(&self, name: &'static str) {
            self.0.lock()[name].notify_waiters();
        }

        pub(super) fn hit<F: Future<Output = ()>>(
            &self,
            name: &'static str,
            task: F,
        ) -> impl Future<Output = ()> + use<F> {
            let struck = self.0.lock().entry(name).or_default().clone().notified_owned();
            async move {
                // Still there when the panic begins: what the task holds is dropped by it, as by one of its own.
                let mut task = std::pin::pin!(task);
                tokio::select! {
                    () = &mut task => {}
                    () = struck => panic!("struck"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use axum::http::StatusCode;
    use serde_json::json;

    use super::{LONGEST_PAUSE, RECOVERED, Tasks};
    use crate::testing::{self, eventually};

    /// An essential task that panics so many times and then runs on. Counts its starts.
    fn failing(tasks: &Tasks, times: usize) -> Arc<AtomicUsize> {
        let starts = Arc::new(AtomicUsize::new(0));
        let (counted, stopping) = (starts.clone(), tasks.stopping.clone());
        tasks.spawn_essential("test.failing", move || {
            let (nth, stopping) = (counted.fetch_add(1, Ordering::Relaxed), stopping.clone());
            async move {
                match nth {
                    nth if nth >= times => stopping.cancelled().await,
                    nth if nth % 2 == 0 => panic!("on purpose"),
                    _ => {} // ends by itself, which is as bad
                }
            }
        });
        starts
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_that_ends_is_started_again_and_named_until_it_runs() {
        let tasks = Tasks::default();
        let starts = failing(&tasks, 3);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(tasks.health(), Err("test.failing"));
        sleep(Duration::from_millis(750)).await; // 100 + 200 + 400 ms of pauses
        assert_eq!(starts.load(Ordering::Relaxed), 4);
        assert_eq!(tasks.health(), Err("test.failing"), "a restart alone proves nothing");
        sleep(RECOVERED).await;
        assert_eq!(tasks.health(), Ok(()));
        tasks.stopping.cancel();
        assert!(tasks.finish(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_always_fails_is_tried_at_a_bounded_pace_and_does_not_hold_up_a_stop() {
        let tasks = Tasks::default();
        let starts = failing(&tasks, usize::MAX);
        sleep(Duration::from_secs(60)).await;
        let count = starts.load(Ordering::Relaxed);
        assert!((30..60).contains(&count), "{count} starts in a minute, at most {LONGEST_PAUSE:?} apart");
        let began = Instant::now();
        tasks.stopping.cancel();
        assert!(tasks.finish(Duration::from_secs(1)).await);
        assert!(began.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_may_end_when_the_node_drains() {
        let tasks = Tasks::default();
        let draining = tasks.draining.clone();
        tasks.spawn_essential("test.drains", move || draining.clone().cancelled_owned());
        tasks.draining.cancel();
        assert!(tasks.finish(Duration::from_secs(1)).await);
        assert_eq!(tasks.health(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_periodic_task_runs_at_once_then_once_a_period_and_again_after_a_panic() {
        let (tasks, runs) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        let counted = runs.clone();
        tasks.every("test.every", Duration::from_secs(10), move || {
            let nth = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert_ne!(nth, 2, "on purpose") }
        });
        sleep(Duration::from_millis(1)).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        sleep(Duration::from_secs(21)).await; // at 10 s, at 20 s, and after the restart
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        assert_eq!(tasks.health(), Err("test.every"));
        sleep(Duration::from_secs(10)).await;
        assert_eq!((runs.load(Ordering::Relaxed), tasks.health()), (5, Ok(())));
        tasks.stopping.cancel();
        assert!(tasks.finish(Duration::from_secs(1)).await);
        assert_eq!(runs.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_run_delays_the_next_one_and_is_finished_when_the_node_stops() {
        let (tasks, runs) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        let finished = runs.clone();
        tasks.every("test.slow", Duration::from_secs(10), move || {
            let finished = finished.clone();
            async move {
                sleep(Duration::from_secs(25)).await;
                finished.fetch_add(1, Ordering::Relaxed);
            }
        });
        sleep(Duration::from_secs(49)).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1, "missed runs are not made up for");
        tasks.stopping.cancel();
        assert!(tasks.finish(Duration::from_secs(5)).await);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn two_outages_of_one_name_are_over_when_both_are() {
        let tasks = Tasks::default();
        let (one, two) = (tasks.outage("test"), tasks.outage("test"));
        drop(one);
        assert_eq!(tasks.health(), Err("test"));
        drop(two);
        assert_eq!(tasks.health(), Ok(()));
    }

    /// All of a node's, as far as one without Redis and a private Postgres has them.
    const ALL: [&str; 19] = [
        "accounts.active",
        "accounts.present",
        "accounts.sweep",
        "accounts.watch",
        "cms.snapshot",
        "http.server",
        "matching.matcher",
        "matching.relay",
        "matching.sanctions",
        "matching.sweeper",
        "matching.upkeep",
        "matching.writer",
        "moderation.watch",
        "ready",
        "rooms.feed",
        "rooms.leaving",
        "rooms.relay",
        "rooms.tick",
        "rooms.writer",
    ];

    #[tokio::test]
    async fn whichever_essential_task_panics_the_node_says_so_and_serves_again() {
        let node = testing::node().await;
        let (one, two) = (node.guest("ko").await, node.guest("ko").await);
        let mut talk = node.talk(&one, &two).await;
        talk.a.text(&talk.room, "before").await;
        assert_eq!(node.app.tasks.strikes.names(), ALL);
        for name in ALL {
            node.app.tasks.strikes.strike(name);
        }
        eventually("the node says that it is not ready", || async {
            let answer = node.get("/readyz").await;
            answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.text.contains("does not run")
        })
        .await;
        eventually("all tasks run again", || async { node.app.tasks.health() == Ok(()) }).await;
        assert_eq!(node.get("/readyz").await.status, StatusCode::OK);
        // The old talk goes on, leaves are carried out, new people come in by the listener, meet and talk.
        talk.a.text(&talk.room, "after").await;
        talk.b.event("message").await;
        talk.b.event("message").await;
        talk.b.ok(json!({"type": "leave", "room": talk.room})).await;
        let (three, four) = (node.guest("ko").await, node.guest("ko").await);
        let mut talk = node.talk(&three, &four).await;
        talk.a.text(&talk.room, "hello").await;
        talk.b.event("message").await;
    }

    #[tokio::test]
    async fn what_a_writer_held_when_it_panicked_is_answered_and_the_next_repeat_is_written() {
        let node = testing::node().await;
        let (one, two) = (node.guest("ko").await, node.guest("ko").await);
        let mut talk = node.talk(&one, &two).await;
        let locked = node.lock("room_head").await;
        let payload = json!({"kind": "text", "text": "in hand"});
        let send = json!({"type": "send", "room": talk.room, "client_id": uuid::Uuid::new_v4(), "payload": payload});
        let id = talk.a.say(send.clone()).await;
        eventually("the writer waits for the lock", || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'maju writer' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&node.app.db)
            .await
            .unwrap();
            waiting > 0
        })
        .await;
        node.app.tasks.strikes.strike("rooms.writer");
        assert_eq!(talk.a.answer(id).await["error"]["code"], "unavailable");
        drop(locked);
        eventually("all tasks run again", || async { node.app.tasks.health() == Ok(()) }).await;
        talk.a.ok(send).await;
        talk.b.event("message").await;
    }
}
