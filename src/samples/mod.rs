//! Samples: time series in Postgres for charts, which get coarser with age. Knows no noun.
//!
//! A noun measures and records; this keeps minutes for [`limits::KEEP_MINUTES`] and hours for
//! [`limits::KEEP_HOURS`].
pub mod limits;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;

use crate::app::App;
use crate::db;

pub use store::{HourOfDay, hour_of_day, hours_of_day, range, record};

/// How often old samples are deleted.
const THIN_INTERVAL: Duration = Duration::from_secs(3_600);

/// The length of time that a sample sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Minute,
    Hour,
}

impl Step {
    /// Returns the text that is stored, which is also the name of the unit in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// Returns its length.
    const fn length(self) -> time::Duration {
        match self {
            Self::Minute => time::Duration::MINUTE,
            Self::Hour => time::Duration::HOUR,
        }
    }

    /// Returns the start of the step that a time is in, in UTC.
    pub fn start_of(self, at: OffsetDateTime) -> OffsetDateTime {
        let seconds = at.unix_timestamp();
        OffsetDateTime::UNIX_EPOCH
            + time::Duration::seconds(seconds - seconds.rem_euclid(self.length().whole_seconds()))
    }
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

/// Starts the task that deletes old samples. Every node does it; all but the first find nothing.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("samples.thin", THIN_INTERVAL, move || thin(node.clone()));
}

async fn thin(app: App) {
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, delete_old(&app.db, app.clock.now())).await {
        tracing::debug!(error.cause = %why, "old samples were not deleted, retrying in an hour");
    }
}

/// Deletes the samples that are older than their step is kept.
///
/// # Errors
/// Those of the database.
async fn delete_old(db: &PgPool, now: OffsetDateTime) -> sqlx::Result<()> {
    for (step, keep) in [(Step::Minute, limits::KEEP_MINUTES), (Step::Hour, limits::KEEP_HOURS)] {
        store::delete_before(db, step, now - keep).await?;
    }
    Ok(())
}
