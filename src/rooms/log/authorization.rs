//! Authorisation inside the batch: which entries must not be written, as committed when the batch
//! holds its locks.
//!
//! A lost right raises a version: `room_head.rights` in a room, the fence everywhere. A pending
//! entry carries the versions at which its sender's membership was read. A batch asks again about
//! exactly those entries whose versions are behind.
use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::PendingEntry;
use super::recent::repeated;
use super::store::{self, LockedHead, StoredEntry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RightsVersion, RoomId, SessionEpoch, VisitorId};
use crate::moderation::{self, Restriction};
use crate::rooms::Posted;
use crate::rooms::membership::Mute;

/// Why an entry must not be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::rooms) enum DenyReason {
    NotMember,
    Closed,
    Restricted(Restriction),
    SessionEnded,
}

impl From<DenyReason> for Error {
    fn from(reason: DenyReason) -> Self {
        match reason {
            DenyReason::NotMember => Self::NotFound,
            DenyReason::Closed => Self::Closed,
            DenyReason::Restricted(restriction) => restriction.into(),
            DenyReason::SessionEnded => Self::SessionEnded,
        }
    }
}

impl From<Mute> for DenyReason {
    fn from(mute: Mute) -> Self {
        Self::Restricted(Restriction::Muted { ends_in: mute.after })
    }
}

/// The entries of a batch that must not be written, and which of them were written before.
pub(super) struct Authorization {
    denied: HashMap<(RoomId, VisitorId), DenyReason>,
    /// The epochs of the accounts among the senders that were asked about.
    epochs: HashMap<VisitorId, Option<SessionEpoch>>,
    written_before: HashMap<(RoomId, Uuid), StoredEntry>,
}

impl Authorization {
    /// Reads the rights of the senders whose versions are behind. Costs nothing if there are none.
    ///
    /// # Errors
    /// Those of the queries.
    pub(super) async fn read(
        app: &App,
        tx: &mut PgConnection,
        batch: &[PendingEntry],
        heads: &[LockedHead],
    ) -> Result<Self, sqlx::Error> {
        if let Some(head) = heads.first() {
            moderation::read_new_revocations(app, tx, head.fence).await?;
        }
        let rights: HashMap<RoomId, RightsVersion> = heads.iter().map(|head| (head.room_id, head.rights)).collect();
        let is_behind = |entry: &&PendingEntry| {
            rights.get(&entry.room.id).is_some_and(|now| *now != entry.rights)
                || app.moderation.is_revoked_since(entry.member.visitor, entry.fence)
        };
        let stale: HashSet<(RoomId, VisitorId)> =
            batch.iter().filter(is_behind).map(|entry| (entry.room.id, entry.member.visitor)).collect();
        let (denied, epochs) = read_denied(tx, &stale).await?;
        let mut authorization = Self { denied, epochs, written_before: HashMap::new() };
        for entry in batch.iter().filter(|entry| stale.contains(&(entry.room.id, entry.member.visitor))) {
            app.rooms.membership.cache.remove_room(entry.room.public_id);
        }
        let denied = batch.iter().filter(|entry| authorization.deny_reason(entry).is_some());
        authorization.written_before = read_written_before(tx, denied).await?;
        Ok(authorization)
    }

    fn deny_reason(&self, entry: &PendingEntry) -> Option<DenyReason> {
        let is_revoked = self.epochs.get(&entry.member.visitor).is_some_and(|epoch| *epoch != entry.epoch)
            && !faults::on(Fault::EpochNotComparedInEntries);
        match entry.room.closed_at {
            _ if is_revoked => Some(DenyReason::SessionEnded),
            Some(_) => Some(DenyReason::Closed),
            None => self.denied.get(&(entry.room.id, entry.member.visitor)).copied().or(entry.denied),
        }
    }

    /// Returns the answer to an entry that must not be written: the first answer if it is a repeat,
    /// otherwise why it is denied. `None` if it can be written.
    pub(super) fn denial(&self, entry: &PendingEntry) -> Option<Result<Posted>> {
        let reason = self.deny_reason(entry)?;
        Some(match (self.written_before.get(&(entry.room.id, entry.client_id)), reason) {
            // A revoked session learns nothing, not even the first answer.
            (_, DenyReason::SessionEnded) => Err(reason.into()),
            (Some(stored), _) if stored.sender_id == entry.member.visitor => {
                repeated(true, stored.seq, stored.created_at)
            }
            (Some(stored), DenyReason::Closed) => repeated(false, stored.seq, stored.created_at),
            _ => Err(reason.into()),
        })
    }
}

/// Which of the `(room, visitor)` pairs must not write, and the epochs of the visitors' accounts.
type Denied = (HashMap<(RoomId, VisitorId), DenyReason>, HashMap<VisitorId, Option<SessionEpoch>>);

/// Returns who must not write, read under the locks of the heads and the fence.
async fn read_denied(tx: &mut PgConnection, stale: &HashSet<(RoomId, VisitorId)>) -> Result<Denied, sqlx::Error> {
    if stale.is_empty() || faults::on(Fault::RightsNotRechecked) {
        return Ok((HashMap::new(), HashMap::new()));
    }
    let mut epochs = HashMap::new();
    let (rooms, visitors): (Vec<RoomId>, Vec<VisitorId>) = stale.iter().copied().unzip();
    let mut denied: HashMap<_, _> = stale.iter().map(|key| (*key, DenyReason::NotMember)).collect();
    for right in store::rights(tx, &rooms, &visitors).await? {
        let key = (right.room_id, right.visitor_id);
        epochs.insert(right.visitor_id, right.epoch);
        if right.is_deactivated {
            denied.insert(key, DenyReason::SessionEnded);
            continue;
        }
        match right.restriction {
            Some(Restriction::Kicked) => {}
            Some(ban @ Restriction::Banned { .. }) => {
                denied.insert(key, DenyReason::Restricted(ban));
            }
            _ if !right.is_member => {}
            _ if right.is_closed && !faults::on(Fault::ClosedTalkAccepts) => {
                denied.insert(key, DenyReason::Closed);
            }
            Some(mute @ Restriction::Muted { .. }) => {
                denied.insert(key, DenyReason::Restricted(mute));
            }
            None => {
                denied.remove(&key);
            }
        }
    }
    Ok((denied, epochs))
}

/// Returns the denied entries that were written before, by room and client id: a repeat gets the
/// first answer, also when the talk has ended since.
async fn read_written_before(
    tx: &mut PgConnection,
    denied: impl Iterator<Item = &PendingEntry>,
) -> Result<HashMap<(RoomId, Uuid), StoredEntry>, sqlx::Error> {
    let (rooms, ids): (Vec<RoomId>, Vec<Uuid>) = denied.map(|entry| (entry.room.id, entry.client_id)).unzip();
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let stored = store::stored(tx, &rooms, &ids).await?;
    let sent = stored.into_iter().filter(|entry| entry.verb == "send");
    Ok(sent.map(|entry| ((entry.room_id, entry.client_id), entry)).collect())
}
