//! Delivery: entries and ephemeral frames reach the sockets of a room, on this node and on others.
//! Never names the log.
mod coalesce;
mod ephemeral;
mod feed;
mod presence;
mod reconcile;
mod replay;
mod revocation;
mod room_feed;
mod store;

use std::sync::Arc;

use crate::app::App;
use crate::db::Loader;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::realtime::{Queue, Topic};

use super::limits::MAX_REPLAY_ENTRIES;
use super::membership::{Membership, hidden_up_to};
use super::model::{ChatRoom, RoomKind};

pub(super) use ephemeral::{publish_read_markers, write_read_markers};
pub use ephemeral::{read, typing};
#[cfg(test)]
pub(super) use feed::open;
pub(super) use feed::{batch_window, deliver, is_wanted};
pub(super) use presence::publish_changes as publish_presence;
#[cfg(test)]
pub(super) use reconcile::{overdue, reconcile};
pub use replay::{Replay, Step};
pub(super) use revocation::rights_changed;
pub(super) use store::{EntriesPage, Window, entries};

/// What this node knows of the rooms in use.
#[derive(Default)]
pub(super) struct State {
    feed: feed::Feed,
    heads: Loader<RoomId, store::Head>,
    read_markers: ephemeral::ReadMarkers,
    presence: presence::Presence,
}

impl State {
    /// Returns the number of rooms in use on this node.
    #[cfg(test)]
    pub(super) fn rooms_in_use(&self) -> usize {
        self.feed.len()
    }

    /// Returns the seq that was last delivered in a room in use.
    #[cfg(test)]
    pub(super) fn delivered(&self, room: RoomId) -> Option<Seq> {
        self.feed.lock()[&room].delivered
    }

    /// Returns the number of recent entries of a room in use.
    #[cfg(test)]
    pub(super) fn recent_len(&self, room: RoomId) -> usize {
        self.feed.lock()[&room].recent.len()
    }

    /// Returns the rooms, other than talks, to which a socket of this node is subscribed.
    #[cfg(test)]
    pub(super) fn subscribed_rooms(&self, app: &App) -> Vec<(RoomId, uuid::Uuid)> {
        self.feed.with_subscribers(app)
    }
}

/// Starts the tasks that keep delivery complete.
pub(super) fn run(app: &App) {
    reconcile::run(app);
}

/// How a subscription to a room begins.
pub enum Subscribed {
    /// The replay that leads to the head.
    Replay { head: Seq, replay: Replay },
    /// More is missing than a replay sends: the client reads pages, and [`subscribe_at_head`]
    /// follows.
    Resync,
}

/// Starts the subscription of a member who has seen the entries up to `after`, or up to the head if
/// `None`.
///
/// # Errors
/// `not_found` if the room is gone, `unavailable`.
pub async fn subscribe(app: &App, membership: &Membership, after: Option<Seq>) -> Result<Subscribed> {
    let mut head = feed::open(app, &membership.room).await?;
    let hidden = hidden_up_to(membership);
    let after = after.filter(|_| !faults::on(Fault::ResumeIgnoresAfter)).map_or(head, |after| after.max(hidden));
    if after > head {
        // The client saw more on another node than has reached this one.
        feed::repair(app, membership.room.id).await?;
        head = feed::open(app, &membership.room).await?;
    }
    presence_changed(app, &membership.room);
    if (after > head || head.since(after) > MAX_REPLAY_ENTRIES) && !faults::on(Fault::ResyncNeverSaid) {
        return Ok(Subscribed::Resync);
    }
    Ok(Subscribed::Replay { head, replay: Replay::new(membership, after) })
}

/// Starts a subscription at the head, with nothing to replay. Returns the head.
///
/// # Errors
/// As [`subscribe`].
pub async fn subscribe_at_head(app: &App, membership: &Membership) -> Result<(Seq, Replay)> {
    let head = feed::open(app, &membership.room).await?;
    Ok((head, Replay::new(membership, head)))
}

/// Returns the replay for a socket that lags and has seen the entries up to `after`.
pub fn replay_after(membership: &Membership, after: Seq) -> Replay {
    Replay::new(membership, after)
}

/// Ends the subscription of a socket to a room.
pub fn unsubscribe(app: &App, room: &ChatRoom, queue: &Arc<Queue>) {
    app.hub.unsubscribe(Topic::Room(room.id), queue);
    presence_changed(app, room);
}

/// Notes that somebody subscribed to a room or left it. Talks have no presence.
fn presence_changed(app: &App, room: &ChatRoom) {
    if room.kind != RoomKind::Talk {
        presence::changed_here(app, room.id, room.public_id);
    }
}

/// Returns how many different people have the room open, on all nodes. A person who has it open on
/// two nodes counts twice.
pub fn online(app: &App, room: &ChatRoom) -> usize {
    presence::online(app, room.id)
}

/// Returns `true` if a socket of the visitor is subscribed to the room on this node.
pub fn is_subscribed(app: &App, room: &ChatRoom, visitor: VisitorId) -> bool {
    app.hub.is_subscribed(Topic::Room(room.id), visitor)
}
