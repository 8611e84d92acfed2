//! All SQL of sections: drafts, versions, order, schedules, deletion.
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::cms::limits::{MAX_SECTIONS, MAX_VERSIONS_SHOWN};
use crate::ids::SectionId;

/// A section as it is stored, with the content that visitors see.
#[derive(Clone, Debug)]
pub(super) struct SectionRow {
    pub(super) id: SectionId,
    pub(super) group_id: Uuid,
    pub(super) page: String,
    pub(super) locale: String,
    pub(super) kind: String,
    pub(super) position: Option<i32>,
    pub(super) visible: bool,
    pub(super) version: i64,
    pub(super) draft: Value,
    pub(super) saved_by: String,
    pub(super) saved_at: OffsetDateTime,
    pub(super) published_version: Option<i64>,
    pub(super) published: Option<Value>,
    pub(super) publish_at: Option<OffsetDateTime>,
    pub(super) publish_version: Option<i64>,
    pub(super) unpublish_at: Option<OffsetDateTime>,
    pub(super) deleted_at: Option<OffsetDateTime>,
}

/// Which sections are read. What is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) id: Option<SectionId>,
    pub(super) page: Option<&'a str>,
    pub(super) locale: Option<&'a str>,
    /// Whether deleted sections are read instead of the others.
    pub(super) deleted: bool,
}

/// Reads sections in the order of pages, languages and positions, at most [`MAX_SECTIONS`].
pub(super) async fn list(db: &mut PgConnection, filter: Filter<'_>) -> sqlx::Result<Vec<SectionRow>> {
    sqlx::query_as!(
        SectionRow,
        r#"SELECT s.id AS "id: SectionId", s.group_id, s.page, s.locale, s.kind, s.position, s.visible, s.version,
                  s.draft, s.saved_by, s.saved_at, s.published_version,
                  (SELECT v.content FROM section_version v WHERE v.section_id = s.id AND v.version = s.published_version
                   ORDER BY v.id DESC LIMIT 1) AS published,
                  s.publish_at, s.publish_version, s.unpublish_at, s.deleted_at
           FROM page_section s
           WHERE ($1::bigint IS NULL OR s.id = $1) AND ($2::text IS NULL OR s.page = $2)
             AND ($3::text IS NULL OR s.locale = $3) AND (s.deleted_at IS NOT NULL) = $4
           ORDER BY array_position(ARRAY['landing', 'rules', 'privacy', 'terms', 'contact'], s.page), s.locale DESC,
                    s.position, s.deleted_at DESC, s.id LIMIT $5"#,
        filter.id as Option<SectionId>,
        filter.page,
        filter.locale,
        filter.deleted,
        MAX_SECTIONS
    )
    .fetch_all(db)
    .await
}

/// Locks a section until the transaction ends.
pub(super) async fn lock(tx: &mut PgConnection, id: SectionId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM page_section WHERE id = $1 FOR UPDATE", id as SectionId).fetch_optional(tx).await?;
    Ok(())
}

/// Returns the sections of a page in a language as id, group and position, in order.
pub(super) async fn order(
    tx: &mut PgConnection,
    page: &str,
    locale: &str,
) -> sqlx::Result<Vec<(SectionId, Uuid, i32)>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: SectionId", group_id, position AS "position!" FROM page_section
           WHERE page = $1 AND locale = $2 AND deleted_at IS NULL ORDER BY position"#,
        page,
        locale
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.group_id, row.position)).collect())
}

/// Numbers sections in the given order: 10, 20, …
pub(super) async fn set_order(tx: &mut PgConnection, ids: &[SectionId]) -> sqlx::Result<()> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE page_section s SET position = (listed.number * 10)::int
         FROM unnest($1::bigint[]) WITH ORDINALITY AS listed (id, number) WHERE s.id = listed.id",
        &ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a new row of a section has.
pub(super) struct NewRow<'a> {
    pub(super) group: Uuid,
    pub(super) page: &'a str,
    pub(super) locale: &'a str,
    pub(super) kind: &'a str,
    pub(super) draft: &'a Value,
    pub(super) by: &'a str,
    pub(super) now: OffsetDateTime,
}

/// Adds a section as a draft, behind all others.
pub(super) async fn insert(tx: &mut PgConnection, new: &NewRow<'_>) -> sqlx::Result<SectionId> {
    sqlx::query_scalar!(
        r#"INSERT INTO page_section (group_id, page, locale, kind, draft, saved_by, saved_at, position)
           SELECT $1, $2, $3, $4, $5, $6, $7,
                  (SELECT coalesce(max(position), 0) + 10 FROM page_section WHERE page = $2 AND locale = $3)
           RETURNING id AS "id: SectionId""#,
        new.group,
        new.page,
        new.locale,
        new.kind,
        new.draft,
        new.by,
        new.now
    )
    .fetch_one(tx)
    .await
}

/// Returns a group's page, kind and languages. Empty if it does not exist.
pub(super) async fn group(tx: &mut PgConnection, group: Uuid) -> sqlx::Result<Vec<(String, String, String)>> {
    let rows = sqlx::query!(
        "SELECT page, kind, locale FROM page_section WHERE group_id = $1 AND deleted_at IS NULL ORDER BY locale LIMIT 50",
        group
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.page, row.kind, row.locale)).collect())
}

/// Stores a change of a section. Each save is a new version.
pub(super) async fn save(
    tx: &mut PgConnection,
    id: SectionId,
    draft: &Value,
    visible: bool,
    by: &str,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section SET draft = $2, visible = $3, saved_by = $4, saved_at = $5, version = version + 1
         WHERE id = $1",
        id as SectionId,
        draft,
        visible,
        by,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An entry of a section's history, to be added.
pub(super) struct NewVersion<'a> {
    pub(super) section: SectionId,
    pub(super) version: i64,
    pub(super) kind: &'a str,
    pub(super) content: &'a Value,
    pub(super) note: Option<&'a str>,
    pub(super) by: &'a str,
    pub(super) at: OffsetDateTime,
}

/// Adds an entry to a section's history.
pub(super) async fn add_version(tx: &mut PgConnection, new: &NewVersion<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO section_version (section_id, version, kind, content, note, by, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.section as SectionId,
        new.version,
        new.kind,
        new.content,
        new.note,
        new.by,
        new.at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Sets which version visitors see, and ends the schedule that this was about.
pub(super) async fn set_published(tx: &mut PgConnection, id: SectionId, version: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section SET published_version = $2, publish_at = NULL, publish_version = NULL,
             publish_content = NULL, publish_note = NULL, publish_by = NULL WHERE id = $1",
        id as SectionId,
        version
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a section back from visitors, and ends the schedule that this was about.
pub(super) async fn clear_published(tx: &mut PgConnection, id: SectionId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section SET published_version = NULL, unpublish_at = NULL, unpublish_by = NULL WHERE id = $1",
        id as SectionId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Schedules the publish of a section's draft as it is now.
pub(super) async fn schedule_publish(
    tx: &mut PgConnection,
    id: SectionId,
    at: OffsetDateTime,
    note: Option<&str>,
    by: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section SET publish_at = $2, publish_version = version, publish_content = draft, publish_note = $3,
             publish_by = $4 WHERE id = $1",
        id as SectionId,
        at,
        note,
        by
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Schedules that a section is taken back from visitors.
pub(super) async fn schedule_unpublish(
    tx: &mut PgConnection,
    id: SectionId,
    at: OffsetDateTime,
    by: &str,
) -> sqlx::Result<()> {
    sqlx::query!("UPDATE page_section SET unpublish_at = $2, unpublish_by = $3 WHERE id = $1", id as SectionId, at, by)
        .execute(tx)
        .await?;
    Ok(())
}

/// Ends all schedules of a section.
pub(super) async fn clear_schedules(tx: &mut PgConnection, id: SectionId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section SET publish_at = NULL, publish_version = NULL, publish_content = NULL, publish_note = NULL,
             publish_by = NULL, unpublish_at = NULL, unpublish_by = NULL WHERE id = $1",
        id as SectionId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks a section as deleted. It loses its position and its schedules.
pub(super) async fn mark_deleted(tx: &mut PgConnection, id: SectionId, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("UPDATE page_section SET deleted_at = $2, position = NULL WHERE id = $1", id as SectionId, now)
        .execute(tx)
        .await?;
    Ok(())
}

/// Brings a deleted section back, behind all others.
pub(super) async fn unmark_deleted(tx: &mut PgConnection, id: SectionId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE page_section s SET deleted_at = NULL, position =
             (SELECT coalesce(max(o.position), 0) + 10 FROM page_section o WHERE o.page = s.page AND o.locale = s.locale)
         WHERE s.id = $1",
        id as SectionId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An entry of a section's history, as it is stored.
pub(super) struct VersionRow {
    pub(super) version: i64,
    pub(super) kind: String,
    pub(super) content: Value,
    pub(super) note: Option<String>,
    pub(super) by: String,
    pub(super) at: OffsetDateTime,
}

/// Reads the history of a section, newest first, at most [`MAX_VERSIONS_SHOWN`] entries.
pub(super) async fn versions(db: &mut PgConnection, id: SectionId) -> sqlx::Result<Vec<VersionRow>> {
    sqlx::query_as!(
        VersionRow,
        "SELECT version, kind, content, note, by, at FROM section_version WHERE section_id = $1 ORDER BY id DESC LIMIT $2",
        id as SectionId,
        MAX_VERSIONS_SHOWN
    )
    .fetch_all(db)
    .await
}

/// Returns the content of a version that was published or kept. `None` if there is none.
pub(super) async fn version(db: &mut PgConnection, id: SectionId, version: i64) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar!(
        "SELECT content FROM section_version WHERE section_id = $1 AND version = $2 ORDER BY id DESC LIMIT 1",
        id as SectionId,
        version
    )
    .fetch_optional(db)
    .await
}

/// Locks the version of the public content: who changes order, visibility or published content does
/// it one after the other.
pub(super) async fn lock_content(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT version FROM content_version FOR UPDATE").fetch_one(tx).await?;
    Ok(())
}

/// Raises the version of the public content.
pub(in crate::cms) async fn raise_content(tx: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("UPDATE content_version SET version = version + 1 RETURNING version").fetch_one(tx).await
}

/// A schedule that is due, with what is published then.
pub(super) struct DuePublish {
    pub(super) id: SectionId,
    pub(super) version: i64,
    pub(super) content: Value,
    pub(super) note: Option<String>,
    pub(super) by: String,
}

/// Locks one section whose publish is due, and reads what is published. Skips those that another
/// node works on.
pub(super) async fn due_publish(tx: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<Option<DuePublish>> {
    sqlx::query_as!(
        DuePublish,
        r#"SELECT id AS "id: SectionId", publish_version AS "version!", publish_content AS "content!",
                  publish_note AS note, publish_by AS "by!"
           FROM page_section WHERE publish_at <= $1 AND deleted_at IS NULL
           ORDER BY publish_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now
    )
    .fetch_optional(tx)
    .await
}

/// Locks one section whose end is due. Skips those that another node works on.
pub(super) async fn due_unpublish(tx: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<Option<SectionId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: SectionId" FROM page_section WHERE unpublish_at <= $1 AND deleted_at IS NULL
           ORDER BY unpublish_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now
    )
    .fetch_optional(tx)
    .await
}

/// Returns `true` if something scheduled is due.
pub(super) async fn is_due(db: &PgPool, now: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM page_section WHERE publish_at <= $1 AND deleted_at IS NULL)
               OR EXISTS (SELECT 1 FROM page_section WHERE unpublish_at <= $1 AND deleted_at IS NULL) AS "due!""#,
        now
    )
    .fetch_one(db)
    .await
}

/// Deletes the sections that were marked as deleted before a time, with their history.
pub(super) async fn sweep(db: &PgPool, before: OffsetDateTime, most: i64) -> sqlx::Result<u64> {
    let swept = sqlx::query!(
        "DELETE FROM page_section WHERE id IN
             (SELECT id FROM page_section WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2)",
        before,
        most
    )
    .execute(db)
    .await?;
    Ok(swept.rows_affected())
}
