//! Accounts: all its SQL.
use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::ENDED_SESSION_SHOWN;
use super::model::{Account, Ban, Change, NameChange, Role};
use super::rules::RulesInForce;
use super::{Alias, Locale, SessionTimes, Visitor};
use crate::db::fence;
use crate::faults::{self, Fault};
use crate::ids::{AccountId, SessionEpoch, VisitorId};

/// Reads the edition of the rules in force.
pub(super) async fn rules_edition(db: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!("SELECT version FROM rules_edition").fetch_one(db).await
}

/// Stores the edition of the rules in force.
pub(super) async fn set_rules_edition(tx: &mut PgConnection, version: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE rules_edition SET version = $1", version).execute(tx).await?;
    Ok(())
}

/// Loads visitors by their inner ids. A visitor that does not exist has no entry. The caller adds
/// the node's edition of the rules.
pub(super) async fn load_visitors(
    db: &PgPool,
    ids: Vec<VisitorId>,
) -> Result<HashMap<VisitorId, Visitor>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT v.id AS "id!: VisitorId", v.public_id AS "public_id!", v.color AS "color!", v.animal AS "animal!",
                  v.name, v.locale AS "locale!", v.settings AS "settings!", v.rules_accepted,
                  restriction.kind = 'ban' AS banned, restriction.until, restriction.ends_in_ms, restriction.reason,
                  a.id AS "account?: AccountId", a.public_id AS "account_public_id?", a.handle AS "handle?",
                  a.role AS "role?", a.session_epoch AS "epoch?: SessionEpoch"
           FROM visitor v LEFT JOIN account a ON a.visitor_id = v.id
           LEFT JOIN LATERAL active_restriction(v.id, NULL) restriction ON true WHERE v.id = ANY($1)"#,
        &ids as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    let visitors = rows.into_iter().map(|row| Visitor {
        id: row.id,
        public_id: row.public_id,
        alias: Alias { color: row.color, animal: row.animal },
        name: row.name,
        locale: Locale::of_tag(&row.locale).unwrap_or_default(),
        settings: object_or_empty(row.settings),
        rules_accepted: row.rules_accepted,
        rules: RulesInForce::default(),
        ban: row.banned.unwrap_or_default().then(|| Ban {
            until: row.until,
            ends_in: row.ends_in_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            reason: row.reason.unwrap_or_default(),
        }),
        account: match (row.account, row.account_public_id, row.handle, row.role, row.epoch) {
            (Some(id), Some(public_id), Some(handle), Some(role), Some(epoch)) => {
                Some(Account { id, public_id, handle, role: Role::of_str(&role).unwrap_or(Role::Member), epoch })
            }
            _ => None,
        },
        session: None,
    });
    Ok(visitors.map(|visitor| (visitor.id, visitor)).collect())
}

/// Stores a new visitor and returns it.
pub(super) async fn insert_visitor(db: &PgPool, alias: &Alias, locale: Locale) -> Result<Visitor, sqlx::Error> {
    let public_id = Uuid::new_v4();
    let id = sqlx::query_scalar!(
        r#"INSERT INTO visitor (public_id, color, animal, locale) VALUES ($1, $2, $3, $4)
           RETURNING id AS "id: VisitorId""#,
        public_id,
        alias.color,
        alias.animal,
        locale.tag()
    )
    .fetch_one(db)
    .await?;
    let alias = alias.clone();
    Ok(Visitor {
        id,
        public_id,
        alias,
        name: None,
        locale,
        settings: Map::new(),
        rules_accepted: None,
        rules: RulesInForce::default(),
        ban: None,
        account: None,
        session: None,
    })
}

/// Writes a checked change.
pub(super) async fn update_visitor(db: &mut PgConnection, id: VisitorId, change: &Change) -> Result<(), sqlx::Error> {
    let (name_changes, name) = match &change.name {
        NameChange::Keep => (false, None),
        NameChange::UseAlias => (true, None),
        NameChange::Set(name) => (true, Some(name.as_str())),
    };
    sqlx::query!(
        "UPDATE visitor SET
            name = CASE WHEN $2 THEN $3 ELSE name END,
            locale = coalesce($4, locale),
            settings = coalesce($5, settings),
            rules_accepted = coalesce($6, rules_accepted),
            rules_at = CASE WHEN $6::text IS NULL THEN rules_at ELSE now() END,
            last_used_at = now()
         WHERE id = $1",
        id as VisitorId,
        name_changes,
        name,
        change.locale.map(Locale::tag),
        change.settings.clone().map(Value::Object),
        change.rules,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes that visitors were active now. Skips a visitor whose activity was written within
/// `interval`, or whose row is locked.
pub(super) async fn write_activity(db: &PgPool, ids: &[VisitorId], interval: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE visitor SET last_used_at = now() WHERE id IN (
            SELECT id FROM visitor WHERE id = ANY($1) AND last_used_at < now() - make_interval(secs => $2)
            FOR UPDATE SKIP LOCKED)",
        ids as &[VisitorId],
        interval.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks the visitors' rows against deletion until the transaction ends. Returns the epochs of those
/// that have an account: null for one that is deactivated.
pub(super) async fn lock_visitors(
    tx: &mut PgConnection,
    visitors: &[VisitorId],
) -> Result<HashMap<VisitorId, Option<SessionEpoch>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT v.id AS "id!: VisitorId", a.visitor_id IS NOT NULL AS "has_account!",
                  CASE WHEN a.status = 'active' THEN a.session_epoch END AS "epoch?: SessionEpoch"
           FROM visitor v LEFT JOIN account a ON a.visitor_id = v.id
           WHERE v.id = ANY($1) ORDER BY v.id FOR KEY SHARE OF v"#,
        visitors as &[VisitorId]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().filter(|row| row.has_account).map(|row| (row.id, row.epoch)).collect())
}

/// Why a visitor must not write.
pub(super) struct WriteRefusal {
    pub ended: bool,
    pub banned: bool,
    /// How long the ban lasts. `None` if it has no end, or there is none.
    pub ends_in: Option<Duration>,
}

/// Returns why a visitor must not write with a session of this epoch. It cannot change before the
/// transaction ends.
pub(super) async fn write_refusal(
    tx: &mut PgConnection,
    visitor: VisitorId,
    epoch: Option<SessionEpoch>,
) -> Result<WriteRefusal, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT ended AS "ended!", banned AS "banned!", ends_in_ms FROM write_refusal($1, $2, $3)"#,
        fence::LOCK_KEY,
        visitor as VisitorId,
        epoch as Option<SessionEpoch>
    )
    .fetch_one(tx)
    .await?;
    let ends_in = row.ends_in_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    Ok(WriteRefusal { ended: row.ended, banned: row.banned, ends_in })
}

/// Deletes expired sessions and those that ended long ago, then visitors that left nothing behind and were inactive for
/// `lifetime`. Returns how many visitors were deleted.
///
/// A visitor who chose a name or accepted the rules is kept as long as a session of theirs exists.
pub(super) async fn sweep(db: &PgPool, lifetime: time::Duration, limit: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "DELETE FROM session WHERE expires_at < now() OR account_id IS NOT NULL
            AND coalesce(ended_at, least(idle_until, ends_at)) < now() - make_interval(secs => $1)",
        ENDED_SESSION_SHOWN.as_seconds_f64()
    )
    .execute(db)
    .await?;
    let swept = sqlx::query!(
        "DELETE FROM visitor WHERE id IN (
            SELECT v.id FROM visitor v
            WHERE v.last_used_at < now() - make_interval(secs => $1)
              AND (v.rules_accepted IS NULL AND v.name IS NULL
                   OR NOT EXISTS (SELECT 1 FROM session s WHERE s.visitor_id = v.id))
              AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.visitor_id = v.id)
              AND NOT EXISTS (SELECT 1 FROM random_session r WHERE r.a = v.id OR r.b = v.id)
              AND NOT EXISTS (SELECT 1 FROM sanction s WHERE s.visitor_id = v.id)
              AND NOT EXISTS (SELECT 1 FROM account a WHERE a.visitor_id = v.id)
            ORDER BY v.last_used_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        lifetime.as_seconds_f64(),
        limit
    )
    .execute(db)
    .await?;
    Ok(swept.rows_affected())
}

/// The SHA-256 hash of a session's identifier. The identifier itself is not stored.
pub(super) type SessionHash = [u8; 32];

/// A session as it was read.
#[derive(Clone)]
pub(super) struct StoredSession {
    pub data: Value,
    pub expires_at: OffsetDateTime,
    /// The sign-in that completed it. `None` for a guest's.
    pub signed_in: Option<SignedIn>,
}

/// What a signed-in session is bound to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SignedIn {
    pub public_id: Uuid,
    pub account: i64,
    pub epoch: i64,
    /// It ends at the earlier of both.
    #[serde(with = "time::serde::timestamp::milliseconds")]
    pub idle_until: OffsetDateTime,
    #[serde(with = "time::serde::timestamp::milliseconds")]
    pub ends_at: OffsetDateTime,
}

impl SignedIn {
    /// Returns when it ends.
    pub(super) fn times(&self) -> SessionTimes {
        SessionTimes { idle_until: self.idle_until, ends_at: self.ends_at }
    }
}

/// The columns of a session about to be written.
pub(super) struct SessionRow {
    pub visitor: Option<VisitorId>,
    pub data: Value,
    /// The session expires after this long without use, by the database's clock.
    pub idle_timeout: time::Duration,
}

/// Writes a new session. Returns `false` if the id is taken.
pub(super) async fn create_session(db: &PgPool, id_hash: &[u8], row: &SessionRow) -> Result<bool, sqlx::Error> {
    let made = sqlx::query!(
        "INSERT INTO session (id_hash, visitor_id, data, expires_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         ON CONFLICT DO NOTHING",
        id_hash,
        row.visitor as Option<VisitorId>,
        row.data,
        row.idle_timeout.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Saves a session that exists. Returns `false` if it was deleted meanwhile: it is never revived.
pub(super) async fn save_session(db: &PgPool, id_hash: &[u8], row: &SessionRow) -> Result<bool, sqlx::Error> {
    if faults::on(Fault::LateSaveRevives) {
        return create_session(db, id_hash, row).await;
    }
    let saved = sqlx::query!(
        "UPDATE session SET visitor_id = $2, data = $3, expires_at = now() + make_interval(secs => $4),
            last_used_at = now() WHERE id_hash = $1",
        id_hash,
        row.visitor as Option<VisitorId>,
        row.data,
        row.idle_timeout.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(saved.rows_affected() == 1)
}

/// Reads sessions that are live. The read counts as use and moves their expiry on; that is
/// written once an hour at most.
pub(super) async fn load_sessions(
    db: &PgPool,
    hashes: Vec<SessionHash>,
    idle_timeout: time::Duration,
) -> Result<HashMap<SessionHash, StoredSession>, sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    let rows = sqlx::query!(
        r#"SELECT id_hash AS "id_hash!", data AS "data!", expires_at AS "expires_at!",
                  last_used_at < now() - interval '1 hour' AS "stale!", public_id, account_id, epoch, idle_until, ends_at
           FROM live_session WHERE id_hash = ANY($1)"#,
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
            idle_timeout.as_seconds_f64()
        )
        .execute(db)
        .await?;
    }
    let sessions = rows.into_iter().filter_map(|row| {
        let signed_in = match (row.public_id, row.account_id, row.epoch, row.idle_until, row.ends_at) {
            (Some(public_id), Some(account), Some(epoch), Some(idle_until), Some(ends_at)) => {
                Some(SignedIn { public_id, account, epoch, idle_until, ends_at })
            }
            _ => None,
        };
        let session = StoredSession { data: row.data, expires_at: row.expires_at, signed_in };
        Some((row.id_hash.try_into().ok()?, session))
    });
    Ok(sessions.collect())
}

/// Writes which visitors have a socket on a node.
pub(super) async fn write_presence(db: &PgPool, node: Uuid, visitors: &[VisitorId]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO node_visitors (node, visitors, seen_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT ON CONSTRAINT node_visitors_pk DO UPDATE SET visitors = excluded.visitors, seen_at = excluded.seen_at",
        node,
        visitors as &[VisitorId]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the number of visitors with an open socket on any node. A node that does not report its
/// visitors any more is not counted.
pub(super) async fn count_online(db: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(DISTINCT here.visitor) AS "online!"
           FROM node_visitors n CROSS JOIN LATERAL unnest(n.visitors) AS here(visitor)
           WHERE n.seen_at > now() - interval '10 seconds'"#
    )
    .fetch_one(db)
    .await
}

/// Deletes the row of a node that stops, and the rows of nodes that crashed more than an hour ago.
pub(super) async fn delete_presence(db: &PgPool, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM node_visitors WHERE node = $1 OR seen_at < now() - interval '1 hour'", node)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes a session. Of a signed-in one its record stays for the list of its owner, as one that has
/// ended.
pub(super) async fn delete_session(db: &PgPool, id_hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH deleted AS (DELETE FROM session WHERE id_hash = $1 AND account_id IS NULL)
         UPDATE session SET ended_at = least(statement_timestamp(), idle_until, ends_at), end_reason = 'signed_out'
         WHERE id_hash = $1 AND account_id IS NOT NULL AND ended_at IS NULL",
        id_hash
    )
    .execute(db)
    .await?;
    Ok(())
}

fn object_or_empty(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
