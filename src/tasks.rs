//! The registry of background tasks: each is counted, stopped and waited for, and an essential task
//! that ends is restarted.
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

use crate::metrics::ByName;

/// The delay before the first restart of an essential task. It doubles with each failure.
const FIRST_RESTART_DELAY: Duration = Duration::from_millis(100);
/// The longest delay before a restart: short enough that what waits in the task's queue is answered
/// within two seconds.
const MAX_RESTART_DELAY: Duration = Duration::from_millis(1_500);
/// A task that has run this long after a restart counts as running again.
const RECOVERY_UPTIME: Duration = Duration::from_secs(1);
/// A task that has run this long did not fail because of its start: the next delay is the first one
/// again.
const STABLE_UPTIME: Duration = Duration::from_secs(30);

/// The registry of a node's tasks. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks {
    all: TaskTracker,
    tracked: TaskTracker,
    outages: Outages,
    restarts: Arc<ByName>,
    /// Cancelled when the node stops accepting work: it is not ready, and clients are asked to
    /// reconnect later.
    pub draining: CancellationToken,
    /// Cancelled when tasks have to end: work in progress has been finished, or the deadline has
    /// passed.
    pub stopping: CancellationToken,
    #[cfg(test)]
    pub(crate) panics: panics::Panics,
}

impl Tasks {
    /// Starts a task that is waited for at the end. It should watch [`Tasks::stopping`].
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tracing::trace!(task.name = name, "task started");
        // Not wrapped in another async block, which would hold the task twice: moved in, and being
        // run.
        tokio::spawn(self.all.track_future(task));
    }

    /// Starts a task that the node cannot work without, and restarts it whenever it panics or ends.
    ///
    /// `start` creates the task anew each time, so state that must survive a failure is kept
    /// outside of it. From the failure until the task has run for a second, [`Tasks::first_outage`]
    /// names it. A task can end when the node drains or stops; after a panic it is restarted even
    /// while the node drains.
    pub fn spawn_essential<F>(&self, name: &'static str, mut start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(name, async move {
            let mut delay = FIRST_RESTART_DELAY;
            let mut outage: Option<Outage> = None;
            loop {
                let began = Instant::now();
                let task = Box::pin(start());
                #[cfg(test)]
                let task = tasks.panics.attach(name, task);
                let mut task = Box::pin(AssertUnwindSafe(task).catch_unwind());
                let early = async {
                    sleep(RECOVERY_UPTIME).await;
                    if outage.take().is_some() {
                        tracing::info!(task.name = name, "essential task: running again");
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
                outage.get_or_insert_with(|| tasks.report_outage(name));
                if began.elapsed() > STABLE_UPTIME {
                    delay = FIRST_RESTART_DELAY;
                }
                tasks.restarts.increment(name);
                let why = if ended.is_ok() { "ended" } else { "panicked" };
                tracing::error!(task.name = name, "essential task: {why}, restarting it");
                if tasks.stopping.run_until_cancelled(sleep(delay)).await.is_none() {
                    return;
                }
                delay = (delay * 2).min(MAX_RESTART_DELAY);
            }
        });
    }

    /// Starts an essential task that runs `work` at once and then once per `period`, until the node
    /// stops.
    ///
    /// A run that takes longer than `period` delays the next one; missed runs are skipped. A run
    /// that is in progress when the node stops is finished.
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

    /// Returns the ticks of a periodic loop that also waits for something else, or has work to do
    /// after the last tick. Other loops use [`Tasks::every`].
    pub fn ticks(&self, period: Duration) -> Ticks {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticks { interval, stopping: self.stopping.clone() }
    }

    /// Returns the name of a part of the node that does not run at the moment. `None` if all run.
    pub fn first_outage(&self) -> Option<&'static str> {
        self.outages.lock().keys().next().copied()
    }

    /// Returns how often essential tasks were restarted, by their names.
    pub fn restarts(&self) -> Vec<(&'static str, u64)> {
        self.restarts.read()
    }

    /// Makes [`Tasks::first_outage`] name a part of the node until the guard is dropped.
    pub fn report_outage(&self, name: &'static str) -> Outage {
        *self.outages.lock().entry(name).or_default() += 1;
        Outage { name, outages: self.outages.clone() }
    }

    /// Counts a task that is not spawned here and that ends when the node drains: a socket, the
    /// listener.
    pub fn track<F: Future<Output = ()>>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        self.tracked.track_future(self.all.track_future(task))
    }

    /// Returns the number of tasks that run now.
    pub fn running(&self) -> usize {
        self.all.len()
    }

    /// Waits at most `timeout` until all tasks given to [`Tasks::track`] have ended. Returns `true`
    /// if they have.
    pub async fn wait_for_tracked(&self, timeout: Duration) -> bool {
        self.tracked.close();
        tokio::time::timeout(timeout, self.tracked.wait()).await.is_ok()
    }

    /// Waits at most `timeout` until all tasks have ended. Returns `true` if they have.
    pub async fn wait_for_all(&self, timeout: Duration) -> bool {
        self.all.close();
        tokio::time::timeout(timeout, self.all.wait()).await.is_ok()
    }
}

/// The ticks of a periodic loop: the first one at once, then one per period, until the node stops.
/// A late tick delays the following ones.
pub struct Ticks {
    interval: Interval,
    stopping: CancellationToken,
}

impl Ticks {
    /// Waits for the next tick. Returns `false` once the node stops. Cancelling the wait loses no
    /// tick.
    pub async fn next(&mut self) -> bool {
        self.stopping.run_until_cancelled(self.interval.tick()).await.is_some()
    }
}

/// The parts that do not run at the moment, and how many of each.
#[derive(Clone, Default)]
struct Outages(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Outages {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock()
    }
}

/// A guard: a part of the node does not run until this is dropped.
pub struct Outage {
    name: &'static str,
    outages: Outages,
}

impl Drop for Outage {
    fn drop(&mut self) {
        let mut down = self.outages.lock();
        if let Some(count) = down.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                down.remove(self.name);
            }
        }
    }
}

/// Makes essential tasks panic on demand, for tests.
#[cfg(test)]
pub(crate) mod panics {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Notify;

    /// The essential tasks that have been started, by name.
    #[derive(Clone, Default)]
    pub(crate) struct Panics(Arc<Mutex<BTreeMap<&'static str, Arc<Notify>>>>);

    impl Panics {
        /// Returns the names of all essential tasks.
        pub(crate) fn names(&self) -> Vec<&'static str> {
            self.0.lock().keys().copied().collect()
        }

        /// Makes every running task of this name panic.
        pub(crate) fn trigger(&self, name: &'static str) {
            self.0.lock()[name].notify_waiters();
        }

        pub(super) fn attach<F: Future<Output = ()>>(
            &self,
            name: &'static str,
            task: F,
        ) -> impl Future<Output = ()> + use<F> {
            let triggered = self.0.lock().entry(name).or_default().clone().notified_owned();
            async move {
                // Pinned here, so that the panic drops the task as a panic of its own would.
                let mut task = std::pin::pin!(task);
                tokio::select! {
                    () = &mut task => {}
                    () = triggered => panic!("triggered by a test"),
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

    use super::{MAX_RESTART_DELAY, RECOVERY_UPTIME, Tasks};
    use crate::testing::{self, eventually};

    /// Starts an essential task that fails `times` times and then keeps running. Counts its starts.
    fn failing(tasks: &Tasks, times: usize) -> Arc<AtomicUsize> {
        let starts = Arc::new(AtomicUsize::new(0));
        let (counted, stopping) = (starts.clone(), tasks.stopping.clone());
        tasks.spawn_essential("test.failing", move || {
            let (nth, stopping) = (counted.fetch_add(1, Ordering::Relaxed), stopping.clone());
            async move {
                match nth {
                    nth if nth >= times => stopping.cancelled().await,
                    nth if nth % 2 == 0 => panic!("on purpose"),
                    _ => {} // ends, which is also a failure
                }
            }
        });
        starts
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_that_ends_is_restarted_and_named_until_it_runs() {
        let tasks = Tasks::default();
        let starts = failing(&tasks, 3);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(tasks.first_outage(), Some("test.failing"));
        sleep(Duration::from_millis(750)).await; // 100 + 200 + 400 ms of pauses
        assert_eq!(starts.load(Ordering::Relaxed), 4);
        assert_eq!(tasks.first_outage(), Some("test.failing"), "a restart alone proves nothing");
        sleep(RECOVERY_UPTIME).await;
        assert_eq!(tasks.first_outage(), None);
        tasks.stopping.cancel();
        assert!(tasks.wait_for_all(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_always_fails_is_restarted_at_a_limited_rate_and_does_not_delay_a_stop() {
        let tasks = Tasks::default();
        let starts = failing(&tasks, usize::MAX);
        sleep(Duration::from_secs(60)).await;
        let count = starts.load(Ordering::Relaxed);
        assert!((30..60).contains(&count), "{count} starts in a minute, at most {MAX_RESTART_DELAY:?} apart");
        let began = Instant::now();
        tasks.stopping.cancel();
        assert!(tasks.wait_for_all(Duration::from_secs(1)).await);
        assert!(began.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_task_can_end_when_the_node_drains() {
        let tasks = Tasks::default();
        let draining = tasks.draining.clone();
        tasks.spawn_essential("test.drains", move || draining.clone().cancelled_owned());
        tasks.draining.cancel();
        assert!(tasks.wait_for_all(Duration::from_secs(1)).await);
        assert_eq!(tasks.first_outage(), None);
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
        assert_eq!(tasks.first_outage(), Some("test.every"));
        sleep(Duration::from_secs(10)).await;
        assert_eq!((runs.load(Ordering::Relaxed), tasks.first_outage()), (5, None));
        tasks.stopping.cancel();
        assert!(tasks.wait_for_all(Duration::from_secs(1)).await);
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
        assert_eq!(runs.load(Ordering::Relaxed), 1, "missed runs are skipped");
        tasks.stopping.cancel();
        assert!(tasks.wait_for_all(Duration::from_secs(5)).await);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_outage_reported_twice_is_over_when_both_guards_are_dropped() {
        let tasks = Tasks::default();
        let (one, two) = (tasks.report_outage("test"), tasks.report_outage("test"));
        drop(one);
        assert_eq!(tasks.first_outage(), Some("test"));
        drop(two);
        assert_eq!(tasks.first_outage(), None);
    }

    /// The essential tasks of a node without Redis and without a private Postgres.
    const ALL: [&str; 33] = [
        "accounts.active",
        "accounts.expired",
        "accounts.present",
        "accounts.sweep",
        "accounts.uses",
        "accounts.watch",
        "admin.health",
        "admin.measure",
        "cms.arrival",
        "cms.insights",
        "cms.schedule",
        "cms.snapshot",
        "cms.stats",
        "cms.sweep",
        "http.server",
        "matching.lease",
        "matching.matcher",
        "matching.relay",
        "matching.sanctions",
        "matching.sweeper",
        "matching.waits",
        "matching.writer",
        "media.sweep",
        "moderation.watch",
        "notify.mail",
        "ready",
        "rooms.feed",
        "rooms.leaving",
        "rooms.relay",
        "rooms.retention",
        "rooms.tick",
        "rooms.writer",
        "samples.thin",
    ];

    #[tokio::test]
    async fn the_node_reports_a_panic_of_any_essential_task_and_serves_again() {
        let node = testing::node().await;
        let (one, two) = (node.guest("ko").await, node.guest("ko").await);
        let mut talk = node.talk(&one, &two).await;
        talk.a.text(&talk.room, "before").await;
        assert_eq!(node.app.tasks.panics.names(), ALL);
        for name in ALL {
            node.app.tasks.panics.trigger(name);
        }
        eventually("the node reports that it is not ready", || async {
            let answer = node.get("/readyz").await;
            answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.text.contains("not running")
        })
        .await;
        eventually("all tasks run again", || async { node.app.tasks.first_outage().is_none() }).await;
        assert_eq!(node.get("/readyz").await.status, StatusCode::OK);
        // The old talk continues, a leave takes effect, new people connect, are matched and talk.
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
    async fn a_message_in_a_writer_that_panics_is_answered_and_its_retry_is_written() {
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
        node.app.tasks.panics.trigger("rooms.writer");
        assert_eq!(talk.a.answer(id).await["error"]["code"], "unavailable");
        drop(locked);
        eventually("all tasks run again", || async { node.app.tasks.first_outage().is_none() }).await;
        talk.a.ok(send).await;
        talk.b.event("message").await;
    }
}
