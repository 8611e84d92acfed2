//! Signed-in sessions: all their SQL.
use std::collections::HashMap;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Elsewhere, EndReason, Ended, SessionTimes};
use crate::accounts::limits::{ENDED_SESSION_SHOWN, EXPIRY_WARNING, SIGNED_IN_IDLE_TIMEOUT, SIGNED_IN_LIFETIME};
use crate::accounts::store::SessionHash;
use crate::accounts::{Account, Role};
use crate::faults::{self, Fault};
use crate::ids::{AccountId, SessionEpoch, VisitorId};

/// The sessions that an owner's list has at most, the newest ones.
const MAX_LISTED: i64 = 100;

/// Returns the visitor of an account. `None` if there is no such account.
pub(super) async fn visitor_of(db: &PgPool, account: AccountId) -> Result<Option<VisitorId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT visitor_id AS "visitor_id: VisitorId" FROM account WHERE id = $1"#,
        account as AccountId
    )
    .fetch_optional(db)
    .await
}

/// Returns the account of a sign-in that has begun, and the account's visitor.
pub(super) async fn account_of_sign_in(db: &PgPool, key: Uuid) -> Result<Option<(AccountId, VisitorId)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT a.id AS "id: AccountId", a.visitor_id AS "visitor_id: VisitorId"
           FROM sign_in s JOIN account a ON a.id = s.account_id
           WHERE s.key = $1 AND s.expires_at > now() AND a.session_epoch = s.epoch AND a.status = 'active'"#,
        key
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.visitor_id)))
}

/// Raises the epoch of an account, so that none of its sessions is live any more, and records why.
/// Returns the new epoch, `None` if there is no such account.
pub(super) async fn end_all(
    tx: &mut PgConnection,
    account: AccountId,
    reason: EndReason,
) -> Result<Option<SessionEpoch>, sqlx::Error> {
    sqlx::query!(
        "UPDATE session SET ended_at = least(statement_timestamp(), idle_until, ends_at),
            end_reason = CASE WHEN least(idle_until, ends_at) <= statement_timestamp() THEN 'expired' ELSE $2 END
         WHERE account_id = $1 AND ended_at IS NULL",
        account as AccountId,
        reason.as_str()
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_scalar!(
        r#"UPDATE account SET session_epoch = session_epoch + 1 WHERE id = $1
           RETURNING session_epoch AS "epoch: SessionEpoch""#,
        account as AccountId
    )
    .fetch_optional(tx)
    .await
}

/// Makes a session row one of an account, from now on. Returns the account, `None` if the row or an
/// active account is gone.
pub(super) async fn begin(
    tx: &mut PgConnection,
    session: &SessionHash,
    account: AccountId,
    device: Option<&str>,
) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query!(
        r#"UPDATE session s SET public_id = $3, account_id = a.id, epoch = a.session_epoch,
              signed_in_at = statement_timestamp(), idle_until = statement_timestamp() + make_interval(secs => $5),
              ends_at = statement_timestamp() + make_interval(secs => $6), device = $4
           FROM account a
           WHERE s.id_hash = $1 AND s.visitor_id = a.visitor_id AND s.account_id IS NULL AND a.id = $2
             AND a.status = 'active'
           RETURNING a.public_id, a.handle, a.role, a.session_epoch AS "epoch: SessionEpoch""#,
        &session[..],
        account as AccountId,
        Uuid::new_v4(),
        device,
        SIGNED_IN_IDLE_TIMEOUT.as_seconds_f64(),
        SIGNED_IN_LIFETIME.as_seconds_f64()
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Account {
        id: account,
        public_id: row.public_id,
        handle: row.handle,
        role: Role::of_str(&row.role).unwrap_or(Role::Member),
        epoch: row.epoch,
    }))
}

/// Moves a session that one revocation of its account has ended to another row, under the account's
/// new epoch. Returns the epoch and the times; `None` if the account was revoked again since.
pub(super) async fn renew(
    tx: &mut PgConnection,
    old: Uuid,
    old_epoch: SessionEpoch,
    new: &SessionHash,
) -> Result<Option<(SessionEpoch, SessionTimes)>, sqlx::Error> {
    let moved = sqlx::query!(
        r#"DELETE FROM session WHERE public_id = $1 AND epoch = $2 AND ends_at > statement_timestamp()
           RETURNING account_id AS "account_id!", signed_in_at AS "signed_in_at!", ends_at AS "ends_at!", device"#,
        old,
        old_epoch as SessionEpoch
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(moved) = moved else { return Ok(None) };
    let row = sqlx::query!(
        r#"UPDATE session s SET public_id = $2, account_id = a.id, epoch = a.session_epoch, signed_in_at = $3,
              idle_until = statement_timestamp() + make_interval(secs => $4), ends_at = $5, device = $6
           FROM account a
           WHERE s.id_hash = $1 AND s.visitor_id = a.visitor_id AND s.account_id IS NULL AND a.id = $7
             AND a.session_epoch = $8 AND a.status = 'active'
           RETURNING s.epoch AS "epoch!: SessionEpoch", s.idle_until AS "idle_until!", s.ends_at AS "ends_at!""#,
        &new[..],
        old,
        moved.signed_in_at,
        SIGNED_IN_IDLE_TIMEOUT.as_seconds_f64(),
        moved.ends_at,
        moved.device,
        moved.account_id,
        old_epoch.0 + 1
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.epoch, SessionTimes { idle_until: row.idle_until, ends_at: row.ends_at })))
}

/// A session in its owner's list.
pub(in crate::accounts) struct Listed {
    pub id: Uuid,
    pub device: Option<String>,
    pub signed_in_at: OffsetDateTime,
    pub times: SessionTimes,
    /// When it ended. `None` if it is live.
    pub ended_at: Option<OffsetDateTime>,
    pub reason: Option<EndReason>,
}

/// Returns the sessions of an account, the newest first: the live one, and those that have ended
/// lately.
pub(super) async fn list(db: &PgPool, account: AccountId) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT s.public_id AS "public_id!", s.device, s.signed_in_at AS "signed_in_at!",
                  s.idle_until AS "idle_until!", s.ends_at AS "ends_at!", s.end_reason,
                  CASE WHEN live.id_hash IS NULL THEN
                      coalesce(s.ended_at, least(s.idle_until, s.ends_at, statement_timestamp())) END AS ended_at
           FROM session s LEFT JOIN live_session live ON live.id_hash = s.id_hash
           WHERE s.account_id = $1
             AND (live.id_hash IS NOT NULL
                  OR coalesce(s.ended_at, least(s.idle_until, s.ends_at)) > now() - make_interval(secs => $2))
           ORDER BY s.signed_in_at DESC LIMIT $3"#,
        account as AccountId,
        ENDED_SESSION_SHOWN.as_seconds_f64(),
        MAX_LISTED
    )
    .fetch_all(db)
    .await?;
    let listed = rows.into_iter().map(|row| Listed {
        id: row.public_id,
        device: row.device,
        signed_in_at: row.signed_in_at,
        times: SessionTimes { idle_until: row.idle_until, ends_at: row.ends_at },
        reason: row
            .ended_at
            .map(|_| row.end_reason.as_deref().and_then(EndReason::of_str).unwrap_or(EndReason::Expired)),
        ended_at: row.ended_at,
    });
    Ok(listed.collect())
}

/// Returns whether a session of an account is live. `None` if the account has no such session.
pub(super) async fn is_live(db: &PgPool, account: AccountId, session: Uuid) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM live_session live WHERE live.id_hash = s.id_hash) AS "live!"
           FROM session s WHERE s.account_id = $1 AND s.public_id = $2"#,
        account as AccountId,
        session
    )
    .fetch_optional(db)
    .await
}

/// Returns the times of a session. `None` if it is not a live one of an account.
pub(super) async fn times(db: &PgPool, session: &SessionHash) -> Result<Option<SessionTimes>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT idle_until AS "idle_until!", ends_at AS "ends_at!" FROM live_session
           WHERE id_hash = $1 AND account_id IS NOT NULL"#,
        &session[..]
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| SessionTimes { idle_until: row.idle_until, ends_at: row.ends_at }))
}

/// Writes when sessions were used: `ages` are the seconds since. A session that had ended at the
/// time of the use stays as it is, and so does one that has ended for another reason than time.
pub(super) async fn write_uses(db: &PgPool, sessions: &[SessionHash], ages: &[f64]) -> Result<(), sqlx::Error> {
    let sessions: Vec<&[u8]> = sessions.iter().map(|hash| &hash[..]).collect();
    sqlx::query!(
        "UPDATE session s SET idle_until = used.at + make_interval(secs => $3)
         FROM (SELECT s.id_hash, statement_timestamp() - make_interval(secs => asked.age) AS at
               FROM UNNEST($1::bytea[], $2::float8[]) AS asked(id_hash, age) JOIN session s ON s.id_hash = asked.id_hash
               WHERE s.account_id IS NOT NULL ORDER BY s.id_hash FOR UPDATE OF s) used
         WHERE s.id_hash = used.id_hash AND s.ended_at IS NULL AND (s.idle_until > used.at OR $4)
           AND s.idle_until < used.at + make_interval(secs => $3)",
        &sessions as &[&[u8]],
        ages,
        SIGNED_IN_IDLE_TIMEOUT.as_seconds_f64(),
        faults::on(Fault::UseRevivesSession)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A session that has ended, or ends soon.
pub(in crate::accounts) struct Ending {
    /// Its index in the list that was asked about.
    pub index: usize,
    /// When it ends, and how long until then. `None` if it has ended: it was deleted, has expired, was
    /// revoked, or is held by another visitor by now.
    pub ends: Option<(OffsetDateTime, Duration)>,
}

/// Returns which of these sessions have ended or end within [`EXPIRY_WARNING`]. `visitors` has the
/// expected visitor of each session.
///
/// Each session is looked up by its key. A join would read the whole table, which can hold millions
/// of rows; `OFFSET 0` keeps Postgres from making one.
pub(in crate::accounts) async fn endings(
    db: &PgPool,
    sessions: &[SessionHash],
    visitors: &[VisitorId],
) -> Result<Vec<Ending>, sqlx::Error> {
    let sessions: Vec<&[u8]> = sessions.iter().map(|hash| &hash[..]).collect();
    let rows = sqlx::query!(
        r#"SELECT asked.nth AS "nth!", live.visitor_id IS NOT DISTINCT FROM asked.visitor AS "is_live!",
                  live.ends AS "ends?",
                  ceil(extract(epoch FROM live.ends - statement_timestamp()) * 1000)::bigint AS ends_in_ms
           FROM UNNEST($1::bytea[], $2::bigint[]) WITH ORDINALITY AS asked(id_hash, visitor, nth)
           LEFT JOIN LATERAL (SELECT s.visitor_id, least(s.idle_until, s.ends_at) AS ends FROM live_session s
                              WHERE s.id_hash = asked.id_hash OFFSET 0) live ON true
           WHERE live.visitor_id IS DISTINCT FROM asked.visitor
              OR live.ends < statement_timestamp() + make_interval(secs => $3)"#,
        &sessions as &[&[u8]],
        visitors as &[VisitorId],
        EXPIRY_WARNING.as_seconds_f64()
    )
    .fetch_all(db)
    .await?;
    let endings = rows.into_iter().filter_map(|row| {
        let ends_in = Duration::from_millis(u64::try_from(row.ends_in_ms.unwrap_or_default()).unwrap_or_default());
        // SQL counts from 1.
        let index = usize::try_from(row.nth - 1).ok()?;
        Some(Ending { index, ends: row.ends.filter(|_| row.is_live).map(|ends| (ends, ends_in)) })
    });
    Ok(endings.collect())
}

/// Returns why sessions have ended, and which session stands for their account now. Those without a
/// reason have no entry: guests' sessions, and those whose record is gone.
pub(in crate::accounts) async fn end_reasons(
    db: &PgPool,
    sessions: &[SessionHash],
) -> Result<HashMap<SessionHash, Ended>, sqlx::Error> {
    let sessions: Vec<&[u8]> = sessions.iter().map(|hash| &hash[..]).collect();
    let rows = sqlx::query!(
        r#"SELECT s.id_hash,
                  CASE WHEN s.end_reason IS NULL AND least(s.idle_until, s.ends_at) <= statement_timestamp()
                       THEN 'expired' ELSE s.end_reason END AS reason,
                  live.device AS device, live.signed_in_at AS "signed_in_at?"
           FROM session s LEFT JOIN LATERAL (
               SELECT l.device, l.signed_in_at FROM live_session l WHERE l.account_id = s.account_id LIMIT 1
           ) AS live ON true
           WHERE s.id_hash = ANY($1) AND s.account_id IS NOT NULL"#,
        &sessions as &[&[u8]]
    )
    .fetch_all(db)
    .await?;
    let reasons = rows.into_iter().filter_map(|row| {
        let elsewhere = row.signed_in_at.map(|signed_in_at| Elsewhere { device: row.device, signed_in_at });
        let ended = Ended { reason: EndReason::of_str(row.reason.as_deref()?)?, elsewhere };
        Some((SessionHash::try_from(row.id_hash).ok()?, ended))
    });
    Ok(reasons.collect())
}
