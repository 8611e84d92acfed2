//! Rooms: join, post, leave. The entries of a room are numbered without a gap.
//!
//! Three wings, whose arrows point one way: [`log`] uses [`delivery`] and [`membership`],
//! [`delivery`] uses [`membership`].
mod delivery;
pub mod limits;
mod log;
mod membership;
mod model;
mod reports;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::accounts::{Alias, Locale, Visitor};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db;
use crate::error::{Error, Result};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::moderation::NewSanction;
use crate::realtime::{Notice, NoticeKind, Topic};
use limits::WRITE_DEADLINE;

pub use delivery::{
    Replay, Step, Subscribed, is_subscribed, online, read, replay_after, subscribe, subscribe_at_head, typing,
    unsubscribe,
};
pub use log::WriterCounts;
pub use membership::{Membership, cached_membership, join, leave, membership};
pub use model::{ChatRoom, RoomEvent, RoomKind, RoomView, Sender, Slot, is_language_tag};
#[cfg(test)]
pub use model::{Message, Naming};
pub use reports::{Report, Reported, report};
pub use routes::router;

/// How often presence and read markers are published.
const TICK_PERIOD: Duration = Duration::from_secs(1);
/// How often old talks are deleted.
const RETENTION_PERIOD: Duration = Duration::from_secs(60);

/// The rooms' part of a node.
pub struct State {
    membership: membership::State,
    log: log::State,
    delivery: delivery::State,
}

/// The receiving ends of the queues of a node, for [`run`].
pub struct Queues {
    shards: log::ShardQueues,
    leaves: membership::LeaveQueue,
}

impl State {
    /// Creates the state, and the queues that [`run`] takes.
    pub fn new() -> (Self, Queues) {
        let (log, shards) = log::State::new();
        let (membership, leaves) = membership::State::new();
        (Self { membership, log, delivery: delivery::State::default() }, Queues { shards, leaves })
    }

    /// Returns the number of rooms in use on this node.
    #[cfg(test)]
    pub fn in_use(&self) -> usize {
        self.delivery.rooms_in_use()
    }
}

/// Starts the tasks: the writer shards, the writer of leaves, the feed, and the ticks of presence,
/// read markers and retention.
pub fn run(app: &App, queues: Queues) {
    membership::run(app, queues.leaves, queues.shards.scheduler(), delivery::rights_changed);
    log::run(app, queues.shards);
    delivery::run(app);
    let node = app.clone();
    app.tasks.spawn_essential("rooms.tick", move || tick(node.clone()));
    let node = app.clone();
    app.tasks.every("rooms.retention", RETENTION_PERIOD, move || delete_old_talks(node.clone()));
}

/// Publishes presence and read markers, and writes read markers, each second.
async fn tick(node: App) {
    let mut ticks = node.tasks.ticks(TICK_PERIOD);
    while ticks.next().await {
        delivery::publish_presence(&node);
        delivery::publish_read_markers(&node);
        delivery::write_read_markers(&node).await;
    }
    delivery::write_read_markers(&node).await;
}

/// Returns the number of database connections that rooms hold for themselves: one for each writer
/// shard, and one for leaves.
pub fn own_connections() -> u32 {
    u32::try_from(log::shards()).unwrap_or(u32::MAX).saturating_add(membership::OWN_CONNECTIONS)
}

/// Returns how many entries wait for each writer shard of this node.
pub fn queue_lengths(app: &App) -> Vec<usize> {
    app.rooms.log.queue_lengths()
}

/// Returns how many entries can wait for one writer shard.
pub fn queue_capacity() -> usize {
    db::group_commit::QUEUE_CAPACITY
}

/// Returns `false` if Postgres has just refused a write. It may answer reads all the same while its
/// disk is full.
pub fn can_write(app: &App) -> bool {
    app.rooms.log.can_write()
}

/// Returns what the writers of this node have done since its start.
pub fn writer_counts(app: &App) -> WriterCounts {
    app.rooms.log.counts()
}

/// Returns the number of public rooms that are open.
///
/// # Errors
/// Those of the database.
pub async fn count_open(db: &PgPool) -> Result<i64, sqlx::Error> {
    store::count_open(db).await
}

/// The number and time of an entry, after its commit.
#[derive(Clone, Copy, Debug)]
pub struct Posted {
    pub seq: Seq,
    pub at: OffsetDateTime,
    /// `true` if the entry was written before: this is the first answer again.
    pub repeated: bool,
}

/// What is called with the outcome of a post, after the commit. It must not block.
pub type Answer = Box<dyn FnOnce(Result<Posted>) + Send + Sync>;

/// An entry to post.
pub struct Post {
    /// Made by the client for this entry. A repeat with the same id gets the first answer.
    pub client_id: Uuid,
    pub payload: Map<String, Value>,
    pub reply_to: Option<Seq>,
    /// The keyed hash of the sender's address prefix.
    pub prefix: Vec<u8>,
    /// When the client sent it. It is answered within two seconds of this, whatever happens to
    /// Postgres.
    pub requested_at: Instant,
}

/// Posts an entry to a room. Returns when the entry is queued: `answer` is called after its commit,
/// and it is published then. Ready at once if the sender's membership is cached. If this fails,
/// `answer` is not called.
///
/// # Errors
/// `not_found` if the visitor is not a member, `age_gate`, `banned`, `bad_payload`, `too_long`,
/// `rate_limited`, `session_ended`, `unavailable`. `closed`, `muted` and a session that ended
/// meanwhile come through `answer`.
pub async fn post(app: &App, who: &Visitor, room: Uuid, post: Post, answer: Answer) -> Result<()> {
    let membership = match cached_membership(app, who, room) {
        Some(membership) => membership,
        // Boxed: the lookup is rare, and its state would count for each socket.
        None => {
            let deadline = post.requested_at + WRITE_DEADLINE;
            Box::pin(membership::membership_before(app, who, room, deadline)).await?
        }
    };
    if !membership.is_of_session(who) {
        return Err(Error::SessionEnded);
    }
    who.require_rules()?;
    log::submit(app, membership, post, answer)
}

/// Posts an entry to a room and waits for its commit.
///
/// # Errors
/// As [`post`], and `closed`, `muted`.
pub async fn post_and_wait(app: &App, who: &Visitor, room: Uuid, new: Post) -> Result<Posted> {
    let (sender, answer) = oneshot::channel();
    // If the client has gone, nobody needs the answer; the entry stays.
    post(app, who, room, new, Box::new(|outcome| drop(sender.send(outcome)))).await?;
    answer.await.map_err(|_| Error::Unavailable)?
}

/// Removes a member from a room and keeps them out until the end of the sanction. Their sockets
/// receive nothing more of the room, and get a notice `revoked`. Returns the public id of the
/// sanction, which [`crate::moderation::lift`] takes.
///
/// # Errors
/// `not_found` if there is no such room or the visitor was never in it, `forbidden` for a talk
/// (ban, or let one side leave), `bad_frame` for a reason that is empty or too long, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "the routes for staff come with the back-office"))]
pub async fn kick(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Uuid> {
    let kicked = membership::kick(app, room, new).await?;
    delivery::rights_changed(app, kicked.change);
    let notice = Notice::Notice {
        kind: NoticeKind::Revoked,
        at: kicked.until.map(format_timestamp),
        reason: Some(new.reason.to_owned()),
        device: None,
        room: Some(kicked.room.public_id),
    };
    app.hub.broadcast(Topic::Visitor(new.visitor), notice.encode(), None);
    Ok(kicked.id)
}

/// Takes a member's right to write in a room away. They can still read. Returns the public id of
/// the sanction.
///
/// # Errors
/// `not_found` if there is no such room or the visitor was never in it, `bad_frame`, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "the routes for staff come with the back-office"))]
pub async fn mute(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Uuid> {
    let muted = membership::mute(app, room, new).await?;
    delivery::rights_changed(app, muted.change);
    Ok(muted.id)
}

/// The two sides of a new talk.
pub struct Pair {
    pub a: Participant,
    pub b: Participant,
}

/// One side of a new talk.
#[derive(Clone, Copy)]
pub struct Participant {
    pub visitor: VisitorId,
    pub locale: Locale,
}

/// Opens a room for each pair, inside the matcher's transaction: the room, its head and both
/// memberships. Returns the inner ids of the rooms, in order.
///
/// # Errors
/// Those of the statements.
pub async fn open(tx: &mut PgConnection, pairs: &[Pair]) -> Result<Vec<RoomId>, sqlx::Error> {
    let mut talks = store::NewTalks::default();
    for pair in pairs {
        let (alias_a, alias_b) = Alias::random_pair(&mut rand::rng());
        talks.public_ids.push(Uuid::new_v4());
        for (participant, slot, alias) in [(pair.a, "A", alias_a), (pair.b, "B", alias_b)] {
            talks.visitors.push(participant.visitor);
            talks.slots.push(slot.to_owned());
            talks.names.push(alias.in_words(participant.locale));
            talks.colors.push(alias.color);
            talks.animals.push(alias.animal);
        }
    }
    store::open_talks(tx, &talks).await
}

/// Closes the room of a talk inside a transaction. Returns `false` if it was closed already. Call
/// [`closed`] after the commit.
///
/// # Errors
/// `unavailable`.
pub async fn close(tx: &mut PgConnection, room: RoomId) -> Result<bool> {
    membership::raise_rights(tx, room).await?;
    Ok(store::close(tx, room).await?)
}

/// Applies the commit that closed a room to this node.
pub fn closed(app: &App, room: Uuid) {
    app.rooms.membership.cache.remove_room(room);
}

/// Returns the visitor behind a member's public id, in a room of the caller.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn visitor_of(tx: &mut PgConnection, membership: &Membership, member: Uuid) -> Result<VisitorId> {
    membership::visitor_of(tx, membership.room.id, member).await?.ok_or(Error::NotFound)
}

/// Deletes talks a day after their end, in small batches.
async fn delete_old_talks(app: App) {
    loop {
        match db::with_timeout(db::JOB_TIMEOUT, store::delete_old_talks(&app.db)).await {
            Ok(0) => return,
            Ok(deleted) => tracing::debug!(talks.deleted = deleted, "deleted talks that ended a day ago"),
            Err(why) => {
                tracing::warn!(error.cause = %why, "old talks could not be deleted; trying again in a minute");
                return;
            }
        }
    }
}
