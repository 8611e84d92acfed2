//! Samples: their SQL, and no rules.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use super::{Combine, Part, Sample, Step};

/// The key of the lock under which samples are summed up: "maju" in ASCII, then 7.
const THIN_LOCK: i64 = 0x6d61_6a75_0000_0007;

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

/// Writes this node's parts of several series in one step of 10 seconds, to which other nodes add
/// theirs. `at` is the start of the step.
///
/// # Errors
/// Those of the database.
pub async fn record_parts(db: &PgPool, at: OffsetDateTime, parts: &[Part<'_>]) -> sqlx::Result<()> {
    let series: Vec<&str> = parts.iter().map(|part| part.series).collect();
    let values: Vec<f64> = parts.iter().map(|part| part.value).collect();
    let amounts: Vec<i64> = parts.iter().map(|part| part.amount).collect();
    for combine in [Combine::Replace, Combine::Add, Combine::Max] {
        let is_one: Vec<bool> = parts.iter().map(|part| part.combine == combine).collect();
        if !is_one.contains(&true) {
            continue;
        }
        // In the order of the key, so that two nodes cannot wait for each other.
        sqlx::query!(
            "INSERT INTO sample (series, step, at, value, amount)
             SELECT series, '10s', $1, value, amount
             FROM UNNEST($2::text[], $3::float8[], $4::bigint[], $5::bool[]) AS t(series, value, amount, is_one)
             WHERE is_one ORDER BY series
             ON CONFLICT ON CONSTRAINT sample_pk DO UPDATE SET
                 value = CASE $6 WHEN 'add' THEN sample.value + excluded.value
                                 WHEN 'max' THEN greatest(sample.value, excluded.value) ELSE excluded.value END,
                 amount = greatest(sample.amount, excluded.amount)",
            at,
            &series as &[&str],
            &values,
            &amounts,
            &is_one,
            match combine {
                Combine::Replace => "replace",
                Combine::Add => "add",
                Combine::Max => "max",
            }
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// A point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: OffsetDateTime,
    pub value: f64,
}

/// Returns the points of series, in order, each the average of a bin of `bin_secs`. Of the coarse
/// samples, the last steps are not summed up yet: the fine ones stand for them.
///
/// # Errors
/// Those of the database.
pub(super) async fn points(
    db: &PgPool,
    series: &[&str],
    source: Step,
    bin_secs: i64,
    from: OffsetDateTime,
    until: OffsetDateTime,
) -> sqlx::Result<Vec<(String, Point)>> {
    let rows = sqlx::query!(
        r#"WITH summed AS (
               SELECT asked.series, (SELECT max(s.at) FROM sample s WHERE s.series = asked.series AND s.step = '5m')
                      + interval '5 minutes' AS until
               FROM UNNEST($1::text[]) AS asked(series))
           SELECT s.series, date_bin(make_interval(secs => $2), s.at, 'epoch'::timestamptz) AS "at!",
                  coalesce(sum(s.value * s.amount) / nullif(sum(s.amount), 0), avg(s.value)) AS "value!"
           FROM summed JOIN sample s ON s.series = summed.series AND s.at >= $3 AND s.at < $4
                AND (s.step = $5 OR s.step = '10s' AND s.at >= coalesce(summed.until, $3))
           GROUP BY 1, 2 ORDER BY 1, 2"#,
        series as &[&str],
        bin_secs as f64,
        from,
        until,
        source.as_str()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.series, Point { at: row.at, value: row.value })).collect())
}

/// Returns the newest point of each series since a time. A series without one has no entry.
///
/// # Errors
/// Those of the database.
pub async fn latest(db: &PgPool, series: &[&str], since: OffsetDateTime) -> sqlx::Result<Vec<(String, Point)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (series) series, at, value FROM sample
         WHERE series = ANY($1) AND step = '10s' AND at >= $2 ORDER BY series, at DESC",
        series as &[&str],
        since
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.series, Point { at: row.at, value: row.value })).collect())
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

/// Returns the samples of a series since a time, with their hours of the day in a time zone: one for
/// each 5 minutes, and those of 10 seconds that are not summed up yet.
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
        r#"WITH summed AS (
               SELECT max(at) + interval '5 minutes' AS until FROM sample WHERE series = $1 AND step = '5m')
           SELECT extract(hour FROM s.at AT TIME ZONE $3)::int AS "hour!", s.value, s.amount
           FROM sample s, summed
           WHERE s.series = $1 AND s.at >= $2
             AND (s.step = '5m' OR s.at >= coalesce(summed.until, '-infinity'))
           ORDER BY s.step DESC, s.at"#,
        series,
        since,
        time_zone
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

/// Takes the lock under which samples are summed up until the transaction ends. Returns `false` if
/// another node has it.
///
/// # Errors
/// Those of the database.
pub(super) async fn try_lock(tx: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, THIN_LOCK).fetch_one(tx).await
}

/// Sums up the samples of 10 seconds before `until` that are younger than the last 5 minutes that
/// were summed up, and than `oldest`. What its noun has recorded for 5 minutes stays.
///
/// # Errors
/// Those of the database.
pub(super) async fn sum_up(tx: &mut PgConnection, oldest: OffsetDateTime, until: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH fine AS (SELECT DISTINCT series FROM sample WHERE step = '10s' AND at >= $1 AND at < $2),
              summed AS (
             SELECT series, greatest($1, (SELECT max(s.at) FROM sample s WHERE s.series = fine.series AND s.step = '5m')
                                         + interval '5 minutes') AS since FROM fine)
         INSERT INTO sample (series, step, at, value, amount)
         SELECT s.series, '5m', date_bin('5 minutes', s.at, 'epoch'::timestamptz),
                coalesce(sum(s.value * s.amount) / nullif(sum(s.amount), 0), avg(s.value)), sum(s.amount)
         FROM summed JOIN sample s ON s.series = summed.series AND s.step = '10s' AND s.at >= summed.since AND s.at < $2
         GROUP BY 1, 3 ORDER BY 1, 3
         ON CONFLICT ON CONSTRAINT sample_pk DO NOTHING",
        oldest,
        until
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the samples of a step before a time.
///
/// # Errors
/// Those of the database.
pub(super) async fn delete_before(tx: &mut PgConnection, step: Step, before: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM sample WHERE step = $1 AND at < $2", step.as_str(), before).execute(tx).await?;
    Ok(())
}
