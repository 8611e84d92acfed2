//! The feed: the entries of a room reach every subscribed socket, in order and without a gap.
//!
//! For each room in use it knows the last seq that was delivered, and keeps a few recent entries in
//! memory. An entry that comes early waits a moment for its predecessors. Then they are read from
//! Postgres.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::coalesce::BatchWindow;
use super::room_feed::RoomFeed;
use super::store::{self, Window};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{RightsVersion, RoomId, Seq};
use crate::realtime::limits::MAX_QUEUED_BYTES;
use crate::realtime::{Entry, Topic};
use crate::rooms::model::{ChatRoom, RoomEvent, RoomKind};

/// Largest number of entries that are read from Postgres at a time.
pub(super) const MAX_PAGE_ENTRIES: i64 = 100;
/// Largest size of those entries: as much as the queue of a socket holds.
const MAX_PAGE_BYTES: i64 = MAX_QUEUED_BYTES as i64;

/// The rooms in use on this node.
#[derive(Default)]
pub(super) struct Feed {
    rooms: Mutex<HashMap<RoomId, RoomFeed>>,
}

impl Feed {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, RoomFeed>> {
        self.rooms.lock()
    }

    /// Returns the rooms, other than talks, that have subscribers here: their inner and public ids.
    pub(super) fn with_subscribers(&self, app: &App) -> Vec<(RoomId, Uuid)> {
        let rooms = self.lock();
        let shown = rooms.values().filter(|feed| feed.room.kind != RoomKind::Talk);
        let subscribed = shown.filter(|feed| app.hub.subscriber_count(Topic::Room(feed.room.id)) > 0);
        subscribed.map(|feed| (feed.room.id, feed.room.public_id)).collect()
    }

    /// Notes that the version of a room's rights is now `rights`, and that the member who lost a
    /// right is not subscribed here any more. Ignored if other changes came in between:
    /// [`super::reconcile::reconcile`] finds those.
    pub(super) fn rights_raised(&self, room: RoomId, rights: RightsVersion) {
        let mut rooms = self.lock();
        if let Some(known) = rooms.get_mut(&room).and_then(|feed| feed.rights.as_mut())
            && known.next() == rights
        {
            *known = rights;
        }
    }

    /// Returns the version of a room's rights for which its subscribers here were checked.
    pub(super) fn rights(&self, room: RoomId) -> Option<RightsVersion> {
        self.lock().get(&room)?.rights
    }

    /// Returns the number of rooms in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// Returns how long entries of a room can wait for their commit, because its sockets would not get
/// them sooner. `None` if they must not wait.
pub(in crate::rooms) fn batch_window(app: &App, room: RoomId) -> Option<BatchWindow> {
    app.rooms.delivery.feed.lock().get(&room)?.batch_window(app)
}

/// Returns `true` if anybody would get an entry of this room: a socket here, or another node.
pub(in crate::rooms) fn is_wanted(app: &App, room: RoomId) -> bool {
    app.relay.has_others() || app.rooms.delivery.feed.lock().contains_key(&room)
}

/// Delivers entries of a room that this node committed together, one after the other, to the
/// sockets here. Empties the list.
pub(in crate::rooms) fn deliver(app: &App, room: RoomId, entries: &mut Vec<Entry>) {
    if !entries.is_empty()
        && let Some(feed) = app.rooms.delivery.feed.lock().get_mut(&room)
    {
        feed.apply_all(app, entries);
    }
    entries.clear();
}

/// Brings a room into use and returns its head.
///
/// # Errors
/// `not_found` if the room is gone, `unavailable`.
pub(in crate::rooms) async fn open(app: &App, room: &Arc<ChatRoom>) -> Result<Seq> {
    {
        let mut rooms = app.rooms.delivery.feed.lock();
        let feed = rooms.entry(room.id).or_insert_with(|| RoomFeed::new(room.clone()));
        feed.used_at = tokio::time::Instant::now();
        if let Some(delivered) = feed.delivered
            && app.hub.subscriber_count(Topic::Room(room.id)) > 0
        {
            return Ok(delivered);
        }
    }
    // Entries that are committed from here on reach the feed as early ones, and are delivered
    // below.
    let head =
        app.rooms.delivery.heads.load(room.id, |ids| store::heads(&app.db, ids)).await?.ok_or(Error::NotFound)?;
    let delivered = {
        let mut rooms = app.rooms.delivery.feed.lock();
        rooms.get_mut(&room.id).and_then(|feed| {
            feed.rights.get_or_insert(head.rights);
            if app.hub.subscriber_count(Topic::Room(room.id)) == 0 {
                feed.skip_to(head.seq);
            }
            feed.delivered
        })
    };
    match delivered {
        Some(delivered) if delivered < head.seq => repair(app, room.id).await?,
        Some(_) => {}
        None => {
            if let Some(feed) = app.rooms.delivery.feed.lock().get_mut(&room.id) {
                feed.set_head(app, head.seq);
            }
        }
    }
    Ok(app.rooms.delivery.feed.lock().get(&room.id).and_then(|feed| feed.delivered).unwrap_or(head.seq))
}

/// A page of encoded entries.
pub(super) struct Page {
    pub entries: Vec<Entry>,
    /// Whether there are more entries after them.
    pub has_more: bool,
}

/// Reads at most `limit` entries after `after` from Postgres, encoded for sockets.
pub(super) async fn read(app: &App, room: &ChatRoom, after: Seq, limit: i64) -> Result<Page> {
    let window = Window { after, before: Seq::MAX, limit, bytes: MAX_PAGE_BYTES, newest: false };
    let page = store::entries(&app.db, room, window).await?;
    let encode =
        |message: crate::rooms::model::Message| Entry { seq: message.seq, frame: RoomEvent::Message(message).encode() };
    Ok(Page { entries: page.entries.into_iter().map(encode).collect(), has_more: page.has_more })
}

/// Reads the entries that a room's feed is missing, until it has reached the head.
pub(super) async fn repair(app: &App, room: RoomId) -> Result<()> {
    loop {
        let (known, delivered) = {
            let rooms = app.rooms.delivery.feed.lock();
            let Some(feed) = rooms.get(&room) else { return Ok(()) };
            let Some(delivered) = feed.delivered else { return Ok(()) };
            (feed.room.clone(), delivered)
        };
        let page = read(app, &known, delivered, MAX_PAGE_ENTRIES).await?;
        let mut rooms = app.rooms.delivery.feed.lock();
        let Some(feed) = rooms.get_mut(&room) else { return Ok(()) };
        for entry in page.entries {
            feed.apply(app, entry);
        }
        if !page.has_more {
            return Ok(());
        }
    }
}
