//! A replay: the entries that a client missed of a room, in order, until its socket is subscribed.
//! The gateway pulls its pages as the socket drains.
use std::sync::Arc;

use super::feed::{self, MAX_PAGE_ENTRIES};
use super::revocation;
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RightsVersion, Seq};
use crate::realtime::{Frame, Queue, Topic};
use crate::rooms::limits::MAX_REPLAY_ENTRIES;
use crate::rooms::membership::Membership;
use crate::rooms::model::ChatRoom;

/// What is missing between a client and the feed.
pub struct Replay {
    room: Arc<ChatRoom>,
    /// The version of the room's rights at which the reader's membership was checked.
    rights: RightsVersion,
    next: Seq,
    /// Number of entries that it can still send.
    left: i64,
}

/// One step of a replay.
pub enum Step {
    /// Frames to write now, in order. Then the next step follows.
    Page(Vec<Frame>),
    /// The socket is subscribed and has missed nothing.
    Subscribed,
    /// More entries than a replay sends came meanwhile. The socket is subscribed from `head` on,
    /// and the client reads pages.
    Resync { head: Seq },
}

/// The outcome of a step that may have to wait for a check.
enum Attempt {
    Step(Step),
    /// The reader must be checked for this version of the room's rights first.
    CheckFor(RightsVersion),
}

impl Replay {
    /// Creates a replay of everything after `after`, for a member.
    pub(super) fn new(membership: &Membership, after: Seq) -> Self {
        let next = after.next().plus(i64::from(faults::on(Fault::ReplaySkipsOne)));
        Self { room: membership.room.clone(), rights: membership.rights, next, left: MAX_REPLAY_ENTRIES }
    }

    /// Returns the seq of the last entry that it has sent.
    pub fn reached(&self) -> Seq {
        self.next.previous()
    }

    /// Returns the number of entries from its position to a head.
    pub fn entries(&self, head: Seq) -> i64 {
        head.next().since(self.next).max(0)
    }

    /// Returns the next page, or subscribes the socket once it has caught up.
    ///
    /// # Errors
    /// `not_found` if the reader has lost access to the room meanwhile, `unavailable`.
    pub async fn step(&mut self, app: &App, queue: &Arc<Queue>) -> Result<Step> {
        if self.next > feed::open(app, &self.room).await?.next() {
            feed::repair(app, self.room.id).await?; // the client is ahead: it was on another node
        }
        loop {
            match self.attempt(app, queue).await? {
                Attempt::Step(step) => return Ok(step),
                Attempt::CheckFor(rights) => {
                    if revocation::has_no_access(app, self.room.id, queue.owner()).await? {
                        return Err(Error::NotFound);
                    }
                    self.rights = rights;
                }
            }
        }
    }

    async fn attempt(&mut self, app: &App, queue: &Arc<Queue>) -> Result<Attempt> {
        let delivered = {
            let mut rooms = app.rooms.delivery.feed.lock();
            let Some(feed) = rooms.get_mut(&self.room.id) else { return Err(Error::Unavailable) };
            if let Some(rights) = feed.rights.filter(|rights| *rights > self.rights) {
                return Ok(Attempt::CheckFor(rights));
            }
            let delivered = feed.delivered.unwrap_or_default();
            if self.next > delivered || self.left <= 0 {
                // Under the lock: nothing is delivered between this check and the subscription.
                feed.write_held(app);
                app.hub.subscribe(Topic::Room(self.room.id), queue);
                let is_complete = self.next > delivered;
                return Ok(Attempt::Step(if is_complete {
                    Step::Subscribed
                } else {
                    Step::Resync { head: delivered }
                }));
            }
            let page: Vec<Frame> = match feed.recent.front() {
                Some(oldest) if oldest.seq <= self.next => {
                    let wanted = feed.recent.iter().skip_while(|entry| entry.seq < self.next);
                    wanted.take(MAX_PAGE_ENTRIES as usize).map(|entry| entry.frame.clone()).collect()
                }
                _ => Vec::new(),
            };
            if !page.is_empty() {
                return Ok(Attempt::Step(Step::Page(self.advance(page))));
            }
            delivered
        };
        // Only what the feed has delivered: later entries reach the socket through the hub.
        let limit = MAX_PAGE_ENTRIES.min(delivered.next().since(self.next));
        let page = feed::read(app, &self.room, self.next.previous(), limit).await?;
        if page.entries.is_empty() {
            return Err(Error::Unavailable);
        }
        Ok(Attempt::Step(Step::Page(self.advance(page.entries.into_iter().map(|entry| entry.frame).collect()))))
    }

    fn advance(&mut self, page: Vec<Frame>) -> Vec<Frame> {
        let count = i64::try_from(page.len()).unwrap_or(MAX_PAGE_ENTRIES);
        self.next = self.next.plus(count);
        self.left -= count;
        page
    }
}
