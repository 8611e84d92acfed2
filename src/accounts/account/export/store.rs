//! The export of a visitor's data: all its SQL. Every read has a limit, and goes on after the row
//! before.
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids::{AccountId, RoomId, Seq, SessionEpoch, VisitorId};

/// Returns `true` as long as the session that asked for the export is live.
pub(super) async fn is_live(db: &PgPool, account: AccountId, epoch: SessionEpoch) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT true FROM account WHERE id = $1 AND session_epoch = $2 AND status = 'active'",
        account as AccountId,
        epoch as SessionEpoch
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// A session of an account.
pub(super) struct SessionRow {
    pub device: Option<String>,
    pub signed_in_at: Option<OffsetDateTime>,
    pub last_used_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    pub end_reason: Option<String>,
}

/// Returns the newest sessions of an account.
pub(super) async fn sessions(db: &PgPool, account: AccountId, limit: i64) -> Result<Vec<SessionRow>, sqlx::Error> {
    sqlx::query_as!(
        SessionRow,
        "SELECT device, signed_in_at, last_used_at, ended_at, end_reason FROM session WHERE account_id = $1
         ORDER BY created_at DESC LIMIT $2",
        account as AccountId,
        limit
    )
    .fetch_all(db)
    .await
}

/// A membership.
pub(super) struct RoomRow {
    pub id: RoomId,
    pub public_id: Uuid,
    pub kind: String,
    pub title: Option<String>,
    pub name: String,
    pub role: String,
    pub joined_at: OffsetDateTime,
    pub left_at: Option<OffsetDateTime>,
    pub head: Seq,
}

/// Returns the visitor's memberships in rooms after `after`.
pub(super) async fn rooms(
    db: &PgPool,
    visitor: VisitorId,
    after: RoomId,
    limit: i64,
) -> Result<Vec<RoomRow>, sqlx::Error> {
    sqlx::query_as!(
        RoomRow,
        r#"SELECT r.id AS "id: RoomId", r.public_id, r.kind, r.title, m.name, m.role, m.joined_at, m.left_at,
                  h.seq AS "head: Seq"
           FROM membership m JOIN chat_room r ON r.id = m.room_id JOIN room_head h ON h.room_id = r.id
           WHERE m.visitor_id = $1 AND m.room_id > $2 ORDER BY m.room_id LIMIT $3"#,
        visitor as VisitorId,
        after as RoomId,
        limit
    )
    .fetch_all(db)
    .await
}

/// Returns when the visitor has blocked others, each with the inner id that the next page follows.
pub(super) async fn blocks(
    db: &PgPool,
    visitor: VisitorId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, OffsetDateTime)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT other AS "other!", created_at FROM (
               SELECT CASE WHEN low = $1 THEN high ELSE low END AS other, created_at FROM visitor_block
               WHERE (low = $1 OR high = $1) AND blocker_id = $1) own
           WHERE other > $2 ORDER BY other LIMIT $3"#,
        visitor as VisitorId,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.other, row.created_at)).collect())
}

/// A report that the visitor has made.
pub(super) struct ReportRow {
    pub id: i64,
    pub public_id: Uuid,
    pub room: Option<Uuid>,
    pub reason: String,
    pub note: Option<String>,
    pub created_at: OffsetDateTime,
}

/// Returns the reports that the visitor has made after the one of inner id `after`.
pub(super) async fn reports(
    db: &PgPool,
    visitor: VisitorId,
    after: i64,
    limit: i64,
) -> Result<Vec<ReportRow>, sqlx::Error> {
    sqlx::query_as!(
        ReportRow,
        r#"SELECT p.id, p.public_id, r.public_id AS "room?", p.reason, p.note, p.created_at
           FROM report p LEFT JOIN chat_room r ON r.id = p.room_id
           WHERE p.public_id IN (SELECT s.report_id FROM report_subject s WHERE s.reporter_id = $1)
             AND p.id > $2 ORDER BY p.id LIMIT $3"#,
        visitor as VisitorId,
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// A message that the visitor wrote.
pub(super) struct MessageRow {
    pub seq: Seq,
    pub created_at: OffsetDateTime,
    pub payload: Value,
    pub reply_to: Option<i64>,
    pub edited_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
}

/// Returns the visitor's own messages among the entries of a room after `after`, up to and including
/// `until`.
pub(super) async fn messages(
    db: &PgPool,
    room: RoomId,
    visitor: VisitorId,
    after: Seq,
    until: Seq,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    sqlx::query_as!(
        MessageRow,
        r#"SELECT seq AS "seq: Seq", created_at, payload, reply_to, edited_at, deleted_at FROM message
           WHERE room_id = $1 AND seq > $3 AND seq <= $4 AND sender_id = $2 ORDER BY seq"#,
        room as RoomId,
        visitor as VisitorId,
        after as Seq,
        until as Seq
    )
    .fetch_all(db)
    .await
}
