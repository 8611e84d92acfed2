//! Accounts from a shell: all its SQL.
use std::collections::HashSet;

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Target;
use super::model::Row;
use crate::accounts::Alias;
use crate::accounts::model::Role;
use crate::ids::{AccountId, VisitorId};
use crate::locale::Locale;

/// The key of the lock that makes one first administrator: "maju" in ASCII, then 3.
const FIRST_ADMIN_LOCK: i64 = 0x6d61_6a75_0000_0003;

/// Stores the address at which the site runs.
pub(super) async fn set_public_url(db: &PgPool, url: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO site_setting (key, value) VALUES ('public_url', to_jsonb($1::text))
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()
         WHERE site_setting.value <> excluded.value",
        url
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the address at which the site ran last. `None` if it never did.
pub(super) async fn public_url(db: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let stored = sqlx::query_scalar!("SELECT value #>> '{}' FROM site_setting WHERE key = 'public_url'");
    Ok(stored.fetch_optional(db).await?.flatten())
}

/// The ids of an account.
pub(in crate::accounts) struct Ids {
    pub id: AccountId,
    pub public_id: Uuid,
}

/// Stores an account with a new visitor.
pub(in crate::accounts) async fn insert(
    tx: &mut PgConnection,
    handle: &str,
    role: Role,
    password: Option<&str>,
    alias: &Alias,
    locale: Locale,
) -> Result<Ids, sqlx::Error> {
    sqlx::query_as!(
        Ids,
        r#"WITH made AS (
               INSERT INTO visitor (public_id, color, animal, locale) VALUES (gen_random_uuid(), $4, $5, $6) RETURNING id)
           INSERT INTO account (visitor_id, handle, role, password, password_set_at)
           SELECT id, $1, $2, $3, CASE WHEN $3::text IS NOT NULL THEN now() END FROM made
           RETURNING id AS "id: AccountId", public_id"#,
        handle,
        role.as_str(),
        password,
        alias.color,
        alias.animal,
        locale.tag()
    )
    .fetch_one(tx)
    .await
}

/// Stores many accounts, each with a new visitor.
pub(super) async fn insert_many(
    tx: &mut PgConnection,
    rows: &[Row],
    aliases: &[Alias],
    locale: Locale,
) -> Result<(), sqlx::Error> {
    let visitors: Vec<Uuid> = rows.iter().map(|_| Uuid::new_v4()).collect();
    let colors: Vec<&str> = aliases.iter().map(|alias| alias.color.as_str()).collect();
    let animals: Vec<&str> = aliases.iter().map(|alias| alias.animal.as_str()).collect();
    let handles: Vec<&str> = rows.iter().map(|row| row.handle.as_str()).collect();
    let roles: Vec<&str> = rows.iter().map(|row| row.role.as_str()).collect();
    let passwords: Vec<Option<&str>> = rows.iter().map(|row| row.password.as_deref()).collect();
    let emails: Vec<Option<&str>> = rows.iter().map(|row| row.email.as_deref()).collect();
    let deactivated: Vec<bool> = rows.iter().map(|row| row.is_deactivated).collect();
    sqlx::query!(
        "WITH given AS (
             SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[])
             AS given(visitor, color, animal, handle, role, password, email, deactivated)),
         made AS (
             INSERT INTO visitor (public_id, color, animal, locale) SELECT visitor, color, animal, $9 FROM given
             RETURNING id, public_id)
         INSERT INTO account (visitor_id, handle, role, password, password_set_at, email, status, deactivated_at)
         SELECT made.id, handle, role, password, CASE WHEN password IS NOT NULL THEN now() END, email,
                CASE WHEN deactivated THEN 'deactivated' ELSE 'active' END, CASE WHEN deactivated THEN now() END
         FROM given JOIN made ON made.public_id = given.visitor",
        &visitors,
        &colors as &[&str],
        &animals as &[&str],
        &handles as &[&str],
        &roles as &[&str],
        &passwords as &[Option<&str>],
        &emails as &[Option<&str>],
        &deactivated,
        locale.tag()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns which of these handles exist.
pub(super) async fn taken(tx: &mut PgConnection, handles: &[&str]) -> Result<HashSet<String>, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT handle FROM account WHERE handle = ANY($1)", handles as &[&str])
        .fetch_all(tx)
        .await?;
    Ok(found.into_iter().collect())
}

/// Returns the role of an account. `None` if there is no such account.
pub(super) async fn role(db: &PgPool, handle: &str) -> Result<Option<Role>, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT role FROM account WHERE handle = $1", handle).fetch_optional(db).await?;
    Ok(found.map(|role| Role::of_str(&role).unwrap_or(Role::Member)))
}

/// Returns the role of an account by its id. `None` if there is no such account.
pub(super) async fn role_of(tx: &mut PgConnection, id: AccountId) -> Result<Option<Role>, sqlx::Error> {
    let found =
        sqlx::query_scalar!("SELECT role FROM account WHERE id = $1", id as AccountId).fetch_optional(tx).await?;
    Ok(found.map(|role| Role::of_str(&role).unwrap_or(Role::Member)))
}

/// Locks an account until the transaction ends. `None` if there is no such account.
pub(super) async fn lock(tx: &mut PgConnection, handle: &str) -> Result<Option<Target>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id AS "id: AccountId", visitor_id AS "visitor: VisitorId", role FROM account
           WHERE handle = $1 FOR UPDATE"#,
        handle
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Target {
        id: row.id,
        visitor: row.visitor,
        role: Role::of_str(&row.role).unwrap_or(Role::Member),
    }))
}

/// Changes the role.
pub(super) async fn set_role(tx: &mut PgConnection, id: AccountId, role: Role) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE account SET role = $2 WHERE id = $1", id as AccountId, role.as_str()).execute(tx).await?;
    Ok(())
}

/// Changes the password's hash. `None` if nobody can sign in with a password then.
pub(super) async fn set_password(tx: &mut PgConnection, id: AccountId, hash: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE account SET password = $2, password_set_at = CASE WHEN $2::text IS NOT NULL THEN now() END WHERE id = $1",
        id as AccountId,
        hash
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes the second factor, the recovery codes and the PIN.
pub(super) async fn remove_factors(tx: &mut PgConnection, id: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH codes AS (DELETE FROM recovery_code WHERE account_id = $1)
         UPDATE account SET totp_secret = NULL, totp_confirmed_at = NULL, totp_last_step = 0, pin = NULL WHERE id = $1",
        id as AccountId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the links that set a password of an account.
pub(super) async fn delete_reset_links(tx: &mut PgConnection, id: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM account_link WHERE account_id = $1 AND purpose = 'reset_password'", id as AccountId)
        .execute(tx)
        .await?;
    Ok(())
}

/// Stores a link that sets a password.
pub(super) async fn insert_reset_link(
    tx: &mut PgConnection,
    token_hash: &[u8],
    id: AccountId,
    hours: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO account_link (token_hash, purpose, account_id, expires_at)
         VALUES ($1, 'reset_password', $2, now() + make_interval(hours => $3))",
        token_hash,
        id as AccountId,
        hours
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends all sessions and begun sign-ins of an account. Runs after the fence was taken exclusively.
pub(super) async fn end_sessions(tx: &mut PgConnection, id: AccountId, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH ended AS (UPDATE session SET ended_at = now(), end_reason = $2 WHERE account_id = $1 AND ended_at IS NULL)
         UPDATE account SET session_epoch = session_epoch + 1 WHERE id = $1",
        id as AccountId,
        reason
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A member of staff, as `maju admin list` shows them.
#[derive(Debug, PartialEq, Eq)]
pub struct StaffMember {
    pub handle: String,
    pub role: String,
    pub status: String,
    pub has_password: bool,
    pub has_second_factor: bool,
    /// `None` if there was no session in the last days.
    pub signed_in_at: Option<OffsetDateTime>,
}

/// Returns everybody with another role than member, by role and handle.
pub(super) async fn staff(db: &PgPool) -> Result<Vec<StaffMember>, sqlx::Error> {
    sqlx::query_as!(
        StaffMember,
        r#"SELECT handle, role, status, password IS NOT NULL AS "has_password!",
                  totp_confirmed_at IS NOT NULL AS "has_second_factor!",
                  (SELECT max(s.signed_in_at) FROM session s WHERE s.account_id = a.id) AS signed_in_at
           FROM account a WHERE role <> 'member' ORDER BY role, handle"#
    )
    .fetch_all(db)
    .await
}

/// Returns the number of accounts without another role.
pub(super) async fn count_members(db: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM account WHERE role = 'member'"#).fetch_one(db).await
}

/// How the accounts of a role can sign in.
#[derive(Debug, PartialEq, Eq)]
pub struct Legacy {
    pub role: String,
    /// With a password of the earlier system.
    pub legacy: i64,
    /// With a password of this one.
    pub current: i64,
    /// Not at all, before a link has set a password.
    pub without_password: i64,
}

/// Counts how accounts can sign in, by role.
pub(super) async fn count_legacy(db: &PgPool) -> Result<Vec<Legacy>, sqlx::Error> {
    sqlx::query_as!(
        Legacy,
        r#"SELECT role, count(*) FILTER (WHERE password LIKE 'pbkdf2$_sha256$$%' ESCAPE '$') AS "legacy!",
                  count(*) FILTER (WHERE password NOT LIKE 'pbkdf2$_sha256$$%' ESCAPE '$') AS "current!",
                  count(*) FILTER (WHERE password IS NULL) AS "without_password!"
           FROM account GROUP BY role ORDER BY role"#
    )
    .fetch_all(db)
    .await
}

/// Stores a link to the first administrator's page, and deletes those that have expired. Returns
/// `false` if the site has an administrator, and stores none then.
pub(in crate::accounts) async fn insert_first_admin_link(
    db: &PgPool,
    token_hash: &[u8],
    lifetime: time::Duration,
) -> Result<bool, sqlx::Error> {
    let made = sqlx::query!(
        "WITH old AS (DELETE FROM account_link WHERE purpose = 'first_admin' AND expires_at < now())
         INSERT INTO account_link (token_hash, purpose, expires_at)
         SELECT $1, 'first_admin', now() + make_interval(secs => $2)
         WHERE NOT EXISTS (SELECT FROM account WHERE role = 'admin' AND status = 'active')",
        token_hash,
        lifetime.as_seconds_f64()
    )
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Returns `true` if a link to the first administrator's page works now.
pub(in crate::accounts) async fn is_first_admin_link(db: &PgPool, token_hash: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM account_link WHERE token_hash = $1 AND purpose = 'first_admin'
                          AND used_at IS NULL AND expires_at > now())
              AND NOT EXISTS (SELECT FROM account WHERE role = 'admin' AND status = 'active') AS "works!""#,
        token_hash
    )
    .fetch_one(db)
    .await
}

/// Uses up all links to the first administrator's page. Returns `false` if this one does not work.
///
/// The lock makes two links wait for each other: the second one finds an administrator.
pub(in crate::accounts) async fn use_first_admin_link(
    tx: &mut PgConnection,
    token_hash: &[u8],
) -> Result<bool, sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", FIRST_ADMIN_LOCK).execute(&mut *tx).await?;
    let used = sqlx::query_scalar!(
        "UPDATE account_link SET used_at = now()
         WHERE purpose = 'first_admin' AND used_at IS NULL AND expires_at > now()
           AND NOT EXISTS (SELECT FROM account WHERE role = 'admin' AND status = 'active')
         RETURNING token_hash"
    )
    .fetch_all(tx)
    .await?;
    Ok(used.iter().any(|used| used == token_hash))
}
