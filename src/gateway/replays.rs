//! What a socket is still to be brought of its rooms, one wait for Postgres at a time.
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::connection::{Connection, VERB};
use super::end::End;
use super::writing::meanwhile;
use crate::error::{Error, Result};
use crate::realtime::{CloseCode, Frame, Topic};
use crate::rooms::{self, Replay, RoomEvent, Step};

/// A room that a socket does not listen to yet.
pub(super) struct Missing {
    room: Uuid,
    /// None until the place was looked up anew: what was seen of the room is known.
    replay: Option<Replay>,
}

/// What one wait has brought.
enum Brought {
    /// The place is there still: the replay goes on from here.
    Found(Replay),
    Step(Replay, Step),
}

impl Connection {
    /// Whether a replay is not at its end.
    pub(super) fn is_behind(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Rooms to bring to the socket, from where their replays begin. What it was still to be brought of them before is not.
    pub(super) fn bring(&mut self, replays: Vec<(Uuid, Replay)>) {
        for (room, replay) in replays {
            self.missing.retain(|missing| missing.room != room);
            if let Some(subscription) = self.joined.get_mut(&room) {
                subscription.seen = Some(replay.reached());
            }
            self.missing.push_back(Missing { room, replay: Some(replay) });
        }
    }

    /// Stops listening to a room, and follows it again from what was seen of it.
    pub(super) fn follow_again(&mut self, room: Uuid) {
        let Some(subscription) = self.joined.get(&room) else { return };
        self.app.hub.unsubscribe(Topic::Room(subscription.membership.room.id), &self.queue);
        self.queue.forget(subscription.membership.room.id);
        self.missing.retain(|missing| missing.room != room);
        self.missing.push_back(Missing { room, replay: None });
    }

    /// The queue lags: every room is followed again.
    pub(super) fn catch_up(&mut self) {
        for room in self.joined.keys().copied().collect::<Vec<_>>() {
            self.follow_again(room);
        }
        self.queue.caught_up();
    }

    /// Writes the next page of what a room's log holds behind the socket, or follows the room when there is none. Waits no
    /// longer than a verb does; answers are written meanwhile.
    pub(super) async fn bring_next(&mut self) -> Result<(), End> {
        let Some(Missing { room, replay }) = self.missing.pop_front() else { return Ok(()) };
        let Some(seen) = self.joined.get(&room).and_then(|subscription| subscription.seen) else { return Ok(()) }; // left, or never reached
        let began = Instant::now();
        let (app, queue, who) = (self.app.clone(), self.queue.clone(), self.who.clone());
        let bringing = async {
            let Some(mut replay) = replay else {
                return Ok(Brought::Found(rooms::replay_after(&rooms::membership(&app, &who, room).await?, seen)));
            };
            let step = replay.step(&app, &queue).await?;
            Ok(Brought::Step(replay, step))
        };
        let (written, brought) = meanwhile(&queue, self.wire.as_mut(), timeout(VERB, bringing)).await;
        self.waited(written, began, began);
        match brought?.unwrap_or(Err(Error::Unavailable)) {
            Ok(Brought::Found(replay)) => self.missing.push_front(Missing { room, replay: Some(replay) }),
            Ok(Brought::Step(replay, step)) => return self.brought(room, replay, step).await,
            Err(Error::NotFound) => {
                // The place was lost meanwhile. A room that was asked for again may have been listened to already.
                if let Some(lost) = self.joined.remove(&room) {
                    rooms::unsubscribe(&self.app, &lost.membership.room, &self.queue);
                }
            }
            Err(why) => {
                // The client resumes on a new socket rather than living with a hole.
                why.log();
                return Err(End::because(CloseCode::Busy, "busy"));
            }
        }
        Ok(())
    }

    /// Writes what a step has brought.
    async fn brought(&mut self, room: Uuid, replay: Replay, step: Step) -> Result<(), End> {
        if let Some(subscription) = self.joined.get_mut(&room) {
            subscription.seen = Some(if let Step::Resync { head } = &step { *head } else { replay.reached() });
        }
        match step {
            Step::Page(frames) => {
                self.missing.push_front(Missing { room, replay: Some(replay) });
                self.write(frames.into_iter().map(Frame::into_wire)).await
            }
            Step::Subscribed => Ok(()),
            Step::Resync { head } => self.say(RoomEvent::Resync { room, head }.encode()).await,
        }
    }
}
