//! Use: what moves the end of a signed-in session on. A node writes it once a second, for all
//! sessions together, with the time of each use by the database's clock.
use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tower_sessions::Session;

use super::store;
use crate::accounts::SessionKey;
use crate::accounts::store::SessionHash;
use crate::app::App;
use crate::db;

/// How often uses are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions that one statement writes.
const MAX_BATCH_SESSIONS: usize = 5_000;

/// The last use of each session that is not written yet.
#[derive(Default)]
pub(in crate::accounts) struct Uses(Mutex<HashMap<SessionHash, Instant>>);

impl Uses {
    fn record(&self, SessionKey(session): SessionKey, at: Instant) {
        let mut uses = self.0.lock();
        let last = uses.entry(session).or_insert(at);
        *last = at.max(*last);
    }
}

/// Records that a session is used now: a write over REST, a page in HTML, a frame other than `hello`
/// and `ping`. Costs a look-up in memory; a guest's session is ignored when it is written.
pub fn record_use(app: &App, session: &Session) {
    if let Some(key) = SessionKey::of(session) {
        record_use_of(app, key);
    }
}

/// Records that a session is used now, by its key.
pub fn record_use_of(app: &App, session: SessionKey) {
    app.accounts.uses.record(session, Instant::now());
}

/// Starts the task that writes uses.
pub(in crate::accounts) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("accounts.uses", move || keep_writing(node.clone()));
}

async fn keep_writing(node: App) {
    let mut ticks = node.tasks.ticks(WRITE_INTERVAL);
    while ticks.next().await {
        write(&node).await;
    }
    write(&node).await;
}

/// Writes the uses that are recorded. Those that cannot be written are kept for the next time.
pub(in crate::accounts) async fn write(app: &App) {
    let uses: Vec<(SessionHash, Instant)> = std::mem::take(&mut *app.accounts.uses.0.lock()).into_iter().collect();
    for batch in uses.chunks(MAX_BATCH_SESSIONS) {
        let sessions: Vec<SessionHash> = batch.iter().map(|(session, _)| *session).collect();
        let ages: Vec<f64> = batch.iter().map(|(_, at)| at.elapsed().as_secs_f64()).collect();
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, store::write_uses(&app.db, &sessions, &ages)).await {
            tracing::debug!(error.cause = %why, "the use of sessions was not written, retrying in a second");
            for (session, at) in batch {
                app.accounts.uses.record(SessionKey(*session), *at);
            }
        }
    }
}
