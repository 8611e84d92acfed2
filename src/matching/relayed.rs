//! What other nodes publish: events for visitors, new tickets and cancelled ones.
//!
//! The relay can lose a message. The reconciliation of each second finds what was missed.
use super::adopt_ticket;
use crate::app::App;
use crate::db;
use crate::ids::VisitorId;
use crate::realtime::{Content, NodeEvent, Publication, RelayEvent, Topic, TopicKind};

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
        for Publication { topic, content, .. } in publications.iter().filter(|one| one.node != app.node) {
            match topic {
                Topic::Visitor(visitor) => apply_visitor_content(&app, *visitor, content).await,
                Topic::Nodes => apply_node_content(&app, content),
                Topic::Room(_) => {}
            }
        }
    }
}

async fn apply_visitor_content(app: &App, visitor: VisitorId, content: &Content) {
    let (frame, event) = match content {
        Content::Frame(frame) => (frame, None),
        Content::FrameWithEvent(frame, event) => (frame, Some(*event)),
        Content::Entry(_) | Content::Event(_) => return,
    };
    match event {
        Some(NodeEvent::Matched) => app.matching.local.untrack(visitor),
        Some(NodeEvent::TalkEnded { .. }) => app.matching.local.left_talk(visitor),
        _ => {}
    }
    app.hub.publish(Topic::Visitor(visitor), frame, None);
    if event == Some(NodeEvent::TalkEnded { requeued: true })
        && app.matching.local.is_present(visitor)
        && let Err(why) = db::with_timeout(db::JOB_TIMEOUT, adopt_ticket(app, visitor)).await
    {
        tracing::debug!(error.cause = ?why, "matching: a ticket was not adopted, the next second tries it again");
    }
}

fn apply_node_content(app: &App, content: &Content) {
    match content {
        Content::Event(NodeEvent::TicketCancelled { visitor }) => app.matching.local.untrack(*visitor),
        Content::Event(NodeEvent::NewTicket) => app.matching.matcher.wake(),
        _ => {}
    }
}
