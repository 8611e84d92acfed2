//! What a node does when rights were taken away everywhere: it learns of it, and closes the sockets of whoever is banned.
//!
//! The relay wakes it; a look every two seconds finds what the relay lost. Nothing that is written depends on it: the
//! writers read the fence themselves.
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Restriction, restrictions};
use crate::accounts::{self, Ban};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db::{self, fence};
use crate::error::Result;
use crate::realtime::{CloseCode, Disconnect, Notice, NoticeKind, Publication, RelayEvent, Topic, TopicKind};

/// How often a node looks for revocations that nobody told it of.
const LOOK: Duration = Duration::from_secs(2);
/// What nodes tell each other.
const REVOKED: &str = "moderation.revoked";

/// Tells this node and the others, after the commit, that there is a revocation. To all of them rather than over the
/// visitor's topic: a node also forgets what it knew of somebody who has no socket on it.
pub(super) fn tell(app: &App) {
    app.moderation.news.notify_one();
    if app.relay.has_others() {
        app.relay.publish(Publication { node: app.node, topic: Topic::Nodes, seq: None, frame: REVOKED.into() });
    }
}

/// The last frame and the close of a visitor who is banned now.
pub async fn dismissal(app: &App, visitor: i64) -> Result<Option<Disconnect>> {
    Ok(accounts::ban(app, visitor).await?.as_ref().map(dismissal_of))
}

/// The last frame and the close of whoever has this ban.
pub fn dismissal_of(ban: &Ban) -> Disconnect {
    let (at, reason) = (ban.until.map(format_timestamp), Some(ban.reason.clone()));
    let last = Notice::Notice { kind: NoticeKind::Banned, at, reason, room: None }.encode();
    Disconnect { last, code: CloseCode::Banned, reason: "banned" }
}

/// Starts the watch.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("moderation.watch", move || watch(node.clone()));
}

async fn watch(node: App) {
    let mut relay = node.relay.listen(TopicKind::Nodes);
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            () = node.moderation.news.notified() => {}
            _ = tick.tick() => {}
            said = relay.next() => match said {
                Some(RelayEvent::Published(said)) if said.iter().any(|one| *one.frame == *REVOKED) => {}
                Some(RelayEvent::Published(_)) => continue,
                Some(RelayEvent::Missed) => {}
                None => return,
            },
        }
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, look(&node)).await {
            tracing::debug!(error.cause = ?why, "revocations are looked for again in two seconds");
        }
    }
}

/// Takes in what is new, closes the sockets of the banned, then says how far it has got.
async fn look(app: &App) -> Result<()> {
    loop {
        let seen = *app.moderation.seen.borrow();
        let mut connection = app.db.acquire().await?;
        let rows = fence::revoked_since(&mut connection, seen).await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        app.moderation.learn(&rows);
        let visitors: Vec<i64> = rows.iter().map(|(_, visitor)| *visitor).collect();
        let restrictions = restrictions(&mut connection, &visitors, None).await?;
        drop(connection);
        for (visitor, restriction) in restrictions {
            if matches!(restriction, Restriction::Banned { .. })
                && app.hub.listeners(Topic::Visitor(visitor)) > 0
                && let Some(why) = dismissal(app, visitor).await?
            {
                app.hub.dismiss(Topic::Visitor(visitor), &why);
            }
        }
        app.moderation.seen.send_replace(*last);
    }
}
