//! Bans: a banned visitor's ticket is dropped and its talk ends.
//!
//! Every node does this for every ban that it sees. The first one does the work; the others find
//! nothing left to do.
use std::time::Duration;

use super::model::EndReason;
use super::talks::{self, Talk};
use super::{publish_cancelled, store};
use crate::app::App;
use crate::db;
use crate::error::Result;
use crate::ids::FenceVersion;

/// Pause after a failed attempt.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Starts the task. It first checks all visitors, because a node can stop right after a ban.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.sanctions", move || apply_bans(node.clone()));
}

async fn apply_bans(node: App) {
    let mut fence_versions = node.moderation.applied_version();
    let mut applied = None;
    loop {
        let seen = *fence_versions.borrow_and_update();
        let outcome = db::with_timeout(db::JOB_TIMEOUT, end_banned(&node, applied)).await;
        if outcome.is_ok() {
            applied = Some(seen);
        }
        let until_next = async {
            match outcome {
                Ok(()) => fence_versions.changed().await.is_ok(),
                Err(why) => {
                    tracing::debug!(error.cause = ?why, "matching: the talks of banned visitors were not ended, retrying");
                    tokio::time::sleep(RETRY_DELAY).await;
                    true
                }
            }
        };
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            continues = until_next => if !continues { return },
        }
    }
}

/// Drops the tickets and ends the talks of the visitors whose ban came after a fence version, or of
/// all banned visitors if `after` is `None`.
///
/// The ticket comes first: a pair that took it is committed by then, so its talk is found. The
/// cancelled row that remains keeps every node from writing the ticket again.
async fn end_banned(app: &App, after: Option<FenceVersion>) -> Result<()> {
    let banned = store::banned(&app.db, after).await?;
    for visitor in &banned {
        store::cancel(&mut *app.db.acquire().await?, *visitor, app.node).await?;
        app.matching.local.untrack(*visitor);
        publish_cancelled(app, *visitor);
    }
    for talk in talks::open_ids(app, &banned).await? {
        let by_banned = |talk: &Talk| banned.iter().find_map(|side| talk.ending_by(*side, EndReason::Moderator));
        talks::end(app, talk, by_banned).await?;
    }
    Ok(())
}
