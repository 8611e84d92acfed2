//! What becomes of those who are banned: their ticket is dropped and their talk ends. Every node does so for every ban it
//! sees; one of them is first, the others find nothing left.
use std::time::Duration;

use super::model::{EndReason, Talk};
use super::{CANCELLED, store, talks, tell_nodes};
use crate::app::App;
use crate::db;
use crate::error::Result;

/// How long a node waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts it. The first look is at everybody: a ban may have been the last thing a node did.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.sanctions", move || end_talks_of_the_banned(node.clone()));
}

async fn end_talks_of_the_banned(node: App) {
    let mut news = node.moderation.seen();
    let mut after = None;
    loop {
        let seen = *news.borrow_and_update();
        let done = db::with_timeout(db::JOB_TIMEOUT, end_banned(&node, after)).await;
        if done.is_ok() {
            after = Some(seen);
        }
        let wait = async {
            match done {
                Ok(()) => news.changed().await.is_ok(),
                Err(why) => {
                    tracing::debug!(error.cause = ?why, "talks of the banned are ended with the next try");
                    tokio::time::sleep(AGAIN).await;
                    true
                }
            }
        };
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            goes_on = wait => if !goes_on { return },
        }
    }
}

/// Drops the tickets and ends the talks of those whose ban came after a version of the fence; of all banned if None.
///
/// The ticket first: a pair that took it is committed by then, and its talk is found. The mark that is left keeps every
/// node from writing the ticket again.
async fn end_banned(app: &App, after: Option<i64>) -> Result<()> {
    let banned = store::banned(&app.db, after).await?;
    for visitor in &banned {
        store::cancel(&app.db, *visitor, app.node).await?;
        app.matching.registry.release(*visitor);
        tell_nodes(app, &format!("{CANCELLED}{visitor}"));
    }
    for talk in talks::open_ids(app, &banned).await? {
        let by_banned = |talk: &Talk| banned.iter().find_map(|side| talks::by(talk, *side, EndReason::Moderator));
        talks::end(app, talk, by_banned).await?;
    }
    Ok(())
}
