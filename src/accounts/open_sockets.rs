//! The open sockets of this node with their sessions. A socket is closed within a second of the end
//! of its session, whichever node ended it, and told two minutes before.
//!
//! A node event names no session: the node reads whose sessions were revoked, and checks their
//! sockets. A regular check of all sockets finds what the relay lost, and what ends by time. No write
//! depends on either.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tower_sessions::Session;

use super::live_sessions::{self, Ended};
use super::sessions;
use super::store::SessionHash;
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db::{self, fence};
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, VisitorId};
use crate::realtime::{
    Content, NodeEvent, Notice, NoticeKind, Priority, Publication, Queue, RelayEvent, RelayEvents, TopicKind,
};

/// The shortest pause between two checks of all sessions. A socket then closes within a second.
const MIN_CHECK_PAUSE: Duration = Duration::from_millis(700);
/// The longest pause between two checks: a check that waited for the database does not make the
/// next ones rare.
const MAX_CHECK_PAUSE: Duration = Duration::from_secs(2);
/// The shortest pause before a check that finds the end of a session by time.
const MIN_END_PAUSE: Duration = Duration::from_millis(20);
/// The pause after a check is this many times as long as the check. However many sockets a node
/// has, checks take a sixth of the time at most.
const PAUSE_PER_CHECK_TIME: u32 = 5;
/// Sessions that one query checks: 15 to 30 ms of Postgres.
const MAX_BATCH_SESSIONS: usize = 5_000;

/// The key of the session that a socket was opened with.
#[derive(Clone, Copy)]
pub struct SessionKey(pub(super) SessionHash);

impl SessionKey {
    /// Returns the key of a session. `None` if it has no id because nothing was stored in it.
    pub fn of(session: &Session) -> Option<Self> {
        session.id().map(|id| Self(sessions::hash_id(&id)))
    }
}

/// The sockets of this node with their sessions, each by the address of its queue.
#[derive(Default)]
pub(super) struct OpenSockets {
    sockets: Mutex<HashMap<SocketKey, OpenSocket>>,
    /// Wakes the task that checks sessions, because some were revoked on this node.
    revoked: Notify,
}

struct OpenSocket {
    session: SessionKey,
    queue: Arc<Queue>,
    /// The end of the session that its client was told. Use moves the end on, and the next one is told
    /// again.
    told_end: Option<OffsetDateTime>,
}

type SocketKey = usize;

fn key(queue: &Arc<Queue>) -> SocketKey {
    Arc::as_ptr(queue).addr()
}

impl OpenSockets {
    /// Returns the visitor of each socket. A visitor with several sockets appears several times.
    pub(super) fn visitors(&self) -> Vec<VisitorId> {
        self.sockets.lock().values().map(|socket| socket.queue.owner()).collect()
    }

    /// Checks the sockets of those who were revoked on this node.
    pub(super) fn wake(&self) {
        self.revoked.notify_one();
    }

    fn keys(&self) -> Vec<SocketKey> {
        self.sockets.lock().keys().copied().collect()
    }

    fn keys_of(&self, visitors: &HashSet<VisitorId>) -> Vec<SocketKey> {
        let sockets = self.sockets.lock();
        let theirs = sockets.iter().filter(|(_, socket)| visitors.contains(&socket.queue.owner()));
        theirs.map(|(key, _)| *key).collect()
    }

    /// Returns what a check needs of those sockets that are still open.
    fn batch(&self, keys: &[SocketKey]) -> Batch {
        let sockets = self.sockets.lock();
        let mut batch = Batch::default();
        for key in keys {
            let Some(OpenSocket { session: SessionKey(session), queue, .. }) = sockets.get(key) else { continue };
            batch.keys.push(*key);
            batch.sessions.push(*session);
            batch.visitors.push(queue.owner());
        }
        batch
    }

    /// Closes a socket whose session has ended.
    fn close(&self, key: SocketKey, session: SessionHash, ended: Option<&Ended>) {
        // The address can belong to the queue of another socket by now.
        if let Some(socket) = self.sockets.lock().get(&key)
            && socket.session.0 == session
        {
            socket.queue.disconnect(&Ended::disconnect(ended));
        }
    }

    /// Tells a client that its session will end, once for each end.
    fn tell_end(&self, key: SocketKey, session: SessionHash, at: OffsetDateTime) {
        if let Some(socket) = self.sockets.lock().get_mut(&key)
            && socket.session.0 == session
            && socket.told_end != Some(at)
        {
            socket.told_end = Some(at);
            let (kind, at) = (NoticeKind::SessionExpiring, Some(format_timestamp(at)));
            let notice = Notice::Notice { kind, at, reason: None, device: None, room: None }.encode();
            socket.queue.push(Priority::Reliable, notice.into_wire());
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
    let socket = OpenSocket { session, queue: queue.clone(), told_end: None };
    app.accounts.open_sockets.sockets.lock().insert(key(queue), socket);
}

/// Stops tracking a socket that has closed.
pub fn untrack_socket(app: &App, queue: &Arc<Queue>) {
    app.accounts.open_sockets.sockets.lock().remove(&key(queue));
}

/// Starts the task that checks the sessions of open sockets.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("accounts.watch", move || keep_checking_sessions(node.clone()));
}

async fn keep_checking_sessions(node: App) {
    let mut relay = node.relay.events(TopicKind::Nodes);
    // Sockets that were opened before are checked with all others.
    let mut known: Option<FenceVersion> = None;
    let mut next = Instant::now() + MIN_CHECK_PAUSE;
    loop {
        let all = tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            () = sleep_until(next) => true,
            () = node.accounts.open_sockets.revoked.notified() => false,
            is_revocation = next_revocation(&mut relay) => match is_revocation {
                Some(()) => false,
                None => return,
            },
        };
        let started = Instant::now();
        let work = async { if all { check_all(&node).await } else { check_revoked(&node, &mut known).await } };
        match db::with_timeout(db::JOB_TIMEOUT, work).await {
            Ok(first_end) if all => {
                let pause = (started.elapsed() * PAUSE_PER_CHECK_TIME).clamp(MIN_CHECK_PAUSE, MAX_CHECK_PAUSE);
                // A session that ends by time is found at its end.
                next = Instant::now() + pause.min(first_end.unwrap_or(pause).max(MIN_END_PAUSE));
            }
            Ok(first_end) => next = next.min(Instant::now() + first_end.unwrap_or(MAX_CHECK_PAUSE).max(MIN_END_PAUSE)),
            Err(why) => {
                tracing::debug!(error.cause = ?why, "the sessions of open sockets were not checked, retrying");
                next = Instant::now() + MIN_CHECK_PAUSE;
            }
        }
    }
}

/// Waits for an event of another node about a revocation. `None` if the node stops.
async fn next_revocation(relay: &mut RelayEvents) -> Option<()> {
    let is_revocation =
        |publication: &Publication| matches!(publication.content, Content::Event(NodeEvent::RightsRevoked));
    loop {
        match relay.next().await? {
            RelayEvent::Published(published) if !published.iter().any(is_revocation) => {}
            RelayEvent::Published(_) | RelayEvent::Missed => return Some(()),
        }
    }
}

/// Checks the sockets of all visitors. Returns how long it is until the first session ends by time.
async fn check_all(app: &App) -> Result<Option<Duration>> {
    check(app, &app.accounts.open_sockets.keys()).await
}

/// Checks the sockets of the visitors whose rights were revoked since the last time.
async fn check_revoked(app: &App, known: &mut Option<FenceVersion>) -> Result<Option<Duration>> {
    let mut connection = app.db.acquire().await?;
    let Some(since) = *known else {
        let version = fence::version(&mut connection).await?;
        drop(connection);
        let checked = check_all(app).await?;
        *known = Some(version);
        return Ok(checked);
    };
    let revoked = fence::revoked_since(&mut connection, since).await?;
    drop(connection);
    let Some((last, _)) = revoked.last() else { return Ok(None) };
    let visitors: HashSet<VisitorId> = revoked.iter().map(|(_, visitor)| *visitor).collect();
    let checked = check(app, &app.accounts.open_sockets.keys_of(&visitors)).await?;
    *known = Some(*last);
    Ok(checked)
}

/// Closes those of the sockets whose session was deleted, has expired, was revoked, or belongs to
/// another visitor by now, and tells those whose session ends soon. Returns how long it is until the
/// first one ends by time.
async fn check(app: &App, keys: &[SocketKey]) -> Result<Option<Duration>> {
    if keys.is_empty() || faults::on(Fault::SessionEndNotSeen) {
        return Ok(None);
    }
    // A use of the last second keeps its session alive.
    live_sessions::write_uses(app).await;
    let sockets = &app.accounts.open_sockets;
    let mut first_end: Option<Duration> = None;
    for keys in keys.chunks(MAX_BATCH_SESSIONS) {
        let batch = sockets.batch(keys);
        let mut ended = Vec::new();
        for ending in live_sessions::endings(&app.db, &batch.sessions, &batch.visitors).await? {
            let (Some(key), Some(session)) = (batch.keys.get(ending.index), batch.sessions.get(ending.index)) else {
                continue;
            };
            match ending.ends {
                None => ended.push((*key, *session)),
                Some((at, ends_in)) => {
                    sockets.tell_end(*key, *session, at);
                    first_end = Some(first_end.map_or(ends_in, |first| first.min(ends_in)));
                }
            }
        }
        if ended.is_empty() {
            continue;
        }
        let sessions: Vec<SessionHash> = ended.iter().map(|(_, session)| *session).collect();
        let reasons = live_sessions::end_reasons(&app.db, &sessions).await?;
        for (key, session) in ended {
            sockets.close(key, session, reasons.get(&session));
        }
    }
    Ok(first_end)
}
