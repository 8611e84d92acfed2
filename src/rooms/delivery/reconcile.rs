//! Applies what other nodes published, and finds what is missing: an entry that arrived before its
//! predecessors waits for them, and heads are compared with Postgres. Without that comparison, the
//! loss of a room's newest entry would stay unnoticed until the next one.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::feed::repair;
use super::store::{self, Head};
use super::{presence, revocation};
use crate::app::App;
use crate::db;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::RoomId;
use crate::realtime::{Content, NodeEvent, Publication, RelayEvent, Topic, TopicKind};
use crate::rooms::membership::RightsChange;
use crate::rooms::model::ChatRoom;

/// How long an early entry (one that arrived before its predecessors) waits before they are read
/// from Postgres.
const EARLY_WAIT: Duration = Duration::from_millis(100);
/// How often the heads of the rooms in use are compared with Postgres.
const RECONCILE_PERIOD: Duration = Duration::from_secs(2);
/// How long a room without subscribers stays in use, for visitors who come back.
const UNUSED_ROOM_KEPT_FOR: Duration = Duration::from_secs(60);

/// Starts the two tasks: one applies publications, the other repairs and reconciles.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("rooms.relay", move || apply_publications(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("rooms.feed", move || repair_and_reconcile(node.clone()));
}

async fn repair_and_reconcile(node: App) {
    let mut tick = tokio::time::interval(EARLY_WAIT / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut reconciled_at = Instant::now();
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        for room in overdue(&node) {
            log_failure(db::with_timeout(db::JOB_TIMEOUT, repair(&node, room)).await);
        }
        if reconciled_at.elapsed() >= RECONCILE_PERIOD && !faults::on(Fault::HeadsNotCompared) {
            reconciled_at = Instant::now();
            log_failure(db::with_timeout(db::JOB_TIMEOUT, reconcile(&node)).await);
        }
    }
}

fn log_failure(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::debug!(error.cause = %why, "rooms could not be reconciled; trying again in two seconds");
    }
}

/// Returns the rooms whose missing entries must be read now: an early entry, or a newer head that
/// [`reconcile`] found, has waited for [`EARLY_WAIT`].
pub(in crate::rooms) fn overdue(app: &App) -> Vec<RoomId> {
    let mut rooms = app.rooms.delivery.feed.lock();
    let late = rooms.iter_mut().filter_map(|(room, feed)| {
        let early = feed.early_since.is_some_and(|since| since.elapsed() >= EARLY_WAIT);
        let due = feed.due.take_if(|(head, since)| feed.delivered >= Some(*head) || since.elapsed() >= EARLY_WAIT);
        (early || due.is_some_and(|(head, _)| feed.delivered < Some(head))).then_some(*room)
    });
    late.collect()
}

/// Compares the heads of the rooms in use with Postgres in one query, and drops the rooms that are
/// no longer in use. Missing entries are read after [`EARLY_WAIT`], unless they arrive before.
///
/// # Errors
/// `unavailable`.
pub(in crate::rooms) async fn reconcile(app: &App) -> Result<()> {
    let (mut ids, mut seqs, mut rights) = (Vec::new(), Vec::new(), Vec::new());
    {
        let mut rooms = app.rooms.delivery.feed.lock();
        rooms.retain(|id, feed| {
            if app.hub.subscriber_count(Topic::Room(*id)) > 0 {
                feed.used_at = Instant::now();
            }
            feed.used_at.elapsed() < UNUSED_ROOM_KEPT_FOR
        });
        for (id, feed) in rooms.iter() {
            let (Some(seq), Some(known)) = (feed.delivered, feed.rights) else { continue };
            ids.push(*id);
            seqs.push(seq);
            rights.push(known);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let moved = store::heads_past(&app.db, &ids, &seqs, &rights).await?;
    check_subscribers(app, &moved).await?;
    // Nothing is read at once: entries that were committed a moment ago are still on their way. On
    // a busy node that is so in every second room.
    let now = Instant::now();
    let mut rooms = app.rooms.delivery.feed.lock();
    for head in moved {
        // Without subscribers nothing is read: the next subscribe reads the head.
        if let Some(feed) = rooms.get_mut(&head.room_id)
            && app.hub.subscriber_count(Topic::Room(head.room_id)) > 0
        {
            feed.due.get_or_insert((head.seq, now));
        }
    }
    Ok(())
}

/// Unsubscribes the visitors who have lost their access to a room. The heads show in which rooms
/// the version of the rights has risen without a node event reaching this node.
async fn check_subscribers(app: &App, heads: &[Head]) -> Result<()> {
    let mut raised = Vec::new();
    {
        let mut rooms = app.rooms.delivery.feed.lock();
        for head in heads {
            let Some(feed) = rooms.get_mut(&head.room_id) else { continue };
            if feed.rights.is_some_and(|known| known < head.rights) {
                // The new version is set before the check, so that a subscribe from now on is
                // checked against it.
                raised.push((feed.room.clone(), feed.rights.replace(head.rights)));
            }
        }
    }
    let rooms: Vec<Arc<ChatRoom>> = raised.iter().map(|(room, _)| room.clone()).collect();
    let checked = revocation::unsubscribe_without_access(app, &rooms).await;
    if checked.is_err() {
        let mut rooms = app.rooms.delivery.feed.lock();
        for (room, before) in raised {
            if let Some(feed) = rooms.get_mut(&room.id) {
                feed.rights = before; // checked again next time
            }
        }
    }
    checked
}

/// Applies what other nodes publish to rooms.
async fn apply_publications(app: App) {
    let mut relay = app.relay.events(TopicKind::Rooms);
    loop {
        let event = tokio::select! {
            () = app.tasks.stopping.cancelled() => return,
            event = relay.next() => event,
        };
        match event {
            Some(RelayEvent::Published(publications)) => {
                if publications.first().is_some_and(|one| one.node != app.node) {
                    apply_relayed(&app, &publications);
                }
            }
            Some(RelayEvent::Missed) => log_failure(db::with_timeout(db::JOB_TIMEOUT, reconcile(&app)).await),
            None => return,
        }
    }
}

/// Applies publications that arrived together, in order. Consecutive entries are applied under one
/// lock of the feeds, and the sockets of a room wake once for them.
fn apply_relayed(app: &App, publications: &[Publication]) {
    let is_entry = |one: &Publication| matches!(one.content, Content::Entry(_));
    let mut entries = Vec::new();
    for alike in publications.chunk_by(|one, next| is_entry(one) == is_entry(next)) {
        if !alike.iter().all(is_entry) {
            alike.iter().for_each(|one| apply_other(app, one));
            continue;
        }
        let mut rooms = app.rooms.delivery.feed.lock();
        for run in alike.chunk_by(|one, next| one.topic == next.topic) {
            let Some(Publication { topic: Topic::Room(room), .. }) = run.first() else { continue };
            let Some(feed) = rooms.get_mut(room) else { continue };
            entries.extend(run.iter().filter_map(|one| match &one.content {
                Content::Entry(entry) => Some(entry.clone()),
                _ => None,
            }));
            feed.apply_all(app, &mut entries);
        }
    }
}

/// Applies a publication that is not an entry: a frame for the sockets of a room, or a node event.
fn apply_other(app: &App, Publication { node, topic, content }: &Publication) {
    let Topic::Room(room) = *topic else { return };
    match content {
        Content::Frame(frame) => app.hub.publish(*topic, frame, None),
        Content::Event(NodeEvent::OnlineCount { room: public, online }) => {
            presence::apply_relayed(app, *node, (room, *public), *online);
        }
        Content::Event(NodeEvent::RightsChanged { room: public, rights, removed }) => {
            let (public, rights, removed) = (*public, *rights, *removed);
            revocation::apply(app, RightsChange { room, public, rights, removed });
        }
        _ => {}
    }
}
