//! Samples: recorded once or by several nodes, read at the step that fits, summed up with age.
use time::{Duration, OffsetDateTime};

use super::{Combine, HourOfDay, Part, Sample, Step, bin_secs, hour_of_day, hours_of_day, read, record, record_parts};
use super::{limits, sum_up_and_delete};
use crate::testing;

/// 2079-07-08, 00:00 UTC: the node itself finds nothing old enough to sum up or delete.
fn midnight() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(40_000)
}

#[test]
fn a_step_starts_at_whole_tens_of_seconds_and_five_minutes() {
    let at = midnight() + Duration::seconds(3_600 + 425) + Duration::milliseconds(7);
    assert_eq!(Step::TenSeconds.start_of(at), midnight() + Duration::seconds(3_600 + 420));
    assert_eq!(Step::FiveMinutes.start_of(at), midnight() + Duration::seconds(3_600 + 300));
    assert_eq!(Step::FiveMinutes.start_of(midnight()), midnight());
}

#[test]
fn a_range_has_the_finest_step_that_fits() {
    let now = midnight();
    for (length, secs) in [
        (Duration::minutes(15), 10),
        (Duration::HOUR, 10),
        (Duration::hours(6), 60),
        (Duration::DAY, 300),
        (Duration::days(7), 1_800),
        (Duration::days(90), 21_600),
    ] {
        assert_eq!(bin_secs(now - length, now, now), secs, "{length}");
    }
    // A week ago there are no fine samples any more.
    assert_eq!(bin_secs(now - Duration::days(7) - Duration::HOUR, now - Duration::days(7), now), 300);
    let year = bin_secs(now - Duration::days(3_650), now, now);
    assert!(Duration::days(3_650).whole_seconds() / year < limits::MAX_POINTS, "{year}");
}

#[tokio::test]
async fn fine_samples_count_until_they_are_summed_up_and_old_ones_are_deleted() {
    let node = testing::node().await;
    let db = &node.app.db;
    let sample = |at: Duration, value: f64, amount| Sample { at: midnight() + at, value, amount };
    let (three, four, ten) = (Duration::hours(3), Duration::hours(4), Duration::seconds(10));
    record(db, "a", Step::FiveMinutes, &[sample(three, 7.0, 10)]).await.unwrap();
    record(db, "a", Step::FiveMinutes, &[sample(three, 8.0, 12)]).await.unwrap();
    let fine = [sample(three + ten, 1.0, 1), sample(four, 2.0, 3), sample(four + ten, 4.0, 1)];
    record(db, "a", Step::TenSeconds, &fine).await.unwrap();
    record(db, "b", Step::FiveMinutes, &[sample(three, 99.0, 1)]).await.unwrap();
    let in_seoul = async |since: Duration| hours_of_day(db, "a", midnight() + since, "Asia/Seoul").await.unwrap();
    let hour = |hour, value, amount| HourOfDay { hour, value, amount };
    let all = [hour(12, 8.0, 12), hour(13, 2.0, 3), hour(13, 4.0, 1)];
    assert_eq!(in_seoul(Duration::ZERO).await, all);
    assert_eq!(in_seoul(four).await, all[1..]);
    assert_eq!(hour_of_day(db, midnight() + three, "Asia/Seoul").await.unwrap(), 12);
    assert_eq!(hour_of_day(db, midnight() + three, "America/New_York").await.unwrap(), 23);

    // The node's own task can have the lock just then.
    let thin = async |at: Duration| while !sum_up_and_delete(db, midnight() + at).await.unwrap() {};
    thin(four + Duration::seconds(359)).await;
    assert_eq!(in_seoul(Duration::ZERO).await, all, "a step is over a minute after its end");
    for _ in 0..2 {
        thin(four + Duration::seconds(360)).await;
        let summed = [all[0], hour(13, 2.5, 4)];
        assert_eq!(in_seoul(Duration::ZERO).await, summed, "what was recorded for 5 minutes stays");
    }
    let until = midnight() + Duration::days(1);
    let range = read(db, &["b", "a"], midnight(), until, until).await.unwrap();
    assert_eq!((range.step_secs, range.series[0].len()), (300, 1));
    let values: Vec<f64> = range.series[1].iter().map(|point| point.value).collect();
    assert_eq!(values, [8.0, 2.5]);

    thin(Duration::days(2) + four + Duration::seconds(1)).await;
    let fine: i64 = sqlx::query_scalar("SELECT count(*) FROM sample WHERE step = '10s' AND series = 'a'")
        .fetch_one(db)
        .await
        .unwrap();
    assert_eq!(fine, 1, "fine samples are kept for two days");
    thin(Duration::days(90) + three).await;
    assert_eq!(in_seoul(Duration::ZERO).await.len(), 2);
    thin(Duration::days(90) + three + Duration::seconds(1)).await;
    assert_eq!(in_seoul(Duration::ZERO).await.len(), 1, "the others for 90 days");
}

#[tokio::test]
async fn nodes_add_up_what_they_count_and_a_fine_range_shows_it() {
    let node = testing::node().await;
    let db = &node.app.db;
    let part = |series, combine, value| Part { series, combine, value, amount: 1 };
    for (messages, slowest, online) in [(3.0, 9.0, 5.0), (4.0, 7.0, 6.0)] {
        let parts = [
            part("x.messages", Combine::Add, messages),
            part("x.slowest", Combine::Max, slowest),
            part("x.online", Combine::Replace, online),
        ];
        record_parts(db, midnight(), &parts).await.unwrap();
    }
    let until = midnight() + Duration::MINUTE;
    let range = read(db, &["x.messages", "x.slowest", "x.online", "x.none"], midnight(), until, until).await.unwrap();
    let values: Vec<Vec<f64>> =
        range.series.iter().map(|points| points.iter().map(|point| point.value).collect()).collect();
    assert_eq!(values, [vec![7.0], vec![9.0], vec![6.0], vec![]]);
}
