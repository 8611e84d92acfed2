//! The sessions of open sockets: a socket ends within a second of its session, on any node. Also counts who is here.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tower_sessions::Session;

use super::sessions;
use super::store::{self, IdHash};
use crate::app::App;
use crate::db;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::realtime::{CloseCode, Disconnect, Notice, NoticeKind, Queue};

/// How often sessions are looked at: a socket ends within a second.
const LOOK: Duration = Duration::from_millis(700);
/// Looking may take at most one part in this many of a node's time, however many sockets it has.
const SHARE: u32 = 5;
/// The longest pause between two looks: a look that waited for the database is no reason to look seldom.
const LONGEST: Duration = Duration::from_secs(2);
/// Sessions that one query looks at: 15 to 30 ms of Postgres.
const TOGETHER: usize = 5_000;
/// How often it is written who has a socket here.
const WRITE: Duration = Duration::from_secs(2);

/// The session that a socket was opened with.
#[derive(Clone, Copy)]
pub struct SessionKey(IdHash);

impl SessionKey {
    /// The key of a session. None: it has no id, because nothing was stored in it.
    pub fn of(session: &Session) -> Option<Self> {
        session.id().map(|id| Self(sessions::hash(&id)))
    }
}

/// The sockets of this node with their sessions, each by the address of its queue.
#[derive(Default)]
pub(super) struct Watched(Mutex<HashMap<usize, (SessionKey, Arc<Queue>)>>);

impl Watched {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, (SessionKey, Arc<Queue>)>> {
        self.0.lock()
    }
}

fn place(queue: &Arc<Queue>) -> usize {
    Arc::as_ptr(queue).addr()
}

/// Ends a socket, by its queue, when its session has ended. Costs nothing a frame: one query looks at all sockets of the node.
pub fn watch(app: &App, session: SessionKey, queue: &Arc<Queue>) {
    app.accounts.watched.lock().insert(place(queue), (session, queue.clone()));
}

/// The socket has ended.
pub fn unwatch(app: &App, queue: &Arc<Queue>) {
    app.accounts.watched.lock().remove(&place(queue));
}

/// Starts the look, and the count of those who are here.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("accounts.present", move || keep_counting(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("accounts.watch", move || keep_looking(node.clone()));
}

async fn keep_counting(node: App) {
    let mut ticks = node.tasks.ticks(WRITE);
    while ticks.next().await {
        let here = present(&node);
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, store::write_present(&node.db, node.node, &here)).await {
            tracing::debug!(error.cause = %why, "who is here is written again in two seconds");
        }
    }
    // What a node that is gone said counts for ten seconds at most.
    let _ = tokio::time::timeout(LOOK, store::forget_present(&node.db, node.node)).await;
}

async fn keep_looking(node: App) {
    let mut rest = LOOK;
    while node.tasks.stopping.run_until_cancelled(tokio::time::sleep(rest)).await.is_some() {
        let began = Instant::now();
        rest = match db::with_timeout(db::JOB_TIMEOUT, look(&node)).await {
            Ok(()) => (began.elapsed() * SHARE).clamp(LOOK, LONGEST),
            Err(why) => {
                tracing::debug!(error.cause = ?why, "the sessions of open sockets are looked at again in a moment");
                LOOK
            }
        };
    }
}

/// The different visitors who have a socket on this node.
fn present(app: &App) -> Vec<i64> {
    let mut visitors: Vec<i64> = app.accounts.watched.lock().values().map(|(_, queue)| queue.owner()).collect();
    visitors.sort_unstable();
    visitors.dedup();
    visitors
}

/// Ends the sockets whose session was deleted, has expired, or holds another visitor by now.
async fn look(app: &App) -> Result<()> {
    if faults::on(Fault::SessionEndNotSeen) {
        return Ok(());
    }
    let places: Vec<usize> = app.accounts.watched.lock().keys().copied().collect();
    for places in places.chunks(TOGETHER) {
        let (mut asked, mut hashes, mut visitors) = (Vec::new(), Vec::new(), Vec::new());
        {
            let watched = app.accounts.watched.lock();
            for place in places {
                let Some((SessionKey(hash), queue)) = watched.get(place) else { continue };
                asked.push(*place);
                hashes.push(*hash);
                visitors.push(queue.owner());
            }
        }
        if asked.is_empty() {
            continue;
        }
        for nth in store::ended_sessions(&app.db, &hashes, &visitors).await? {
            let ended = usize::try_from(nth - 1).ok().filter(|nth| *nth < asked.len());
            let Some((place, hash)) = ended.map(|nth| (asked[nth], hashes[nth])) else { continue };
            // The place may be another socket's by now.
            if let Some((SessionKey(known), queue)) = app.accounts.watched.lock().get(&place)
                && *known == hash
            {
                queue.dismiss(&dismissal());
            }
        }
    }
    Ok(())
}

fn dismissal() -> Disconnect {
    let last = Notice::of(NoticeKind::Revoked).encode();
    Disconnect { last, code: CloseCode::SessionEnded, reason: "the session has ended" }
}
