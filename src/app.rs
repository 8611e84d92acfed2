//! The application: what every verb may ask for. It starts from its pool, its relay and its clock, so that two nodes run in one test.
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Config;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::realtime::{Hub, Relay};
pub use crate::tasks::Tasks;
use crate::{accounts, cms, db, http, matching, moderation, ready, rooms};

/// A node of the service. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// How many database connections a node holds besides those of its pool.
pub fn own_connections() -> u32 {
    rooms::own_connections() + matching::own_connections()
}

/// The parts of a node. Each noun keeps its own state behind its own door.
pub struct Parts {
    pub config: Config,
    /// This start of this node; leases and tickets carry it.
    pub node: Uuid,
    pub clock: Clock,
    pub tasks: Tasks,
    pub db: PgPool,
    pub hub: Hub,
    pub relay: Relay,
    pub limits: http::Limits,
    pub accounts: accounts::State,
    pub moderation: moderation::State,
    pub rooms: rooms::State,
    pub matching: matching::State,
    pub cms: cms::State,
    pub ready: ready::State,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Builds a node over a migrated database and starts its tasks (writers, feed, matcher, sweepers).
    pub async fn start(config: Config, db: PgPool, relay: Relay, clock: Clock) -> Result<Self> {
        let asked = Instant::now();
        clock.hear(db::now(&db).await?, asked);
        let (rooms, writer) = rooms::State::new(&config);
        let app = Self(Arc::new(Parts {
            node: Uuid::new_v4(),
            tasks: Tasks::default(),
            hub: Hub::new(relay.clone()),
            limits: http::Limits::new(&config),
            accounts: db::within(db::JOB, accounts::State::new(&db, &config.site)).await?,
            moderation: db::within(db::JOB, moderation::State::new(&db)).await?,
            matching: matching::State::default(),
            cms: cms::State::default(),
            ready: ready::State::default(),
            rooms,
            relay,
            clock,
            db,
            config,
        }));
        if let Some(carry) = app.relay.enter(app.node, app.tasks.stopping.clone()) {
            app.tasks.spawn_essential("relay", carry);
        }
        moderation::run(&app);
        rooms::run(&app, writer);
        matching::run(&app);
        accounts::run(&app);
        cms::run(&app);
        ready::run(&app);
        Ok(app)
    }

    /// True from the moment the node was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.tasks.draining.is_cancelled()
    }
}

/// How soon the database says what time it is, for the answer to be believed.
const PROMPT: Duration = Duration::from_millis(500);

/// What is more than delay and drift between two answers is a jump of the database's clock.
const JUMP: Duration = Duration::from_secs(2);

/// Where time comes from: the database's clock as it was last heard, carried on by the monotonic clock of this machine. So a
/// jump of the machine's own clock moves nothing, and all nodes agree on what has expired. What lasts on this node alone is
/// measured with [`Clock::instant`]. Tests move both by hand; order in the log never depends on either.
#[derive(Clone, Default)]
pub struct Clock(Arc<Time>);

#[derive(Default)]
struct Time {
    /// The database's time, and when it was heard.
    heard: Mutex<Option<(OffsetDateTime, Instant)>>,
    #[cfg(test)]
    passed_ms: std::sync::atomic::AtomicI64,
    #[cfg(test)]
    jumped_ms: std::sync::atomic::AtomicI64,
}

impl Clock {
    /// Now, UTC. Before the database was first heard: by the machine's clock.
    pub fn now(&self) -> OffsetDateTime {
        let heard = *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.filter(|_| !faults::on(Fault::MachineClockBelieved));
        heard.map_or_else(|| self.system(), |(time, at)| time + at.elapsed()) + self.passed()
    }

    /// Takes in what the database said that it is, when it was asked then. Called each second. An answer that took long says
    /// little, unless it is the first.
    pub fn hear(&self, now: OffsetDateTime, asked: Instant) {
        let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_none() || asked.elapsed() < PROMPT {
            *heard = Some((now, Instant::now()));
        }
    }

    /// Takes in a jump whose effects have been corrected, however long that took.
    pub fn jumped(&self, now: OffsetDateTime, asked: Instant) {
        *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((now + asked.elapsed(), Instant::now()));
    }

    /// Returns how far the database's clock has jumped when it said `now` to a question of `asked`: forward if positive. `None` if
    /// it has not. An answer may come late: it was given at some time since the question.
    pub fn jump_to(&self, now: OffsetDateTime, asked: Instant) -> Option<time::Duration> {
        let (time, at) = (*self.0.heard.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (earliest, latest) = (time + asked.saturating_duration_since(at), time + at.elapsed());
        let jump = now - now.clamp(earliest, latest);
        (jump.unsigned_abs() > JUMP).then_some(jump)
    }

    /// A moment that only the monotonic clock moves, for durations on this node.
    pub fn instant(&self) -> Instant {
        Instant::now() + self.passed()
    }

    #[cfg(not(test))]
    fn passed(&self) -> Duration {
        Duration::ZERO
    }

    #[cfg(not(test))]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn system(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

#[cfg(test)]
impl Clock {
    /// Lets time pass, as the database and this node see it.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.passed_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// Makes the machine's own clock jump forward.
    pub fn jump(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.jumped_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    fn passed(&self) -> Duration {
        let ms = self.0.passed_ms.load(std::sync::atomic::Ordering::Relaxed);
        Duration::from_millis(ms.unsigned_abs())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn system(&self) -> OffsetDateTime {
        let ms = self.0.jumped_ms.load(std::sync::atomic::Ordering::Relaxed);
        OffsetDateTime::now_utc() + time::Duration::milliseconds(ms)
    }
}

/// A time as the wire shows it: RFC 3339, UTC, milliseconds.
pub fn stamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}
