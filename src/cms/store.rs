//! All SQL of the landing page: its sections, its numbers, and what is counted for them.
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{Label, Live, Unit};

/// A section as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SectionRow {
    pub(super) locale: String,
    pub(super) kind: String,
    pub(super) content: serde_json::Value,
}

/// A number as it is stored: without its live value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatRow {
    pub(super) key: String,
    pub(super) manual: Option<i64>,
    pub(super) label: Label,
    pub(super) unit: Unit,
}

/// The visible sections of every language, in order; at most 200.
pub(super) async fn sections(db: &mut PgConnection) -> sqlx::Result<Vec<SectionRow>> {
    sqlx::query_as!(
        SectionRow,
        "SELECT locale, kind, content FROM page_section WHERE visible ORDER BY locale, position LIMIT 200"
    )
    .fetch_all(db)
    .await
}

/// The visible numbers, in order; at most 50. One whose label cannot be read is left out.
pub(super) async fn stats(db: &mut PgConnection) -> sqlx::Result<Vec<StatRow>> {
    let rows =
        sqlx::query!("SELECT key, manual, label, unit FROM site_stat WHERE visible ORDER BY position, key LIMIT 50")
            .fetch_all(db)
            .await?;
    let read = rows.into_iter().filter_map(|row| {
        let label: Label = serde_json::from_value(row.label).ok()?;
        let unit = if row.unit == "seconds" { Unit::Seconds } else { Unit::Count };
        Some(StatRow { key: row.key, manual: row.manual, label, unit })
    });
    Ok(read.collect())
}

/// Counts what is computed live: visitors with an open socket on any node (what a node said more than 10 s ago does not count), talks
/// begun since midnight in a time zone, and the median
/// wait in the last hour's talks in whole seconds rounded up (null below 5 talks).
pub(super) async fn live(db: &mut PgConnection, now: OffsetDateTime, time_zone: &str) -> sqlx::Result<Live> {
    sqlx::query_as!(
        Live,
        r#"SELECT
            (SELECT count(DISTINCT here.visitor) FROM node_visitors n CROSS JOIN LATERAL unnest(n.visitors) AS here(visitor)
             WHERE n.seen_at > now() - interval '10 seconds') AS online,
            (SELECT count(*) FROM random_session WHERE created_at >= date_trunc('day', $1::timestamptz, $2)) AS talks_today,
            (SELECT CASE WHEN count(*) >= 2 * 5 THEN
                 greatest(1, ceil(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY waited))))::bigint END
             FROM random_session, LATERAL (VALUES (created_at - a_since), (created_at - b_since)) AS side (waited)
             WHERE created_at > $1::timestamptz - interval '1 hour') AS median_wait"#,
        now,
        time_zone
    )
    .fetch_one(db)
    .await
}
