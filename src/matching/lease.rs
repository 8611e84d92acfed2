//! The lease of this node, and what is done with each renewal.
//!
//! A node renews its lease each second and then reconciles its tickets and talks with the database.
//! Four times a second it marks the tickets and sides of visitors that lost their last socket.
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::nodes::{Lease, renew_lease};
use super::{reconcile, store, talks};
use crate::app::App;
use crate::db;
use crate::error::Result;

/// Time between two checks for visitors that lost their last socket.
const TICK_INTERVAL: Duration = Duration::from_millis(250);
/// Ticks from one renewal of the lease to the next.
const TICKS_PER_RENEWAL: u64 = 4;
/// Renewals from one update of the median wait to the next.
const RENEWALS_PER_MEDIAN: u64 = 5;
/// How long the work between two renewals can wait for locks. The next tick tries it again.
const TICK_DEADLINE: Duration = Duration::from_millis(700);

/// Starts the renewal of the lease.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.lease", move || run_ticks(node.clone()));
}

async fn run_ticks(node: App) {
    let mut ticks = node.tasks.ticks(TICK_INTERVAL);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            runs = ticks.next() => if !runs { return },
            () = node.matching.socket_closed.notified() => {
                log_failure(db::with_timeout(TICK_DEADLINE, mark_tickets_disconnected(&node)).await);
                continue;
            }
        }
        if count.is_multiple_of(TICKS_PER_RENEWAL) {
            log_failure(db::with_timeout(db::JOB_TIMEOUT, renew_and_reconcile(&node)).await);
        }
        log_failure(db::with_timeout(TICK_DEADLINE, mark_tickets_disconnected(&node)).await);
        log_failure(db::with_timeout(TICK_DEADLINE, mark_sides_away(&node)).await);
        if count.is_multiple_of(TICKS_PER_RENEWAL * RENEWALS_PER_MEDIAN) {
            log_failure(db::with_timeout(db::JOB_TIMEOUT, update_median_wait(&node)).await);
        }
        count += 1;
    }
}

fn log_failure(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::debug!(error.cause = ?why, "matching: a periodic step failed, the next tick tries it again");
    }
}

/// Marks the tickets of visitors that lost their last socket here, so that they are not paired.
async fn mark_tickets_disconnected(app: &App) -> Result<()> {
    let due = app.matching.local.unmarked_disconnected();
    if !due.is_empty() {
        let (visitors, tickets): (Vec<_>, Vec<Uuid>) = due.iter().copied().unzip();
        store::set_connected(&app.db, app.node, &visitors, &tickets, &vec![false; due.len()]).await?;
        app.matching.local.set_marked_disconnected(&due);
    }
    Ok(())
}

async fn mark_sides_away(app: &App) -> Result<()> {
    let due = app.matching.local.due_away(app.clock.instant());
    if !due.is_empty() {
        talks::mark_away(app, &due).await?;
        app.matching.local.set_marked_away(&due);
    }
    Ok(())
}

/// Renews the lease, then does the work of one second. The lease comes first, because the later
/// steps can ask whether this node is alive.
async fn renew_and_reconcile(app: &App) -> Result<()> {
    let asked = Instant::now();
    let address = app.config.listen.to_string();
    let lease = Lease {
        node: app.node,
        version: env!("CARGO_PKG_VERSION"),
        address: &address,
        leading_secs: app.matching.matcher.leading_for().map(|leading| leading.as_secs_f64()),
    };
    let now = renew_lease(&app.db, &lease).await?;
    // After a jump of the clock of Postgres, the sweep moves the running times first and takes over
    // the new time then (`matcher::sweep`). All other nodes take it over here.
    if app.clock.jump_to(now, asked).is_none() || app.matching.matcher.leading_for().is_none() {
        app.clock.sync(now, asked);
    }
    let uncertain = app.matching.local.uncertain();
    if !uncertain.is_empty() {
        store::delete_by_public_id(&app.db, &uncertain).await?;
        app.matching.local.remove_uncertain(&uncertain);
    }
    let expired = app.matching.local.expire(app.clock.instant());
    reconcile::delete_own_tickets(app, &expired).await?;
    reconcile::reconcile_tickets(app).await?;
    talks::deliver_missed_ends(app).await?;
    talks::mark_returned(app).await?;
    app.matching.set_waiting(store::count_waiting(&app.db).await?);
    Ok(())
}

async fn update_median_wait(app: &App) -> Result<()> {
    app.matching.set_median(talks::median_wait(app).await?);
    Ok(())
}
