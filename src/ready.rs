//! Whether this node accepts work. A background task probes the database, so that `/readyz` costs
//! nothing and cannot be used to load Postgres.
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::app::App;
use crate::{db, matching, rooms};

/// Time between two probes of the database.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How long a probe waits for the answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_200);
/// A result older than this is no longer valid, whatever delays the next one.
const MAX_PROBE_AGE: Duration = Duration::from_millis(1_800);

/// The result of the latest probe.
pub struct State(Mutex<Probe>);

#[derive(Clone, Copy)]
struct Probe {
    health: db::Health,
    at: Instant,
}

impl Default for State {
    /// Returns the state of a node that has just read its first rows: the database can be written.
    fn default() -> Self {
        Self(Mutex::new(Probe { health: db::Health::Writable, at: Instant::now() }))
    }
}

impl State {
    fn health(&self) -> db::Health {
        let latest = *self.0.lock();
        if latest.at.elapsed() > MAX_PROBE_AGE { db::Health::Silent } else { latest.health }
    }

    fn record(&self, health: db::Health) {
        *self.0.lock() = Probe { health, at: Instant::now() };
    }
}

/// Returns why the node accepts no work now, the most important reason first. Empty if it is ready.
/// Runs no query.
pub fn reasons(app: &App) -> Vec<String> {
    let health = app.ready.health();
    let tasks = app.tasks.health();
    let restarting = tasks.map_or_else(|part| format!("{part} does not run and is started again"), |()| String::new());
    let reasons = [
        (app.is_stopping(), "stopping"),
        (tasks.is_err(), &restarting),
        (health == db::Health::Silent, "the database does not answer"),
        (health == db::Health::ReadOnly || !rooms::can_write(app), "the database cannot write"),
        (!matching::can_match(app), "nobody is matched: no connection to the database"),
    ];
    reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason.to_owned()).collect()
}

/// Starts the task that probes the database.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("ready", PROBE_INTERVAL, move || {
        let node = node.clone();
        async move { node.ready.record(probe(&node.db).await) }
    });
}

/// Probes the database over the pool, as requests use it: if they get no connection in time, the node
/// is not ready.
async fn probe(pool: &PgPool) -> db::Health {
    db::within(PROBE_TIMEOUT, db::health(pool)).await.unwrap_or(db::Health::Silent)
}
