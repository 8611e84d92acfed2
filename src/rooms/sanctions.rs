//! What a moderator does in one room: kick and mute. The room's rights rise in the same transaction, so no entry of the one
//! it is about is committed after it, on any node.
use uuid::Uuid;

use super::model::{ChatRoom, RoomKind};
use super::{rights, store};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::moderation::{self, NewSanction, SanctionKind};
use crate::realtime::{Notice, NoticeKind, Publication, Topic};

/// Takes a member's place in a room away and keeps them out until the sanction's end. Their sockets hear no more of it and
/// get a notice `revoked`. Answers the sanction's public id, which [`moderation::lift`] takes.
///
/// Errors: `not_found` for a room that is not there or somebody who was never in it, `forbidden` for a talk (ban, or let one
/// side leave), `bad_frame` for a reason of no or too many characters, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "who may call it, and the pages, come with staff"))]
pub async fn kick(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Uuid> {
    let mut tx = app.db.begin().await?;
    let standing = store::standing(&mut tx, room, new.visitor).await?.ok_or(Error::NotFound)?;
    if standing.room.kind == RoomKind::Talk {
        return Err(Error::Forbidden("Nobody is removed from a talk. Ban them, or let a side leave."));
    }
    standing.member.ok_or(Error::NotFound)?;
    let rights = match store::leave_places(&mut tx, &[room], &[new.visitor]).await?.first() {
        Some(left) => left.rights,
        // They had left already, and do not come back.
        None => store::bump_rights(&mut tx, standing.room.id).await?,
    };
    let sanction = moderation::impose_in_room(&mut tx, standing.room.id, SanctionKind::Ban, new).await?;
    tx.commit().await?;
    rights::risen(app, (standing.room.id, room), rights, Some(new.visitor));
    tell(app, &standing.room, new, sanction.until.map(format_timestamp));
    Ok(sanction.public_id)
}

/// Takes a member's right to write in a room away; they go on reading. Answers the sanction's public id.
///
/// Errors: `not_found` for a room that is not there or somebody who was never in it, `bad_frame`, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "who may call it, and the pages, come with staff"))]
pub async fn mute(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Uuid> {
    let mut tx = app.db.begin().await?;
    let standing = store::standing(&mut tx, room, new.visitor).await?.ok_or(Error::NotFound)?;
    standing.member.ok_or(Error::NotFound)?;
    let rights = store::bump_rights(&mut tx, standing.room.id).await?;
    let sanction = moderation::impose_in_room(&mut tx, standing.room.id, SanctionKind::Mute, new).await?;
    tx.commit().await?;
    rights::risen(app, (standing.room.id, room), rights, None);
    Ok(sanction.public_id)
}

/// Tells whoever was kicked, on all sockets of all nodes.
fn tell(app: &App, room: &ChatRoom, new: &NewSanction<'_>, at: Option<String>) {
    let (reason, room) = (Some(new.reason.to_owned()), Some(room.public_id));
    let (topic, frame) =
        (Topic::Visitor(new.visitor), Notice::Notice { kind: NoticeKind::Revoked, at, reason, room }.encode());
    app.hub.publish(topic, &frame, None);
    if app.relay.has_others() {
        app.relay.publish(Publication { node: app.node, topic, seq: None, frame });
    }
}
