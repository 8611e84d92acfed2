//! All SQL of the landing page: its sections, its stats, and the counts for them.
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::{MAX_SECTIONS, MAX_STATS, MIN_MEDIAN_TALKS};
use super::model::{Label, LiveCounts, Unit};

/// A section as visitors may see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PublicRow {
    pub(super) page: String,
    pub(super) locale: String,
    pub(super) kind: String,
    pub(super) group_id: Uuid,
    pub(super) position: i32,
    pub(super) visible: bool,
    /// What was published. `None` if visitors see nothing of it.
    pub(super) content: Option<serde_json::Value>,
    /// Whether it was ever published.
    pub(super) was_published: bool,
}

/// A public room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicRoom {
    pub(super) title: String,
    pub(super) topic: Option<String>,
}

/// A stat as it is stored, without its count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatRow {
    pub(super) key: String,
    pub(super) manual: Option<i64>,
    pub(super) label: Label,
    pub(super) unit: Unit,
}

/// Begins a transaction that reads one state of the database: all parts of a page belong together.
///
/// # Errors
/// The database's.
pub(super) async fn consistent(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

/// Returns the version of what the pages show.
///
/// # Errors
/// The database's.
pub(super) async fn content_version(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT version FROM content_version").fetch_one(db).await
}

/// Reads the sections of every page and language in order, at most [`MAX_SECTIONS`]. Drafts are
/// left out.
///
/// # Errors
/// The database's.
pub(super) async fn sections(db: &mut PgConnection) -> sqlx::Result<Vec<PublicRow>> {
    sqlx::query_as!(
        PublicRow,
        r#"SELECT s.page, s.locale, s.kind, s.group_id, s.position AS "position!", s.visible,
                  (SELECT v.content FROM section_version v WHERE v.section_id = s.id AND v.version = s.published_version
                   ORDER BY v.id DESC LIMIT 1) AS content,
                  EXISTS (SELECT 1 FROM section_version v WHERE v.section_id = s.id AND v.kind = 'published')
                      AS "was_published!"
           FROM page_section s WHERE s.deleted_at IS NULL ORDER BY s.page, s.locale, s.position LIMIT $1"#,
        MAX_SECTIONS
    )
    .fetch_all(db)
    .await
}

/// Reads the public rooms, those that were written to last first.
///
/// # Errors
/// The database's.
pub(super) async fn public_rooms(db: &mut PgConnection, most: i64) -> sqlx::Result<Vec<PublicRoom>> {
    sqlx::query_as!(
        PublicRoom,
        r#"SELECT r.title AS "title!", r.topic FROM chat_room r
           WHERE r.kind = 'public' AND r.closed_at IS NULL
           ORDER BY (SELECT max(m.created_at) FROM message m WHERE m.room_id = r.id AND m.seq =
                       (SELECT h.seq FROM room_head h WHERE h.room_id = r.id)) DESC NULLS LAST, r.id DESC
           LIMIT $1"#,
        most
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
