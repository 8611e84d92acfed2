//! A replay: what a client missed of a room, in order, until it listens. Pages of it are pulled as the socket drains.
use std::sync::Arc;

use super::feed::{self, PAGE};
use super::model::ChatRoom;
use super::{Membership, rights};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::realtime::{Frame, Queue, Topic};

/// Entries a replay brings at most; past it the client is told to page (DESIGN.md 4).
pub const REPLAY: i64 = 500;

/// What is missing between a client and the feed.
pub struct Replay {
    room: Arc<ChatRoom>,
    /// The version of the room's rights at which its reader had a place.
    rights: i64,
    next: i64,
    left: i64,
}

/// One step of a replay.
pub enum Step {
    /// Frames to write now, in order; then ask again.
    Page(Vec<Frame>),
    /// The socket listens from here on and has missed nothing.
    Following,
    /// More than a replay may bring happened meanwhile: the socket listens from `head` on, and the client pages.
    Resync(i64),
}

impl Replay {
    /// A replay of everything after `after`, for somebody with a place.
    pub(super) fn new(membership: &Membership, after: i64) -> Self {
        let next = after + 1 + i64::from(faults::on(Fault::ReplaySkipsOne));
        Self { room: membership.room.clone(), rights: membership.rights, next, left: REPLAY }
    }

    /// The last entry it has brought.
    pub fn reached(&self) -> i64 {
        self.next - 1
    }

    /// How many entries lie between its start and a head.
    pub fn entries(&self, head: i64) -> i64 {
        (head + 1 - self.next).max(0)
    }

    /// The next page, or the moment at which the socket has caught up and listens. Errors: `not_found` when its reader has
    /// lost the place meanwhile.
    pub async fn step(&mut self, app: &App, queue: &Arc<Queue>) -> Result<Step> {
        if self.next > feed::open(app, &self.room).await? + 1 {
            feed::repair(app, self.room.id).await?; // the client is ahead: it was on another node
        }
        loop {
            match self.try_step(app, queue).await? {
                Ok(step) => return Ok(step),
                Err(risen) => {
                    if rights::is_stranger(app, self.room.id, queue.owner()).await? {
                        return Err(Error::NotFound);
                    }
                    self.rights = risen;
                }
            }
        }
    }

    /// One step, or the version of the room's rights that its reader has to be checked against before.
    async fn try_step(&mut self, app: &App, queue: &Arc<Queue>) -> Result<Result<Step, i64>> {
        let upto = {
            let mut rooms = app.rooms.feed.lock();
            let Some(feed) = rooms.get_mut(&self.room.id) else { return Err(Error::Unavailable) };
            if let Some(risen) = feed.rights.filter(|rights| *rights > self.rights) {
                return Ok(Err(risen));
            }
            let delivered = feed.delivered.unwrap_or_default();
            if self.next > delivered || self.left <= 0 {
                // Under the lock: nothing is delivered between the check and the subscription.
                feed.write_held(app);
                app.hub.subscribe(Topic::Room(self.room.id), queue);
                return Ok(Ok(if self.next > delivered { Step::Following } else { Step::Resync(delivered) }));
            }
            let page: Vec<Frame> = match feed.recent.front() {
                Some((oldest, _)) if *oldest <= self.next => {
                    let wanted = feed.recent.iter().skip_while(|(seq, _)| *seq < self.next);
                    wanted.take(usize::try_from(PAGE).unwrap_or(100)).map(|(_, frame)| frame.clone()).collect()
                }
                _ => Vec::new(),
            };
            if !page.is_empty() {
                return Ok(Ok(Step::Page(self.advance(page))));
            }
            delivered
        };
        // Not past what the feed has delivered: what comes after it reaches the socket through the hub.
        let limit = PAGE.min(upto + 1 - self.next);
        let (frames, _) = feed::read(app, &self.room, self.next - 1, limit).await?;
        if frames.is_empty() {
            return Err(Error::Unavailable);
        }
        Ok(Ok(Step::Page(self.advance(frames.into_iter().map(|(_, frame)| frame).collect()))))
    }

    fn advance(&mut self, page: Vec<Frame>) -> Vec<Frame> {
        let count = i64::try_from(page.len()).unwrap_or(PAGE);
        self.next += count;
        self.left -= count;
        page
    }
}
