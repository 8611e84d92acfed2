//! Waits: their SQL, and no rules.
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::samples::{Sample, Step};

/// Returns the median wait in seconds before the talks that began in each step from `from` until
/// `until`, and the number of people. Steps without a talk are left out.
pub(super) async fn median_waits(
    db: &PgPool,
    step: Step,
    from: OffsetDateTime,
    until: OffsetDateTime,
) -> sqlx::Result<Vec<Sample>> {
    sqlx::query_as!(
        Sample,
        r#"SELECT date_bin(make_interval(secs => $1), s.created_at, 'epoch'::timestamptz) AS "at!",
                  percentile_cont(0.5) WITHIN GROUP (
                      ORDER BY greatest(0, extract(epoch FROM s.created_at - side.since)::float8)) AS "value!",
                  count(*) AS "amount!"
           FROM random_session s CROSS JOIN LATERAL (VALUES (s.a_since), (s.b_since)) AS side(since)
           WHERE s.created_at >= $2 AND s.created_at < $3 GROUP BY 1 ORDER BY 1"#,
        step.secs() as f64,
        from,
        until
    )
    .fetch_all(db)
    .await
}
