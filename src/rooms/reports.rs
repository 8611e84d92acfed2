//! Reports: who is reported, and which entries of the log are kept as evidence.
use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{EVIDENCE_NEWEST_ENTRIES, MAX_EVIDENCE_BYTES};
use super::membership::{Membership, hidden_up_to};
use super::model::RoomKind;
use super::store::{self, Authored, EvidenceScope};
use crate::accounts::Visitor;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{Seq, VisitorId};
use crate::moderation::{self, NewReport, ReportReason, ReportReservation};

/// A report to make.
pub struct Report<'a> {
    pub reason: ReportReason,
    /// The chosen entries. Entries that the reporter cannot see are ignored.
    pub seqs: &'a [Seq],
    pub note: Option<&'a str>,
}

/// A report that is stored.
pub struct Reported {
    /// Its public id. A repeat has the id of the first report.
    pub id: Uuid,
    /// The reported visitor.
    pub other: VisitorId,
}

/// Reports a visitor inside a transaction. The chosen entries and the newest ones are stored as
/// they are now. In a talk the report is about `partner`, with or without chosen entries; elsewhere
/// it is about the author of the chosen entries.
///
/// Each side can report a talk once, and each reader an entry once: a repeat stores nothing and
/// returns the first report.
///
/// # Errors
/// `bad_payload` unless at least one chosen entry is visible and all visible ones are by one other
/// person; `unavailable`.
pub async fn report(
    tx: &mut PgConnection,
    who: &Visitor,
    membership: &Membership,
    partner: Option<VisitorId>,
    new: Report<'_>,
) -> Result<Reported> {
    let (room, hidden) = (membership.room.id, hidden_up_to(membership));
    let (other, about) = match partner {
        Some(partner) => (partner, vec![moderation::WHOLE_TALK_SEQ]),
        None if membership.room.kind == RoomKind::Talk => return Err(Error::NotFound),
        None => reported_author(who.id, store::authors(tx, room, new.seqs, hidden).await?)?,
    };
    let reservation = moderation::reserve_report(tx, who.id, room, &about).await?;
    if let ReportReservation::New(id) = reservation {
        let scope =
            EvidenceScope { seqs: new.seqs, newest: EVIDENCE_NEWEST_ENTRIES, after: hidden, bytes: MAX_EVIDENCE_BYTES };
        let evidence = store::freeze(tx, room, &scope).await?;
        let (reason, note) = (new.reason, new.note);
        let report = NewReport { id, room, reporter: who.id, reported: other, reason, note, evidence };
        moderation::open_report(tx, report).await?;
    }
    Ok(Reported { id: reservation.id(), other })
}

/// Returns the one other author of the chosen entries, and the seqs of their entries. The
/// reporter's own are ignored.
fn reported_author(who: VisitorId, chosen: Vec<Authored>) -> Result<(VisitorId, Vec<Seq>)> {
    let others: Vec<Authored> = chosen.into_iter().filter(|entry| entry.author != who).collect();
    let Some(Authored { author, .. }) = others.first().copied() else {
        return Err(Error::bad_payload("seqs", "Choose a message of the person you report."));
    };
    if others.iter().any(|entry| entry.author != author) && !faults::on(Fault::ReportNamesAnybody) {
        return Err(Error::bad_payload("seqs", "Choose messages of one person only."));
    }
    Ok((author, others.into_iter().map(|entry| entry.seq).collect()))
}
