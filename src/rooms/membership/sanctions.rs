//! What a moderator does in one room: kick and mute. The version of the room's rights rises in the
//! same transaction, so no entry of the sanctioned member is committed after it, on any node.
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RightsChange, store};
use crate::app::App;
use crate::error::{Error, Result};
use crate::moderation::{self, NewSanction, SanctionKind, StoredSanction};
use crate::rooms::model::{ChatRoom, RoomKind};

/// A sanction that was committed, and the change of rights that its commit made.
pub(in crate::rooms) struct Sanctioned {
    /// The public id of the sanction.
    pub id: Uuid,
    pub room: ChatRoom,
    pub change: RightsChange,
    /// The end of the sanction: `None` until it is lifted.
    pub until: Option<OffsetDateTime>,
}

/// Ends a member's membership and keeps them out until the end of the sanction.
///
/// # Errors
/// `not_found` if there is no such room or the visitor was never in it, `forbidden` for a talk,
/// `bad_frame` for a reason that is empty or too long, `unavailable`.
pub(in crate::rooms) async fn kick(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Sanctioned> {
    let mut tx = app.db.begin().await?;
    let access = store::access_in(&mut tx, room, new.visitor).await?.ok_or(Error::NotFound)?;
    if access.room.kind == RoomKind::Talk {
        return Err(Error::Forbidden("Nobody is removed from a talk. Ban them, or let a side leave."));
    }
    access.member.ok_or(Error::NotFound)?;
    let rights = match store::leave(&mut tx, &[room], &[new.visitor]).await?.first() {
        Some(left) => left.rights,
        // They had left already, and cannot come back.
        None => store::raise_rights(&mut tx, access.room.id).await?,
    };
    let StoredSanction { public_id: id, until } =
        moderation::impose_in_room(&mut tx, access.room.id, SanctionKind::Ban, new).await?;
    tx.commit().await?;
    let change = RightsChange { room: access.room.id, public: room, rights, removed: Some(new.visitor) };
    Ok(Sanctioned { id, room: access.room, change, until })
}

/// Takes a member's right to write in a room away. They can still read.
///
/// # Errors
/// `not_found` if there is no such room or the visitor was never in it, `bad_frame`, `unavailable`.
pub(in crate::rooms) async fn mute(app: &App, room: Uuid, new: &NewSanction<'_>) -> Result<Sanctioned> {
    let mut tx = app.db.begin().await?;
    let access = store::access_in(&mut tx, room, new.visitor).await?.ok_or(Error::NotFound)?;
    access.member.ok_or(Error::NotFound)?;
    let rights = store::raise_rights(&mut tx, access.room.id).await?;
    let StoredSanction { public_id: id, until } =
        moderation::impose_in_room(&mut tx, access.room.id, SanctionKind::Mute, new).await?;
    tx.commit().await?;
    let change = RightsChange { room: access.room.id, public: room, rights, removed: None };
    Ok(Sanctioned { id, room: access.room, change, until })
}
