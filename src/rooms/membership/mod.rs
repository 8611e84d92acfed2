//! Membership: who is in a room, and what they may do there. Names neither the log nor delivery.
mod cache;
mod leave;
mod sanctions;
mod store;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::limits::TALK_READABLE_AFTER_END;
use super::model::{ChatRoom, Member, Naming, RoomKind};
use crate::accounts::{Alias, Visitor};
use crate::app::App;
use crate::db::{CommitScheduler, Loader};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, RightsVersion, RoomId, Seq, SessionEpoch, VisitorId};
use crate::moderation::Restriction;

pub(super) use leave::LeaveQueue;
pub(super) use sanctions::{kick, mute};
pub(super) use store::{RoomAccess, access_in, raise_rights, visitor_of, without_access};

/// A visitor's checked membership of a room.
#[derive(Clone)]
pub struct Membership {
    pub room: Arc<ChatRoom>,
    pub member: Arc<Member>,
    /// The version of the room's rights at which this was read.
    pub rights: RightsVersion,
    /// The version of the fence at which this was read.
    pub fence: FenceVersion,
    /// Set while the visitor must not write, in this room or everywhere.
    pub muted: Option<Mute>,
    /// The epoch of the visitor's account at which this was read. `None` for a guest.
    pub epoch: Option<SessionEpoch>,
}

impl Membership {
    /// Returns `true` if the session of `who` was not revoked when this was read. A session that is
    /// revoked later is found by its version of the fence.
    pub(super) fn is_of_session(&self, who: &Visitor) -> bool {
        self.epoch == who.session_epoch()
    }
}

/// A mute, and how long it still lasts: `None` until a moderator lifts it.
#[derive(Clone, Copy, Debug)]
pub struct Mute {
    pub after: Option<Duration>,
}

/// A commit that raised the version of a room's rights. Delivery applies it to caches, sockets and
/// other nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RightsChange {
    pub room: RoomId,
    /// The public id of the room.
    pub public: Uuid,
    pub rights: RightsVersion,
    /// The member who lost their place, if the change removed one.
    pub removed: Option<VisitorId>,
}

/// Called after the commit of each [`RightsChange`], in the order of the versions of a room.
pub(super) type OnRightsChange = fn(&App, RightsChange);

/// What this node knows of memberships.
pub(super) struct State {
    pub(super) cache: cache::Cache,
    access: Loader<(Uuid, VisitorId), RoomAccess>,
    leaves: leave::Leaves,
}

impl State {
    /// Returns the state, and the queue of leaves for [`run`].
    pub(super) fn new() -> (Self, LeaveQueue) {
        let (leaves, queue) = leave::Leaves::new();
        (Self { cache: cache::Cache::default(), access: Loader::default(), leaves }, queue)
    }
}

/// Starts the task that writes leaves. It calls `on_change` after each commit.
pub(super) fn run(app: &App, queue: LeaveQueue, scheduler: CommitScheduler, on_change: OnRightsChange) {
    leave::run(app, queue, scheduler, on_change);
}

/// Returns the cached membership of a visitor, unless the visitor lost a right everywhere after it
/// was read. The batch that writes an entry checks it again.
pub fn cached_membership(app: &App, who: &Visitor, room: Uuid) -> Option<Membership> {
    let membership = app.rooms.membership.cache.find(room, who.id)?;
    let is_current = !app.moderation.is_revoked_since(who.id, membership.fence) && membership.is_of_session(who);
    is_current.then_some(membership)
}

/// Returns the visitor's membership of a room, as committed now.
///
/// # Errors
/// `not_found` if there is no such room, the visitor has no membership or left it, or the room was
/// a talk that ended more than a day ago; `banned`, `session_ended`.
pub async fn membership(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    membership_of(app, access(app, who, room).await?)
}

/// Returns the visitor's membership, for a request with this deadline.
///
/// # Errors
/// As [`membership`]; `unavailable` if Postgres does not answer before the deadline.
pub async fn membership_before(app: &App, who: &Visitor, room: Uuid, deadline: Instant) -> Result<Membership> {
    timeout_at(deadline, membership(app, who, room)).await.unwrap_or(Err(Error::Unavailable))
}

/// Returns a room and what the visitor may do in it, as committed now. Requests that arrive
/// together share a query. Errors: `not_found`, and `session_ended` if the session was revoked.
async fn access(app: &App, who: &Visitor, room: Uuid) -> Result<RoomAccess> {
    let fetch = |wanted: Vec<_>| async move { store::accesses(&mut *app.db.acquire().await?, &wanted).await };
    let access = app.rooms.membership.access.load((room, who.id), fetch).await?.ok_or(Error::NotFound)?;
    if access.epoch == who.session_epoch() { Ok(access) } else { Err(Error::SessionEnded) }
}

/// Turns what was read into a membership and caches it. Errors: as [`membership`].
fn membership_of(app: &App, access: RoomAccess) -> Result<Membership> {
    let muted = match access.restriction {
        Some(restriction @ (Restriction::Banned { .. } | Restriction::Kicked)) => return Err(restriction.into()),
        Some(Restriction::Muted { ends_in }) => Some(Mute { after: ends_in }),
        None => None,
    };
    let member = access.member.ok_or(Error::NotFound)?;
    let is_expired = access.room.closed_at.is_some_and(|at| at + TALK_READABLE_AFTER_END < app.clock.now());
    if is_expired || (member.left && member.sender.slot.is_none() && !faults::on(Fault::LeaverStillReads)) {
        return Err(Error::NotFound);
    }
    let (room, member) = (Arc::new(access.room), Arc::new(member));
    let (rights, fence, epoch) = (access.rights, access.fence, access.epoch);
    let membership = Membership { room, member, rights, fence, muted, epoch };
    app.rooms.membership.cache.insert(&membership);
    Ok(membership)
}

/// Joins a room. Anybody can join a public room; other rooms need a membership that exists already.
///
/// # Errors
/// `not_found`, `age_gate`, `closed`, `banned`; `forbidden` if the visitor was removed from this
/// public room.
pub async fn join(app: &App, who: &Visitor, room: Uuid) -> Result<Membership> {
    let access = access(app, who, room).await?;
    match membership_of(app, access.clone()) {
        Err(Error::NotFound) => {}
        other => return other.and_then(|membership| who.require_rules().map(|()| membership)),
    }
    if access.room.kind != RoomKind::Public && !faults::on(Fault::StrangerEnters) {
        return Err(Error::NotFound);
    }
    who.require_rules()?;
    if access.room.closed_at.is_some() {
        return Err(Error::Closed);
    }
    add_member(&mut *app.db.acquire().await?, who, &access.room, "member").await?;
    app.rooms.membership.cache.remove_member(room, who.id);
    membership(app, who, room).await
}

/// Adds a member to a room. In an anonymous room each member gets an alias that is drawn for this
/// room, so that nobody can be followed from one room to the next.
///
/// # Errors
/// `banned`, `session_ended`; `forbidden` if the visitor was removed from the room.
pub(super) async fn add_member(db: &mut PgConnection, who: &Visitor, room: &ChatRoom, role: &str) -> Result<()> {
    let alias = match room.naming {
        Naming::Anonymous => Alias::random(&mut rand::rng()),
        Naming::Named => who.alias.clone(),
    };
    let (name, animal) = match (&who.name, room.naming) {
        (Some(chosen), Naming::Named) => (chosen.clone(), None),
        _ => (alias.in_words(who.locale), Some(alias.animal.as_str())),
    };
    let (visitor, epoch, color) = (who.id, who.session_epoch(), alias.color.as_str());
    let new = store::NewMember { room: room.id, visitor, epoch, role, color, animal, name: &name };
    match store::add_member(db, &new).await? {
        store::Added::SessionEnded => Err(Error::SessionEnded),
        store::Added::Member(Some(Restriction::Kicked)) => Err(Error::Forbidden("You were removed from this room.")),
        store::Added::Member(Some(restriction @ Restriction::Banned { .. })) => Err(restriction.into()),
        store::Added::Member(Some(Restriction::Muted { .. }) | None) => Ok(()),
    }
}

/// Ends a visitor's membership of a room for good: nothing the visitor sends is written after this
/// commit, and their sockets receive nothing more of the room.
///
/// # Errors
/// `not_found` if there was no membership to end. A talk has none: matching ends it.
/// `session_ended`, `unavailable`.
pub async fn leave(app: &App, who: &Visitor, room: Uuid) -> Result<()> {
    app.rooms.membership.leaves.leave(room, who).await
}

/// Number of database connections that this wing holds for itself.
pub(super) const OWN_CONNECTIONS: u32 = 1;

/// Returns the newest seq that the member must not see. In a room without history a member sees
/// only what was written after they joined.
pub(super) fn hidden_up_to(membership: &Membership) -> Seq {
    let sees_all = membership.room.history || faults::on(Fault::HistoryShownToNewcomers);
    if sees_all { Seq::ZERO } else { membership.member.joined_seq }
}

/// Session settings of the connection that writes leaves: no statement can hang the others, and
/// lookups by key are planned once.
const LEAVE_SESSION: &[(&str, &str)] = &[
    ("statement_timeout", "5s"),
    ("lock_timeout", "1700ms"),
    ("tcp_user_timeout", "5s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("application_name", "maju leaving"),
];
