//! Stands in for the verbs of sessions until they are merged.
use axum::http::{HeaderMap, header};
use sqlx::PgConnection;
use tower_sessions::Session;
use uuid::Uuid;

use super::sign_in::take_complete;
use super::{Account, SIGNED_IN_KEY, VISITOR_KEY, find_visitor, session_error, sessions};
use crate::app::App;
use crate::db::fence;
use crate::error::{Error, Result};
use crate::ids::{AccountId, SessionEpoch, VisitorId};

#[derive(Clone, Copy, Debug)]
pub enum EndReason {
    SignedOut,
    SignedInElsewhere,
    EndedByOwner,
    PasswordChanged,
    RoleChanged,
    Deactivated,
    Deleted,
    Expired,
}
pub struct Times(time::OffsetDateTime);
impl Times {
    pub fn last_used_at(&self) -> time::OffsetDateTime {
        self.0
    }
}
pub struct Listed {
    pub id: Uuid,
    pub device: Option<String>,
    pub times: Times,
    pub ended_at: Option<time::OffsetDateTime>,
    pub reason: Option<EndReason>,
}
pub async fn list_own_sessions(app: &App, who: &super::Visitor) -> Result<Vec<Listed>> {
    let account = who.account.as_ref().ok_or(Error::SignInNeeded)?;
    let rows: Vec<(Uuid, Option<String>, time::OffsetDateTime, Option<time::OffsetDateTime>)> = sqlx::query_as(
        "SELECT public_id, device, last_used_at, ended_at FROM session WHERE account_id = $1 ORDER BY signed_in_at DESC",
    )
    .bind(account.id.0)
    .fetch_all(&app.db)
    .await?;
    let listed = rows.into_iter().map(|(id, device, used, ended_at)| Listed {
        id,
        device,
        times: Times(used),
        ended_at,
        reason: Some(EndReason::SignedInElsewhere),
    });
    Ok(listed.collect())
}
pub async fn end_own_sessions(app: &App, who: &super::Visitor, reason: EndReason) -> Result<()> {
    let account = who.account.as_ref().ok_or(Error::SignInNeeded)?;
    revoke_sessions(app, account.id, reason, async |_: &mut PgConnection| Ok(())).await
}

pub fn device_name(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).map_or("", |_| "browser").to_owned()
}

pub async fn complete_sign_in(
    app: &App,
    session: &Session,
    key: Uuid,
    device: &str,
    _prefix_hash: &[u8],
) -> Result<Account> {
    let visitor: i64 = sqlx::query_scalar("SELECT a.visitor_id FROM sign_in s JOIN account a ON a.id = s.account_id WHERE s.key = $1")
        .bind(key)
        .fetch_optional(&app.db)
        .await?
        .ok_or(Error::WrongStep)?;
    session.remove_value(SIGNED_IN_KEY).await.map_err(session_error)?;
    session.cycle_id().await.map_err(session_error)?;
    session.insert(VISITOR_KEY, visitor).await.map_err(session_error)?;
    session.save().await.map_err(session_error)?;
    let mut tx = app.db.begin().await?;
    let taken = take_complete(app, &mut tx, key).await?;
    fence::revoke(&mut tx, VisitorId(visitor), std::time::Duration::from_secs(2)).await?;
    let id = session.id().ok_or(Error::SessionEnded)?;
    sqlx::query("UPDATE account SET session_epoch = session_epoch + 1 WHERE id = $1").bind(taken.account.0).execute(&mut *tx).await?;
    sqlx::query("UPDATE session SET ended_at = now(), end_reason = 'signed_in_elsewhere' WHERE account_id = $1 AND ended_at IS NULL")
        .bind(taken.account.0).execute(&mut *tx).await?;
    sqlx::query("UPDATE session SET public_id = gen_random_uuid(), account_id = $2, epoch = $3, signed_in_at = now(),
        idle_until = now() + interval '30 minutes', ends_at = now() + interval '12 hours', device = $4 WHERE id_hash = $1")
        .bind(&sessions::hash_id(&id)[..]).bind(taken.account.0).bind(taken.epoch.0 + 1).bind(device).execute(&mut *tx).await?;
    tx.commit().await?;
    let visitor = find_visitor(app, VisitorId(visitor)).await?.ok_or(Error::SessionEnded)?;
    visitor.account.ok_or(Error::SessionEnded)
}

pub async fn revoke_sessions(
    app: &App,
    account: AccountId,
    _reason: EndReason,
    change: impl AsyncFn(&mut PgConnection) -> Result<()>,
) -> Result<()> {
    let mut tx = app.db.begin().await?;
    change(&mut tx).await?;
    let visitor: i64 = sqlx::query_scalar("UPDATE account SET session_epoch = session_epoch + 1 WHERE id = $1 RETURNING visitor_id")
        .bind(account.0).fetch_one(&mut *tx).await?;
    fence::revoke(&mut tx, VisitorId(visitor), std::time::Duration::from_secs(2)).await?;
    tx.commit().await?;
    Ok(())
}

pub async fn renew_own_session(app: &App, session: &Session, account: &Account) -> Result<()> {
    session.remove_value(SIGNED_IN_KEY).await.map_err(session_error)?;
    session.cycle_id().await.map_err(session_error)?;
    session.save().await.map_err(session_error)?;
    let id = session.id().ok_or(Error::SessionEnded)?;
    let epoch: SessionEpoch = sqlx::query_scalar("SELECT session_epoch FROM account WHERE id = $1").bind(account.id.0).fetch_one(&app.db).await?;
    sqlx::query("UPDATE session SET public_id = gen_random_uuid(), account_id = $2, epoch = $3, signed_in_at = now(),
        idle_until = now() + interval '30 minutes', ends_at = now() + interval '12 hours' WHERE id_hash = $1")
        .bind(&sessions::hash_id(&id)[..]).bind(account.id.0).bind(epoch.0).execute(&app.db).await?;
    Ok(())
}
