//! Revocations on a node: reads which visitors lost rights everywhere and closes the sockets of
//! those who are banned.
//!
//! The relay wakes the task; a regular poll finds what the relay lost. No write depends
//! on it: the writers read the fence themselves.
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::MissedTickBehavior;

use super::{Restriction, State, restrictions};
use crate::accounts::{self, Ban};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db::{self, fence};
use crate::error::Result;
use crate::ids::{FenceVersion, VisitorId};
use crate::realtime::{
    CloseCode, Content, Disconnect, NodeEvent, Notice, NoticeKind, Publication, RelayEvent, Topic, TopicKind,
};

/// How often a node looks for revocations that the relay did not announce.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

impl State {
    fn record(&self, rows: &[(FenceVersion, VisitorId)]) {
        self.revocations.write().record(rows);
    }

    fn recheck_everybody(&self, version: FenceVersion) {
        self.revocations.write().recheck_everybody(version);
    }
}

/// Announces a committed revocation to this node and the others.
///
/// The message goes to all nodes rather than over the visitor's topic: a node also forgets the
/// cached rights of a visitor who has no socket on it.
pub(super) fn announce(app: &App) {
    app.moderation.new_revocation.notify_one();
    app.hub.send_event(Topic::Nodes, NodeEvent::RightsRevoked);
}

/// Reads the revocations up to `version` of the fence, in a transaction that holds the fence lock.
/// From then on [`State::is_revoked_since`] is exact in that transaction.
///
/// Runs no query if this node knows them already.
///
/// # Errors
/// Those of the database.
pub async fn read_new_revocations(app: &App, tx: &mut PgConnection, version: FenceVersion) -> Result<(), sqlx::Error> {
    loop {
        let known = app.moderation.known_version();
        if known >= version {
            return Ok(());
        }
        let rows = fence::revoked_since(tx, known).await?;
        if rows.is_empty() {
            // The fence has counted a revocation whose row is gone. It could be about any visitor.
            app.moderation.recheck_everybody(version);
        }
        app.moderation.record(&rows);
    }
}

/// Returns the last frame and the close code for a visitor, `None` if the visitor is not banned
/// now.
///
/// # Errors
/// `unavailable`.
pub async fn find_ban_disconnect(app: &App, visitor: VisitorId) -> Result<Option<Disconnect>> {
    Ok(accounts::active_ban(app, visitor).await?.as_ref().map(ban_disconnect))
}

/// Returns the last frame and the close code for the sockets of a visitor with this ban.
pub fn ban_disconnect(ban: &Ban) -> Disconnect {
    let (at, reason) = (ban.until.map(format_timestamp), Some(ban.reason.clone()));
    let last = Notice::Notice { kind: NoticeKind::Banned, at, reason, device: None, room: None }.encode();
    Disconnect { last, code: CloseCode::Banned, reason: "banned" }
}

/// Starts the task that applies revocations.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("moderation.watch", move || keep_applying_revocations(node.clone()));
}

fn is_revocation(publication: &Publication) -> bool {
    matches!(publication.content, Content::Event(NodeEvent::RightsRevoked))
}

async fn keep_applying_revocations(node: App) {
    let mut relay = node.relay.events(TopicKind::Nodes);
    let mut tick = tokio::time::interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            () = node.moderation.new_revocation.notified() => {}
            _ = tick.tick() => {}
            event = relay.next() => match event {
                Some(RelayEvent::Published(published)) if published.iter().any(is_revocation) => {}
                Some(RelayEvent::Published(_)) => continue,
                Some(RelayEvent::Missed) => {}
                None => return,
            },
        }
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, apply_new_revocations(&node)).await {
            tracing::debug!(error.cause = ?why, "revocations could not be applied, retrying with the next poll");
        }
    }
}

/// Reads the new revocations, closes the sockets of banned visitors on this node, then moves the
/// applied version on.
async fn apply_new_revocations(app: &App) -> Result<()> {
    loop {
        let applied = *app.moderation.applied.borrow();
        let mut connection = app.db.acquire().await?;
        let rows = fence::revoked_since(&mut connection, applied).await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        app.moderation.record(&rows);
        let visitors: Vec<VisitorId> = rows.iter().map(|(_, visitor)| *visitor).collect();
        let restrictions = restrictions(&mut connection, &visitors, None).await?;
        drop(connection);
        for (visitor, restriction) in restrictions {
            if matches!(restriction, Restriction::Banned { .. })
                && app.hub.subscriber_count(Topic::Visitor(visitor)) > 0
                && let Some(disconnect) = find_ban_disconnect(app, visitor).await?
            {
                app.hub.disconnect(Topic::Visitor(visitor), &disconnect);
            }
        }
        app.moderation.applied.send_replace(*last);
    }
}
