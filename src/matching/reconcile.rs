//! Reconciliation of the tickets that this node tracks with the table `random_ticket`.
//!
//! It keeps two things true: every tracked ticket is in the table, and every ticket of this node in
//! the table is tracked.
use std::collections::HashMap;

use uuid::Uuid;

use super::local_visitors::TrackedTicket;
use super::model::TalkEvent;
use super::store::{self, StoredTicket, TicketBatch};
use super::talks;
use crate::app::App;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::ids::VisitorId;

/// The state of a visitor's row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TicketState {
    pub ticket: Uuid,
    pub cancelled: bool,
}

/// What a node does with a ticket that it tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reconciliation {
    /// The table has the same ticket: keep it.
    Keep,
    /// A seek on another node replaced it: track the new ticket.
    Adopt,
    /// It was cancelled or matched: stop tracking it.
    Untrack,
    /// It was matched and the talk is open: send `found` again, because the first one can be lost.
    Redeliver,
    /// It is missing and was not matched, because a crash of Postgres emptied the table: write it
    /// again.
    Restore,
}

/// Compares a tracked ticket with its row. `in_talk` is `true` if its visitor is in an open talk,
/// and `was_matched` if the ticket became a talk.
///
/// The talks must be read after the rows: a pair is committed together with the deletion of its
/// tickets.
pub(super) fn reconcile(ticket: Uuid, row: Option<TicketState>, in_talk: bool, was_matched: bool) -> Reconciliation {
    match row {
        Some(row) if row.cancelled => Reconciliation::Untrack,
        Some(row) if row.ticket == ticket => Reconciliation::Keep,
        Some(_) => Reconciliation::Adopt,
        None if in_talk => Reconciliation::Redeliver,
        None if was_matched => Reconciliation::Untrack,
        None => Reconciliation::Restore,
    }
}

/// Reconciles all tickets of this node.
///
/// # Errors
/// Those of the database.
pub(super) async fn reconcile_tickets(app: &App) -> Result<()> {
    let local = &app.matching.local;
    let tracked: HashMap<VisitorId, TrackedTicket> = local.tracked().into_iter().collect();
    let visitors: Vec<VisitorId> = tracked.keys().copied().collect();
    let mut rows: HashMap<VisitorId, StoredTicket> =
        store::rows(&app.db, app.node, &visitors).await?.into_iter().map(|row| (row.visitor, row)).collect();
    let missing: Vec<VisitorId> = visitors.iter().copied().filter(|visitor| !rows.contains_key(visitor)).collect();
    let talks = TalksOfMissing::read(app, &missing, &tracked).await?;
    let mut lost = TicketBatch::default();
    let mut stale = ConnectedUpdate::default();
    for (visitor, TrackedTicket { ticket, seek, since }) in &tracked {
        let row = rows.remove(visitor);
        let is_connected = local.is_connected(*visitor);
        if row.as_ref().is_some_and(|row| row.state.ticket == *ticket && row.connected != is_connected) {
            stale.add(*visitor, *ticket, is_connected);
        }
        let (in_talk, was_matched) = (talks.open.contains_key(visitor), talks.matched.contains(ticket));
        match (reconcile(*ticket, row.as_ref().map(|row| row.state), in_talk, was_matched), row) {
            (Reconciliation::Keep, _) | (Reconciliation::Adopt, None) => {}
            (Reconciliation::Adopt, Some(row)) => track(app, row),
            (Reconciliation::Untrack, _) => local.untrack_ticket(*visitor, *ticket),
            (Reconciliation::Redeliver, _) => {
                local.untrack_ticket(*visitor, *ticket);
                if let Some(found) = talks.open.get(visitor) {
                    talks::publish(app, *visitor, found);
                }
            }
            (Reconciliation::Restore, _) => lost.add(*visitor, *ticket, seek, *since),
        }
    }
    stale.write(app).await?;
    restore(app, &lost).await?;
    // The remaining rows belong to this node but are not tracked: an end on another node wrote
    // them, or their visitors have left.
    let (present, absent): (Vec<StoredTicket>, Vec<StoredTicket>) =
        rows.into_values().filter(|row| !row.state.cancelled).partition(|row| local.is_present(row.visitor));
    present.into_iter().for_each(|row| track(app, row));
    let absent: Vec<_> = absent.into_iter().map(|row| (row.visitor, row.state.ticket)).collect();
    delete_own_tickets(app, &absent).await
}

/// Deletes tickets for which this node is responsible.
///
/// # Errors
/// Those of the database.
pub(super) async fn delete_own_tickets(app: &App, tickets: &[(VisitorId, Uuid)]) -> Result<()> {
    if !tickets.is_empty() {
        let (visitors, tickets): (Vec<VisitorId>, Vec<Uuid>) = tickets.iter().copied().unzip();
        store::delete_own(&app.db, app.node, &visitors, &tickets).await?;
    }
    Ok(())
}

fn track(app: &App, row: StoredTicket) {
    let ticket = TrackedTicket { ticket: row.state.ticket, seek: row.seek, since: row.since };
    app.matching.local.track(row.visitor, ticket, app.clock.instant());
}

async fn restore(app: &App, lost: &TicketBatch) -> Result<()> {
    if lost.visitors.is_empty() || faults::on(Fault::LostTicketStaysLost) {
        return Ok(());
    }
    let restored = store::restore_tickets(&app.db, app.node, lost).await?;
    tracing::info!(tickets.lost = lost.visitors.len(), tickets.restored = restored, "wrote missing tickets again");
    app.matching.wake_matchers(app);
    Ok(())
}

/// Tickets whose mark `connected` is wrong in the table, as one list per column.
#[derive(Default)]
struct ConnectedUpdate {
    visitors: Vec<VisitorId>,
    tickets: Vec<Uuid>,
    connected: Vec<bool>,
}

impl ConnectedUpdate {
    fn add(&mut self, visitor: VisitorId, ticket: Uuid, connected: bool) {
        self.visitors.push(visitor);
        self.tickets.push(ticket);
        self.connected.push(connected);
    }

    async fn write(&self, app: &App) -> Result<()> {
        if !self.visitors.is_empty() {
            store::set_connected(&app.db, app.node, &self.visitors, &self.tickets, &self.connected).await?;
            app.matching.wake_matchers(app);
        }
        Ok(())
    }
}

/// The talks of visitors whose tickets are missing in the table.
#[derive(Default)]
struct TalksOfMissing {
    /// The `found` of each visitor that is in an open talk.
    open: HashMap<VisitorId, TalkEvent>,
    /// The tickets that became a talk, open or ended.
    matched: Vec<Uuid>,
}

impl TalksOfMissing {
    /// Reads the talks. It must be called after the rows are read, so that it sees the pair that
    /// took a ticket.
    async fn read(app: &App, missing: &[VisitorId], tracked: &HashMap<VisitorId, TrackedTicket>) -> Result<Self> {
        if missing.is_empty() {
            return Ok(Self::default());
        }
        let missing_tickets = missing.iter().filter_map(|visitor| tracked.get(visitor));
        let (tickets, since): (Vec<Uuid>, Vec<_>) =
            missing_tickets.map(|tracked| (tracked.ticket, tracked.since)).unzip();
        let matched = talks::matched(&app.db, missing, &tickets, &since).await?;
        let open = talks::open_pairings(app, missing).await?;
        let open = open.into_iter().map(|(visitor, found)| (visitor, TalkEvent::Found(found))).collect();
        Ok(Self { open, matched })
    }
}
