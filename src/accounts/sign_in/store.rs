//! Sign-in: all its SQL.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Factors, Step};
use crate::accounts::Role;
use crate::accounts::limits::{
    FAILURE_MEMORY, FIRST_FAILURE_WAIT, FREE_FAILURES, MAX_FAILURE_WAIT, MAX_WRONG_CODES, SIGN_IN_LIFETIME,
};
use crate::faults::{self, Fault};
use crate::ids::{AccountId, SessionEpoch};

/// What a proof of an account is compared with.
#[derive(Clone)]
pub(in crate::accounts) struct Candidate {
    pub id: AccountId,
    pub handle: String,
    pub epoch: SessionEpoch,
    pub factors: Factors,
    pub password: Option<String>,
    pub totp_secret: Option<Vec<u8>>,
    pub pin: Option<String>,
}

/// Returns the active account of a handle. `None` if there is none, or it is about to be deleted for
/// good.
pub(in crate::accounts) async fn candidate(db: &PgPool, handle: &str) -> Result<Option<Candidate>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id AS "id: AccountId", handle, role, session_epoch AS "epoch: SessionEpoch", password,
                  totp_secret, totp_confirmed_at IS NOT NULL AS "totp!", pin
           FROM account
           WHERE handle = $1 AND status = 'active' AND (delete_after IS NULL OR delete_after > now())"#,
        handle
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Candidate {
        id: row.id,
        handle: row.handle,
        epoch: row.epoch,
        factors: factors(&row.role, row.totp, row.pin.is_some()),
        password: row.password,
        totp_secret: row.totp_secret.filter(|_| row.totp),
        pin: row.pin,
    }))
}

fn factors(role: &str, totp: bool, pin: bool) -> Factors {
    Factors { role: Role::of_str(role).unwrap_or(Role::Member), totp, pin }
}

/// A sign-in that has begun, with its account as it is now.
pub(in crate::accounts) struct Begun {
    pub key: Uuid,
    pub account: Candidate,
    pub done: Vec<Step>,
    pub enroll_secret: Option<Vec<u8>>,
    pub leave: bool,
    pub next: Option<String>,
}

/// A sign-in about to be stored.
pub(in crate::accounts) struct New<'a> {
    pub account: AccountId,
    pub epoch: SessionEpoch,
    pub enroll_secret: Option<&'a [u8]>,
    pub leave: bool,
    pub next: Option<&'a str>,
}

/// Stores a sign-in whose first step, the password, is done. Returns its key.
pub(in crate::accounts) async fn insert(db: &mut PgConnection, new: &New<'_>) -> Result<Uuid, sqlx::Error> {
    let key = Uuid::new_v4();
    sqlx::query!(
        "INSERT INTO sign_in (key, account_id, epoch, done, enroll_secret, leave, next, expires_at)
         VALUES ($1, $2, $3, ARRAY['password'], $4, $5, $6, now() + make_interval(secs => $7))",
        key,
        new.account as AccountId,
        new.epoch as SessionEpoch,
        new.enroll_secret,
        new.leave,
        new.next,
        SIGN_IN_LIFETIME.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(key)
}

/// Returns a sign-in by its key. `None` if it has expired, has ended, or its account was revoked
/// since it began.
pub(in crate::accounts) async fn begun(db: &PgPool, key: Uuid) -> Result<Option<Begun>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT s.done, s.enroll_secret, s.leave, s.next, a.id AS "id: AccountId", a.handle, a.role,
                  a.session_epoch AS "epoch: SessionEpoch", a.password, a.totp_secret,
                  a.totp_confirmed_at IS NOT NULL AS "totp!", a.pin
           FROM sign_in s JOIN account a ON a.id = s.account_id AND a.session_epoch = s.epoch AND a.status = 'active'
           WHERE s.key = $1 AND s.expires_at > now() AND s.failures < $2"#,
        key,
        MAX_WRONG_CODES
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Begun {
        key,
        done: row.done.iter().filter_map(|step| Step::of_str(step)).collect(),
        account: Candidate {
            id: row.id,
            handle: row.handle,
            epoch: row.epoch,
            factors: factors(&row.role, row.totp, row.pin.is_some()),
            password: row.password,
            totp_secret: row.totp_secret.filter(|_| row.totp),
            pin: row.pin,
        },
        enroll_secret: row.enroll_secret,
        leave: row.leave,
        next: row.next,
    }))
}

/// Records a step as done under a new key, which is returned. `None` if another request was first,
/// or the sign-in has ended.
///
/// Of any number of requests with one key exactly one gets the new one.
pub(in crate::accounts) async fn advance(
    tx: &mut PgConnection,
    key: Uuid,
    step: Step,
    enroll_secret: Option<&[u8]>,
    leave: bool,
) -> Result<Option<Uuid>, sqlx::Error> {
    let new = if faults::on(Fault::SignInKeyKept) { key } else { Uuid::new_v4() };
    let advanced = sqlx::query!(
        "UPDATE sign_in s SET key = $2, done = done || $3::text, enroll_secret = coalesce($4, s.enroll_secret),
            leave = s.leave OR $5
         FROM account a
         WHERE s.key = $1 AND s.expires_at > now() AND s.failures < $6
           AND a.id = s.account_id AND a.session_epoch = s.epoch AND a.status = 'active'",
        key,
        new,
        step.as_str(),
        enroll_secret,
        leave,
        MAX_WRONG_CODES
    )
    .execute(tx)
    .await?;
    Ok((advanced.rows_affected() == 1).then_some(new))
}

/// Counts a wrong code. Returns how many there were, `None` if the sign-in has ended.
pub(in crate::accounts) async fn count_wrong_code(db: &PgPool, key: Uuid) -> Result<Option<i32>, sqlx::Error> {
    if faults::on(Fault::WrongCodesNotCounted) {
        return Ok(Some(1));
    }
    sqlx::query_scalar!("UPDATE sign_in SET failures = failures + 1 WHERE key = $1 RETURNING failures", key)
        .fetch_optional(db)
        .await
}

/// Agrees to leave an open talk at the end of a sign-in.
pub(in crate::accounts) async fn agree_to_leave(db: &PgPool, key: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE sign_in SET leave = true WHERE key = $1", key).execute(db).await?;
    Ok(())
}

/// Deletes a sign-in that is given up.
pub(in crate::accounts) async fn delete(db: &PgPool, key: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM sign_in WHERE key = $1", key).execute(db).await?;
    Ok(())
}

/// A sign-in that was deleted in order to complete it, with what its account needs at this moment.
pub(in crate::accounts) struct Taken {
    pub factors: Factors,
    pub done: Vec<Step>,
}

/// Locks the account of a sign-in and deletes the sign-in. `None` if it has ended. The caller
/// compares the steps and rolls back if one is missing.
pub(in crate::accounts) async fn take(tx: &mut PgConnection, key: Uuid) -> Result<Option<Taken>, sqlx::Error> {
    let account = sqlx::query!(
        r#"SELECT a.id AS "id: AccountId", a.session_epoch AS "epoch: SessionEpoch", a.role,
                  a.totp_confirmed_at IS NOT NULL AS "totp!", a.pin IS NOT NULL AS "pin!"
           FROM account a WHERE a.id = (SELECT account_id FROM sign_in WHERE key = $1) AND a.status = 'active'
           FOR UPDATE"#,
        key
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(account) = account else { return Ok(None) };
    let done = sqlx::query_scalar!(
        "DELETE FROM sign_in WHERE key = $1 AND epoch = $2 AND expires_at > now() AND failures < $3 RETURNING done",
        key,
        account.epoch as SessionEpoch,
        MAX_WRONG_CODES
    )
    .fetch_optional(tx)
    .await?;
    Ok(done.map(|done| Taken {
        factors: factors(&account.role, account.totp, account.pin),
        done: done.iter().filter_map(|step| Step::of_str(step)).collect(),
    }))
}

/// Marks a time step of an account's one-time codes as used. Returns `false` if it, or a later one,
/// was used before.
pub(in crate::accounts) async fn use_totp_step(
    tx: &mut PgConnection,
    account: AccountId,
    step: i64,
) -> Result<bool, sqlx::Error> {
    if faults::on(Fault::TotpStepReused) {
        return Ok(true);
    }
    let used = sqlx::query!(
        "UPDATE account SET totp_last_step = $2 WHERE id = $1 AND totp_last_step < $2",
        account as AccountId,
        step
    )
    .execute(tx)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Marks a recovery code as used. Returns `false` if there is none with this hash, or it was used
/// before.
pub(in crate::accounts) async fn use_recovery_code(
    tx: &mut PgConnection,
    account: AccountId,
    hash: &[u8],
) -> Result<bool, sqlx::Error> {
    let used = sqlx::query!(
        "UPDATE recovery_code SET used_at = now() WHERE account_id = $1 AND hash = $2 AND used_at IS NULL",
        account as AccountId,
        hash
    )
    .execute(tx)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Replaces a hash by one with the present parameters, unless it was changed meanwhile.
pub(in crate::accounts) async fn replace_hash(
    db: &PgPool,
    account: AccountId,
    old: &str,
    new: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE account SET password = $3 WHERE id = $1 AND password = $2", account as AccountId, old, new)
        .execute(db)
        .await?;
    Ok(())
}

/// Counts a proof that is about to be evaluated as a failure, and sets when the next one may be.
/// Returns the number of failures; `None` if it is too early, and nothing was counted.
///
/// One statement, so that proofs that arrive together are counted one by one.
pub(super) async fn reserve_proof(db: &PgPool, handle: &[u8], prefix: &[u8]) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"INSERT INTO sign_in_failure AS f (handle_hash, prefix_hash, failures, retry_at)
           VALUES ($1, $2, 1, clock_timestamp())
           ON CONFLICT ON CONSTRAINT sign_in_failure_pk DO UPDATE SET
               failures = CASE WHEN f.failed_at < clock_timestamp() - make_interval(secs => $3) THEN 1
                               ELSE f.failures + 1 END,
               retry_at = clock_timestamp() + make_interval(secs =>
                   CASE WHEN f.failed_at < clock_timestamp() - make_interval(secs => $3) OR f.failures + 1 < $4 THEN 0
                        ELSE least($6, $5 * power(2, least(f.failures + 1 - $4, 30))) END),
               failed_at = clock_timestamp()
           WHERE f.retry_at <= clock_timestamp()
           RETURNING failures"#,
        handle,
        prefix,
        FAILURE_MEMORY.as_seconds_f64(),
        FREE_FAILURES,
        FIRST_FAILURE_WAIT.as_seconds_f64(),
        MAX_FAILURE_WAIT.as_seconds_f64()
    )
    .fetch_optional(db)
    .await
}

/// Returns the time until the next proof is evaluated, in milliseconds.
pub(super) async fn wait_ms(db: &PgPool, handle: &[u8], prefix: &[u8]) -> Result<i64, sqlx::Error> {
    let wait = sqlx::query_scalar!(
        r#"SELECT ceil(extract(epoch FROM retry_at - clock_timestamp()) * 1000)::bigint AS "ms!"
           FROM sign_in_failure WHERE handle_hash = $1 AND prefix_hash = $2"#,
        handle,
        prefix
    )
    .fetch_optional(db)
    .await?;
    Ok(wait.unwrap_or_default().max(1))
}

/// Takes a counted failure back: the proof was right, or was not evaluated.
pub(super) async fn refund_proof(db: &PgPool, handle: &[u8], prefix: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE sign_in_failure SET failures = greatest(failures - 1, 0), retry_at = clock_timestamp()
         WHERE handle_hash = $1 AND prefix_hash = $2",
        handle,
        prefix
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the failures of an account from a prefix.
pub(super) async fn clear_failures(db: &PgPool, handle: &[u8], prefix: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM sign_in_failure WHERE handle_hash = $1 AND prefix_hash = $2", handle, prefix)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes what has expired: sign-ins, failures, links and verifications.
pub(in crate::accounts) async fn sweep(db: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM sign_in WHERE expires_at < now()").execute(db).await?;
    sqlx::query!(
        "DELETE FROM sign_in_failure WHERE failed_at < now() - make_interval(secs => $1) AND retry_at < now()",
        FAILURE_MEMORY.as_seconds_f64()
    )
    .execute(db)
    .await?;
    sqlx::query!("DELETE FROM account_link WHERE expires_at < now()").execute(db).await?;
    sqlx::query!("DELETE FROM verification WHERE expires_at < now() AND (state <> 'completed' OR purpose = 'sign_in')")
        .execute(db)
        .await?;
    Ok(())
}

/// Returns when an account's other live session was last used. `None` if there is none.
pub(super) async fn live_elsewhere(
    db: &PgPool,
    account: AccountId,
) -> Result<Option<(Option<String>, OffsetDateTime)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT device, last_used_at AS "last_used_at!" FROM live_session WHERE account_id = $1
           ORDER BY last_used_at DESC LIMIT 1"#,
        account as AccountId
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.device, row.last_used_at)))
}
