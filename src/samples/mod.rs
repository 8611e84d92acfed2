//! Samples: time series in Postgres for charts, which get coarser with age. Knows no noun.
//!
//! A noun measures and records. Samples of 10 seconds are kept for [`limits::KEEP_FINE`]; what is
//! over is also summed up to samples of 5 minutes, which are kept for [`limits::KEEP_COARSE`].
pub mod limits;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;

use crate::app::App;
use crate::db;

pub use store::{HourOfDay, Point, hour_of_day, hours_of_day, latest, record, record_parts};

/// How often finished steps are summed up and old samples are deleted.
const THIN_INTERVAL: Duration = Duration::from_secs(60);
/// The age at which a step is over: every node has recorded its part of it.
const SETTLE_TIME: time::Duration = time::Duration::seconds(60);
/// The seconds between two points that a chart can have, in ascending order.
const BIN_SECS: [i64; 8] = [10, 60, 300, 600, 1_800, 3_600, 7_200, 21_600];

/// The length of time that a sample sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    TenSeconds,
    FiveMinutes,
}

impl Step {
    /// Returns the text that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::FiveMinutes => "5m",
        }
    }

    /// Returns its length in seconds.
    pub const fn secs(self) -> i64 {
        match self {
            Self::TenSeconds => 10,
            Self::FiveMinutes => 300,
        }
    }

    /// Returns the start of the step that a time is in, in UTC.
    pub fn start_of(self, at: OffsetDateTime) -> OffsetDateTime {
        start_of_bin(self.secs(), at)
    }
}

fn start_of_bin(secs: i64, at: OffsetDateTime) -> OffsetDateTime {
    let seconds = at.unix_timestamp();
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds - seconds.rem_euclid(secs))
}

/// What was measured in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The start of the step.
    pub at: OffsetDateTime,
    pub value: f64,
    /// How many measurements the value sums up.
    pub amount: i64,
}

/// How the parts of several nodes in one step become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// The last one counts: one node measures for all.
    Replace,
    /// They are added up, such as counts.
    Add,
    /// The largest counts, such as durations.
    Max,
}

/// One node's part of a series in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<'a> {
    pub series: &'a str,
    pub combine: Combine,
    pub value: f64,
    /// How many measurements the value sums up.
    pub amount: i64,
}

/// A range of some series.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The seconds between two points.
    pub step_secs: i64,
    /// The points of each series that was asked for, in their order. Steps without a measurement are
    /// left out.
    pub series: Vec<Vec<Point>>,
}

/// Reads series from `from` until `until`, at the finest step that gives at most
/// [`limits::MAX_POINTS`] points for each. Several samples in one step are averaged by their amounts.
///
/// # Errors
/// Those of the database.
pub async fn read(
    db: &PgPool,
    series: &[&str],
    from: OffsetDateTime,
    until: OffsetDateTime,
    now: OffsetDateTime,
) -> sqlx::Result<Range> {
    let step_secs = bin_secs(from, until, now);
    let (from, until) = (start_of_bin(step_secs, from), start_of_bin(step_secs, until));
    let source = if step_secs < Step::FiveMinutes.secs() { Step::TenSeconds } else { Step::FiveMinutes };
    let rows = store::points(db, series, source, step_secs, from, until).await?;
    let mut found = vec![Vec::new(); series.len()];
    for (name, point) in rows {
        if let Some(index) = series.iter().position(|one| *one == name) {
            found[index].push(point);
        }
    }
    Ok(Range { step_secs, series: found })
}

/// Returns the seconds between two points of a range.
fn bin_secs(from: OffsetDateTime, until: OffsetDateTime, now: OffsetDateTime) -> i64 {
    let length = (until - from).whole_seconds().max(1);
    let has_fine = now - from <= limits::KEEP_FINE;
    let fits =
        |secs: &i64| (length + secs - 1) / secs < limits::MAX_POINTS && (has_fine || *secs >= Step::FiveMinutes.secs());
    let longest = BIN_SECS[BIN_SECS.len() - 1];
    BIN_SECS.into_iter().find(fits).unwrap_or_else(|| longest.max(length / (limits::MAX_POINTS - 1) + 1))
}

/// Starts the task that sums up and deletes samples. Every node does it, one at a time.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("samples.thin", THIN_INTERVAL, move || thin(node.clone()));
}

async fn thin(app: App) {
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, sum_up_and_delete(&app.db, app.clock.now())).await {
        tracing::debug!(error.cause = %why, "samples were not summed up, retrying in a minute");
    }
}

/// Sums up the steps of 5 minutes that are over and were not summed up yet, and deletes the samples
/// that are older than their step is kept. Returns `false` and does nothing while another node does
/// it.
///
/// # Errors
/// Those of the database.
async fn sum_up_and_delete(db: &PgPool, now: OffsetDateTime) -> sqlx::Result<bool> {
    let mut tx = db.begin().await?;
    if !store::try_lock(&mut tx).await? {
        return Ok(false);
    }
    let until = Step::FiveMinutes.start_of(now - SETTLE_TIME);
    let oldest = Step::FiveMinutes.start_of(now - limits::KEEP_FINE);
    store::sum_up(&mut tx, oldest, until).await?;
    for (step, keep) in [(Step::TenSeconds, limits::KEEP_FINE), (Step::FiveMinutes, limits::KEEP_COARSE)] {
        store::delete_before(&mut tx, step, now - keep).await?;
    }
    tx.commit().await?;
    Ok(true)
}
