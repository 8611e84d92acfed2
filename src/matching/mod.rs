//! Matching: seek, cancel, next, leave, report, block. Two strangers meet in slots A and B; nobody is forgotten or met twice.
mod connected;
mod crowd;
mod matcher;
mod model;
mod pair;
mod registry;
mod sanctions;
mod store;
mod talks;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::accounts::Visitor;
use crate::app::App;
use crate::db::{self, Loader};
use crate::error::{Error, Result};
use crate::moderation::{self, ReportReason};
use crate::realtime::{Publication, Topic};
use crate::rooms::{self, ChatRoom, Membership, RoomKind};
use crate::text;

pub use model::{EndReason, OpenSession, Seek, Seeking, Standing};
#[cfg(test)]
pub use model::{Own, Pairing, Partner, PartnerState, SeekingRef, TalkEvent, TalkState};

/// What nodes tell each other: there is a new ticket; a visitor (by inner id) has cancelled.
const WAKE: &str = "matching.wake";
const CANCELLED: &str = "matching.cancelled ";
/// Entries a report may choose, and characters of its note.
const CHOSEN: usize = 50;
const NOTE: usize = 1_000;

/// What this noun keeps on a node.
#[derive(Default)]
pub struct State {
    writer: writer::Writer,
    registry: registry::Registry,
    matcher: matcher::Matcher,
    /// A visitor has lost its last socket here.
    gone: Notify,
    open_talks: Loader<i64, i64>,
    tickets: Loader<i64, ()>,
    waiting: AtomicI64,
    /// The median wait plus one, in milliseconds; 0 while there is none.
    median: AtomicI64,
}

impl State {
    /// People who wait, as counted a second ago at most.
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The median of recent real waits, in milliseconds; None while there are too few to say.
    pub fn median_wait_ms(&self) -> Option<i64> {
        self.median.load(Ordering::Relaxed).checked_sub(1).filter(|ms| *ms >= 0)
    }

    fn set_waiting(&self, count: i64) {
        self.waiting.store(count, Ordering::Relaxed);
    }

    fn set_median(&self, ms: Option<i64>) {
        self.median.store(ms.map_or(0, |ms| ms.saturating_add(1)), Ordering::Relaxed);
    }

    /// There is a new ticket: whoever pairs should look.
    fn wake(&self, app: &App) {
        self.matcher.wake();
        tell_nodes(app, WAKE);
    }
}

/// Database connections that this noun holds for itself: the matcher's and the ticket writer's.
pub fn own_connections() -> u32 {
    2
}

/// Returns `false` while the matcher or the ticket writer of this node has no connection to the database and gets none:
/// seeks are refused, or this node cannot take over the pairing.
pub fn can_match(app: &App) -> bool {
    app.matching.matcher.connected.holds() && app.matching.writer.connected.holds()
}

/// Starts the ticket writer, the upkeep of what this node holds, the matcher and the sweeper.
pub fn run(app: &App) {
    writer::run(app);
    upkeep::run(app);
    matcher::run(app);
    sanctions::run(app);
}

/// Waits for a stranger; a second seek replaces the first. Answers after the commit of the ticket.
///
/// Errors: `bad_frame`, `age_gate`, `already_in_session`, `banned`, `muted`, `unavailable`.
pub async fn seek(app: &App, who: &Visitor, seek: Seek) -> Result<Seeking> {
    who.require_rules()?;
    let seek = seek.checked()?;
    if app.is_stopping() {
        return Err(Error::Unavailable);
    }
    let ticket = writer::write(app, who.id, seek).await?;
    let waiting = app.matching.waiting().max(1);
    Ok(Seeking { ticket, waiting, median_wait_ms: app.matching.median_wait_ms() })
}

/// Stops waiting. Harmless when nobody waits; a match that was first stands.
pub async fn cancel(app: &App, who: &Visitor) -> Result<()> {
    store::cancel(&app.db, who.id, app.node).await?;
    app.matching.registry.release(who.id);
    tell_nodes(app, &format!("{CANCELLED}{}", who.id));
    Ok(())
}

/// Ends a talk and, when asked, seeks again with what it was sought with. Answers the new ticket.
///
/// A repeat is harmless: a talk that has ended stays so, and a ticket that waits already is answered again.
/// Errors: `not_found` for a talk that is not the visitor's, and those of [`seek`].
pub async fn next(app: &App, who: &Visitor, session: Uuid, seek: bool) -> Result<Option<Uuid>> {
    let (talk, sought) = talks::of_visitor(app, session, who.id).await?;
    let ended = end(app, talk, who.id, EndReason::Next).await?;
    if !seek {
        return Ok(None);
    }
    if !ended && let Some(ticket) = take_up(app, who.id).await? {
        return Ok(Some(ticket));
    }
    self::seek(app, who, sought).await.map(|seeking| Some(seeking.ticket))
}

/// Ends the talk of a room. Harmless when it has ended. Errors: `not_found` when the room is no talk of the visitor's.
pub async fn leave(app: &App, who: &Visitor, membership: &Membership) -> Result<()> {
    let talk = talks::of_room(app, membership.room.id, who.id).await?;
    end(app, talk, who.id, EndReason::Left).await?;
    Ok(())
}

/// A report about somebody in a room.
#[derive(Clone, Debug)]
pub struct NewReport {
    pub room: Uuid,
    pub reason: ReportReason,
    /// Chosen entries, 50 at most; the newest ones are frozen besides.
    pub seqs: Vec<i64>,
    /// 1,000 characters at most.
    pub note: Option<String>,
    /// Also never meet again; in a talk that is so anyway.
    pub block: bool,
}

impl NewReport {
    /// Checks the bounds, and tidies the note; one of white space is none. Errors: `bad_frame`, `bad_payload`, `too_long`.
    fn checked(mut self) -> Result<Self> {
        if self.seqs.len() > CHOSEN {
            return Err(Error::bad_field("seqs", "At most 50 entries."));
        }
        if self.seqs.iter().any(|seq| *seq < 1) {
            return Err(Error::bad_payload("seqs", "There is no such entry in this room."));
        }
        let note = self.note.as_deref().map(text::tidy).filter(|note| !note.is_empty()).map(Cow::into_owned);
        if let Some(note) = &note {
            if note.chars().count() > NOTE {
                return Err(Error::TooLong { limit: NOTE, field: Some("note") });
            }
            text::check_lines(note).map_err(|flaw| Error::bad_field("note", flaw.to_string()))?;
        }
        self.note = note;
        Ok(self)
    }
}

/// Stores a report with its frozen evidence: of the partner in a talk, which ends it, and the two never meet again; in a room of
/// the author of the chosen entries, who is blocked too if that was asked.
///
/// Answers the report's public id; a repeat has that of the first. Errors: `bad_frame`, `bad_payload`, `too_long`, `not_found`.
pub async fn report(app: &App, who: &Visitor, new: NewReport) -> Result<Uuid> {
    let new = new.checked()?;
    let membership = rooms::membership(app, who, new.room).await?;
    let (node, who) = (app.clone(), who.clone());
    unbroken(app, async move {
        let app = &node;
        let talk = match membership.room.kind {
            RoomKind::Talk => Some(talks::of_room(app, membership.room.id, who.id).await?),
            RoomKind::Public | RoomKind::Private => None,
        };
        let mut tx = app.db.begin().await?;
        let partner = match talk {
            Some(talk) => talks::partner(&mut tx, talk, who.id).await?,
            None => None,
        };
        let report = rooms::Report { reason: new.reason, seqs: &new.seqs, note: new.note.as_deref() };
        let rooms::Reported { id, other } = rooms::report(&mut tx, &who, &membership, partner, report).await?;
        let mut ended = None;
        if let Some(talk) = talk {
            let by_reporter = |talk: &model::Talk| talks::by(talk, who.id, EndReason::Report);
            ended = talks::end_in(&mut tx, talk, app.clock.now(), by_reporter).await?;
        }
        let parts = talk.is_some() || new.block;
        if parts {
            part(&mut tx, who.id, other).await?;
        }
        tx.commit().await?;
        if let Some(ended) = &ended {
            talks::ended(app, ended);
        }
        if parts {
            end_between(app, who.id, other).await?;
        }
        Ok(id)
    })
    .await
}

/// Two people never meet again, whoever asks first; an open talk between them ends. Works for a day after the talk.
///
/// Errors: `not_found` for somebody who is not in the room, `bad_frame` for oneself.
pub async fn block(app: &App, who: &Visitor, room: Uuid, sender: Uuid) -> Result<()> {
    let membership = rooms::membership(app, who, room).await?;
    let (node, who) = (app.clone(), who.id);
    unbroken(app, async move {
        let app = &node;
        let mut tx = app.db.begin().await?;
        let other = rooms::visitor_of(&mut tx, &membership, sender).await?;
        if other == who {
            return Err(Error::bad_field("sender", "That is you."));
        }
        part(&mut tx, who, other).await?;
        tx.commit().await?;
        end_between(app, who, other).await
    })
    .await
}

/// What a visitor is in the middle of. A ticket that waits is held by this node from now on.
pub async fn standing(app: &App, who: &Visitor) -> Result<Standing> {
    let session = talks::standing(app, who.id).await?;
    let seeking = if session.is_some() { None } else { take_up(app, who.id).await? };
    Ok(Standing { session, seeking })
}

/// A socket of the visitor joined or resumed a talk's room: the side is here, and back if it was away.
pub async fn entered(app: &App, who: &Visitor, room: &ChatRoom) -> Result<()> {
    if room.kind != RoomKind::Talk || room.closed_at.is_some() {
        return Ok(());
    }
    talks::enter(app, who.id, room.id).await
}

/// A socket of a visitor opened on this node.
pub fn connected(app: &App, visitor: i64) {
    app.matching.registry.connected(visitor);
}

/// A socket of a visitor closed on this node. After the last one a ticket lives 10 s, in which nobody is paired with it, and a
/// talk's partner is told soon.
pub fn disconnected(app: &App, visitor: i64) {
    app.matching.registry.disconnected(visitor, app.clock.instant());
    app.matching.gone.notify_one();
}

fn tell_nodes(app: &App, what: &str) {
    if app.relay.has_others() {
        app.relay.publish(Publication { node: app.node, topic: Topic::Nodes, seq: None, frame: what.into() });
    }
}

/// Holds a visitor's waiting ticket on this node, and answers it.
async fn take_up(app: &App, visitor: i64) -> Result<Option<Uuid>> {
    // Most who come do not wait: asked together with the others who come, and without a lock.
    if app.matching.tickets.load(visitor, |visitors| store::waits(&app.db, visitors)).await?.is_none() {
        return Ok(None);
    }
    let Some(held) = store::take_over(&app.db, app.node, visitor).await? else { return Ok(None) };
    let ticket = held.row.ticket;
    let seeker = registry::Seeker { ticket, seek: held.seek, since: held.since };
    app.matching.registry.hold(visitor, seeker, app.clock.instant());
    Ok(Some(ticket))
}

async fn end(app: &App, talk: i64, visitor: i64, reason: EndReason) -> Result<bool> {
    let node = app.clone();
    unbroken(app, async move { talks::end(&node, talk, |talk| talks::by(talk, visitor, reason)).await }).await
}

/// Blocks two people. Their tickets are locked first: a pair of theirs is committed before, or sees the block.
async fn part(tx: &mut sqlx::PgConnection, who: i64, other: i64) -> Result<()> {
    store::lock_tickets_of(tx, &[who, other]).await?;
    moderation::block(tx, who, other).await
}

/// Ends the open talk between two people who must not meet: the one they were in, or one committed just before the block.
async fn end_between(app: &App, who: i64, other: i64) -> Result<()> {
    if let Some(talk) = talks::open_between(app, who, other).await? {
        talks::end(app, talk, |talk| talks::by(talk, who, EndReason::Block)).await?;
    }
    Ok(())
}

/// Does something to its end even if the one who waits for it goes away: what is committed is also told.
async fn unbroken<T, F>(app: &App, work: F) -> Result<T>
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
