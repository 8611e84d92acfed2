//! People for staff: all their SQL.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{
    Cursor, ListedPerson, LiveSession, Person, PersonAccount, PersonSession, Search, Sort, alias_of, prefix_hash_of,
};
use crate::accounts::limits::{ENDED_SESSION_SHOWN, SIGNED_IN_IDLE_TIMEOUT};
use crate::accounts::{Alias, EndReason, Role};
use crate::ids::{AccountId, VisitorId};

/// Visitors that a search finds by one criterion at most.
const MAX_FOUND: i64 = 1_000;

/// Returns people in order, after a cursor.
pub(super) async fn search(
    db: &PgPool,
    search: &Search<'_>,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<ListedPerson>, sqlx::Error> {
    let words = search.words.trim();
    let handle = words.trim_start_matches('@').to_lowercase();
    let pattern = format!("{}%", handle.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    let alias = alias_of(words);
    let hash = prefix_hash_of(words);
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT a.visitor_id AS id FROM account a WHERE $1 = '' OR a.handle LIKE $2
               UNION SELECT a.visitor_id FROM account a WHERE a.public_id = $3
               UNION SELECT v.id FROM visitor v WHERE v.public_id = $3
               UNION (SELECT v.id FROM visitor v WHERE lower(v.name) = lower($1) LIMIT $12)
               UNION (SELECT v.id FROM visitor v WHERE $4::text IS NOT NULL AND v.color = $4 AND v.animal = $5
                      AND v.last_used_at > now() - interval '1 day' ORDER BY v.last_used_at DESC LIMIT $12)
               UNION (SELECT a.visitor_id FROM audit_log l JOIN account a ON a.public_id = l.actor
                      WHERE $6::bytea IS NOT NULL AND l.prefix_hash = $6 LIMIT $12))
           SELECT v.public_id, v.color, v.animal, v.name, v.created_at, v.last_used_at, a.handle AS "handle?",
                  a.role AS "role?", coalesce(a.status = 'deactivated', false) AS "is_deactivated!",
                  a.totp_confirmed_at IS NOT NULL AS "has_second_factor!",
                  EXISTS (SELECT 1 FROM live_session s WHERE s.account_id = a.id) AS "is_signed_in!",
                  EXISTS (SELECT 1 FROM active_restriction(v.id, NULL) r WHERE r.kind = 'ban') AS "is_banned!"
           FROM found JOIN visitor v ON v.id = found.id LEFT JOIN account a ON a.visitor_id = v.id
           WHERE ($7 = '' OR a.role = $7) AND (NOT $8 OR a.id IS NULL)
             AND CASE WHEN $10::uuid IS NULL THEN true
                      WHEN $9 = 'handle' THEN (coalesce(a.handle, '~'), v.public_id) > ($11, $10)
                      WHEN $9 = 'newest' THEN (v.created_at, v.public_id) < ($13, $10)
                      ELSE (v.last_used_at, v.public_id) < ($13, $10) END
           ORDER BY CASE WHEN $9 = 'handle' THEN coalesce(a.handle, '~') END,
                    CASE $9 WHEN 'newest' THEN v.created_at WHEN 'active' THEN v.last_used_at END DESC,
                    CASE WHEN $9 = 'handle' THEN v.public_id END, v.public_id DESC
           LIMIT $14"#,
        words,
        pattern,
        words.parse::<Uuid>().ok(),
        alias.as_ref().map(|alias| alias.color.as_str()),
        alias.as_ref().map(|alias| alias.animal.as_str()),
        hash,
        search.role.map_or("", Role::as_str),
        search.guests,
        search.sort.as_str(),
        after.map(|cursor| cursor.id),
        after.map_or("", |cursor| cursor.key.as_str()),
        MAX_FOUND,
        after.and_then(Cursor::time).filter(|_| search.sort != Sort::Handle),
        limit
    )
    .fetch_all(db)
    .await?;
    let people = rows.into_iter().map(|row| ListedPerson {
        id: row.public_id,
        alias: Alias { color: row.color, animal: row.animal },
        name: row.name,
        handle: row.handle,
        role: row.role.as_deref().and_then(Role::of_str),
        is_deactivated: row.is_deactivated,
        has_second_factor: row.has_second_factor,
        is_signed_in: row.is_signed_in,
        is_banned: row.is_banned,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
    });
    Ok(people.collect())
}

/// Returns a person by the public id of the visitor or of the account.
pub(super) async fn find(db: &PgPool, id: Uuid) -> Result<Option<Person>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT v.id AS "visitor: VisitorId", v.public_id, v.color, v.animal, v.name, v.created_at, v.last_used_at,
                  a.id AS "account?: AccountId", a.public_id AS "account_id?", a.handle AS "handle?", a.role AS "role?",
                  coalesce(a.status = 'deactivated', false) AS "is_deactivated!", a.password IS NOT NULL AS "has_password!",
                  a.totp_confirmed_at IS NOT NULL AS "has_second_factor!", a.created_at AS "account_created_at?",
                  a.delete_after
           FROM visitor v LEFT JOIN account a ON a.visitor_id = v.id
           WHERE v.public_id = $1 OR v.id = (SELECT visitor_id FROM account WHERE public_id = $1)
           ORDER BY v.public_id = $1 DESC LIMIT 1"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Person {
        visitor: row.visitor,
        id: row.public_id,
        alias: Alias { color: row.color, animal: row.animal },
        name: row.name,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        account: match (row.account, row.account_id, row.handle, row.role, row.account_created_at) {
            (Some(id), Some(public_id), Some(handle), Some(role), Some(created_at)) => Some(PersonAccount {
                id,
                public_id,
                handle,
                role: Role::of_str(&role).unwrap_or(Role::Member),
                is_deactivated: row.is_deactivated,
                has_password: row.has_password,
                has_second_factor: row.has_second_factor,
                created_at,
                delete_after: row.delete_after,
            }),
            _ => None,
        },
    }))
}

/// Returns the sessions of an account, the newest first: the live one, and those that ended lately.
pub(super) async fn sessions_of(db: &PgPool, account: AccountId) -> Result<Vec<PersonSession>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT s.public_id AS "id!", s.device, s.signed_in_at AS "signed_in_at!", s.idle_until AS "idle_until!",
                  CASE WHEN live.id_hash IS NULL THEN coalesce(s.ended_at, least(s.idle_until, s.ends_at)) END AS ended_at,
                  CASE WHEN live.id_hash IS NULL THEN coalesce(s.end_reason, 'expired') END AS reason
           FROM session s LEFT JOIN live_session live ON live.id_hash = s.id_hash
           WHERE s.account_id = $1 AND (live.id_hash IS NOT NULL
              OR coalesce(s.ended_at, least(s.idle_until, s.ends_at)) > now() - make_interval(secs => $2))
           ORDER BY s.signed_in_at DESC LIMIT 100"#,
        account as AccountId,
        ENDED_SESSION_SHOWN.as_seconds_f64()
    )
    .fetch_all(db)
    .await?;
    let sessions = rows.into_iter().map(|row| PersonSession {
        id: row.id,
        device: row.device,
        signed_in_at: row.signed_in_at,
        last_used_at: row.idle_until - SIGNED_IN_IDLE_TIMEOUT,
        ended_at: row.ended_at,
        reason: row.reason.as_deref().and_then(EndReason::of_str),
    });
    Ok(sessions.collect())
}

/// Returns the live sessions of all accounts after a cursor, the newest sign-in first.
pub(super) async fn live_sessions(
    db: &PgPool,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<LiveSession>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT s.public_id AS "id!", v.public_id AS "person!", a.handle, a.role, s.device,
                  s.signed_in_at AS "signed_in_at!", s.idle_until AS "idle_until!"
           FROM live_session s JOIN account a ON a.id = s.account_id JOIN visitor v ON v.id = a.visitor_id
           WHERE $1::timestamptz IS NULL OR (s.signed_in_at, s.public_id) < ($1, $2)
           ORDER BY s.signed_in_at DESC, s.public_id DESC LIMIT $3"#,
        after.and_then(Cursor::time) as Option<OffsetDateTime>,
        after.map(|cursor| cursor.id),
        limit
    )
    .fetch_all(db)
    .await?;
    let sessions = rows.into_iter().map(|row| LiveSession {
        id: row.id,
        person: row.person,
        handle: row.handle,
        role: Role::of_str(&row.role).unwrap_or(Role::Member),
        device: row.device,
        signed_in_at: row.signed_in_at,
        last_used_at: row.idle_until - SIGNED_IN_IDLE_TIMEOUT,
    });
    Ok(sessions.collect())
}

/// Counts the live sessions of all accounts.
pub(super) async fn count_live_sessions(db: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM live_session WHERE account_id IS NOT NULL"#).fetch_one(db).await
}

/// Returns the public id of the account whose live session this is.
pub(super) async fn owner_of_session(db: &PgPool, session: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT a.public_id FROM live_session s JOIN account a ON a.id = s.account_id WHERE s.public_id = $1",
        session
    )
    .fetch_optional(db)
    .await
}

/// Counts the administrators who can sign in.
pub(super) async fn count_active_admins(tx: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM account WHERE role = 'admin' AND status = 'active'"#)
        .fetch_one(tx)
        .await
}
