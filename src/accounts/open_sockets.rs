//! The open sockets of this node with their sessions. A socket is closed within a second of the end
//! of its session, whichever node ended it.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tower_sessions::Session;

use super::sessions;
use super::store::{self, SessionHash};
use crate::app::App;
use crate::db;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::VisitorId;
use crate::realtime::{CloseCode, Disconnect, Notice, NoticeKind, Queue};

/// The shortest pause between two checks of all sessions. A socket then closes within a second.
const MIN_CHECK_PAUSE: Duration = Duration::from_millis(700);
/// The longest pause between two checks: a check that waited for the database does not make the
/// next ones rare.
const MAX_CHECK_PAUSE: Duration = Duration::from_secs(2);
/// The pause after a check is this many times as long as the check. However many sockets a node
/// has, checks take a sixth of the time at most.
const PAUSE_PER_CHECK_TIME: u32 = 5;
/// Sessions that one query checks: 15 to 30 ms of Postgres.
const MAX_BATCH_SESSIONS: usize = 5_000;

/// The key of the session that a socket was opened with.
#[derive(Clone, Copy)]
pub struct SessionKey(SessionHash);

impl SessionKey {
    /// Returns the key of a session. `None` if it has no id because nothing was stored in it.
    pub fn of(session: &Session) -> Option<Self> {
        session.id().map(|id| Self(sessions::hash_id(&id)))
    }
}

/// The sockets of this node with their sessions, each by the address of its queue.
#[derive(Default)]
pub(super) struct OpenSockets(Mutex<HashMap<SocketKey, (SessionKey, Arc<Queue>)>>);

type SocketKey = usize;

fn key(queue: &Arc<Queue>) -> SocketKey {
    Arc::as_ptr(queue).addr()
}

impl OpenSockets {
    /// Returns the visitor of each socket. A visitor with several sockets appears several times.
    pub(super) fn visitors(&self) -> Vec<VisitorId> {
        self.0.lock().values().map(|(_, queue)| queue.owner()).collect()
    }

    fn keys(&self) -> Vec<SocketKey> {
        self.0.lock().keys().copied().collect()
    }

    /// Returns what a check needs of those sockets that are still open.
    fn batch(&self, keys: &[SocketKey]) -> Batch {
        let sockets = self.0.lock();
        let mut batch = Batch::default();
        for key in keys {
            let Some((SessionKey(session), queue)) = sockets.get(key) else { continue };
            batch.keys.push(*key);
            batch.sessions.push(*session);
            batch.visitors.push(queue.owner());
        }
        batch
    }

    /// Closes a socket whose session has ended.
    fn close(&self, key: SocketKey, session: SessionHash) {
        // The address can belong to the queue of another socket by now.
        if let Some((SessionKey(known), queue)) = self.0.lock().get(&key)
            && *known == session
        {
            queue.disconnect(&session_ended());
        }
    }
}

/// Sockets that one query checks: the same index names the same socket in all three lists.
#[derive(Default)]
struct Batch {
    keys: Vec<SocketKey>,
    sessions: Vec<SessionHash>,
    visitors: Vec<VisitorId>,
}

/// Tracks a socket, named by its queue, and closes it when its session has ended. Costs nothing per
/// frame: one query checks all sockets of the node.
pub fn track_socket(app: &App, session: SessionKey, queue: &Arc<Queue>) {
    app.accounts.open_sockets.0.lock().insert(key(queue), (session, queue.clone()));
}

/// Stops tracking a socket that has closed.
pub fn untrack_socket(app: &App, queue: &Arc<Queue>) {
    app.accounts.open_sockets.0.lock().remove(&key(queue));
}

/// Starts the task that checks the sessions of open sockets.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("accounts.watch", move || keep_checking_sessions(node.clone()));
}

async fn keep_checking_sessions(node: App) {
    let mut pause = MIN_CHECK_PAUSE;
    while node.tasks.stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let started = Instant::now();
        pause = match db::with_timeout(db::JOB_TIMEOUT, close_ended_sessions(&node)).await {
            Ok(()) => (started.elapsed() * PAUSE_PER_CHECK_TIME).clamp(MIN_CHECK_PAUSE, MAX_CHECK_PAUSE),
            Err(why) => {
                tracing::debug!(error.cause = ?why, "the sessions of open sockets were not checked, retrying");
                MIN_CHECK_PAUSE
            }
        };
    }
}

/// Closes the sockets whose session was deleted, has expired, or belongs to another visitor by now.
async fn close_ended_sessions(app: &App) -> Result<()> {
    if faults::on(Fault::SessionEndNotSeen) {
        return Ok(());
    }
    let sockets = &app.accounts.open_sockets;
    for keys in sockets.keys().chunks(MAX_BATCH_SESSIONS) {
        let batch = sockets.batch(keys);
        if batch.keys.is_empty() {
            continue;
        }
        for index in store::ended_sessions(&app.db, &batch.sessions, &batch.visitors).await? {
            if let (Some(key), Some(session)) = (batch.keys.get(index), batch.sessions.get(index)) {
                sockets.close(*key, *session);
            }
        }
    }
    Ok(())
}

fn session_ended() -> Disconnect {
    let last = Notice::of(NoticeKind::Revoked).encode();
    Disconnect { last, code: CloseCode::SessionEnded, reason: "the session has ended" }
}
