//! Talks between two: found, entered, away and back, ended. Exactly one end of a talk wins; every other is harmless.
mod store;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{
    ENTRY, Ending, OpenSession, Pairing, PartnerState, RETURN, Seek, Talk, TalkEvent, TalkState, farewells, other,
    overdue,
};
use super::pair::APART;
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::matching::registry::Seeker;
use crate::matching::store::{self as tickets, Written};
use crate::realtime::{Publication, Topic};
use crate::rooms;

pub(super) use store::{NewTalk, View, insert, matched, views};

/// How far back waits count for the median that seekers are shown.
const WAITS: time::Duration = time::Duration::minutes(10);
/// How long the relay may take to say that a talk has ended.
const HEARSAY: time::Duration = time::Duration::seconds(1);
/// Waits below which no median is shown.
const FEW: usize = 5;

/// Tells a visitor, on all sockets of all nodes.
pub(super) fn tell(app: &App, visitor: i64, event: &TalkEvent) {
    let (topic, frame) = (Topic::Visitor(visitor), event.encode());
    app.hub.publish(topic, &frame, None);
    if app.relay.has_others() {
        app.relay.publish(Publication { node: app.node, topic, seq: None, frame });
    }
}

/// A talk that this caller ended, after the commit of [`end_in`].
pub(super) struct Ended {
    talk: Talk,
    ending: Ending,
    ticket: Option<Uuid>,
}

/// Ends a talk inside a transaction, if it is open and `how` wants it to. The row is locked first: one end wins.
pub(super) async fn end_in(
    tx: &mut PgConnection,
    id: i64,
    now: OffsetDateTime,
    how: impl FnOnce(&Talk) -> Option<Ending>,
) -> Result<Option<Ended>> {
    let Some(talk) = store::lock(&mut *tx, id).await?.filter(|talk| !talk.ended) else { return Ok(None) };
    let Some(ending) = how(&talk) else { return Ok(None) };
    let by = ending.by.map(|slot| talk.side(slot).visitor);
    store::end(&mut *tx, id, ending.reason, by, now).await?;
    let mut ticket = None;
    if let Some(slot) = ending.free
        && let Some(node) = talk.side(slot).node
        && tickets::is_alive(&mut *tx, node).await?
    {
        let (side, again) = (talk.side(slot), Uuid::new_v4());
        let mut front = Written::default();
        let since = if faults::on(Fault::FreedSideLosesItsPlace) { now } else { side.since };
        front.add(side.visitor, again, &side.seek, since);
        tickets::write_tickets(&mut *tx, node, &front).await?;
        ticket = Some(again);
    }
    if !faults::on(Fault::RoomStaysOpen) {
        rooms::close(tx, talk.room_id).await?;
    }
    Ok(Some(Ended { talk, ending, ticket }))
}

/// What follows the commit that ended a talk: both sides are told.
pub(super) fn ended(app: &App, ended: &Ended) {
    rooms::closed(app, ended.talk.room);
    for (visitor, event) in farewells(&ended.talk, ended.ending, ended.ticket) {
        app.matching.registry.left(visitor);
        if faults::on(Fault::EndNotTold) {
            continue;
        }
        tell(app, visitor, &event);
    }
    if let (Some(ticket), Some(slot)) = (ended.ticket, ended.ending.free) {
        let side = ended.talk.side(slot);
        if side.node == Some(app.node) {
            // Another node takes it up when it hears the `ended`, or with its next second.
            let seeker = Seeker { ticket, seek: side.seek.clone(), since: side.since };
            app.matching.registry.hold(side.visitor, seeker, app.clock.instant());
        }
        app.matching.wake(app);
    }
}

/// Ends a talk in a transaction of its own. False: it was not to be ended, or had ended before.
pub(super) async fn end(app: &App, id: i64, how: impl FnOnce(&Talk) -> Option<Ending>) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    let over = end_in(&mut tx, id, app.clock.now(), how).await?;
    if faults::on(Fault::EndToldBeforeCommit) {
        over.iter().for_each(|over| ended(app, over));
    }
    tx.commit().await?;
    if let Some(over) = &over {
        ended(app, over);
    }
    Ok(over.is_some())
}

/// A visitor's talk and what it was sought with. Errors: `not_found` for one that is not there or not the visitor's.
pub(super) async fn of_visitor(app: &App, session: Uuid, visitor: i64) -> Result<(i64, Seek)> {
    store::of_visitor(&app.db, session, visitor).await?.ok_or(Error::NotFound)
}

/// The talk of a room. Errors: `not_found` when the room is no talk of the visitor's.
pub(super) async fn of_room(app: &App, room: i64, visitor: i64) -> Result<i64> {
    store::of_room(&app.db, room, visitor).await?.ok_or(Error::NotFound)
}

/// The open talk between two people.
pub(super) async fn open_between(app: &App, one: i64, other: i64) -> Result<Option<i64>> {
    Ok(store::open_between(&app.db, one, other).await?)
}

/// Tells both sides of talks that they were found.
pub(super) fn tell_found(app: &App, views: Vec<store::View>) {
    for view in views {
        for (visitor, found) in [view.a, view.b] {
            tell(app, visitor, &TalkEvent::Found(found));
        }
    }
}

/// The open talks of visitors.
pub(super) async fn open_ids(app: &App, visitors: &[i64]) -> Result<Vec<i64>> {
    if visitors.is_empty() { Ok(Vec::new()) } else { Ok(store::open_of(&app.db, visitors).await?) }
}

/// The open talks of visitors, as each of them sees it.
pub(super) async fn open_of(app: &App, visitors: &[i64]) -> Result<Vec<(i64, Pairing)>> {
    let ids = store::open_of(&app.db, visitors).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = app.db.acquire().await?;
    let views = store::views(&mut connection, &ids).await?;
    let sides = views.into_iter().flat_map(|view| [view.a, view.b]);
    Ok(sides.filter(|(visitor, _)| visitors.contains(visitor)).collect())
}

/// The open talk of a visitor with its partner's state, for `hello`.
pub(super) async fn standing(app: &App, visitor: i64) -> Result<Option<OpenSession>> {
    let fetch = |visitors| store::open_by_visitor(&app.db, visitors);
    let Some(id) = app.matching.open_talks.load(visitor, fetch).await? else { return Ok(None) };
    let mut connection = app.db.acquire().await?;
    let Some(view) = store::views(&mut connection, &[id]).await?.pop() else { return Ok(None) };
    let (found, away_since) =
        if view.a.0 == visitor { (view.a.1, view.b_away_since) } else { (view.b.1, view.a_away_since) };
    let state = if away_since.is_some() { TalkState::Away } else { TalkState::Open };
    Ok(Some(OpenSession { found, state, partner_until: away_since.map(|since| format_timestamp(since + RETURN)) }))
}

/// A visitor's socket on this node is in the room of a talk: the side is here, and back if it was away.
pub(super) async fn enter(app: &App, visitor: i64, room: i64) -> Result<()> {
    let Some(entered) = store::enter(&app.db, room, visitor, app.node).await? else { return Ok(()) };
    app.matching.registry.entered(visitor, entered.id, app.clock.instant());
    if entered.was_away {
        let back = TalkEvent::Partner { session: entered.public_id, state: PartnerState::Back, until: None };
        tell(app, entered.partner, &back);
    }
    Ok(())
}

/// Marks the sides of visitors away who have had no socket on this node for a moment.
pub(super) async fn mark_away(app: &App, visitors: &[i64]) -> Result<()> {
    let now = app.clock.now();
    let marked = store::mark_away(&app.db, app.node, visitors, now).await?;
    tell_away(app, marked, now);
    Ok(())
}

/// Tells those whose talk was ended on another node and who did not hear of it: the relay lost it.
pub(super) async fn tell_missed_ends(app: &App) -> Result<()> {
    let inside = app.matching.registry.inside();
    if inside.is_empty() {
        return Ok(());
    }
    let talks: Vec<i64> = inside.iter().map(|(_, talk)| *talk).collect();
    for over in store::ended_among(&app.db, &talks, app.clock.now() - HEARSAY).await? {
        rooms::closed(app, over.room);
        for (visitor, _) in inside.iter().filter(|(_, talk)| *talk == over.id) {
            app.matching.registry.left(*visitor);
            let reason = over.reason.as_told(over.by == Some(*visitor));
            let event = TalkEvent::Ended { session: over.public_id, reason, seeking: None };
            app.hub.publish(Topic::Visitor(*visitor), &event.encode(), None);
        }
    }
    Ok(())
}

/// Brings back the sides that are marked away and have a socket here all the same: they have one on two nodes, or this
/// node was thought dead.
pub(super) async fn bring_back(app: &App) -> Result<()> {
    let inside = app.matching.registry.inside();
    if inside.is_empty() {
        return Ok(());
    }
    let (visitors, talks): (Vec<i64>, Vec<i64>) = inside.into_iter().unzip();
    for absent in store::with_absent(&app.db, &talks).await? {
        for visitor in [absent.a, absent.b].into_iter().flatten() {
            if visitors.contains(&visitor) {
                enter(app, visitor, absent.room_id).await?;
            }
        }
    }
    Ok(())
}

/// Ends what time ends: sides that never entered, sides that were away too long. `leases`: also mark the sides away whose
/// node's lease has expired; not in the first seconds, in which every node may be renewing its own.
pub(super) async fn sweep(app: &App, leases: bool) -> Result<()> {
    let now = app.clock.now();
    if leases {
        let marked = store::mark_orphans(&app.db, now).await?;
        tell_away(app, marked, now);
    }
    for id in store::due(&app.db, now - ENTRY, now - RETURN).await? {
        if app.tasks.stopping.is_cancelled() {
            return Ok(());
        }
        end(app, id, |talk| overdue(talk, now)).await?;
    }
    Ok(())
}

fn tell_away(app: &App, marked: Vec<store::Marked>, now: OffsetDateTime) {
    for talk in marked.into_iter().filter(|_| !faults::on(Fault::AwayNotTold)) {
        let (session, until) = (talk.public_id, Some(format_timestamp(now + RETURN)));
        let away = TalkEvent::Partner { session, state: PartnerState::Away, until };
        if talk.a_marked {
            tell(app, talk.b, &away);
        }
        if talk.b_marked {
            tell(app, talk.a, &away);
        }
    }
}

/// The median of the waits of recent talks, in milliseconds; None when there are too few.
pub(super) async fn median_wait(app: &App) -> Result<Option<i64>> {
    let mut waits = store::recent_waits(&app.db, app.clock.now() - WAITS).await?;
    waits.sort_unstable();
    Ok(if waits.len() < FEW { None } else { waits.get(waits.len() / 2).map(|wait| (*wait).max(0)) })
}

/// Whom visitors met lately enough to be kept apart.
pub(super) async fn met_lately(
    db: &mut PgConnection,
    visitors: &[i64],
    now: OffsetDateTime,
) -> Result<Vec<(i64, i64, OffsetDateTime)>, sqlx::Error> {
    store::recent_partners(db, visitors, now - APART).await
}

/// The ending by one side.
pub(super) fn by(talk: &Talk, visitor: i64, reason: super::EndReason) -> Option<Ending> {
    Some(Ending { reason, by: Some(talk.slot_of(visitor)?), free: None })
}

/// The partner of a visitor in a talk, open or ended. The talk's row is locked.
pub(super) async fn partner(tx: &mut PgConnection, talk: i64, visitor: i64) -> Result<Option<i64>> {
    let talk = store::lock(tx, talk).await?;
    Ok(talk.and_then(|talk| Some(talk.side(other(talk.slot_of(visitor)?)).visitor)))
}
