//! What the owner of an account changes: all its SQL.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::accounts::limits::DELETION_DELAY;
use crate::ids::{AccountId, SessionEpoch, VisitorId};

/// A new account.
pub(in crate::accounts) struct NewAccount<'a> {
    pub visitor: VisitorId,
    pub handle: &'a str,
    pub password: &'a str,
    pub email: Option<&'a str>,
}

/// Stores a new account of a visitor.
pub(in crate::accounts) async fn insert(
    db: &PgPool,
    new: &NewAccount<'_>,
) -> Result<(AccountId, SessionEpoch), sqlx::Error> {
    let row = sqlx::query!(
        r#"INSERT INTO account (visitor_id, handle, password, password_set_at, email) VALUES ($1, $2, $3, now(), $4)
           RETURNING id AS "id: AccountId", session_epoch AS "epoch: SessionEpoch""#,
        new.visitor as VisitorId,
        new.handle,
        new.password,
        new.email
    )
    .fetch_one(db)
    .await?;
    Ok((row.id, row.epoch))
}

/// What an account's owner sees of it.
pub(super) struct Details {
    pub email: Option<String>,
    pub email_verified: bool,
    pub pending_email: Option<String>,
    pub totp: bool,
    pub recovery_codes: i64,
    pub pin: bool,
    pub password: bool,
    pub password_set_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub delete_after: Option<OffsetDateTime>,
}

/// Returns the details of an account.
pub(super) async fn details(db: &PgPool, account: AccountId) -> Result<Option<Details>, sqlx::Error> {
    sqlx::query_as!(
        Details,
        r#"SELECT a.email, a.email_verified_at IS NOT NULL AS "email_verified!",
                  (SELECT l.email FROM account_link l WHERE l.account_id = a.id AND l.purpose = 'verify_email'
                   AND l.used_at IS NULL AND l.expires_at > now() AND l.email IS DISTINCT FROM a.email
                   ORDER BY l.created_at DESC LIMIT 1) AS pending_email,
                  a.totp_confirmed_at IS NOT NULL AS "totp!",
                  (SELECT count(*) FROM recovery_code r WHERE r.account_id = a.id AND r.used_at IS NULL)
                      AS "recovery_codes!",
                  a.pin IS NOT NULL AS "pin!", a.password IS NOT NULL AS "password!", a.password_set_at, a.created_at,
                  a.delete_after
           FROM account a WHERE a.id = $1"#,
        account as AccountId
    )
    .fetch_optional(db)
    .await
}

/// Stores the hash of a new password.
pub(super) async fn set_password(tx: &mut PgConnection, account: AccountId, hash: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE account SET password = $2, password_set_at = now() WHERE id = $1", account as AccountId, hash)
        .execute(&mut *tx)
        .await?;
    // A link to a new password that was sent before is of no use any more.
    sqlx::query!(
        "UPDATE account_link SET used_at = now() WHERE account_id = $1 AND purpose = 'reset_password' AND used_at IS NULL",
        account as AccountId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores the secret of a second factor that is not confirmed yet. Returns `false` if one is in use.
pub(super) async fn set_pending_totp(
    tx: &mut PgConnection,
    account: AccountId,
    secret: &[u8],
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "UPDATE account SET totp_secret = $2 WHERE id = $1 AND totp_confirmed_at IS NULL",
        account as AccountId,
        secret
    )
    .execute(tx)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Returns the secret that is not confirmed yet. `None` if there is none.
pub(super) async fn pending_totp(db: &PgPool, account: AccountId) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let secret = sqlx::query_scalar!(
        "SELECT totp_secret FROM account WHERE id = $1 AND totp_confirmed_at IS NULL",
        account as AccountId
    )
    .fetch_optional(db)
    .await?;
    Ok(secret.flatten())
}

/// Puts one-time codes into use, of which the one of `step` is used. Returns `false` if others are in
/// use already.
pub(super) async fn confirm_totp(
    tx: &mut PgConnection,
    account: AccountId,
    secret: &[u8],
    step: i64,
) -> Result<bool, sqlx::Error> {
    let confirmed = sqlx::query!(
        "UPDATE account SET totp_secret = $2, totp_confirmed_at = now(), totp_last_step = $3
         WHERE id = $1 AND totp_confirmed_at IS NULL",
        account as AccountId,
        secret,
        step
    )
    .execute(tx)
    .await?;
    Ok(confirmed.rows_affected() == 1)
}

/// Takes one-time codes out of use, and deletes the recovery codes. Returns `false` if there were
/// none in use.
pub(super) async fn remove_totp(tx: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query!(
        "UPDATE account SET totp_secret = NULL, totp_confirmed_at = NULL
         WHERE id = $1 AND totp_confirmed_at IS NOT NULL",
        account as AccountId
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM recovery_code WHERE account_id = $1", account as AccountId).execute(tx).await?;
    Ok(removed.rows_affected() == 1)
}

/// Replaces the recovery codes of an account that uses one-time codes. Returns `false` if it does
/// not.
pub(super) async fn replace_recovery_codes(
    tx: &mut PgConnection,
    account: AccountId,
    hashes: &[Vec<u8>],
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        "SELECT true FROM account WHERE id = $1 AND totp_confirmed_at IS NOT NULL FOR UPDATE",
        account as AccountId
    )
    .fetch_optional(&mut *tx)
    .await?;
    if locked.is_none() {
        return Ok(false);
    }
    sqlx::query!("DELETE FROM recovery_code WHERE account_id = $1", account as AccountId).execute(&mut *tx).await?;
    sqlx::query!(
        "INSERT INTO recovery_code (account_id, hash) SELECT $1, hash FROM UNNEST($2::bytea[]) AS new(hash)",
        account as AccountId,
        hashes
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Stores the hash of a PIN, or removes the PIN.
pub(super) async fn set_pin(tx: &mut PgConnection, account: AccountId, hash: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE account SET pin = $2 WHERE id = $1", account as AccountId, hash).execute(tx).await?;
    Ok(())
}

/// Stores an address. One that is verified stays until the new one is.
pub(super) async fn set_email(
    tx: &mut PgConnection,
    account: AccountId,
    email: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE account SET email = $2, email_verified_at = NULL
         WHERE id = $1 AND ($2::text IS NULL OR email_verified_at IS NULL)",
        account as AccountId,
        email
    )
    .execute(&mut *tx)
    .await?;
    // Links to earlier addresses do nothing any more.
    sqlx::query!(
        "UPDATE account_link SET used_at = now() WHERE account_id = $1 AND purpose = 'verify_email' AND used_at IS NULL",
        account as AccountId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes an address the verified one of an account. Returns the verified one before it, if it was
/// another.
pub(super) async fn verify_email(
    tx: &mut PgConnection,
    account: AccountId,
    email: &str,
) -> Result<Option<String>, sqlx::Error> {
    let before = sqlx::query!(
        r#"SELECT email, email_verified_at IS NOT NULL AS "verified!" FROM account WHERE id = $1 FOR UPDATE"#,
        account as AccountId
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("UPDATE account SET email = $2, email_verified_at = now() WHERE id = $1", account as AccountId, email)
        .execute(tx)
        .await?;
    Ok(before.email.filter(|old| before.verified && !old.eq_ignore_ascii_case(email)))
}

/// Stores a link by the hash of its token.
pub(super) async fn insert_link(
    db: &PgPool,
    hash: &[u8],
    purpose: &str,
    account: AccountId,
    email: Option<&str>,
    lifetime: time::Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO account_link (token_hash, purpose, account_id, email, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
        hash,
        purpose,
        account as AccountId,
        email,
        lifetime.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The account of a link, and the address that the link was sent to.
pub(super) struct Link {
    pub account: AccountId,
    pub handle: String,
    pub email: Option<String>,
}

/// Uses a link up. `None` if there is none with this hash, or it was used, or it has expired. Of any
/// number of requests exactly one gets it.
pub(super) async fn use_link(tx: &mut PgConnection, hash: &[u8], purpose: &str) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query_as!(
        Link,
        r#"UPDATE account_link l SET used_at = now() FROM account a
           WHERE l.token_hash = $1 AND l.purpose = $2 AND l.used_at IS NULL AND l.expires_at > now()
             AND a.id = l.account_id AND a.status = 'active'
           RETURNING a.id AS "account: AccountId", a.handle, l.email"#,
        hash,
        purpose
    )
    .fetch_optional(tx)
    .await
}

/// Returns the link without using it up.
pub(super) async fn find_link(db: &PgPool, hash: &[u8], purpose: &str) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query_as!(
        Link,
        r#"SELECT a.id AS "account: AccountId", a.handle, l.email FROM account_link l JOIN account a ON a.id = l.account_id
           WHERE l.token_hash = $1 AND l.purpose = $2 AND l.used_at IS NULL AND l.expires_at > now()
             AND a.status = 'active'"#,
        hash,
        purpose
    )
    .fetch_optional(db)
    .await
}

/// Returns the account that an address is verified for, with the handle. `None` if there is none.
pub(super) async fn of_email(db: &PgPool, email: &str) -> Result<Option<(AccountId, String)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id AS "id: AccountId", handle FROM account
           WHERE lower(email) = lower($1) AND email_verified_at IS NOT NULL AND status = 'active'"#,
        email
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.handle)))
}

/// Returns `true` if an account is the only active administrator.
pub(super) async fn is_last_admin(tx: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    // The others are locked, so that two administrators cannot leave at the same time.
    let others = sqlx::query_scalar!(
        r#"SELECT id AS "id: AccountId" FROM account WHERE role = 'admin' AND status = 'active' AND delete_after IS NULL
           ORDER BY id FOR UPDATE"#
    )
    .fetch_all(tx)
    .await?;
    Ok(others == [account])
}

/// Marks an account to be deleted, and returns when. The time stays as it is if it was marked
/// before.
pub(super) async fn request_deletion(
    tx: &mut PgConnection,
    account: AccountId,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"UPDATE account SET delete_after = coalesce(delete_after, now() + make_interval(secs => $2)) WHERE id = $1
           RETURNING delete_after AS "delete_after!""#,
        account as AccountId,
        DELETION_DELAY.as_seconds_f64()
    )
    .fetch_optional(tx)
    .await
}

/// Takes a deletion back. Returns `false` if none was asked for.
pub(super) async fn undo_deletion(tx: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    let undone = sqlx::query!(
        "UPDATE account SET delete_after = NULL WHERE id = $1 AND delete_after IS NOT NULL",
        account as AccountId
    )
    .execute(tx)
    .await?;
    Ok(undone.rows_affected() == 1)
}

/// Returns accounts whose time to take the deletion back is over.
pub(super) async fn due_deletions(db: &PgPool, limit: i64) -> Result<Vec<(AccountId, VisitorId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: AccountId", visitor_id AS "visitor: VisitorId" FROM account
           WHERE delete_after < now() ORDER BY delete_after LIMIT $1"#,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.visitor)).collect())
}

/// Deletes an account for good, if its time is still over, and what the visitor left behind.
///
/// Messages stay in their rooms, under the alias that the visitor had at the beginning. The
/// visitor's row stays as long as a room, a talk or a sanction names it, without anything that the
/// person has entered.
pub(super) async fn delete(
    tx: &mut PgConnection,
    account: AccountId,
    visitor: VisitorId,
    alias: &str,
) -> Result<bool, sqlx::Error> {
    // Heads first and in the order of their ids, as every writer locks them.
    sqlx::query!(
        "UPDATE room_head SET rights = rights + 1 WHERE room_id IN (
            SELECT h.room_id FROM room_head h JOIN membership m ON m.room_id = h.room_id
            WHERE m.visitor_id = $1 AND m.left_at IS NULL AND m.slot IS NULL ORDER BY h.room_id FOR UPDATE OF h)",
        visitor as VisitorId
    )
    .execute(&mut *tx)
    .await?;
    let deleted = sqlx::query!("DELETE FROM account WHERE id = $1 AND delete_after < now()", account as AccountId)
        .execute(&mut *tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "UPDATE membership SET left_at = CASE WHEN slot IS NULL THEN coalesce(left_at, now()) ELSE left_at END,
            role = 'member', name = CASE WHEN animal IS NULL THEN $2 ELSE name END
         WHERE visitor_id = $1",
        visitor as VisitorId,
        alias
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE chat_room SET owner_id = NULL WHERE owner_id = $1", visitor as VisitorId)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("DELETE FROM session WHERE visitor_id = $1", visitor as VisitorId).execute(&mut *tx).await?;
    sqlx::query!(
        "UPDATE visitor SET name = NULL, settings = '{}', rules_accepted = NULL, rules_at = NULL WHERE id = $1",
        visitor as VisitorId
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM visitor v WHERE v.id = $1
           AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.visitor_id = v.id)
           AND NOT EXISTS (SELECT 1 FROM random_session r WHERE r.a = v.id OR r.b = v.id)
           AND NOT EXISTS (SELECT 1 FROM sanction s WHERE s.visitor_id = v.id)",
        visitor as VisitorId
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Returns `true` if no account has this handle.
pub(in crate::accounts) async fn handle_is_free(db: &PgPool, handle: &str) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query_scalar!("SELECT true FROM account WHERE handle = $1", handle).fetch_optional(db).await?;
    Ok(taken.is_none())
}
