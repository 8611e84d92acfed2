//! A publish arrives on every node: announced by the relay, and found by a poll of the content's
//! version when the relay was away.
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{limits, refresh_now, store};
use crate::app::App;
use crate::db;
use crate::realtime::{Content, NodeEvent, RelayEvent, Topic, TopicKind};

/// How long a poll can take.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);

/// Announces a committed change of what the pages show to this node and the others.
pub fn announce(app: &App) {
    refresh_now(app);
    app.hub.send_event(Topic::Nodes, NodeEvent::ContentChanged);
}

/// Starts the task that waits for changes made on other nodes.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("cms.arrival", move || watch(node.clone()));
}

async fn watch(node: App) {
    let mut relay = node.relay.events(TopicKind::Nodes);
    let mut ticks = tokio::time::interval(limits::VERSION_POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            _ = ticks.tick() => {
                if is_behind(&node).await {
                    refresh_now(&node);
                }
            }
            event = relay.next() => match event {
                Some(RelayEvent::Published(published)) => {
                    let is_change = |content: &Content| matches!(content, Content::Event(NodeEvent::ContentChanged));
                    if published.iter().any(|one| is_change(&one.content)) {
                        refresh_now(&node);
                    }
                }
                Some(RelayEvent::Missed) => refresh_now(&node),
                None => return,
            },
        }
    }
}

/// Returns `true` if there is a newer content than this node shows. `false` if that is not known: the
/// next refresh reads everything anyway.
async fn is_behind(app: &App) -> bool {
    let newest = db::with_timeout(POLL_TIMEOUT, async {
        let mut db = app.db.acquire().await?;
        store::content_version(&mut db).await
    });
    matches!(newest.await, Ok(newest) if newest > app.cms.current().contents().version)
}
