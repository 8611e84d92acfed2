//! The history of the numbers: a value a minute, stored as samples.
use std::time::Duration;

use time::OffsetDateTime;

use super::{LiveCounts, Stat};
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::samples::{self, Sample, Step};

/// How often the values are stored.
const RECORD_INTERVAL: Duration = Duration::from_secs(60);
/// The longest range of a history.
const MAX_RANGE: time::Duration = time::Duration::days(92);

/// Returns the values of a stat from `from` until `to`, oldest first, as fine as a chart can show
/// them: a value a minute of the last two days, and one of 5 minutes before that.
///
/// # Errors
/// `bad_frame` with the field `to` if the range is empty or longer than 92 days, `unavailable`.
pub async fn stat_history(
    app: &App,
    key: &str,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<(OffsetDateTime, f64)>> {
    if to <= from || to - from > MAX_RANGE {
        return Err(Error::bad_field("to", "Choose an end after the start, at most 92 days later."));
    }
    // A chart ends with the step that has begun last.
    let until = to + time::Duration::seconds(Step::FiveMinutes.secs());
    let range = samples::read(&app.db, &[&series(key)], from, until, app.clock.now()).await?;
    Ok(range.series.into_iter().flatten().map(|point| (point.at, point.value)).collect())
}

fn series(key: &str) -> String {
    format!("stat.{key}")
}

/// Starts the task that stores the values. Every node does it, and the last one of a minute counts.
pub(in crate::cms) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("cms.stats", RECORD_INTERVAL, move || record(node.clone()));
}

async fn record(node: App) {
    let recorded = db::with_timeout(db::JOB_TIMEOUT, async {
        let (stats, counts) = super::stats(&node).await?;
        record_stats(&node, &stats, &counts).await
    });
    if let Err(why) = recorded.await {
        tracing::debug!(error.cause = ?why, "the numbers were not recorded, retrying in a minute");
    }
}

/// Stores the values of stats as samples of the series `stat.<key>`, before rounding and hiding:
/// editors see true numbers.
async fn record_stats(app: &App, stats: &[Stat], counts: &LiveCounts) -> Result<()> {
    let now = app.clock.now();
    for stat in stats {
        let Some(value) = stat.raw_value(counts) else { continue };
        let sample = Sample { at: Step::TenSeconds.start_of(now), value: value as f64, amount: 1 };
        samples::record(&app.db, &series(&stat.key), Step::TenSeconds, &[sample]).await?;
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::cms) async fn record_now(app: &App) {
    record(app.clone()).await;
}
