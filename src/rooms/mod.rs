//! Rooms: open, enter, post, leave. A room's entries are numbered without a gap.
mod batch;
mod directory;
mod ephemeral;
mod feed;
mod flood;
mod leaving;
mod model;
mod pace;
mod presence;
mod replay;
mod reports;
mod rights;
mod routes;
mod sanctions;
mod store;
#[cfg(test)]
mod tests;
mod turns;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::accounts::{Alias, Locale, Visitor};
use crate::app::App;
use crate::config::Config;
use crate::db::{self, Loader};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};
use crate::moderation::Restriction;
use crate::realtime::{Queue, Topic};

pub use directory::{Membership, Mute};
pub use ephemeral::{read, typing};
#[cfg(test)]
pub use model::Message;
pub use model::{ChatRoom, Naming, RoomEvent, RoomKind, RoomView, Sender, Slot, is_language_tag};
pub use replay::{REPLAY, Replay, Step};
pub use reports::{Report, Reported, report};
pub use routes::router;
#[cfg_attr(not(test), expect(unused_imports, reason = "who may call them, and the pages, come with staff"))]
pub use sanctions::{kick, mute};

/// How long both sides may read a talk after its end (DESIGN.md 6).
const READABLE: time::Duration = time::Duration::hours(24);

/// What this noun keeps on a node.
pub struct State {
    feed: feed::Feed,
    standings: Loader<(Uuid, i64), store::Standing>,
    heads: Loader<i64, (i64, i64)>,
    directory: directory::Directory,
    writer: writer::Writer,
    leaving: leaving::Leaving,
    reads: ephemeral::Reads,
    presence: presence::Presence,
}

/// The other ends of what is handed in, for [`run`].
pub struct Ends {
    lanes: writer::Lanes,
    leaves: leaving::Leaves,
}

impl State {
    /// The state and what [`run`] takes.
    pub fn new(_config: &Config) -> (Self, Ends) {
        let (writer, lanes) = writer::Writer::new();
        let (leaving, leaves) = leaving::Leaving::new();
        let state = Self {
            feed: feed::Feed::default(),
            standings: Loader::default(),
            heads: Loader::default(),
            directory: directory::Directory::default(),
            writer,
            leaving,
            reads: ephemeral::Reads::default(),
            presence: presence::Presence::default(),
        };
        (state, Ends { lanes, leaves })
    }

    /// Rooms in use on this node: tests count what is left behind.
    #[cfg(test)]
    pub fn in_use(&self) -> usize {
        self.feed.rooms()
    }
}

/// Starts the writers, the leaving, the feed and the ticks of presence, reading and retention.
pub fn run(app: &App, ends: Ends) {
    leaving::run(app, ends.leaves, ends.lanes.turns.clone());
    writer::run(app, ends.lanes);
    feed::run(app);
    let node = app.clone();
    app.tasks.spawn_essential("rooms.tick", move || tick(node.clone()));
}

/// Tells presence and writes reading marks each second, and forgets old talks each minute.
async fn tick(node: App) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ticks = 0_u64;
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => break,
            _ = second.tick() => {}
        }
        presence::tell(&node);
        ephemeral::tell_reads(&node);
        ephemeral::write_reads(&node).await;
        ticks += 1;
        if ticks.is_multiple_of(60) {
            forget_old_talks(&node).await;
        }
    }
    ephemeral::write_reads(&node).await;
}

/// An entry's number and time, after its commit.
#[derive(Clone, Copy, Debug)]
pub struct Posted {
    pub seq: i64,
    pub at: OffsetDateTime,
    /// True for a repeat: this is the first answer again.
    pub repeated: bool,
}

/// The answer to a post, once its batch has committed.
pub type Receipt = oneshot::Receiver<Result<Posted>>;
/// What is called with that answer. It must not block.
pub type Answer = Box<dyn FnOnce(Result<Posted>) + Send + Sync>;

/// What somebody posts.
pub struct Post {
    /// Made by the client for this entry; a repeat with the same id gets the first answer.
    pub client_id: Uuid,
    pub payload: Map<String, Value>,
    pub reply_to: Option<i64>,
    /// The keyed hash of the sender's address prefix.
    pub prefix: Vec<u8>,
    /// When it was asked: it is answered within two seconds of it, whatever happens to Postgres.
    pub asked: Instant,
}

/// Posts to a room. Answers with a receipt that comes after the commit; the entry is published after it too.
///
/// Errors: `not_found` for a room the visitor is not in, `age_gate`, `closed`, `muted`, `banned`, `bad_payload`, `too_long`,
/// `rate_limited`, `unavailable`.
pub async fn post(app: &App, who: &Visitor, room: Uuid, post: Post) -> Result<Receipt> {
    let membership = match cached_membership(app, who, room) {
        Some(membership) => membership,
        None => membership_before(app, who, room, post.asked).await?,
    };
    let (answer, receipt) = oneshot::channel();
    // Who has gone does not need the answer; the entry stands.
    submit(app, who, membership, post, Box::new(|outcome| drop(answer.send(outcome))))?;
    Ok(receipt)
}

/// The remembered place of a visitor in a room, unless rights everywhere were taken away since. The batch checks it again.
pub fn cached_membership(app: &App, who: &Visitor, room: Uuid) -> Option<Membership> {
    let membership = app.rooms.directory.find(room, who.id)?;
    (!app.moderation.is_revoked_since(who.id, membership.fence)).then_some(membership)
}

/// The visitor's place for something that was asked then. Errors: as [`place`]; `unavailable` when Postgres takes too long.
pub async fn membership_before(app: &App, who: &Visitor, room: Uuid, asked: Instant) -> Result<Membership> {
    timeout_at(asked + writer::PATIENCE, membership(app, who, room)).await.unwrap_or(Err(Error::Unavailable))
}

/// Posts from a place; `answer` is called after the commit, unless this fails. Errors: as [`post`], and `rate_limited` where a
/// room of many gets too much, or too much from one address prefix.
///
/// A room that has ended and somebody who is muted are refused by the writer: a repeat of what was written before gets the
/// first answer.
pub fn submit(app: &App, who: &Visitor, membership: Membership, post: Post, answer: Answer) -> Result<()> {
    who.require_rules()?;
    let alike = flood::alike(app, &post);
    let payload = model::Payload::checked(post.payload)?;
    // What is refused anyway takes nothing from the others in the room.
    if membership.muted.is_none() && membership.room.closed_at.is_none() {
        flood::check(app, &membership.room, &post.prefix, alike)?;
    }
    app.limits.take_many(
        Bucket::StoredBytes,
        Key::Visitor(who.id),
        u32::try_from(payload.stored()).unwrap_or(u32::MAX),
    )?;
    app.rooms.writer.submit(writer::Draft {
        room: membership.room,
        member: membership.member,
        rights: membership.rights,
        fence: membership.fence,
        refusal: membership.muted.map(Into::into),
        client_id: post.client_id,
        payload,
        reply_to: post.reply_to,
        prefix: post.prefix,
        asked: post.asked,
        answer,
    })
}

/// Database connections that this noun holds for itself: one a lane of the writer, and one for leaves.
pub fn own_connections() -> u32 {
    u32::try_from(writer::lanes()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Whether Postgres takes entries, as far as this node knows: it may answer all the same with its disk full.
pub fn can_write(app: &App) -> bool {
    app.rooms.writer.can_write()
}

/// Waits for a receipt. Errors: those of the batch, `unavailable` when the writer went away.
pub async fn receive(receipt: Receipt) -> Result<Posted> {
    receipt.await.map_err(|_| Error::Unavailable)?
}

/// The visitor's place in a room, as committed now.
///
/// Errors: `not_found` for a room that is not there, was left, is not the visitor's, the visitor was removed from, or was a
/// talk whose day is over; `banned`.
pub async fn membership(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    membership_of(app, standing(app, who, room).await?)
}

/// A room and whatever the visitor is in it, as committed now. Errors: `not_found` for a room that is not there.
async fn standing(app: &App, who: &Visitor, room: Uuid) -> Result<store::Standing> {
    let fetch = |asked: Vec<_>| async move { store::standings(&mut *app.db.acquire().await?, &asked).await };
    app.rooms.standings.load((room, who.id), fetch).await?.ok_or(Error::NotFound)
}

/// The place that there is, if it is one. Errors: as [`place`].
fn membership_of(app: &App, standing: store::Standing) -> Result<Membership> {
    let muted = match standing.restriction {
        Some(restriction @ (Restriction::Banned { .. } | Restriction::Kicked)) => return Err(restriction.into()),
        Some(Restriction::Muted { after }) => Some(Mute { after }),
        None => None,
    };
    let member = standing.member.ok_or(Error::NotFound)?;
    let over = standing.room.closed_at.is_some_and(|at| at + READABLE < app.clock.now());
    if over || (member.left && member.sender.slot.is_none() && !faults::on(Fault::LeaverStillReads)) {
        return Err(Error::NotFound);
    }
    let (room, member) = (Arc::new(standing.room), Arc::new(member));
    let membership = Membership { room, member, rights: standing.rights, fence: standing.fence, muted };
    app.rooms.directory.remember(&membership);
    Ok(membership)
}

/// Enters a room: a public one makes a member of whoever comes, the others need a place.
///
/// Errors: `not_found`, `age_gate`, `closed`, `banned`; `forbidden` for a public room that the visitor was removed from.
pub async fn join(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    let standing = standing(app, who, room).await?;
    match membership_of(app, standing.clone()) {
        Err(Error::NotFound) => {}
        other => return other.and_then(|membership| who.require_rules().map(|()| membership)),
    }
    if standing.room.kind != RoomKind::Public && !faults::on(Fault::StrangerEnters) {
        return Err(Error::NotFound);
    }
    who.require_rules()?;
    if standing.room.closed_at.is_some() {
        return Err(Error::Closed);
    }
    add_member(&mut *app.db.acquire().await?, who, &standing.room, "member").await?;
    app.rooms.directory.forget_membership(room, who.id);
    membership(app, who, room).await
}

/// In an anonymous room people get an alias drawn for that room, so that they cannot be followed from one to the next.
///
/// Errors: `banned`; `forbidden` for who was removed from it.
async fn add_member(db: &mut PgConnection, who: &Visitor, room: &ChatRoom, role: &str) -> Result<()> {
    let alias = match room.naming {
        Naming::Anonymous => Alias::random(&mut rand::rng()),
        Naming::Named => who.alias.clone(),
    };
    let (name, animal) = match (&who.name, room.naming) {
        (Some(chosen), Naming::Named) => (chosen.clone(), None),
        _ => (alias.in_words(who.locale), Some(alias.animal.as_str())),
    };
    let membership =
        store::NewMembership { room: room.id, visitor: who.id, role, color: &alias.color, animal, name: &name };
    match store::join(db, &membership).await? {
        Some(Restriction::Kicked) => Err(Error::Forbidden("You were removed from this room.")),
        Some(restriction @ Restriction::Banned { .. }) => Err(restriction.into()),
        Some(Restriction::Muted { .. }) | None => Ok(()),
    }
}

/// Leaves a room for good: nothing the visitor sends is written after this commit, and its sockets hear no more of it.
///
/// Errors: `not_found` when there was no place to leave, as in a talk: matching ends it; `unavailable`.
pub async fn leave(app: &App, who: &Visitor, room: Uuid) -> Result<()> {
    app.rooms.leaving.leave(room, who.id).await
}

/// Starts following a room from `after` (the head when None). Answers the head and the replay that leads to it, or None
/// for the replay when more is missing than one may bring: the client then pages.
pub async fn subscribe(app: &App, membership: &Membership, after: Option<i64>) -> Result<(i64, Option<Replay>)> {
    let mut head = feed::open(app, &membership.room).await?;
    let floor = visible_after(membership);
    let after = after.filter(|_| !faults::on(Fault::ResumeIgnoresAfter)).map_or(head, |after| after.max(floor));
    if after > head {
        // It saw more on another node than has reached this one.
        feed::repair(app, membership.room.id).await?;
        head = feed::open(app, &membership.room).await?;
    }
    stir(app, &membership.room);
    if (after > head || head - after > REPLAY) && !faults::on(Fault::ResyncNeverSaid) {
        return Ok((head, None));
    }
    Ok((head, Some(Replay::new(membership, after))))
}

/// A replay for a socket that lags: everything after `after`, which it has seen.
pub fn replay_after(membership: &Membership, after: i64) -> Replay {
    Replay::new(membership, after)
}

/// A replay of nothing: the socket listens from the head on.
pub async fn subscribe_at_head(app: &App, membership: &Membership) -> Result<(i64, Replay)> {
    let head = feed::open(app, &membership.room).await?;
    Ok((head, Replay::new(membership, head)))
}

/// Stops a socket's following of a room.
pub fn unsubscribe(app: &App, room: &ChatRoom, queue: &Arc<Queue>) {
    app.hub.unsubscribe(Topic::Room(room.id), queue);
    stir(app, room);
}

/// Somebody follows the room or does not any more. Talks have no presence.
fn stir(app: &App, room: &ChatRoom) {
    if room.kind != RoomKind::Talk {
        presence::stir(app, room.id, room.public_id);
    }
}

/// How many different people have the room open, on all nodes.
pub fn online(app: &App, room: &ChatRoom) -> usize {
    presence::online(app, room.id)
}

/// Whether one of the visitor's sockets has the room open on this node.
pub fn is_subscribed(app: &App, room: &ChatRoom, visitor: i64) -> bool {
    app.hub.listens(Topic::Room(room.id), visitor)
}

/// The place for a frame that passes and that no batch checks again: the remembered one of somebody who follows the room
/// here, because such a node hears within a second of rights that were taken away; else the committed one.
async fn current_membership(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    match cached_membership(app, who, room) {
        Some(membership)
            if is_subscribed(app, &membership.room, who.id)
                && app.rooms.feed.rights(membership.room.id).is_some_and(|checked| checked <= membership.rights) =>
        {
            Ok(membership)
        }
        _ => membership(app, who, room).await,
    }
}

/// The last seq a member may not see: those who join a room without history see what comes after them.
fn visible_after(membership: &Membership) -> i64 {
    if membership.room.history || faults::on(Fault::HistoryShownToNewcomers) { 0 } else { membership.member.joined_seq }
}

/// Two people who are put into a talk.
pub struct Pair {
    pub a: Seat,
    pub b: Seat,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Seat {
    pub visitor: i64,
    pub locale: Locale,
}

/// Opens a room for each pair, inside the matcher's transaction: room, head and both places. Answers the rooms' inner ids.
pub async fn open(tx: &mut PgConnection, pairs: &[Pair]) -> Result<Vec<i64>, sqlx::Error> {
    let mut talks = store::Talks::default();
    for pair in pairs {
        let (alias_a, alias_b) = Alias::random_pair(&mut rand::rng());
        talks.public_ids.push(Uuid::new_v4());
        for (seat, slot, alias) in [(pair.a, "A", alias_a), (pair.b, "B", alias_b)] {
            talks.visitors.push(seat.visitor);
            talks.slots.push(slot.to_owned());
            talks.names.push(alias.in_words(seat.locale));
            talks.colors.push(alias.color);
            talks.animals.push(alias.animal);
        }
    }
    store::open_talks(tx, &talks).await
}

/// Closes a talk's room inside a transaction. False: it was closed already. Call [`closed`] after the commit.
pub async fn close(tx: &mut PgConnection, room: i64) -> Result<bool> {
    Ok(store::close(tx, room).await?)
}

/// What follows the commit that closed a room.
pub fn closed(app: &App, room: Uuid) {
    app.rooms.directory.forget(room);
}

/// The visitor behind a member's public id in a room the asker is in. Errors: `not_found`.
pub async fn visitor_of(tx: &mut PgConnection, membership: &Membership, member: Uuid) -> Result<i64> {
    store::visitor_of(tx, membership.room.id, member).await?.ok_or(Error::NotFound)
}

/// Talks are deleted a day after their end, in small batches.
async fn forget_old_talks(app: &App) {
    loop {
        match db::within(db::JOB, store::delete_old_talks(&app.db)).await {
            Ok(0) => return,
            Ok(gone) => tracing::debug!(talks.deleted = gone, "deleted talks that ended a day ago"),
            Err(why) => {
                tracing::warn!(error.cause = %why, "old talks could not be deleted; tried again in a minute");
                return;
            }
        }
    }
}
