//! Dispatch: calls the noun that a frame is for. Nothing is decided here.
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::connection::{Connection, Subscription};
use super::frames::{
    self, ClientFrame, Empty, HelloOk, JoinOk, MembershipView, NextOk, PingOk, ReportOk, ResumePoint, ResumedRoom,
    SeekOk, Waiting,
};
use super::limits::{HEARTBEAT_INTERVAL, MAX_ROOMS_PER_SOCKET};
use crate::accounts;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::http::{Bucket, Key};
use crate::ids::Seq;
use crate::matching::{self, NewReport, Seek};
use crate::realtime::Frame;
use crate::rooms::{self, Membership, Replay, RoomKind, Subscribed};

/// The answer to a frame, and the replays that come after it.
pub(super) struct Reply {
    pub answer: Frame,
    pub replays: Vec<(Uuid, Replay)>,
}

/// Carries out what a frame asks for.
///
/// # Errors
/// The error that the frame is refused with.
pub(super) async fn dispatch(connection: &mut Connection, id: u64, frame: ClientFrame) -> Result<Reply> {
    let (app, who) = (connection.app.clone(), connection.who.clone());
    if let Some(bucket) = frame.bucket() {
        app.limits.take(bucket, Key::Visitor(who.id))?;
    }
    match frame {
        ClientFrame::Hello { resume } => hello(connection, id, &resume).await,
        ClientFrame::Join { room, after } => join(connection, id, room, after).await,
        ClientFrame::Leave { room } => {
            leave(connection, room).await?;
            reply(id, &Empty {})
        }
        // The connection handles sends itself, because it pipelines them.
        ClientFrame::Send { .. } => Err(Error::Unavailable),
        ClientFrame::Typing { room } => {
            rooms::typing(&app, &who, room, &connection.queue).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Read { room, seq } => {
            rooms::read(&app, &who, room, seq, &connection.queue).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Seek { interests, languages, translate } => {
            // The visitor may have accepted the rules since this socket was opened.
            connection.who = accounts::reload(&app, &who).await?;
            // Ignored as long as no translator is configured.
            let translate = translate && matching::TRANSLATES;
            let seek = Seek::new(interests, languages, translate)?;
            let seeking = matching::seek(&app, &connection.who, seek).await?;
            let (ticket, waiting) = (seeking.ticket, seeking.waiting);
            reply(id, &SeekOk { ticket, waiting, median_wait_ms: seeking.median_wait_ms })
        }
        ClientFrame::Cancel {} => {
            matching::cancel(&app, &who).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Next { session, seek } => {
            connection.who = accounts::reload(&app, &who).await?;
            let ticket = matching::next(&app, &connection.who, session, seek).await?;
            reply(id, &NextOk { ticket })
        }
        ClientFrame::Report { room, reason, seqs, note, block } => {
            let report = matching::report(&app, &who, NewReport { room, reason, seqs, note, block }).await?;
            reply(id, &ReportOk { report })
        }
        ClientFrame::Block { room, sender, on: true } => {
            matching::block(&app, &who, room, sender).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Block { room, sender, on: false } => {
            matching::unblock(&app, &who, room, sender).await?;
            reply(id, &Empty {})
        }
        ClientFrame::Ping {} => reply(id, &PingOk { server_time: format_timestamp(app.clock.now()) }),
    }
}

fn reply<T: Serialize>(id: u64, answer: &T) -> Result<Reply> {
    Ok(Reply { answer: frames::ok(id, answer), replays: Vec::new() })
}

async fn hello(connection: &mut Connection, id: u64, resume: &[ResumePoint]) -> Result<Reply> {
    let app = connection.app.clone();
    // The socket is subscribed to its visitor's bans by now. One that was committed before is found
    // here.
    connection.who = accounts::reload(&app, &connection.who).await?;
    let (mut resumed, mut replays) = (Vec::with_capacity(resume.len()), Vec::new());
    for from in resume {
        let entry = match rooms::membership(&app, &connection.who, from.room).await {
            Ok(membership) => resume_room(connection, &membership, from.after, &mut replays).await?,
            // A room that does not exist looks like one of other visitors.
            Err(Error::NotFound) => ResumedRoom::Resync { room: from.room, resync: true, head: Seq::ZERO, ended: None },
            Err(why) => return Err(why),
        };
        resumed.push(entry);
    }
    let activity = matching::current_activity(&app, &connection.who).await?;
    let answer = HelloOk {
        visitor: connection.who.clone().into(),
        heartbeat_ms: u64::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(u64::MAX),
        server_time: format_timestamp(app.clock.now()),
        session: activity.session,
        seeking: activity.seeking.map(|ticket| Waiting { ticket }),
        rooms: resumed,
    };
    Ok(Reply { answer: frames::ok(id, &answer), replays })
}

async fn resume_room(
    connection: &mut Connection,
    membership: &Membership,
    after: Seq,
    replays: &mut Vec<(Uuid, Replay)>,
) -> Result<ResumedRoom> {
    let room = membership.room.public_id;
    add_subscription(connection, membership).await?;
    let ended = matching::end_reason(&connection.app, &connection.who, &membership.room).await?;
    Ok(match rooms::subscribe(&connection.app, membership, Some(after)).await? {
        Subscribed::Replay { head, replay } => {
            let replayed = replay.entries(head);
            replays.push((room, replay));
            ResumedRoom::Replayed { room, head, replayed, ended }
        }
        Subscribed::Resync => {
            let (head, replay) = rooms::subscribe_at_head(&connection.app, membership).await?;
            replays.push((room, replay));
            ResumedRoom::Resync { room, resync: true, head, ended }
        }
    })
}

/// Ends a membership of a room, or a talk. The kind of the room is known without a query if this
/// socket subscribes to it.
async fn leave(connection: &mut Connection, room: Uuid) -> Result<()> {
    let (app, who) = (connection.app.clone(), connection.who.clone());
    let is_talk = connection
        .subscriptions
        .get(&room)
        .is_some_and(|subscription| subscription.membership.room.kind == RoomKind::Talk);
    let left = if is_talk { Err(Error::NotFound) } else { rooms::leave(&app, &who, room).await };
    match left {
        Err(Error::NotFound) => {
            let membership = rooms::membership(&app, &who, room).await?;
            if membership.room.kind != RoomKind::Talk {
                return Err(Error::NotFound);
            }
            matching::leave(&app, &who, &membership).await?;
            rooms::unsubscribe(&app, &membership.room, &connection.queue);
        }
        other => other?,
    }
    // Entries that were queued before the leave are not sent after its answer. A visitor who joins
    // again gets them in the replay.
    if let Some(left) = connection.subscriptions.remove(&room)
        && !is_talk
    {
        connection.queue.drop_entries(left.membership.room.id);
    }
    Ok(())
}

async fn join(connection: &mut Connection, id: u64, room: Uuid, after: Option<Seq>) -> Result<Reply> {
    let app = connection.app.clone();
    app.limits.take_for(Bucket::PrefixJoins, (&connection.prefix_hash, room))?;
    if !connection.who.has_accepted_rules() {
        // The visitor may have accepted them since this socket was opened.
        connection.who = accounts::reload(&app, &connection.who).await?;
    }
    let membership = rooms::join(&app, &connection.who, room).await?;
    if after.is_some() {
        // If the room is joined again, replayed entries come before newer ones, and only once.
        connection.restart_replay(room);
        connection.queue.drop_entries(membership.room.id);
    }
    add_subscription(connection, &membership).await?;
    let subscribed = rooms::subscribe(&app, &membership, after).await?;
    let resync = matches!(subscribed, Subscribed::Resync);
    let (head, replay) = match subscribed {
        Subscribed::Replay { head, replay } => (head, replay),
        Subscribed::Resync => rooms::subscribe_at_head(&app, &membership).await?,
    };
    let others = rooms::online(&app, &membership.room);
    let is_subscribed = rooms::is_subscribed(&app, &membership.room, connection.who.id);
    let answer = JoinOk {
        room: membership.room.as_ref().into(),
        head,
        // The visitor who joins is counted once, whether or not another socket is subscribed.
        members_online: others + usize::from(!is_subscribed),
        you: MembershipView { sender: membership.member.sender.clone(), role: membership.member.role.clone() },
        resync,
    };
    Ok(Reply { answer: frames::ok(id, &answer), replays: vec![(room, replay)] })
}

/// Adds a room to the socket's subscriptions. Entering a talk removes earlier talks, because a
/// visitor is in one talk at a time.
async fn add_subscription(connection: &mut Connection, membership: &Membership) -> Result<()> {
    let app = connection.app.clone();
    let (room, is_talk) = (membership.room.public_id, membership.room.kind == RoomKind::Talk);
    if is_talk && membership.room.closed_at.is_none() {
        let queue = Arc::clone(&connection.queue);
        connection.subscriptions.retain(|id, old| {
            let keep = *id == room || old.membership.room.kind != RoomKind::Talk;
            if !keep {
                rooms::unsubscribe(&app, &old.membership.room, &queue);
            }
            keep
        });
    }
    if connection.subscriptions.len() >= MAX_ROOMS_PER_SOCKET && !connection.subscriptions.contains_key(&room) {
        return Err(Error::Conflict("This connection has as many rooms as it can have. Leave one first."));
    }
    if is_talk {
        matching::entered(&app, &connection.who, &membership.room).await?;
        connection.heartbeat.set_in_talk(matching::is_in_talk(&app, connection.who.id));
    }
    connection
        .subscriptions
        .entry(room)
        .or_insert_with(|| Subscription { membership: membership.clone(), delivered: None });
    Ok(())
}
