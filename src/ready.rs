//! Whether this node accepts work. A background task probes the database, so that `/readyz` costs
//! nothing and cannot be used to load Postgres.
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::app::App;
use crate::db::{self, Availability};
use crate::{matching, rooms};

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
    database: Availability,
    at: Instant,
}

impl Default for State {
    /// Returns the state of a node that has just read its first rows: the database can be written.
    fn default() -> Self {
        Self(Mutex::new(Probe { database: Availability::Writable, at: Instant::now() }))
    }
}

impl State {
    fn database(&self) -> Availability {
        let latest = *self.0.lock();
        if latest.at.elapsed() > MAX_PROBE_AGE { Availability::Silent } else { latest.database }
    }

    fn record(&self, database: Availability) {
        *self.0.lock() = Probe { database, at: Instant::now() };
    }
}

/// Returns why the node accepts no work now, the most important reason first. Empty if it is ready.
/// Runs no query.
pub fn reasons(app: &App) -> Vec<String> {
    let database = app.ready.database();
    let outage = app.tasks.first_outage();
    let restarting = outage.map_or_else(String::new, |part| format!("{part} is not running and is being restarted"));
    let reasons = [
        (app.is_stopping(), "stopping"),
        (outage.is_some(), &restarting),
        (database == Availability::Silent, "the database does not answer"),
        (database == Availability::ReadOnly || !rooms::can_write(app), "the database cannot write"),
        (!matching::can_match(app), "matching is paused: no connection to the database"),
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

/// Probes the database over the pool, as requests use it: if they get no connection in time, the
/// node is not ready.
async fn probe(pool: &PgPool) -> Availability {
    db::with_timeout(PROBE_TIMEOUT, db::availability(pool)).await.unwrap_or(Availability::Silent)
}
