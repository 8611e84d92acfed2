//! Presence: writes which visitors have a socket on this node. The landing page counts them over
//! all nodes.
use std::time::Duration;

use super::store;
use crate::app::App;
use crate::db;
use crate::ids::VisitorId;

/// How often the visitors of this node are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a stopping node takes at most to delete its row. A row that stays is not counted any
/// more ten seconds after it was written.
const DELETE_TIMEOUT: Duration = Duration::from_millis(700);

/// Starts the task that writes the visitors of this node.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("accounts.present", move || keep_writing_presence(node.clone()));
}

async fn keep_writing_presence(node: App) {
    let mut ticks = node.tasks.ticks(WRITE_INTERVAL);
    while ticks.next().await {
        let visitors = visitors_with_socket(&node);
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, store::write_presence(&node.db, node.node, &visitors)).await
        {
            tracing::debug!(error.cause = %why, "presence was not written, retrying with the next tick");
        }
    }
    let _ = tokio::time::timeout(DELETE_TIMEOUT, store::delete_presence(&node.db, node.node)).await;
}

/// Returns the distinct visitors with a socket on this node.
fn visitors_with_socket(app: &App) -> Vec<VisitorId> {
    let mut visitors = app.accounts.open_sockets.visitors();
    visitors.sort_unstable();
    visitors.dedup();
    visitors
}
