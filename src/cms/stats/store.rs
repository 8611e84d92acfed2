//! All SQL of the numbers of the landing page, and of the counts for them.
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{Label, LiveCounts, Source, Stat, Unit};
use crate::cms::limits::{MAX_STATS, MIN_MEDIAN_TALKS};

struct StatRow {
    key: String,
    position: i32,
    visible: bool,
    manual: Option<i64>,
    source: Option<String>,
    label: serde_json::Value,
    unit: String,
    hide_below: i64,
    hide_when_stale: bool,
    round_to: i64,
    version: i64,
    updated_by: String,
    updated_at: OffsetDateTime,
}

impl StatRow {
    /// `None` if the label cannot be parsed.
    fn parsed(self) -> Option<Stat> {
        let label: Label = serde_json::from_value(self.label).ok()?;
        Some(Stat {
            key: self.key,
            position: self.position,
            visible: self.visible,
            manual: self.manual,
            source: self.source.as_deref().and_then(Source::of_str),
            label,
            unit: if self.unit == "seconds" { Unit::Seconds } else { Unit::Count },
            hide_below: self.hide_below,
            hide_when_stale: self.hide_when_stale,
            round_to: self.round_to,
            version: self.version,
            updated_by: self.updated_by,
            updated_at: self.updated_at,
        })
    }
}

/// Reads the stats in order, at most [`MAX_STATS`]. A stat whose label cannot be parsed is left out.
///
/// # Errors
/// The database's.
pub(in crate::cms) async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<Stat>> {
    let rows = sqlx::query_as!(
        StatRow,
        "SELECT key, position, visible, manual, source, label, unit, hide_below, hide_when_stale, round_to, version,
                updated_by, updated_at
         FROM site_stat ORDER BY position, key LIMIT $1",
        MAX_STATS
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().filter_map(StatRow::parsed).collect())
}

/// Stores a stat: a new one, or another state of an old one.
///
/// # Errors
/// The database's.
pub(super) async fn store(tx: &mut PgConnection, stat: &Stat, label: &serde_json::Value) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO site_stat (key, position, visible, manual, source, label, unit, hide_below, hide_when_stale, round_to,
             version, updated_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT ON CONSTRAINT site_stat_pk DO UPDATE SET position = excluded.position, visible = excluded.visible,
             manual = excluded.manual, source = excluded.source, label = excluded.label, unit = excluded.unit,
             hide_below = excluded.hide_below, hide_when_stale = excluded.hide_when_stale, round_to = excluded.round_to,
             version = excluded.version, updated_by = excluded.updated_by, updated_at = excluded.updated_at",
        stat.key,
        stat.position,
        stat.visible,
        stat.manual,
        stat.source.map(Source::as_str),
        label,
        stat.unit.as_str(),
        stat.hide_below,
        stat.hide_when_stale,
        stat.round_to,
        stat.version,
        stat.updated_by,
        stat.updated_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Numbers stats in the given order: 10, 20, …
///
/// # Errors
/// The database's.
pub(super) async fn set_order(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE site_stat s SET position = (listed.number * 10)::int
         FROM unnest($1::text[]) WITH ORDINALITY AS listed (key, number) WHERE s.key = listed.key",
        keys
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes a stat.
///
/// # Errors
/// The database's.
pub(super) async fn delete(tx: &mut PgConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM site_stat WHERE key = $1", key).execute(tx).await?;
    Ok(())
}

/// Counts the visitors with an open socket on any node, the talks begun since midnight in a time
/// zone, the median wait of the last hour's talks in whole seconds, rounded up, the open public
/// rooms, and the languages of the last day's talks. The messages are counted apart.
///
/// A node that no longer reports its visitors is not counted. The median is `None` below
/// [`MIN_MEDIAN_TALKS`] talks.
///
/// # Errors
/// The database's.
pub(in crate::cms) async fn live_counts(
    db: &mut PgConnection,
    now: OffsetDateTime,
    time_zone: &str,
) -> sqlx::Result<LiveCounts> {
    sqlx::query_as!(
        LiveCounts,
        r#"SELECT
            (SELECT count(DISTINCT here.visitor) FROM node_visitors n CROSS JOIN LATERAL unnest(n.visitors) AS here(visitor)
             WHERE n.seen_at > now() - interval '10 seconds') AS online,
            (SELECT count(*) FROM random_session WHERE created_at >= date_trunc('day', $1::timestamptz, $2)) AS talks_today,
            NULL::bigint AS messages_today,
            (SELECT CASE WHEN count(*) >= 2 * $3::bigint THEN
                 greatest(1, ceil(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY waited))))::bigint END
             FROM random_session, LATERAL (VALUES (created_at - a_since), (created_at - b_since)) AS side (waited)
             WHERE created_at > $1::timestamptz - interval '1 hour') AS median_wait,
            (SELECT count(*) FROM chat_room WHERE kind = 'public' AND closed_at IS NULL) AS rooms,
            (SELECT count(DISTINCT language) FROM talk_hour WHERE language <> '' AND at > $1::timestamptz - interval '1 day')
                AS languages"#,
        now,
        time_zone,
        MIN_MEDIAN_TALKS
    )
    .fetch_one(db)
    .await
}

/// Counts the messages since midnight in a time zone. It reads the whole log of a day, so it is
/// called rarely.
///
/// # Errors
/// The database's.
pub(super) async fn messages_today(db: &mut PgConnection, now: OffsetDateTime, zone: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM message WHERE created_at >= date_trunc('day', $1::timestamptz, $2)"#,
        now,
        zone
    )
    .fetch_one(db)
    .await
}
