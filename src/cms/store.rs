//! The SQL of what the pages show.
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::limits::MAX_SECTIONS;

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

/// Returns the sections that name an image by its address: page, kind and language.
///
/// # Errors
/// The database's.
pub(super) async fn sections_with_image(db: &PgPool, image: Uuid) -> sqlx::Result<Vec<(String, String, String)>> {
    let rows = sqlx::query!(
        "SELECT page, kind, locale FROM page_section s
         WHERE deleted_at IS NULL AND (strpos(draft::text, $1) > 0 OR EXISTS (
             SELECT 1 FROM section_version v WHERE v.section_id = s.id AND v.version = s.published_version
                                               AND strpos(v.content::text, $1) > 0))
         ORDER BY page, locale, position LIMIT $2",
        image.to_string(),
        MAX_SECTIONS
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.page, row.kind, row.locale)).collect())
}
