//! What a node does each second for the seekers it holds: renew its lease, compare them with the table, let go of the
//! lapsed; and each quarter of a second, tell the partners of those who lost their last socket.
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::model::{TalkEvent, Upkeep, upkeep};
use super::registry::Seeker;
use super::store::{self, Held, Written};
use super::{CANCELLED, WAKE, take_up, talks};
use crate::app::App;
use crate::db;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::realtime::{Frame, Publication, RelayEvent, Topic, TopicKind};

/// How often sockets that are gone are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How long what comes between two renewals of the lease may wait for locks. It is tried again with the next tick.
const SHORT: Duration = Duration::from_millis(700);
/// Ticks from one renewal of the lease to the next.
const SECOND: u64 = 4;
/// Seconds from one look at the recent waits to the next.
const MEDIAN: u64 = 5;

/// Starts the tick and the hearing of other nodes.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.relay", move || relayed(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("matching.upkeep", move || keep_up(node.clone()));
}

async fn keep_up(node: App) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0_u64;
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            () = node.matching.gone.notified() => {
                report(db::with_timeout(SHORT, note_gone(&node)).await);
                continue;
            }
            _ = tick.tick() => {}
        }
        if ticks.is_multiple_of(SECOND) {
            report(db::with_timeout(db::JOB_TIMEOUT, second(&node)).await);
        }
        report(db::with_timeout(SHORT, note_gone(&node)).await);
        report(db::with_timeout(SHORT, mark_away(&node)).await);
        if ticks.is_multiple_of(SECOND * MEDIAN) {
            report(db::with_timeout(db::JOB_TIMEOUT, look_at_waits(&node)).await);
        }
        ticks += 1;
    }
}

fn report(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::debug!(error.cause = ?why, "the seekers are looked after again with the next tick");
    }
}

/// Notes of the tickets whose seekers have just lost their last socket here that nobody is to be paired with them.
async fn note_gone(app: &App) -> Result<()> {
    let gone = app.matching.registry.to_note_gone();
    if !gone.is_empty() {
        let (visitors, tickets): (Vec<i64>, Vec<Uuid>) = gone.iter().copied().unzip();
        store::set_connected(&app.db, app.node, &visitors, &tickets, &vec![false; gone.len()]).await?;
        app.matching.registry.noted_gone(&gone);
    }
    Ok(())
}

async fn mark_away(app: &App) -> Result<()> {
    let due = app.matching.registry.to_mark_away(app.clock.instant());
    if !due.is_empty() {
        talks::mark_away(app, &due).await?;
        app.matching.registry.marked_away(&due);
    }
    Ok(())
}

/// One second's work. The lease comes first: what follows may ask whether this node is alive.
pub(super) async fn second(app: &App) -> Result<()> {
    let asked = Instant::now();
    let now = store::renew_lease(&app.db, app.node).await?;
    // The node that sweeps corrects what a jump would end before it takes the time in.
    if app.clock.jump_to(now, asked).is_none() || app.matching.matcher.leads_for().is_none() {
        app.clock.sync(now, asked);
    }
    let doubted = app.matching.registry.doubted();
    if !doubted.is_empty() {
        store::delete_public(&app.db, &doubted).await?;
        app.matching.registry.settle_doubts(&doubted);
    }
    let lapsed = app.matching.registry.lapse(app.clock.instant());
    delete_own(app, &lapsed).await?;
    compare(app).await?;
    talks::tell_missed_ends(app).await?;
    talks::bring_back(app).await?;
    app.matching.set_waiting(store::waiting(&app.db).await?);
    Ok(())
}

async fn delete_own(app: &App, tickets: &[(i64, Uuid)]) -> Result<()> {
    if !tickets.is_empty() {
        let (visitors, tickets): (Vec<i64>, Vec<Uuid>) = tickets.iter().copied().unzip();
        store::delete_own(&app.db, app.node, &visitors, &tickets).await?;
    }
    Ok(())
}

/// Compares the seekers that are held with the table: neither a seeker without a ticket nor a ticket without a seeker.
async fn compare(app: &App) -> Result<()> {
    let registry = &app.matching.registry;
    let held: HashMap<i64, Seeker> = registry.seekers().into_iter().collect();
    let visitors: Vec<i64> = held.keys().copied().collect();
    let mut rows: HashMap<i64, Held> =
        store::rows(&app.db, app.node, &visitors).await?.into_iter().map(|row| (row.visitor, row)).collect();
    let missing: Vec<i64> = visitors.iter().copied().filter(|visitor| !rows.contains_key(visitor)).collect();
    let talks = Talks::of(app, &missing, &held).await?;
    let mut lost = Written::default();
    let mut wrong = (Vec::new(), Vec::new(), Vec::new());
    for (visitor, seeker) in &held {
        let row = rows.remove(visitor);
        let is_connected = registry.is_connected(*visitor);
        if row.as_ref().is_some_and(|held| held.row.ticket == seeker.ticket && held.connected != is_connected) {
            wrong.0.push(*visitor);
            wrong.1.push(seeker.ticket);
            wrong.2.push(is_connected);
        }
        let (in_talk, was_matched) = (talks.open.contains_key(visitor), talks.matched.contains(&seeker.ticket));
        match (upkeep(seeker.ticket, row.as_ref().map(|held| held.row), in_talk, was_matched), row) {
            (Upkeep::Keep, _) | (Upkeep::Adopt, None) => {}
            (Upkeep::Adopt, Some(row)) => adopt(app, row),
            (Upkeep::Drop, _) => registry.release_ticket(*visitor, seeker.ticket),
            (Upkeep::Deliver, _) => {
                registry.release_ticket(*visitor, seeker.ticket);
                if let Some(found) = talks.open.get(visitor) {
                    talks::tell(app, *visitor, found);
                }
            }
            (Upkeep::WriteAgain, _) => lost.add(*visitor, seeker.ticket, &seeker.seek, seeker.since),
        }
    }
    if !wrong.0.is_empty() {
        store::set_connected(&app.db, app.node, &wrong.0, &wrong.1, &wrong.2).await?;
        app.matching.wake(app);
    }
    if !lost.visitors.is_empty() && !faults::on(Fault::LostTicketStaysLost) {
        let restored = store::restore_tickets(&app.db, app.node, &lost).await?;
        tracing::info!(tickets.lost = lost.visitors.len(), tickets.restored = restored, "wrote missing tickets again");
        app.matching.wake(app);
    }
    // What is left are rows of this node that it does not hold: put back by an end elsewhere, or nobody's.
    let (here, nobodys): (Vec<Held>, Vec<Held>) =
        rows.into_values().filter(|held| !held.row.cancelled).partition(|held| registry.is_present(held.visitor));
    here.into_iter().for_each(|held| adopt(app, held));
    let nobodys: Vec<(i64, Uuid)> = nobodys.into_iter().map(|held| (held.visitor, held.row.ticket)).collect();
    delete_own(app, &nobodys).await
}

fn adopt(app: &App, held: Held) {
    let seeker = Seeker { ticket: held.row.ticket, seek: held.seek, since: held.since };
    app.matching.registry.hold(held.visitor, seeker, app.clock.instant());
}

/// What became of the seekers whose tickets are missing.
#[derive(Default)]
struct Talks {
    open: HashMap<i64, TalkEvent>,
    matched: Vec<Uuid>,
}

impl Talks {
    /// Reads after the rows, so that a pair that took a ticket is seen.
    async fn of(app: &App, missing: &[i64], held: &HashMap<i64, Seeker>) -> Result<Self> {
        if missing.is_empty() {
            return Ok(Self::default());
        }
        let each = missing.iter().filter_map(|visitor| held.get(visitor));
        let (tickets, since): (Vec<Uuid>, Vec<_>) = each.map(|seeker| (seeker.ticket, seeker.since)).unzip();
        let matched = talks::matched(&app.db, missing, &tickets, &since).await?;
        let open = talks::open_of(app, missing).await?;
        Ok(Self {
            open: open.into_iter().map(|(visitor, found)| (visitor, TalkEvent::Found(found))).collect(),
            matched,
        })
    }
}

async fn look_at_waits(app: &App) -> Result<()> {
    app.matching.set_median(talks::median_wait(app).await?);
    Ok(())
}

/// Takes up what other nodes say to visitors, and that there is a new ticket. What is missed is found by the comparison of
/// each second.
async fn relayed(app: App) {
    let (mut visitors, mut nodes) = (app.relay.listen(TopicKind::Visitors), app.relay.listen(TopicKind::Nodes));
    loop {
        let said = tokio::select! {
            () = app.tasks.stopping.cancelled() => return,
            said = visitors.next() => said,
            said = nodes.next() => said,
        };
        let said = match said {
            Some(RelayEvent::Published(said)) => said,
            Some(RelayEvent::Missed) => continue,
            None => return,
        };
        for Publication { topic, frame, .. } in said.iter().filter(|one| one.node != app.node) {
            match topic {
                Topic::Visitor(visitor) => told(&app, *visitor, frame).await,
                Topic::Nodes => told_nodes(&app, frame),
                Topic::Room(_) => {}
            }
        }
    }
}

async fn told(app: &App, visitor: i64, frame: &Frame) {
    if TalkEvent::is_found(frame) {
        app.matching.registry.release(visitor);
    } else if TalkEvent::is_ended(frame) {
        app.matching.registry.left(visitor);
    }
    app.hub.publish(Topic::Visitor(visitor), frame, None);
    if TalkEvent::puts_back(frame) && app.matching.registry.is_present(visitor) {
        report(db::with_timeout(db::JOB_TIMEOUT, take_up(app, visitor)).await.map(|_| ()));
    }
}

fn told_nodes(app: &App, frame: &Frame) {
    let cancelled = frame.strip_prefix(CANCELLED).and_then(|visitor| visitor.parse().ok());
    if let Some(visitor) = cancelled {
        app.matching.registry.release(visitor);
    } else if **frame == *WAKE {
        app.matching.matcher.wake();
    }
}
