//! Samples: their SQL, and no rules.
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Sample, Step};

/// The most samples that one read returns.
const MAX_RANGE_ROWS: i64 = 3_000;

/// Writes samples of a series. A sample that is there already is replaced.
///
/// # Errors
/// Those of the database.
pub async fn record(db: &PgPool, series: &str, step: Step, samples: &[Sample]) -> sqlx::Result<()> {
    let at: Vec<OffsetDateTime> = samples.iter().map(|sample| sample.at).collect();
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let amounts: Vec<i64> = samples.iter().map(|sample| sample.amount).collect();
    sqlx::query!(
        "INSERT INTO sample (series, step, at, value, amount)
         SELECT $1, $2, at, value, amount
         FROM UNNEST($3::timestamptz[], $4::float8[], $5::bigint[]) AS t(at, value, amount) ORDER BY at
         ON CONFLICT ON CONSTRAINT sample_pk DO UPDATE SET value = excluded.value, amount = excluded.amount",
        series,
        step.as_str(),
        &at,
        &values,
        &amounts
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A sample with the hour of the day in which it was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourOfDay {
    /// 0 to 23.
    pub hour: i32,
    pub value: f64,
    /// How many measurements the value sums up.
    pub amount: i64,
}

/// Returns the samples of a series since a time, with their hours of the day in a time zone: one
/// for each hour, and the minutes of hours that have none yet.
///
/// # Errors
/// Those of the database.
pub async fn hours_of_day(
    db: &PgPool,
    series: &str,
    since: OffsetDateTime,
    time_zone: &str,
) -> sqlx::Result<Vec<HourOfDay>> {
    sqlx::query_as!(
        HourOfDay,
        r#"SELECT extract(hour FROM s.at AT TIME ZONE $3)::int AS "hour!", s.value, s.amount
           FROM sample s
           WHERE s.series = $1 AND s.at >= $2
             AND (s.step = 'hour' OR NOT EXISTS (
                 SELECT 1 FROM sample h WHERE h.series = s.series AND h.step = 'hour'
                                          AND h.at = date_trunc('hour', s.at, 'UTC')))
           ORDER BY s.step, s.at"#,
        series,
        since,
        time_zone
    )
    .fetch_all(db)
    .await
}

/// Returns the samples of a series from a time until another one, oldest first, at most
/// [`MAX_RANGE_ROWS`].
///
/// # Errors
/// Those of the database.
pub async fn range(
    db: &PgPool,
    series: &str,
    step: Step,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> sqlx::Result<Vec<Sample>> {
    sqlx::query_as!(
        Sample,
        "SELECT at, value, amount FROM sample WHERE series = $1 AND step = $2 AND at >= $3 AND at < $4 ORDER BY at LIMIT $5",
        series,
        step.as_str(),
        from,
        to,
        MAX_RANGE_ROWS
    )
    .fetch_all(db)
    .await
}

/// Returns the hour of the day of a time in a time zone, 0 to 23.
///
/// # Errors
/// Those of the database.
pub async fn hour_of_day(db: &PgPool, at: OffsetDateTime, time_zone: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"SELECT extract(hour FROM $1::timestamptz AT TIME ZONE $2)::int AS "hour!""#, at, time_zone)
        .fetch_one(db)
        .await
}

/// Deletes the samples of a step before a time.
///
/// # Errors
/// Those of the database.
pub(super) async fn delete_before(db: &PgPool, step: Step, before: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM sample WHERE step = $1 AND at < $2", step.as_str(), before).execute(db).await?;
    Ok(())
}
