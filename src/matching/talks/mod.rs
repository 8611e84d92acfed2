//! Talks between two visitors: found, entered, away, returned, ended.
//!
//! Exactly one end of a talk wins. Every other attempt to end it does nothing.
mod model;
mod store;

use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::{ENTRY_DEADLINE, MEDIAN_WAIT_WINDOW, MIN_WAITS_FOR_MEDIAN, REMATCH_COOLDOWN, RETURN_DEADLINE};
use super::model::{EndReason, OpenSession, Pairing, PartnerState, Seek, TalkEvent, TalkId, TalkState};
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, VisitorId};
use crate::matching::local_visitors::TrackedTicket;
use crate::matching::store::{self as tickets, TicketBatch};
use crate::realtime::Topic;
use crate::rooms;

#[cfg(test)]
pub(super) use model::Side;
pub(super) use model::{Ending, Talk, end_events, timeout_ending};
pub(super) use store::{NewTalk, TalkView, insert, matched, views};

/// How long after the end of a talk the relay can still deliver its event. After that the event is
/// taken as lost.
const END_EVENT_GRACE: time::Duration = time::Duration::seconds(1);

/// Publishes an event to a visitor, on all sockets of all nodes.
pub(super) fn publish(app: &App, visitor: VisitorId, event: &TalkEvent) {
    let (topic, frame) = (Topic::Visitor(visitor), event.encode());
    match event.node_event() {
        Some(meaning) => app.hub.broadcast_with_event(topic, frame, meaning),
        None => app.hub.broadcast(topic, frame, None),
    }
}

/// A talk that this caller ended. It is published after the commit of [`end_in`].
pub(super) struct EndedTalk {
    talk: Talk,
    ending: Ending,
    /// The new ticket of the side that waits again.
    ticket: Option<Uuid>,
}

/// Ends a talk inside a transaction. `how` decides how it ends; it returns `None` to keep the talk
/// open. Returns `None` if the talk was not ended.
///
/// The row is locked first, so that only one end wins.
///
/// # Errors
/// Those of the database.
pub(super) async fn end_in(
    tx: &mut PgConnection,
    id: TalkId,
    now: OffsetDateTime,
    how: impl FnOnce(&Talk) -> Option<Ending>,
) -> Result<Option<EndedTalk>> {
    let Some(talk) = store::lock(&mut *tx, id).await?.filter(|talk| !talk.ended) else { return Ok(None) };
    let Some(ending) = how(&talk) else { return Ok(None) };
    let ended_by = ending.ended_by.map(|slot| talk.side(slot).visitor);
    store::end(&mut *tx, id, ending.reason, ended_by, now).await?;
    let ticket = requeue(&mut *tx, &talk, ending, now).await?;
    if !faults::on(Fault::RoomStaysOpen) {
        rooms::close(tx, talk.room_id).await?;
    }
    Ok(Some(EndedTalk { talk, ending, ticket }))
}

/// Writes a ticket for the side that waits again, with the waiting time it had. Returns the ticket.
/// `None` if there is no such side or its node is not alive.
async fn requeue(tx: &mut PgConnection, talk: &Talk, ending: Ending, now: OffsetDateTime) -> Result<Option<Uuid>> {
    let Some(slot) = ending.requeued else { return Ok(None) };
    let side = talk.side(slot);
    let Some(node) = side.node else { return Ok(None) };
    if !tickets::is_node_alive(&mut *tx, node).await? {
        return Ok(None);
    }
    let (ticket, mut batch) = (Uuid::new_v4(), TicketBatch::default());
    let since = if faults::on(Fault::FreedSideLosesItsPlace) { now } else { side.since };
    batch.add(side.visitor, ticket, &side.seek, since);
    tickets::write_tickets(&mut *tx, node, &batch).await?;
    Ok(Some(ticket))
}

/// Publishes the end of a talk to both sides. It must be called after the commit.
pub(super) fn publish_end(app: &App, ended: &EndedTalk) {
    rooms::closed(app, ended.talk.room);
    for (visitor, event) in end_events(&ended.talk, ended.ending, ended.ticket) {
        app.matching.local.left_talk(visitor);
        if !faults::on(Fault::EndNotTold) {
            publish(app, visitor, &event);
        }
    }
    if let (Some(ticket), Some(slot)) = (ended.ticket, ended.ending.requeued) {
        let side = ended.talk.side(slot);
        if side.node == Some(app.node) {
            // Another node adopts the ticket when it receives the `ended`, or in the next second.
            let tracked = TrackedTicket { ticket, seek: side.seek.clone(), since: side.since };
            app.matching.local.track(side.visitor, tracked, app.clock.instant());
        }
        app.matching.wake_matchers(app);
    }
}

/// Ends a talk in its own transaction. Returns `true` if this call ended it, `false` if `how`
/// returned `None` or the talk had ended before.
///
/// # Errors
/// Those of the database.
pub(super) async fn end(app: &App, id: TalkId, how: impl FnOnce(&Talk) -> Option<Ending>) -> Result<bool> {
    let tx = app.db.begin().await?;
    end_and_publish(app, tx, id, how).await
}

/// Ends a talk for a visitor, as [`end`] does. The session of a visitor with an account is checked in
/// the same transaction.
///
/// # Errors
/// `session_ended`, and those of the database.
pub(super) async fn end_by(
    app: &App,
    who: &Visitor,
    id: TalkId,
    how: impl FnOnce(&Talk) -> Option<Ending>,
) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    if who.account.is_some() {
        accounts::require_session(&mut tx, who).await?;
    }
    end_and_publish(app, tx, id, how).await
}

async fn end_and_publish(
    app: &App,
    mut tx: Transaction<'_, Postgres>,
    id: TalkId,
    how: impl FnOnce(&Talk) -> Option<Ending>,
) -> Result<bool> {
    let Some(ended) = end_in(&mut tx, id, app.clock.now(), how).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    if faults::on(Fault::EndToldBeforeCommit) {
        publish_end(app, &ended);
    }
    tx.commit().await?;
    publish_end(app, &ended);
    Ok(true)
}

/// Returns a visitor's talk by its public id, and what the visitor was looking for.
///
/// # Errors
/// `not_found` if there is no such talk or it is not one of the visitor's.
pub(super) async fn of_visitor(app: &App, session: Uuid, visitor: VisitorId) -> Result<(TalkId, Seek)> {
    store::of_visitor(&app.db, session, visitor).await?.ok_or(Error::NotFound)
}

/// Returns the talk of a room.
///
/// # Errors
/// `not_found` if the room is not a talk of the visitor's.
pub(super) async fn of_room(app: &App, room: RoomId, visitor: VisitorId) -> Result<TalkId> {
    store::of_room(&app.db, room, visitor).await?.ok_or(Error::NotFound)
}

/// Returns how the talk of a room ended, as a side sees it. `None` if it is open, or is not one of
/// the visitor's.
///
/// # Errors
/// Those of the database.
pub(super) async fn end_reason(app: &App, visitor: VisitorId, room: RoomId) -> Result<Option<EndReason>> {
    let ended = store::end_of_room(&app.db, room, visitor).await?;
    Ok(ended.map(|(reason, ended_by)| reason.shown_to_side(ended_by == Some(visitor))))
}

/// Returns the open talk between two visitors. `None` if there is none.
///
/// # Errors
/// Those of the database.
pub(super) async fn open_between(app: &App, one: VisitorId, other: VisitorId) -> Result<Option<TalkId>> {
    Ok(store::open_between(&app.db, one, other).await?)
}

/// Publishes `found` to both sides of talks.
pub(super) fn publish_found(app: &App, views: Vec<TalkView>) {
    for view in views {
        for (visitor, found) in [view.a, view.b] {
            publish(app, visitor, &TalkEvent::Found(found));
        }
    }
}

/// Returns the open talks of visitors.
///
/// # Errors
/// Those of the database.
pub(super) async fn open_ids(app: &App, visitors: &[VisitorId]) -> Result<Vec<TalkId>> {
    if visitors.is_empty() { Ok(Vec::new()) } else { Ok(store::open_of(&app.db, visitors).await?) }
}

/// Returns the open talks of visitors, as each of these visitors sees them.
///
/// # Errors
/// Those of the database.
pub(super) async fn open_pairings(app: &App, visitors: &[VisitorId]) -> Result<Vec<(VisitorId, Pairing)>> {
    let ids = store::open_of(&app.db, visitors).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = app.db.acquire().await?;
    let views = store::views(&mut connection, &ids).await?;
    let sides = views.into_iter().flat_map(|view| [view.a, view.b]);
    Ok(sides.filter(|(visitor, _)| visitors.contains(visitor)).collect())
}

/// Returns the open talk of a visitor with the state of its partner, for `hello`. `None` if the
/// visitor is in no talk.
///
/// # Errors
/// Those of the database.
pub(super) async fn open_session(app: &App, visitor: VisitorId) -> Result<Option<OpenSession>> {
    let fetch = |visitors| store::open_by_visitor(&app.db, visitors);
    let Some(id) = app.matching.open_talks.load(visitor, fetch).await? else { return Ok(None) };
    let mut connection = app.db.acquire().await?;
    let Some(view) = store::views(&mut connection, &[id]).await?.pop() else { return Ok(None) };
    let (found, away_since) =
        if view.a.0 == visitor { (view.a.1, view.b_away_since) } else { (view.b.1, view.a_away_since) };
    let state = if away_since.is_some() { TalkState::Away } else { TalkState::Open };
    let partner_until = away_since.map(|since| format_timestamp(since + RETURN_DEADLINE));
    Ok(Some(OpenSession { found, state, partner_until }))
}

/// Records that a visitor's socket on this node is in the room of a talk. The side has entered, or
/// returned if it was away. Does nothing if the talk has ended.
///
/// # Errors
/// Those of the database.
pub(super) async fn enter(app: &App, visitor: VisitorId, room: RoomId) -> Result<()> {
    let entered = store::enter(&mut *app.db.acquire().await?, room, visitor, app.node).await?;
    publish_entered(app, visitor, entered);
    Ok(())
}

/// Records it for a socket of `who`, as [`enter`] does. The session of a visitor with an account is
/// checked in the same transaction.
///
/// # Errors
/// `session_ended`, `banned`, and those of the database.
pub(super) async fn enter_as(app: &App, who: &Visitor, room: RoomId) -> Result<()> {
    if who.account.is_none() {
        return enter(app, who.id, room).await;
    }
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, who).await?;
    let entered = store::enter(&mut tx, room, who.id, app.node).await?;
    tx.commit().await?;
    publish_entered(app, who.id, entered);
    Ok(())
}

/// Tracks a talk that a visitor has entered, and tells the partner if the visitor was away. Does
/// nothing if the talk has ended.
fn publish_entered(app: &App, visitor: VisitorId, entered: Option<store::Entered>) {
    let Some(entered) = entered else { return };
    app.matching.local.entered_talk(visitor, entered.id, app.clock.instant());
    if entered.was_away {
        let back = TalkEvent::Partner { session: entered.public_id, state: PartnerState::Back, until: None };
        publish(app, entered.partner, &back);
    }
}

/// Marks the sides of visitors away, and tells their partners.
///
/// # Errors
/// Those of the database.
pub(super) async fn mark_away(app: &App, visitors: &[VisitorId]) -> Result<()> {
    let now = app.clock.now();
    let marked = store::mark_away(&app.db, app.node, visitors, now).await?;
    publish_away(app, marked, now);
    Ok(())
}

/// Tells the visitors on this node whose talk was ended on another node, if the relay lost the
/// event.
///
/// # Errors
/// Those of the database.
pub(super) async fn deliver_missed_ends(app: &App) -> Result<()> {
    let entered = app.matching.local.entered_talks();
    if entered.is_empty() {
        return Ok(());
    }
    let talks: Vec<TalkId> = entered.iter().map(|(_, talk)| *talk).collect();
    for ended in store::ended_among(&app.db, &talks, app.clock.now() - END_EVENT_GRACE).await? {
        rooms::closed(app, ended.room);
        for (visitor, _) in entered.iter().filter(|(_, talk)| *talk == ended.id) {
            app.matching.local.left_talk(*visitor);
            let reason = ended.reason.shown_to_side(ended.ended_by == Some(*visitor));
            let event = TalkEvent::Ended { session: ended.public_id, reason, seeking: None };
            app.hub.publish(Topic::Visitor(*visitor), &event.encode(), None);
        }
    }
    Ok(())
}

/// Marks the sides as returned that are away in the database but have a socket here. Their visitor
/// has a socket on two nodes, or the lease of this node had expired.
///
/// # Errors
/// Those of the database.
pub(super) async fn mark_returned(app: &App) -> Result<()> {
    let entered = app.matching.local.entered_talks();
    if entered.is_empty() {
        return Ok(());
    }
    let (visitors, talks): (Vec<VisitorId>, Vec<TalkId>) = entered.into_iter().unzip();
    for away in store::with_side_away(&app.db, &talks).await? {
        for visitor in [away.a, away.b].into_iter().flatten() {
            if visitors.contains(&visitor) {
                enter(app, visitor, away.room_id).await?;
            }
        }
    }
    Ok(())
}

/// Marks the sides away whose node's lease has expired, and tells their partners.
///
/// It must not be called in the first seconds after a crash of Postgres, in which every node renews
/// its own lease.
///
/// # Errors
/// Those of the database.
pub(super) async fn mark_orphaned_away(app: &App) -> Result<()> {
    let now = app.clock.now();
    let marked = store::mark_orphaned_away(&app.db, now).await?;
    publish_away(app, marked, now);
    Ok(())
}

/// Ends the talks in which a side never entered or was away too long.
///
/// # Errors
/// Those of the database.
pub(super) async fn end_overdue(app: &App) -> Result<()> {
    let now = app.clock.now();
    for id in store::overdue(&app.db, now - ENTRY_DEADLINE, now - RETURN_DEADLINE).await? {
        if app.tasks.stopping.is_cancelled() {
            return Ok(());
        }
        end(app, id, |talk| timeout_ending(talk, now)).await?;
    }
    Ok(())
}

fn publish_away(app: &App, marked: Vec<store::MarkedAway>, now: OffsetDateTime) {
    if faults::on(Fault::AwayNotTold) {
        return;
    }
    for talk in marked {
        let (session, until) = (talk.public_id, Some(format_timestamp(now + RETURN_DEADLINE)));
        let away = TalkEvent::Partner { session, state: PartnerState::Away, until };
        if talk.a_marked {
            publish(app, talk.b, &away);
        }
        if talk.b_marked {
            publish(app, talk.a, &away);
        }
    }
}

/// Returns the median of the waits of recent talks, in milliseconds. `None` if there are too few of
/// them.
///
/// # Errors
/// Those of the database.
pub(super) async fn median_wait(app: &App) -> Result<Option<i64>> {
    let mut waits = store::recent_waits(&app.db, app.clock.now() - MEDIAN_WAIT_WINDOW).await?;
    if waits.len() < MIN_WAITS_FOR_MEDIAN {
        return Ok(None);
    }
    waits.sort_unstable();
    Ok(waits.get(waits.len() / 2).map(|wait| (*wait).max(0)))
}

/// Returns the partners of visitors in talks that ended less than [`REMATCH_COOLDOWN`] ago, with
/// the time of the end.
///
/// # Errors
/// Those of the database.
pub(super) async fn recent_partners(
    db: &mut PgConnection,
    visitors: &[VisitorId],
    now: OffsetDateTime,
) -> Result<Vec<(VisitorId, VisitorId, OffsetDateTime)>, sqlx::Error> {
    store::recent_partners(db, visitors, now - REMATCH_COOLDOWN).await
}

/// Locks a talk, open or ended, and returns the partner of a visitor in it. `None` if the visitor
/// is not in it.
///
/// # Errors
/// Those of the database.
pub(super) async fn partner(tx: &mut PgConnection, talk: TalkId, visitor: VisitorId) -> Result<Option<VisitorId>> {
    Ok(store::lock(tx, talk).await?.and_then(|talk| talk.partner_of(visitor)))
}
