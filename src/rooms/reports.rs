//! Reports: who is meant, and what of the log goes with it as evidence.
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::RoomKind;
use super::store::{self, Frozen};
use super::{Membership, visible_after};
use crate::accounts::Visitor;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::moderation::{self, NewReport, ReportReason, ReportReservation};

/// Entries a report freezes besides the chosen ones.
const NEWEST: i64 = 50;
/// Bytes of a report's evidence at most. The chosen entries come first.
const BYTES: i64 = 256 * 1024;

/// What somebody reports in a room.
pub struct Report<'a> {
    pub reason: ReportReason,
    /// The chosen entries. Those that the reporter cannot see count as not chosen.
    pub seqs: &'a [i64],
    pub note: Option<&'a str>,
}

/// A report that is stored.
pub struct Reported {
    /// Its public id; that of the first one for a repeat.
    pub id: Uuid,
    /// Whom it is about.
    pub other: i64,
}

/// Reports somebody inside a transaction: the chosen entries and the newest ones are frozen as they are. In a talk it is about
/// `partner`, with chosen entries or without; elsewhere about the author of the chosen entries.
///
/// A talk is reported once by each side, an entry once by each reader: a repeat stores nothing and has the first report's id.
///
/// # Errors
/// `bad_payload` unless the chosen entries name somebody: a visible one of one other person.
pub async fn report(
    tx: &mut PgConnection,
    who: &Visitor,
    membership: &Membership,
    partner: Option<i64>,
    new: Report<'_>,
) -> Result<Reported> {
    let (room, floor) = (membership.room.id, visible_after(membership));
    let (other, about) = match partner {
        Some(partner) => (partner, vec![moderation::WHOLE_TALK_SEQ]),
        None if membership.room.kind == RoomKind::Talk => return Err(Error::NotFound),
        None => named(who.id, store::authors(tx, room, new.seqs, floor).await?)?,
    };
    let reservation = moderation::reserve_report(tx, who.id, room, &about).await?;
    if let ReportReservation::New(id) = reservation {
        let frozen = Frozen { seqs: new.seqs, newest: NEWEST, after: floor, bytes: BYTES };
        let evidence = store::freeze(tx, room, &frozen).await?;
        let (reason, note) = (new.reason, new.note);
        let report = NewReport { id, room, reporter: who.id, reported: other, reason, note, evidence };
        moderation::open_report(tx, report).await?;
    }
    Ok(Reported { id: reservation.id(), other })
}

/// The one other person who wrote the chosen entries, and which of them those are. Own entries may stand among them.
fn named(who: i64, chosen: Vec<(i64, i64)>) -> Result<(i64, Vec<i64>)> {
    let others: Vec<(i64, i64)> = chosen.into_iter().filter(|(_, author)| *author != who).collect();
    let Some((_, other)) = others.first().copied() else {
        return Err(Error::bad_payload("seqs", "Choose a message of the person you report."));
    };
    if others.iter().any(|(_, author)| *author != other) && !faults::on(Fault::ReportNamesAnybody) {
        return Err(Error::bad_payload("seqs", "Choose messages of one person only."));
    }
    Ok((other, others.into_iter().map(|(seq, _)| seq).collect()))
}
