//! Samples: recorded once, read by the hour of the day, thinned with age.
use time::{Duration, OffsetDateTime};

use super::{HourOfDay, Sample, Step, delete_old, hour_of_day, hours_of_day, record};
use crate::testing;

/// 2024-10-04, 00:00 UTC.
fn midnight() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
}

#[test]
fn a_step_starts_at_whole_minutes_and_hours() {
    let at = midnight() + Duration::seconds(3_600 + 125) + Duration::milliseconds(7);
    assert_eq!(Step::Minute.start_of(at), midnight() + Duration::seconds(3_600 + 120));
    assert_eq!(Step::Hour.start_of(at), midnight() + Duration::HOUR);
    assert_eq!(Step::Hour.start_of(midnight()), midnight());
}

#[tokio::test]
async fn minutes_count_until_their_hour_is_recorded_and_old_samples_are_deleted() {
    let node = testing::node().await;
    let db = &node.app.db;
    let sample = |at: Duration, value: f64, amount| Sample { at: midnight() + at, value, amount };
    let (three, four) = (Duration::hours(3), Duration::hours(4));
    record(db, "a", Step::Hour, &[sample(three, 7.0, 10)]).await.unwrap();
    record(db, "a", Step::Hour, &[sample(three, 8.0, 12)]).await.unwrap();
    let minutes =
        [sample(three + Duration::MINUTE, 1.0, 1), sample(four, 2.0, 2), sample(four + Duration::MINUTE, 3.0, 3)];
    record(db, "a", Step::Minute, &minutes).await.unwrap();
    record(db, "b", Step::Hour, &[sample(three, 99.0, 1)]).await.unwrap();
    let in_seoul = async |since: Duration| hours_of_day(db, "a", midnight() + since, "Asia/Seoul").await.unwrap();
    let read = |hour, value, amount| HourOfDay { hour, value, amount };
    let all = [read(12, 8.0, 12), read(13, 2.0, 2), read(13, 3.0, 3)];
    assert_eq!(in_seoul(Duration::ZERO).await, all);
    assert_eq!(in_seoul(four).await, all[1..]);
    assert_eq!(hour_of_day(db, midnight() + three, "Asia/Seoul").await.unwrap(), 12);
    assert_eq!(hour_of_day(db, midnight() + three, "America/New_York").await.unwrap(), 23);

    delete_old(db, midnight() + Duration::days(1) + four + Duration::seconds(1)).await.unwrap();
    assert_eq!(in_seoul(Duration::ZERO).await, [all[0], all[2]], "minutes are kept for a day");
    delete_old(db, midnight() + Duration::days(90) + three).await.unwrap();
    assert_eq!(in_seoul(Duration::ZERO).await, [all[0]], "hours are kept for 90 days");
    delete_old(db, midnight() + Duration::days(90) + three + Duration::seconds(1)).await.unwrap();
    assert_eq!(in_seoul(Duration::ZERO).await, []);
}
