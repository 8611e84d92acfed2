//! The pages: their SQL.
use sqlx::PgPool;
use tower_sessions::session::Id;

use crate::accounts::sessions::hash_id;

/// Returns why a signed-in session is over: `Some(None)` if only its time is. `None` if there is no
/// such session, or it is a guest's.
pub(super) async fn end_of_session(db: &PgPool, session: &Id) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT end_reason FROM session WHERE id_hash = $1 AND account_id IS NOT NULL",
        &hash_id(session)[..]
    )
    .fetch_optional(db)
    .await
}
