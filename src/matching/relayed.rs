//! What other nodes publish: events for visitors, new tickets and cancelled ones.
//!
//! The relay can lose a message. The reconciliation of each second finds what was missed.
use super::model::TalkEvent;
use super::{CANCELLED, NEW_TICKET, adopt_ticket};
use crate::app::App;
use crate::db;
use crate::ids::VisitorId;
use crate::realtime::{Frame, Publication, RelayEvent, Topic, TopicKind};

/// Starts the task that applies what other nodes publish.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.relay", move || apply_publications(node.clone()));
}

async fn apply_publications(app: App) {
    let (mut visitors, mut nodes) = (app.relay.events(TopicKind::Visitors), app.relay.events(TopicKind::Nodes));
    loop {
        let event = tokio::select! {
            () = app.tasks.stopping.cancelled() => return,
            event = visitors.next() => event,
            event = nodes.next() => event,
        };
        let publications = match event {
            Some(RelayEvent::Published(publications)) => publications,
            Some(RelayEvent::Missed) => continue,
            None => return,
        };
        for Publication { topic, frame, .. } in publications.iter().filter(|one| one.node != app.node) {
            match topic {
                Topic::Visitor(visitor) => apply_visitor_event(&app, *visitor, frame).await,
                Topic::Nodes => apply_node_event(&app, frame),
                Topic::Room(_) => {}
            }
        }
    }
}

async fn apply_visitor_event(app: &App, visitor: VisitorId, frame: &Frame) {
    if TalkEvent::is_found(frame) {
        app.matching.local.untrack(visitor);
    } else if TalkEvent::is_ended(frame) {
        app.matching.local.left_talk(visitor);
    }
    app.hub.publish(Topic::Visitor(visitor), frame, None);
    if TalkEvent::requeues(frame)
        && app.matching.local.is_present(visitor)
        && let Err(why) = db::with_timeout(db::JOB_TIMEOUT, adopt_ticket(app, visitor)).await
    {
        tracing::debug!(error.cause = ?why, "matching: a ticket was not adopted, the next second tries it again");
    }
}

fn apply_node_event(app: &App, frame: &Frame) {
    let cancelled = frame.strip_prefix(CANCELLED).and_then(|visitor| visitor.parse().ok());
    if let Some(visitor) = cancelled {
        app.matching.local.untrack(visitor);
    } else if **frame == *NEW_TICKET {
        app.matching.matcher.wake();
    }
}
