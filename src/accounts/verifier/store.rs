//! Checks by an outside verifier: all its SQL.
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{Outcome, Purpose};
use crate::accounts::limits::VERIFICATION_LIFETIME;
use crate::ids::VisitorId;

/// Records a check that a sign-in waits for. Returns its id, `None` if the sign-in has ended.
pub(super) async fn request_for_sign_in(db: &PgPool, sign_in: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO verification (id, visitor_id, sign_in, purpose, state, expires_at)
         SELECT $1, a.visitor_id, s.key, $3, 'requested', now() + make_interval(secs => $4)
         FROM sign_in s JOIN account a ON a.id = s.account_id WHERE s.key = $2
         RETURNING id",
        Uuid::new_v4(),
        sign_in,
        Purpose::SignIn.as_str(),
        VERIFICATION_LIFETIME.as_seconds_f64()
    )
    .fetch_optional(db)
    .await
}

/// Records a check of a visitor's age. Returns its id.
pub(super) async fn request_for_age(tx: &mut PgConnection, visitor: VisitorId) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO verification (id, visitor_id, purpose, state, expires_at)
         VALUES ($1, $2, $3, 'requested', now() + make_interval(secs => $4)) RETURNING id",
        Uuid::new_v4(),
        visitor as VisitorId,
        Purpose::Age.as_str(),
        VERIFICATION_LIFETIME.as_seconds_f64()
    )
    .fetch_one(tx)
    .await
}

/// Records how a check of a sign-in ended. Returns `false` unless it was requested for this sign-in
/// and had not ended.
pub(super) async fn end_for_sign_in(
    tx: &mut PgConnection,
    id: Uuid,
    sign_in: Uuid,
    outcome: Outcome,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE verification SET state = $3, completed_at = now()
         WHERE id = $1 AND sign_in = $2 AND purpose = 'sign_in' AND state = 'requested' AND expires_at > now()",
        id,
        sign_in,
        outcome.as_str()
    )
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Records how a check of a visitor's age ended. Returns `false` unless it was requested for this
/// visitor and had not ended.
pub(super) async fn end_for_age(
    tx: &mut PgConnection,
    id: Uuid,
    visitor: VisitorId,
    outcome: Outcome,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE verification SET state = $3, completed_at = now()
         WHERE id = $1 AND visitor_id = $2 AND purpose = 'age' AND state = 'requested' AND expires_at > now()",
        id,
        visitor as VisitorId,
        outcome.as_str()
    )
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Returns `true` if a check of the visitor's age was completed.
pub(super) async fn is_age_verified(db: &PgPool, visitor: VisitorId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT true FROM verification WHERE visitor_id = $1 AND purpose = 'age' AND state = 'completed' LIMIT 1",
        visitor as VisitorId
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}
