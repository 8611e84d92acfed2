//! Rights that were taken away: what the writer refuses under its locks, and how caches and sockets follow.
//!
//! In a room they rise with `room_head.rights`, everywhere with the fence. A draft says which versions its sender was checked
//! against; a batch asks again about exactly those that are behind. What passes and what is read follows: the room's topic
//! carries the news, and the feed's look at the heads finds what the relay lost.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::directory::Mute;
use super::model::ChatRoom;
use super::store::{self, Head, Known};
use super::writer::{Draft, repeat};
use super::{Posted, presence};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::moderation::{self, Restriction};
use crate::realtime::{Frame, Publication, Topic};

/// Why a draft is not written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Stranger,
    Closed,
    Restricted(Restriction),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stranger => Self::NotFound,
            Refusal::Closed => Self::Closed,
            Refusal::Restricted(restriction) => restriction.into(),
        }
    }
}

impl From<Mute> for Refusal {
    fn from(mute: Mute) -> Self {
        Self::Restricted(Restriction::Muted { after: mute.after })
    }
}

/// What a batch may not write, as committed when its locks were held, and what of it had been written before.
pub(super) struct Refused {
    by_membership: HashMap<(i64, i64), Refusal>,
    earlier: HashMap<(i64, Uuid), Known>,
}

impl Refused {
    /// Asks about the senders whose rights may have changed since they were checked. Costs nothing when there are none.
    pub(super) async fn of(
        app: &App,
        tx: &mut PgConnection,
        batch: &[Draft],
        heads: &[Head],
    ) -> Result<Self, sqlx::Error> {
        if let Some(head) = heads.first() {
            moderation::catch_up(app, tx, head.fence).await?;
        }
        let rights: HashMap<i64, i64> = heads.iter().map(|head| (head.room_id, head.rights)).collect();
        let behind = |draft: &&Draft| {
            rights.get(&draft.room.id).is_some_and(|now| *now != draft.rights)
                || app.moderation.is_revoked_since(draft.member.visitor, draft.fence)
        };
        let stale: HashSet<(i64, i64)> =
            batch.iter().filter(behind).map(|draft| (draft.room.id, draft.member.visitor)).collect();
        let mut refused = Self { by_membership: recheck(tx, &stale).await?, earlier: HashMap::new() };
        for draft in batch.iter().filter(|draft| stale.contains(&(draft.room.id, draft.member.visitor))) {
            app.rooms.directory.forget(draft.room.public_id);
        }
        refused.earlier = written_earlier(tx, batch.iter().filter(|draft| refused.why(draft).is_some())).await?;
        Ok(refused)
    }

    fn why(&self, draft: &Draft) -> Option<Refusal> {
        match draft.room.closed_at {
            Some(_) => Some(Refusal::Closed),
            None => self.by_membership.get(&(draft.room.id, draft.member.visitor)).copied().or(draft.refusal),
        }
    }

    /// What a draft that is not written is answered: the first answer to a repeat, else why. None: write it.
    pub(super) fn verdict(&self, draft: &Draft) -> Option<Result<Posted>> {
        let refusal = self.why(draft)?;
        Some(match (self.earlier.get(&(draft.room.id, draft.client_id)), refusal) {
            (Some(k), _) if k.sender_id == draft.member.visitor => repeat(true, k.seq, k.created_at),
            (Some(k), Refusal::Closed) => repeat(false, k.seq, k.created_at),
            _ => Err(refusal.into()),
        })
    }
}

/// What these `(room, visitor)` pairs may not do, read under the heads' locks and the fence.
async fn recheck(
    tx: &mut PgConnection,
    stale: &HashSet<(i64, i64)>,
) -> Result<HashMap<(i64, i64), Refusal>, sqlx::Error> {
    if stale.is_empty() || faults::on(Fault::RightsNotRechecked) {
        return Ok(HashMap::new());
    }
    let (rooms, visitors): (Vec<i64>, Vec<i64>) = stale.iter().copied().unzip();
    let found = store::rights(tx, &rooms, &visitors).await?;
    let mut refused: HashMap<_, _> = stale.iter().map(|key| (*key, Refusal::Stranger)).collect();
    for right in found {
        let key = (right.room_id, right.visitor_id);
        match right.restriction {
            Some(Restriction::Kicked) => {}
            Some(restriction @ Restriction::Banned { .. }) => {
                refused.insert(key, Refusal::Restricted(restriction));
            }
            _ if !right.member => {}
            _ if right.closed && !faults::on(Fault::ClosedTalkAccepts) => {
                refused.insert(key, Refusal::Closed);
            }
            Some(restriction @ Restriction::Muted { .. }) => {
                refused.insert(key, Refusal::Restricted(restriction));
            }
            None => drop(refused.remove(&key)),
        }
    }
    Ok(refused)
}

/// What senders who are refused now had written before: a repeat gets the first answer, also when the talk has ended
/// meanwhile. By room and client id.
async fn written_earlier(
    tx: &mut PgConnection,
    refused: impl Iterator<Item = &Draft>,
) -> Result<HashMap<(i64, Uuid), Known>, sqlx::Error> {
    let (rooms, ids): (Vec<i64>, Vec<Uuid>) = refused.map(|draft| (draft.room.id, draft.client_id)).unzip();
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let known = store::known(tx, &rooms, &ids).await?;
    let sent = known.into_iter().filter(|entry| entry.verb == "send");
    Ok(sent.map(|one| ((one.room_id, one.client_id), one)).collect())
}

/// What nodes tell each other over a room's topic: its rights have risen by one, and who has no place any more.
#[derive(Serialize, Deserialize)]
struct Risen {
    rights: i64,
    room: Uuid,
    gone: Option<i64>,
}

/// How it begins; it is for nodes, never for sockets.
const MARK: &str = r#"{"rights":"#;

/// What follows the commit that raised the rights of a room (its inner and its public id): caches and sockets here, then the
/// other nodes. `gone` is who has no place any more, in a room of many.
pub(super) fn risen(app: &App, (room, public): (i64, Uuid), rights: i64, gone: Option<i64>) {
    let risen = Risen { rights, room: public, gone };
    take(app, room, &risen);
    if app.relay.has_others() {
        let frame = Frame::json(&risen);
        app.relay.publish(Publication { node: app.node, topic: Topic::Room(room), seq: None, frame });
    }
    if gone.is_some() {
        presence::stir(app, room, public);
    }
}

/// Takes what another node said of a room. False: it is a frame for sockets.
pub(super) fn heard(app: &App, room: i64, frame: &Frame) -> bool {
    if !frame.starts_with(MARK) {
        return false;
    }
    if let Ok(risen) = serde_json::from_str::<Risen>(frame) {
        take(app, room, &risen);
    }
    true
}

fn take(app: &App, room: i64, risen: &Risen) {
    app.rooms.directory.forget(risen.room);
    // The version first: whoever begins to listen afterwards is checked against it.
    app.rooms.feed.rights_rose(room, risen.rights);
    if let Some(gone) = risen.gone.filter(|_| !faults::on(Fault::LeaverStillHears)) {
        app.hub.unsubscribe_owner(Topic::Room(room), gone);
    }
}

/// Stops whoever listens to these rooms here and has no place in them.
pub(super) async fn send_away(app: &App, rooms: &[Arc<ChatRoom>]) -> Result<()> {
    let (mut ids, mut visitors) = (Vec::new(), Vec::new());
    for room in rooms {
        app.rooms.directory.forget(room.public_id);
        for visitor in app.hub.subscribed_owners(Topic::Room(room.id)) {
            ids.push(room.id);
            visitors.push(visitor);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    for (room, visitor) in store::strangers(&app.db, &ids, &visitors).await? {
        app.hub.unsubscribe_owner(Topic::Room(room), visitor);
    }
    Ok(())
}

/// Whether a visitor has no place in a room that lets them read it.
pub(super) async fn is_stranger(app: &App, room: i64, visitor: i64) -> Result<bool> {
    Ok(!store::strangers(&app.db, &[room], &[visitor]).await?.is_empty())
}
