//! How long people wait by the hour of the day: recorded from the talks that began, and summed up
//! over the last days.
mod store;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;

use super::limits::{MIN_WAITS_FOR_MEDIAN, WAIT_DAYS};
use super::refreshed::Refreshed;
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::samples::{self, HourOfDay, Step};

/// The name of the series: the median wait in seconds, and how many people waited.
const SERIES: &str = "matching.wait";
/// How often the node that leads looks for steps that are over.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);
/// The age at which a step is over: its last talks are committed.
const SETTLE_TIME: time::Duration = time::Duration::seconds(10);
/// How far back a node that has just become the leader records. Talks are kept for a day.
const CATCH_UP: [(Step, time::Duration); 2] =
    [(Step::TenSeconds, time::Duration::hours(2)), (Step::FiveMinutes, time::Duration::hours(23))];
/// How long an answer is used.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The hours of a day.
const HOURS: usize = 24;

/// What this node has recorded, and its last answer.
#[derive(Default)]
pub(super) struct State {
    /// Until when each step is recorded. `None` while this node does not lead.
    pub(super) recorded: Mutex<Option<[OffsetDateTime; 2]>>,
    by_hour: Refreshed<WaitsByHour>,
}

/// The median wait of each hour of the day, in the site's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitsByHour {
    /// In seconds, rounded up. `None` with fewer than [`MIN_WAITS_FOR_MEDIAN`] waits.
    pub median_secs: [Option<i64>; HOURS],
    /// The hour in which most people waited and met. `None` if no hour has a median.
    pub busiest: Option<usize>,
    /// The present hour.
    pub now: i32,
}

/// Starts the task that records. It works only on the node that leads.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("matching.waits", RECORD_INTERVAL, move || record_if_leading(node.clone()));
}

pub(super) async fn record_if_leading(app: App) {
    if app.matching.matcher.leading_for().is_none() {
        *app.matching.waits.recorded.lock() = None;
        return;
    }
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, record(&app)).await {
        tracing::debug!(error.cause = %why, "the waits of the last minutes were not recorded, retrying");
    }
}

/// Records the steps that are over and were not recorded by this node.
///
/// # Errors
/// Those of the database.
pub(super) async fn record(app: &App) -> sqlx::Result<()> {
    let now = app.clock.now() - SETTLE_TIME;
    let recorded = *app.matching.waits.recorded.lock();
    let starts = recorded.unwrap_or_else(|| CATCH_UP.map(|(step, back)| step.start_of(now - back)));
    let mut ends = starts;
    for ((step, _), (from, until)) in CATCH_UP.into_iter().zip(starts.into_iter().zip(&mut ends)) {
        *until = step.start_of(now).max(from);
        if *until > from {
            let medians = store::median_waits(&app.db, step, from, *until).await?;
            samples::record(&app.db, SERIES, step, &medians).await?;
        }
    }
    *app.matching.waits.recorded.lock() = Some(ends);
    Ok(())
}

/// Returns the waits by hour of the last [`WAIT_DAYS`] days, at most [`REFRESH_INTERVAL`] old.
///
/// # Errors
/// `unavailable`.
pub(super) async fn by_hour(app: &App) -> Result<Arc<WaitsByHour>> {
    let read = async {
        let (now, time_zone) = (app.clock.now(), &app.config.time_zone);
        let since = now - time::Duration::days(WAIT_DAYS);
        let samples = samples::hours_of_day(&app.db, SERIES, since, time_zone).await?;
        Ok(sum_up(&samples, samples::hour_of_day(&app.db, now, time_zone).await?))
    };
    app.matching.waits.by_hour.get(&app.clock, REFRESH_INTERVAL, read).await.ok_or(Error::Unavailable)
}

/// Returns the median of each hour. A sample counts as often as people waited for it.
fn sum_up(samples: &[HourOfDay], now: i32) -> WaitsByHour {
    let mut hours: [Vec<(f64, i64)>; HOURS] = Default::default();
    for sample in samples {
        if let Some(hour) = usize::try_from(sample.hour).ok().and_then(|hour| hours.get_mut(hour)) {
            hour.push((sample.value, sample.amount));
        }
    }
    let amount = |samples: &[(f64, i64)]| samples.iter().map(|(_, amount)| amount).sum::<i64>();
    let is_known = |samples: &[(f64, i64)]| amount(samples) >= MIN_WAITS_FOR_MEDIAN as i64;
    let busiest = (0..HOURS).filter(|hour| is_known(&hours[*hour])).max_by_key(|hour| amount(&hours[*hour]));
    let median_secs = hours.each_mut().map(|samples| if is_known(samples) { weighted_median(samples) } else { None });
    WaitsByHour { median_secs, busiest, now }
}

fn weighted_median(samples: &mut [(f64, i64)]) -> Option<i64> {
    samples.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let all: i64 = samples.iter().map(|(_, amount)| amount).sum();
    let mut passed = 0;
    let median = samples.iter().find(|(_, amount)| {
        passed += amount;
        passed * 2 >= all
    });
    // A shown wait is never 0.
    median.map(|(secs, _)| (secs.ceil() as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::{HourOfDay, sum_up};

    #[test]
    fn an_hour_has_a_median_from_five_waits_and_the_busiest_has_most() {
        let sample = |hour, value, amount| HourOfDay { hour, value, amount };
        let summed = sum_up(
            &[
                sample(9, 4.0, 4),
                sample(21, 3.2, 40),
                sample(21, 60.0, 30),
                sample(21, 0.1, 6),
                sample(22, 0.0, 5),
                sample(23, 2.0, 3),
                sample(23, 9.0, 2),
            ],
            5,
        );
        let known: Vec<(usize, i64)> =
            summed.median_secs.iter().enumerate().filter_map(|(hour, secs)| Some((hour, (*secs)?))).collect();
        assert_eq!(known, [(21, 4), (22, 1), (23, 2)]);
        assert_eq!((summed.busiest, summed.now), (Some(21), 5));
        assert_eq!(sum_up(&[sample(3, 1.0, 4)], 0).busiest, None);
    }
}
