//! Accounts: all its SQL.
use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Ban, Change};
use super::{Alias, Locale, Visitor};
use crate::faults::{self, Fault};

/// Visitors by their inner ids.
pub(super) async fn visitors(db: &PgPool, ids: Vec<i64>) -> Result<HashMap<i64, Visitor>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT v.id, v.public_id, v.color, v.animal, v.name, v.locale, v.settings, v.rules_accepted,
                  restriction.kind = 'ban' AS banned, restriction.until, restriction.ends_in_ms, restriction.reason
           FROM visitor v LEFT JOIN LATERAL active_restriction(v.id, NULL) restriction ON true WHERE v.id = ANY($1)"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    let visitors = rows.into_iter().map(|row| Visitor {
        id: row.id,
        public_id: row.public_id,
        alias: Alias { color: row.color, animal: row.animal },
        name: row.name,
        locale: Locale::of_tag(&row.locale).unwrap_or_default(),
        settings: object(row.settings),
        rules_accepted: row.rules_accepted,
        ban: row.banned.unwrap_or_default().then(|| Ban {
            until: row.until,
            after: row.ends_in_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            reason: row.reason.unwrap_or_default(),
        }),
    });
    Ok(visitors.map(|visitor| (visitor.id, visitor)).collect())
}

/// Makes a visitor.
pub(super) async fn make_visitor(db: &PgPool, alias: &Alias, locale: Locale) -> Result<Visitor, sqlx::Error> {
    let public_id = Uuid::new_v4();
    let id = sqlx::query_scalar!(
        "INSERT INTO visitor (public_id, color, animal, locale) VALUES ($1, $2, $3, $4) RETURNING id",
        public_id,
        alias.color,
        alias.animal,
        locale.tag()
    )
    .fetch_one(db)
    .await?;
    let alias = alias.clone();
    Ok(Visitor { id, public_id, alias, name: None, locale, settings: Map::new(), rules_accepted: None, ban: None })
}

/// Writes a checked change.
pub(super) async fn change(db: &PgPool, id: i64, change: &Change) -> Result<(), sqlx::Error> {
    let name_given = change.name.is_some();
    sqlx::query!(
        "UPDATE visitor SET
            name = CASE WHEN $2 THEN $3 ELSE name END,
            locale = coalesce($4, locale),
            settings = coalesce($5, settings),
            rules_accepted = coalesce($6, rules_accepted),
            rules_at = CASE WHEN $6::text IS NULL THEN rules_at ELSE now() END,
            last_used_at = now()
         WHERE id = $1",
        id,
        name_given,
        change.name.clone().flatten(),
        change.locale.map(Locale::tag),
        change.settings.clone().map(Value::Object),
        change.rules,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that visitors were active, but those of whom that was noted within `every`, or whose row is in use.
pub(super) async fn touch(db: &PgPool, ids: &[i64], every: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE visitor SET last_used_at = now() WHERE id IN (
            SELECT id FROM visitor WHERE id = ANY($1) AND last_used_at < now() - make_interval(secs => $2)
            FOR UPDATE SKIP LOCKED)",
        ids,
        every.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks visitors' rows against deletion until the transaction ends.
pub(super) async fn keep(tx: &mut PgConnection, visitors: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT id FROM visitor WHERE id = ANY($1) ORDER BY id FOR KEY SHARE", visitors).fetch_all(tx).await?;
    Ok(())
}

/// Deletes silent sessions, then visitors without one that left nothing behind; a day for those that never did anything.
pub(super) async fn sweep(db: &PgPool) -> Result<u64, sqlx::Error> {
    sqlx::query!("DELETE FROM session WHERE expires_at < now()").execute(db).await?;
    let swept = sqlx::query!(
        "DELETE FROM visitor WHERE id IN (
            SELECT v.id FROM visitor v
            WHERE v.last_used_at < now() - interval '1 day'
              AND (v.rules_accepted IS NULL AND v.name IS NULL
                   OR NOT EXISTS (SELECT 1 FROM session s WHERE s.visitor_id = v.id))
              AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.visitor_id = v.id)
              AND NOT EXISTS (SELECT 1 FROM random_session r WHERE r.a = v.id OR r.b = v.id)
              AND NOT EXISTS (SELECT 1 FROM sanction s WHERE s.visitor_id = v.id)
            ORDER BY v.last_used_at LIMIT 5000 FOR UPDATE SKIP LOCKED)"
    )
    .execute(db)
    .await?;
    Ok(swept.rows_affected())
}

/// What a session is found by: its identifier is not stored.
pub(super) type IdHash = [u8; 32];

/// A session's record as it is stored.
#[derive(Clone)]
pub(super) struct StoredSession {
    pub data: Value,
    pub expires_at: OffsetDateTime,
}

/// A session's record about to be stored. It expires after the silence, by the database's clock.
pub(super) struct NewSession {
    pub visitor: Option<i64>,
    pub data: Value,
    pub silence: time::Duration,
}

/// Writes a new session. False: the id is taken.
pub(super) async fn create_session(db: &PgPool, id_hash: &[u8], new: &NewSession) -> Result<bool, sqlx::Error> {
    let made = sqlx::query!(
        "INSERT INTO session (id_hash, visitor_id, data, expires_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         ON CONFLICT DO NOTHING",
        id_hash,
        new.visitor,
        new.data,
        new.silence.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Saves a session that exists; one that was deleted meanwhile is never revived.
pub(super) async fn save_session(db: &PgPool, id_hash: &[u8], new: &NewSession) -> Result<bool, sqlx::Error> {
    if faults::on(Fault::LateSaveRevives) {
        return create_session(db, id_hash, new).await;
    }
    let saved = sqlx::query!(
        "UPDATE session SET visitor_id = $2, data = $3, expires_at = now() + make_interval(secs => $4),
            last_used_at = now() WHERE id_hash = $1",
        id_hash,
        new.visitor,
        new.data,
        new.silence.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(saved.rows_affected() == 1)
}

/// Reads sessions that have not expired. Their use pushes the end out, written at most once an hour.
pub(super) async fn load_sessions(
    db: &PgPool,
    hashes: Vec<IdHash>,
    silence: time::Duration,
) -> Result<HashMap<IdHash, StoredSession>, sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    let rows = sqlx::query!(
        r#"SELECT id_hash, data, expires_at, last_used_at < now() - interval '1 hour' AS "stale!"
           FROM session WHERE id_hash = ANY($1) AND expires_at > now()"#,
        &hashes as &[&[u8]]
    )
    .fetch_all(db)
    .await?;
    let stale: Vec<&[u8]> = rows.iter().filter(|row| row.stale).map(|row| &row.id_hash[..]).collect();
    if !stale.is_empty() {
        sqlx::query!(
            "UPDATE session SET last_used_at = now(), expires_at = now() + make_interval(secs => $2)
             WHERE id_hash IN (SELECT id_hash FROM session WHERE id_hash = ANY($1) FOR UPDATE SKIP LOCKED)",
            &stale as &[&[u8]],
            silence.as_seconds_f64()
        )
        .execute(db)
        .await?;
    }
    let session = |data, expires_at| StoredSession { data, expires_at };
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.id_hash.try_into().ok()?, session(row.data, row.expires_at))))
        .collect())
}

/// Which of these sessions have ended, by their places from 1: deleted, expired, or held by another visitor by now. Written
/// so that each is looked up by its key: a join would read the whole table, which may hold millions.
pub(super) async fn ended_sessions(db: &PgPool, hashes: &[IdHash], visitors: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    sqlx::query_scalar!(
        r#"SELECT asked.nth AS "nth!"
           FROM UNNEST($1::bytea[], $2::bigint[]) WITH ORDINALITY AS asked(id_hash, visitor, nth)
           WHERE asked.visitor IS DISTINCT FROM (SELECT s.visitor_id FROM session s
                                                 WHERE s.id_hash = asked.id_hash AND s.expires_at > now())"#,
        &hashes as &[&[u8]],
        visitors
    )
    .fetch_all(db)
    .await
}

/// Writes which visitors have a socket on a node.
pub(super) async fn write_present(db: &PgPool, node: Uuid, visitors: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO node_visitors (node, visitors, seen_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT ON CONSTRAINT node_visitors_pk DO UPDATE SET visitors = excluded.visitors, seen_at = excluded.seen_at",
        node,
        visitors
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a node that stops, and those that died long ago.
pub(super) async fn forget_present(db: &PgPool, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM node_visitors WHERE node = $1 OR seen_at < now() - interval '1 hour'", node)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes a session.
pub(super) async fn delete_session(db: &PgPool, id_hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM session WHERE id_hash = $1", id_hash).execute(db).await?;
    Ok(())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
