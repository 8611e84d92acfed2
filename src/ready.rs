//! Whether this node takes work: looked at in the background, so that asking costs nothing and cannot be used to load Postgres.
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::App;
use crate::{db, matching, rooms};

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_millis(1_200);
/// An answer older than this says nothing any more, whatever keeps the next one back.
const FRESH: Duration = Duration::from_millis(1_800);

/// What was last seen of the database.
pub struct State(Mutex<Seen>);

#[derive(Clone, Copy)]
struct Seen {
    health: db::Health,
    at: Instant,
}

impl Default for State {
    /// As it was when the node read its first rows.
    fn default() -> Self {
        Self(Mutex::new(Seen { health: db::Health::Writable, at: Instant::now() }))
    }
}

impl State {
    fn health(&self) -> db::Health {
        let seen = *self.0.lock();
        if seen.at.elapsed() > FRESH { db::Health::Silent } else { seen.health }
    }

    fn saw(&self, health: db::Health) {
        *self.0.lock() = Seen { health, at: Instant::now() };
    }
}

/// Returns why the node takes no work now, the most important reason first. Empty when it is ready. Runs no query.
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

/// Starts the task that looks at the database.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("ready", move || keep_looking(node.clone()));
}

async fn keep_looking(node: App) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while node.tasks.stopping.run_until_cancelled(tick.tick()).await.is_some() {
        let health = look(&node.db).await;
        node.ready.saw(health);
    }
}

/// Asks over the pool, as requests do: where they get no connection in time, the node is not ready.
async fn look(pool: &PgPool) -> db::Health {
    db::within(LIMIT, db::health(pool)).await.unwrap_or(db::Health::Silent)
}
