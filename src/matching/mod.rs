//! Matching: seek, cancel, next, leave, report, block. Two visitors meet in the slots A and B of a
//! talk.
//!
//! A visitor that waits is never forgotten, and nobody is in two talks at once.
mod lease;
pub mod limits;
mod live_topics;
mod local_visitors;
mod matcher;
mod model;
mod nodes;
mod pair;
mod pool;
mod reconcile;
mod refreshed;
mod relayed;
mod routes;
mod sanctions;
pub mod simulation;
mod store;
mod talks;
#[cfg(test)]
mod tests;
mod topics;
mod waits;
mod writer;

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::db::{self, Loader};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::moderation::{self, ReportReason};
use crate::realtime::{NodeEvent, Topic};
use crate::rooms::{self, ChatRoom, Membership, RoomKind};
use crate::text;

use limits::{MAX_REPORT_ENTRIES, MAX_REPORT_NOTE_CHARS};
use model::TalkId;

pub use live_topics::{PopularTopic, popular_topics};
pub use model::{CurrentActivity, EndReason, OpenSession, Seek, Seeking, TRANSLATES};
#[cfg(test)]
pub use model::{Own, Pairing, Partner, PartnerState, SeekingRef, TalkEvent, TalkState};
pub use nodes::{LiveNode, figures, live_nodes};
pub use routes::router;

/// The state of matching on a node.
#[derive(Default)]
pub struct State {
    seek_queue: writer::SeekQueue,
    local: local_visitors::LocalVisitors,
    matcher: matcher::Matcher,
    /// Notified when a socket closes on this node.
    socket_closed: Notify,
    open_talks: Loader<VisitorId, TalkId>,
    waiting_tickets: Loader<VisitorId, ()>,
    waiting: AtomicI64,
    /// The median wait in milliseconds, plus one. 0 while there is none.
    median_plus_one: AtomicI64,
    live_topics: live_topics::State,
    waits: waits::State,
}

impl State {
    /// Returns the number of visitors that wait. It is at most one second old.
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns the median of recent real waits, in milliseconds. `None` while there are too few of
    /// them.
    pub fn median_wait_ms(&self) -> Option<i64> {
        self.median_plus_one.load(Ordering::Relaxed).checked_sub(1).filter(|ms| *ms >= 0)
    }

    fn set_waiting(&self, count: i64) {
        self.waiting.store(count, Ordering::Relaxed);
    }

    fn set_median(&self, ms: Option<i64>) {
        self.median_plus_one.store(ms.map_or(0, |ms| ms.saturating_add(1)), Ordering::Relaxed);
    }

    /// Wakes the matchers of all nodes, because there is a new ticket. Only the leading one works.
    fn wake_matchers(&self, app: &App) {
        self.matcher.wake();
        app.hub.send_event(Topic::Nodes, NodeEvent::NewTicket);
    }
}

/// Returns the number of database connections that matching opens outside the pool: one for the
/// matcher and one for the seek writer.
pub fn own_connections() -> u32 {
    2
}

/// Returns `true` if the matcher of this node pairs.
pub fn leads(app: &App) -> bool {
    app.matching.matcher.leading_for().is_some()
}

/// Returns `false` while the matcher or the seek writer of this node cannot connect to the
/// database. Then seeks are refused, or this node cannot take over the matching.
pub fn can_match(app: &App) -> bool {
    app.matching.matcher.connection.is_healthy() && app.matching.seek_queue.connection.is_healthy()
}

/// Returns for how long this node has run the matcher. `None` if another node does.
pub fn leading_for(app: &App) -> Option<Duration> {
    app.matching.matcher.leading_for()
}

/// Returns the time since the last round and since the last sweep of this node. `None` for what this
/// node has not done.
pub fn last_work(app: &App) -> (Option<Duration>, Option<Duration>) {
    (app.matching.matcher.since_round(), app.matching.matcher.since_sweep())
}

/// Starts the tasks of matching: seek writer, lease, relay, matcher, sweeper, sanctions and the
/// record of waits.
pub fn run(app: &App) {
    writer::run(app);
    relayed::run(app);
    lease::run(app);
    matcher::run(app);
    sanctions::run(app);
    waits::run(app);
}

/// Starts to wait for a partner. Returns after the commit of the ticket. A second seek replaces the
/// first.
///
/// # Errors
/// `age_gate`, `already_in_session`, `banned`, `muted`, `unavailable`.
pub async fn seek(app: &App, who: &Visitor, seek: Seek) -> Result<Seeking> {
    who.require_rules()?;
    if app.is_stopping() {
        return Err(Error::Unavailable);
    }
    let ticket = writer::write(app, who, seek).await?;
    let waiting = app.matching.waiting().max(1);
    Ok(Seeking { ticket, waiting, median_wait_ms: app.matching.median_wait_ms() })
}

/// Stops waiting. Does nothing if the visitor does not wait. A match that was committed before
/// stands.
///
/// # Errors
/// `session_ended`, `unavailable`.
pub async fn cancel(app: &App, who: &Visitor) -> Result<()> {
    if who.account.is_none() {
        store::cancel(&mut *app.db.acquire().await?, who.id, app.node).await?;
    } else {
        let mut tx = app.db.begin().await?;
        accounts::require_session(&mut tx, who).await?;
        store::cancel(&mut tx, who.id, app.node).await?;
        tx.commit().await?;
    }
    app.matching.local.untrack(who.id);
    publish_cancelled(app, who.id);
    Ok(())
}

/// Ends a talk and, if `seek` is `true`, seeks again with the same wishes. Returns the new ticket,
/// or `None` if `seek` is `false`.
///
/// A repeat is harmless: the talk stays ended, and a ticket that already waits is returned again.
///
/// # Errors
/// `not_found` if the talk is not one of the visitor's, and those of [`seek`].
pub async fn next(app: &App, who: &Visitor, session: Uuid, seek: bool) -> Result<Option<Uuid>> {
    let (talk, wishes) = talks::of_visitor(app, session, who.id).await?;
    let ended_now = end(app, talk, who, EndReason::Next).await?;
    if !seek {
        return Ok(None);
    }
    if !ended_now && let Some(ticket) = adopt_ticket(app, who.id).await? {
        return Ok(Some(ticket));
    }
    self::seek(app, who, wishes).await.map(|seeking| Some(seeking.ticket))
}

/// Ends the talk of a room. Does nothing if it has ended.
///
/// # Errors
/// `not_found` if the room is not a talk of the visitor's, `session_ended`, `unavailable`.
pub async fn leave(app: &App, who: &Visitor, membership: &Membership) -> Result<()> {
    let talk = talks::of_room(app, membership.room.id, who.id).await?;
    end(app, talk, who, EndReason::Left).await?;
    Ok(())
}

/// Returns `true` if the visitor is in an open talk.
///
/// # Errors
/// `unavailable`.
pub async fn has_open_talk(app: &App, who: &Visitor) -> Result<bool> {
    Ok(!talks::open_ids(app, &[who.id]).await?.is_empty())
}

/// Ends the visitor's open talk. Does nothing if there is none.
///
/// # Errors
/// `unavailable`.
pub async fn leave_open_talk(app: &App, who: &Visitor) -> Result<()> {
    for talk in talks::open_ids(app, &[who.id]).await? {
        end(app, talk, who, EndReason::Left).await?;
    }
    Ok(())
}

/// A report about a visitor in a room.
#[derive(Clone, Debug)]
pub struct NewReport {
    pub room: Uuid,
    pub reason: ReportReason,
    /// The chosen entries, at most [`MAX_REPORT_ENTRIES`]. The newest entries are stored as well.
    pub seqs: Vec<Seq>,
    /// At most [`MAX_REPORT_NOTE_CHARS`].
    pub note: Option<String>,
    /// Block the reported visitor too. A report in a talk always does.
    pub block: bool,
}

impl NewReport {
    /// Checks the limits and normalizes the note. A note of white space only becomes `None`.
    ///
    /// # Errors
    /// `bad_frame`, `bad_payload`, `too_long`.
    fn checked(mut self) -> Result<Self> {
        if self.seqs.len() > MAX_REPORT_ENTRIES {
            return Err(Error::bad_field("seqs", format!("At most {MAX_REPORT_ENTRIES} entries.")));
        }
        if self.seqs.iter().any(|seq| *seq < Seq::FIRST) {
            return Err(Error::bad_payload("seqs", "There is no such entry in this room."));
        }
        let note = self.note.as_deref().map(text::tidy).filter(|note| !note.is_empty()).map(Cow::into_owned);
        if let Some(note) = &note {
            if note.chars().count() > MAX_REPORT_NOTE_CHARS {
                return Err(Error::TooLong { limit: MAX_REPORT_NOTE_CHARS, field: Some("note") });
            }
            text::check_lines(note).map_err(|flaw| Error::bad_field("note", flaw.to_string()))?;
        }
        self.note = note;
        Ok(self)
    }
}

/// Stores a report with its evidence and returns the public id of the report. A repeat returns the
/// id of the first one.
///
/// In a talk it reports the partner, ends the talk and blocks the partner. In a room it reports the
/// author of the chosen entries, and blocks the author if the report asks for it.
///
/// # Errors
/// `bad_frame`, `bad_payload`, `too_long`, `not_found`, `unavailable`.
pub async fn report(app: &App, who: &Visitor, new: NewReport) -> Result<Uuid> {
    let new = new.checked()?;
    let membership = rooms::membership(app, who, new.room).await?;
    let (node, who) = (app.clone(), who.clone());
    run_to_completion(app, async move {
        let app = &node;
        let talk = match membership.room.kind {
            RoomKind::Talk => Some(talks::of_room(app, membership.room.id, who.id).await?),
            RoomKind::Public | RoomKind::Private => None,
        };
        let mut tx = app.db.begin().await?;
        accounts::require_session(&mut tx, &who).await?;
        let partner = match talk {
            Some(talk) => talks::partner(&mut tx, talk, who.id).await?,
            None => None,
        };
        let report = rooms::Report { reason: new.reason, seqs: &new.seqs, note: new.note.as_deref() };
        let rooms::Reported { id, other } = rooms::report(&mut tx, &who, &membership, partner, report).await?;
        let mut ended = None;
        if let Some(talk) = talk {
            let by_reporter = |talk: &talks::Talk| talk.ending_by(who.id, EndReason::Report);
            ended = talks::end_in(&mut tx, talk, app.clock.now(), by_reporter).await?;
        }
        let blocks = talk.is_some() || new.block;
        if blocks {
            block_in(&mut tx, who.id, other, membership.room.id).await?;
        }
        tx.commit().await?;
        if let Some(ended) = &ended {
            talks::publish_end(app, ended);
        }
        if blocks {
            end_talk_between(app, who.id, other).await?;
        }
        Ok(id)
    })
    .await
}

/// Blocks another member of a room: the two are not matched again. An open talk between them ends.
/// In a talk this works for a day after its end.
///
/// # Errors
/// `not_found` if `sender` is not in the room, `bad_frame` if it is the visitor itself,
/// `unavailable`.
pub async fn block(app: &App, who: &Visitor, room: Uuid, sender: Uuid) -> Result<()> {
    let membership = rooms::membership(app, who, room).await?;
    let (node, visitor) = (app.clone(), who.clone());
    run_to_completion(app, async move {
        let (app, who) = (&node, visitor.id);
        let mut tx = app.db.begin().await?;
        accounts::require_session(&mut tx, &visitor).await?;
        let other = rooms::visitor_of(&mut tx, &membership, sender).await?;
        if other == who {
            return Err(Error::bad_field("sender", "You cannot block yourself."));
        }
        block_in(&mut tx, who, other, membership.room.id).await?;
        tx.commit().await?;
        end_talk_between(app, who, other).await
    })
    .await
}

/// Takes back the visitor's block of another member of a room. The two can meet again, unless the
/// other one has blocked the visitor too. A talk that ended stays ended, and a report stays. Does
/// nothing if there is no block.
///
/// # Errors
/// `not_found` if `sender` is not in the room, `unavailable`.
pub async fn unblock(app: &App, who: &Visitor, room: Uuid, sender: Uuid) -> Result<()> {
    let membership = rooms::membership(app, who, room).await?;
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, who).await?;
    let other = rooms::visitor_of(&mut tx, &membership, sender).await?;
    if faults::on(Fault::BlockOfOthersUndone) {
        moderation::unblock(&mut tx, other, who.id).await?;
    }
    moderation::unblock(&mut tx, who.id, other).await?;
    tx.commit().await?;
    Ok(())
}

/// Returns the visitor's open talk or waiting ticket. From now on this node tracks the ticket.
///
/// # Errors
/// `unavailable`.
pub async fn current_activity(app: &App, who: &Visitor) -> Result<CurrentActivity> {
    let session = talks::open_session(app, who.id).await?;
    let seeking = if session.is_some() { None } else { adopt_ticket(app, who.id).await? };
    Ok(CurrentActivity { session, seeking })
}

/// Returns how the talk of a room ended, as the visitor's side sees it. `None` if the room is not a
/// talk, or its talk is open.
///
/// # Errors
/// `unavailable`.
pub async fn end_reason(app: &App, who: &Visitor, room: &ChatRoom) -> Result<Option<EndReason>> {
    if room.kind != RoomKind::Talk || room.closed_at.is_none() {
        return Ok(None);
    }
    talks::end_reason(app, who.id, room.id).await
}

/// Records that a socket of the visitor joined or resumed a room. In a talk, the visitor's side has
/// entered or returned. Does nothing in other rooms.
///
/// # Errors
/// `session_ended`, `banned`, `unavailable`.
pub async fn entered(app: &App, who: &Visitor, room: &ChatRoom) -> Result<()> {
    if room.kind != RoomKind::Talk || room.closed_at.is_some() {
        return Ok(());
    }
    talks::enter_as(app, who, room.id).await
}

/// Records that a socket of a visitor opened on this node.
pub fn connected(app: &App, visitor: VisitorId) {
    app.matching.local.connected(visitor);
}

/// Records that a socket of a visitor closed on this node.
///
/// After the last one, the visitor's ticket survives for [`limits::TICKET_GRACE`] without being
/// paired, and its partner in a talk receives `partner` after [`limits::AWAY_DEBOUNCE`].
pub fn disconnected(app: &App, visitor: VisitorId) {
    app.matching.local.disconnected(visitor, app.clock.instant());
    app.matching.socket_closed.notify_one();
}

/// Returns `true` if a socket of the visitor on this node has entered a talk that is open, as far as
/// this node knows.
pub fn is_in_talk(app: &App, visitor: VisitorId) -> bool {
    app.matching.local.is_in_talk(visitor)
}

/// Records that a client in a talk does not answer any more, while its socket is still open. If it
/// was the visitor's last one, the partner is told at once.
pub fn fell_silent(app: &App, visitor: VisitorId) {
    if faults::on(Fault::SilenceIgnored) {
        return;
    }
    app.matching.local.fell_silent(visitor, app.clock.instant());
}

/// Records that a client that had fallen silent was heard again. If its side was away, it has
/// returned, and the partner is told within a second.
pub fn heard_again(app: &App, visitor: VisitorId) {
    if faults::on(Fault::SilentSideForgotten) {
        return;
    }
    app.matching.local.heard_again(visitor);
}

/// Records that the socket of a silent client closed.
pub fn closed_silently(app: &App, visitor: VisitorId) {
    app.matching.local.closed_silently(visitor);
}

/// Tells other nodes that a visitor does not wait any more.
fn publish_cancelled(app: &App, visitor: VisitorId) {
    app.hub.send_event(Topic::Nodes, NodeEvent::TicketCancelled { visitor });
}

/// Tracks a visitor's waiting ticket on this node and returns its public id. `None` if the visitor
/// does not wait.
async fn adopt_ticket(app: &App, visitor: VisitorId) -> Result<Option<Uuid>> {
    // Most visitors that connect do not wait. The loader asks for all of them together, without a
    // lock.
    let fetch = |visitors| store::waiting_among(&app.db, visitors);
    if app.matching.waiting_tickets.load(visitor, fetch).await?.is_none() {
        return Ok(None);
    }
    let Some(row) = store::take_over(&app.db, app.node, visitor).await? else { return Ok(None) };
    let ticket = row.state.ticket;
    let tracked = local_visitors::TrackedTicket { ticket, seek: row.seek, since: row.since };
    app.matching.local.track(visitor, tracked, app.clock.instant());
    Ok(Some(ticket))
}

/// Ends a talk for one of its visitors. Returns `true` if this call ended it, `false` if it had
/// ended before.
async fn end(app: &App, talk: TalkId, who: &Visitor, reason: EndReason) -> Result<bool> {
    let (node, who) = (app.clone(), who.clone());
    run_to_completion(app, async move { talks::end_by(&node, &who, talk, |talk| talk.ending_by(who.id, reason)).await })
        .await
}

/// Blocks two visitors inside a transaction. It locks their tickets first, so that a match of the
/// two either was committed before, or sees the block.
async fn block_in(tx: &mut sqlx::PgConnection, who: VisitorId, other: VisitorId, room: RoomId) -> Result<()> {
    store::lock_tickets_by_visitor(tx, &[who, other]).await?;
    moderation::block(tx, who, other, room).await
}

/// Ends the open talk between two visitors after a block. It can be a match that was committed just
/// before the block.
async fn end_talk_between(app: &App, who: VisitorId, other: VisitorId) -> Result<()> {
    if let Some(talk) = talks::open_between(app, who, other).await? {
        talks::end(app, talk, |talk| talk.ending_by(who, EndReason::Block)).await?;
    }
    Ok(())
}

/// Runs work to completion even if the caller is cancelled. So what is committed is also published.
async fn run_to_completion<T, F>(app: &App, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (answer, done) = oneshot::channel();
    app.tasks.spawn("matching.verb", async move {
        let _ = answer.send(db::with_timeout(db::JOB_TIMEOUT, work).await);
    });
    done.await.map_err(|_| Error::Unavailable)?
}
