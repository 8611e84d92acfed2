//! The SQL of the charts: talks by hour and language.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

/// Talks under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) name: String,
    pub(super) talks: i64,
}

/// Counts the talks of the last hours again. Every node does it: the result is the same, and a count
/// never falls when talks are deleted.
///
/// # Errors
/// The database's.
pub(super) async fn count(db: &PgPool, since: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO talk_hour (at, language, talks)
         SELECT date_trunc('hour', s.created_at), l.language, count(*)
         FROM random_session s CROSS JOIN LATERAL
             (SELECT '' AS language UNION ALL SELECT DISTINCT unnest(s.languages)) AS l
         WHERE s.created_at >= date_trunc('hour', $1::timestamptz) GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT ON CONSTRAINT talk_hour_pk DO UPDATE SET talks = greatest(talk_hour.talks, excluded.talks)",
        since
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the counts before a time.
///
/// # Errors
/// The database's.
pub(super) async fn delete_before(db: &PgPool, before: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM talk_hour WHERE at < $1", before).execute(db).await?;
    Ok(())
}

/// Returns the talks of each day in a time zone, as month and day, oldest first.
///
/// # Errors
/// The database's.
pub(super) async fn per_day(db: &mut PgConnection, since: OffsetDateTime, zone: &str) -> sqlx::Result<Vec<Amount>> {
    sqlx::query_as!(
        Amount,
        r#"SELECT to_char(at AT TIME ZONE $2, 'YYYY-MM-DD') AS "name!", sum(talks)::bigint AS "talks!" FROM talk_hour
           WHERE language = '' AND at >= $1 GROUP BY 1 ORDER BY 1 LIMIT 20"#,
        since,
        zone
    )
    .fetch_all(db)
    .await
}

/// Returns the talks of each hour of the day in a time zone, hours without talks left out.
///
/// # Errors
/// The database's.
pub(super) async fn per_hour(db: &mut PgConnection, since: OffsetDateTime, zone: &str) -> sqlx::Result<Vec<Amount>> {
    sqlx::query_as!(
        Amount,
        r#"SELECT to_char(at AT TIME ZONE $2, 'HH24') AS "name!", sum(talks)::bigint AS "talks!" FROM talk_hour
           WHERE language = '' AND at >= $1 GROUP BY 1 ORDER BY 1 LIMIT 24"#,
        since,
        zone
    )
    .fetch_all(db)
    .await
}

/// Returns the talks in each language, most first.
///
/// # Errors
/// The database's.
pub(super) async fn per_language(db: &mut PgConnection, since: OffsetDateTime) -> sqlx::Result<Vec<Amount>> {
    sqlx::query_as!(
        Amount,
        r#"SELECT language AS "name!", sum(talks)::bigint AS "talks!" FROM talk_hour
           WHERE language <> '' AND at >= $1 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8"#,
        since
    )
    .fetch_all(db)
    .await
}
