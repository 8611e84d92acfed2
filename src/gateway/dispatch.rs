//! From a frame to a verb: one arm a frame, nothing decided here.
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::connection::{Connection, HEARTBEAT, Subscription};
use super::frames::{
    self, ClientFrame, Empty, HelloOk, JoinOk, MembershipView, NextOk, PingOk, ReportOk, ResumePoint, ResumedRoom,
    SeekOk, Waiting,
};
use crate::accounts;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::http::{Bucket, Key};
use crate::matching::{self, NewReport, Seek};
use crate::realtime::Frame;
use crate::rooms::{self, Membership, Replay, RoomKind, Subscribed};

/// Rooms one socket follows at most.
const ROOMS: usize = 50;

/// The answer to a frame, and the replays that follow it.
pub(super) struct Reply {
    pub answer: Frame,
    pub replays: Vec<(Uuid, Replay)>,
}

/// Does what a frame asks.
pub(super) async fn act(socket: &mut Connection, id: u64, frame: ClientFrame) -> Result<Reply> {
    let (app, who) = (socket.app.clone(), socket.who.clone());
    if let Some(bucket) = frame.bucket() {
        app.limits.take(bucket, Key::Visitor(who.id))?;
    }
    match frame {
        ClientFrame::Hello { resume } => hello(socket, id, &resume).await,
        ClientFrame::Join { room, after } => join(socket, id, room, after).await,
        ClientFrame::Leave { room } => {
            leave(socket, room).await?;
            reply(id, &Empty {})
        }
        // Sends are pipelined by the connection.
        ClientFrame::Send { .. } => Err(Error::Unavailable),
        ClientFrame::Typing { room } => {
            rooms::typing(&app, &who, room, &socket.queue).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Read { room, seq } => {
            rooms::read(&app, &who, room, seq, &socket.queue).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Seek { interests, languages, translate } => {
            // The rules may have been accepted since this socket was opened.
            socket.who = accounts::by_id(&app, who.id).await?;
            let seek = Seek { interests, languages, translate }.checked()?;
            let seeking = matching::seek(&app, &socket.who, seek).await?;
            let (ticket, waiting) = (seeking.ticket, seeking.waiting);
            reply(id, &SeekOk { ticket, waiting, median_wait_ms: seeking.median_wait_ms })
        }
        ClientFrame::Cancel {} => {
            matching::cancel(&app, &who).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Next { session, seek } => {
            socket.who = accounts::by_id(&app, who.id).await?;
            let ticket = matching::next(&app, &socket.who, session, seek).await?;
            reply(id, &NextOk { ticket })
        }
        ClientFrame::Report { room, reason, seqs, note, block } => {
            let report = matching::report(&app, &who, NewReport { room, reason, seqs, note, block }).await?;
            reply(id, &ReportOk { report })
        }
        ClientFrame::Block { room, sender } => {
            matching::block(&app, &who, room, sender).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Ping {} => reply(id, &PingOk { server_time: format_timestamp(app.clock.now()) }),
    }
}

fn reply<T: Serialize>(id: u64, answer: &T) -> Result<Reply> {
    Ok(Reply { answer: frames::ok(id, answer), replays: Vec::new() })
}

async fn hello(socket: &mut Connection, id: u64, resume: &[ResumePoint]) -> Result<Reply> {
    let app = socket.app.clone();
    // This socket listens for a ban by now; one that was committed before is found here.
    socket.who = accounts::by_id(&app, socket.who.id).await?;
    let (mut resumed, mut replays) = (Vec::with_capacity(resume.len()), Vec::new());
    for from in resume {
        let entry = match rooms::membership(&app, &socket.who, from.room).await {
            Ok(membership) => resume_room(socket, &membership, from.after, &mut replays).await?,
            // Unknown and somebody else's look the same.
            Err(Error::NotFound) => ResumedRoom::Resync { room: from.room, resync: true, head: 0 },
            Err(why) => return Err(why),
        };
        resumed.push(entry);
    }
    let standing = matching::current_activity(&app, &socket.who).await?;
    let answer = HelloOk {
        visitor: socket.who.clone().into(),
        heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX),
        server_time: format_timestamp(app.clock.now()),
        session: standing.session,
        seeking: standing.seeking.map(|ticket| Waiting { ticket }),
        rooms: resumed,
    };
    Ok(Reply { answer: frames::ok(id, &answer), replays })
}

async fn resume_room(
    socket: &mut Connection,
    membership: &Membership,
    after: i64,
    replays: &mut Vec<(Uuid, Replay)>,
) -> Result<ResumedRoom> {
    let room = membership.room.public_id;
    enter(socket, membership).await?;
    Ok(match rooms::subscribe(&socket.app, membership, Some(after)).await? {
        Subscribed::Replay { head, replay } => {
            let replayed = replay.entries(head);
            replays.push((room, replay));
            ResumedRoom::Replayed { room, head, replayed }
        }
        Subscribed::Resync => {
            let (head, replay) = rooms::subscribe_at_head(&socket.app, membership).await?;
            replays.push((room, replay));
            ResumedRoom::Resync { room, resync: true, head }
        }
    })
}

/// Ends a place in a room of many, or the talk. What the room is needs no look where this socket follows it.
async fn leave(socket: &mut Connection, room: Uuid) -> Result<()> {
    let (app, who) = (socket.app.clone(), socket.who.clone());
    let is_talk =
        socket.joined.get(&room).is_some_and(|subscription| subscription.membership.room.kind == RoomKind::Talk);
    let left = if is_talk { Err(Error::NotFound) } else { rooms::leave(&app, &who, room).await };
    match left {
        Err(Error::NotFound) => {
            let membership = rooms::membership(&app, &who, room).await?;
            if membership.room.kind != RoomKind::Talk {
                return Err(Error::NotFound);
            }
            matching::leave(&app, &who, &membership).await?;
            rooms::unsubscribe(&app, &membership.room, &socket.queue);
        }
        other => other?,
    }
    // What was queued before the leave is not heard after its answer; who comes again has it replayed.
    if let Some(left) = socket.joined.remove(&room)
        && !is_talk
    {
        socket.queue.forget(left.membership.room.id);
    }
    Ok(())
}

async fn join(socket: &mut Connection, id: u64, room: Uuid, after: Option<i64>) -> Result<Reply> {
    let app = socket.app.clone();
    app.limits.take_for(Bucket::PrefixJoins, (&socket.prefix_hash, room))?;
    if !socket.who.has_accepted_rules() {
        // They may have been accepted since this socket was opened.
        socket.who = accounts::by_id(&app, socket.who.id).await?;
    }
    let membership = rooms::join(&app, &socket.who, room).await?;
    if after.is_some() {
        // Asked for again: what is replayed comes before anything newer, and once.
        socket.follow_again(room);
        socket.queue.forget(membership.room.id);
    }
    enter(socket, &membership).await?;
    let subscribed = rooms::subscribe(&app, &membership, after).await?;
    let resync = matches!(subscribed, Subscribed::Resync);
    let (head, replay) = match subscribed {
        Subscribed::Replay { head, replay } => (head, replay),
        Subscribed::Resync => rooms::subscribe_at_head(&app, &membership).await?,
    };
    let others = rooms::online(&app, &membership.room);
    let listens = rooms::is_subscribed(&app, &membership.room, socket.who.id);
    let answer = JoinOk {
        room: membership.room.as_ref().into(),
        head,
        // The one who joins is counted, listening already on another socket or not.
        members_online: others + usize::from(!listens),
        you: MembershipView { sender: membership.member.sender.clone(), role: membership.member.role.clone() },
        resync,
    };
    Ok(Reply { answer: frames::ok(id, &answer), replays: vec![(room, replay)] })
}

/// Notes that this socket follows a room. Entering a talk lets go of the earlier ones: a person is in one at a time.
async fn enter(socket: &mut Connection, membership: &Membership) -> Result<()> {
    let app = socket.app.clone();
    let (room, is_talk) = (membership.room.public_id, membership.room.kind == RoomKind::Talk);
    if is_talk && membership.room.closed_at.is_none() {
        let queue = Arc::clone(&socket.queue);
        socket.joined.retain(|id, old| {
            let keep = *id == room || old.membership.room.kind != RoomKind::Talk;
            if !keep {
                rooms::unsubscribe(&app, &old.membership.room, &queue);
            }
            keep
        });
    }
    if socket.joined.len() >= ROOMS && !socket.joined.contains_key(&room) {
        return Err(Error::Conflict("One connection follows at most 50 rooms. Leave one first."));
    }
    if is_talk {
        matching::entered(&app, &socket.who, &membership.room).await?;
    }
    socket.joined.entry(room).or_insert_with(|| Subscription { membership: membership.clone(), seen: None });
    Ok(())
}
