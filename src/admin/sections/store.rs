//! The SQL of the editor: time zones, and who has a section open.
use sqlx::PgPool;
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

/// Returns the offset of a time zone from UTC at an instant, in seconds.
pub(super) async fn zone_offset(db: &PgPool, at: OffsetDateTime, zone: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"SELECT EXTRACT(EPOCH FROM ($1::timestamptz AT TIME ZONE $2) - ($1::timestamptz AT TIME ZONE 'UTC'))::int AS "seconds!""#,
        at,
        zone
    )
    .fetch_one(db)
    .await
}

/// Returns the instant of a date and time in a time zone.
pub(super) async fn instant_of(db: &PgPool, local: PrimitiveDateTime, zone: &str) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(r#"SELECT ($1::timestamp AT TIME ZONE $2) AS "at!""#, local, zone).fetch_one(db).await
}

/// Notes that somebody has a section open, and forgets who was last seen before `expired`.
pub(super) async fn touch(
    db: &PgPool,
    group: Uuid,
    handle: &str,
    now: OffsetDateTime,
    expired: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM editor_presence WHERE seen_at < $1", expired).execute(db).await?;
    sqlx::query!(
        "INSERT INTO editor_presence (group_id, handle, seen_at) VALUES ($1, $2, $3) ON CONFLICT (group_id, handle) DO UPDATE SET seen_at = $3",
        group,
        handle,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the handles of the others who have a section open, at most `most`.
pub(super) async fn others(
    db: &PgPool,
    group: Uuid,
    handle: &str,
    since: OffsetDateTime,
    most: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT handle FROM editor_presence WHERE group_id = $1 AND handle <> $2 AND seen_at > $3 ORDER BY handle LIMIT $4",
        group,
        handle,
        since,
        most
    )
    .fetch_all(db)
    .await
}
