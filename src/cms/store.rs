//! All SQL of the landing page: its sections, its stats, and the counts for them.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::{MAX_SECTIONS, MAX_STATS, MIN_MEDIAN_TALKS};
use super::model::{Label, LiveCounts, Unit};

/// A section as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SectionRow {
    pub(super) page: String,
    pub(super) locale: String,
    pub(super) kind: String,
    pub(super) content: serde_json::Value,
}

/// A stat as it is stored, without its count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatRow {
    pub(super) key: String,
    pub(super) manual: Option<i64>,
    pub(super) label: Label,
    pub(super) unit: Unit,
}

/// Reads the visible sections of every page and language in order, at most [`MAX_SECTIONS`].
///
/// # Errors
/// The database's.
pub(super) async fn sections(db: &mut PgConnection) -> sqlx::Result<Vec<SectionRow>> {
    sqlx::query_as!(
        SectionRow,
        "SELECT page, locale, kind, content FROM page_section WHERE visible ORDER BY page, locale, position LIMIT $1",
        MAX_SECTIONS
    )
    .fetch_all(db)
    .await
}

/// Reads the visible stats in order, at most [`MAX_STATS`]. A stat whose label cannot be parsed is
/// left out.
///
/// # Errors
/// The database's.
pub(super) async fn stats(db: &mut PgConnection) -> sqlx::Result<Vec<StatRow>> {
    let rows = sqlx::query!(
        "SELECT key, manual, label, unit FROM site_stat WHERE visible ORDER BY position, key LIMIT $1",
        MAX_STATS
    )
    .fetch_all(db)
    .await?;
    let stats = rows.into_iter().filter_map(|row| {
        let label: Label = serde_json::from_value(row.label).ok()?;
        let unit = if row.unit == "seconds" { Unit::Seconds } else { Unit::Count };
        Some(StatRow { key: row.key, manual: row.manual, label, unit })
    });
    Ok(stats.collect())
}

/// Counts the visitors with an open socket on any node, the talks begun since midnight in a time
/// zone, and the median wait of the last hour's talks in whole seconds, rounded up.
///
/// A node that no longer reports its visitors is not counted. The median is `None` below
/// [`MIN_MEDIAN_TALKS`] talks.
///
/// # Errors
/// The database's.
pub(super) async fn live_counts(
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
            (SELECT CASE WHEN count(*) >= 2 * $3::bigint THEN
                 greatest(1, ceil(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY waited))))::bigint END
             FROM random_session, LATERAL (VALUES (created_at - a_since), (created_at - b_since)) AS side (waited)
             WHERE created_at > $1::timestamptz - interval '1 hour') AS median_wait"#,
        now,
        time_zone,
        MIN_MEDIAN_TALKS
    )
    .fetch_one(db)
    .await
}

/// Returns the sections that name an image by its address: page, kind and language.
///
/// # Errors
/// The database's.
pub(super) async fn sections_with_image(db: &PgPool, image: Uuid) -> sqlx::Result<Vec<(String, String, String)>> {
    let rows = sqlx::query!(
        "SELECT page, kind, locale FROM page_section WHERE strpos(content::text, $1) > 0
         ORDER BY page, locale, position LIMIT $2",
        image.to_string(),
        MAX_SECTIONS
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.page, row.kind, row.locale)).collect())
}
