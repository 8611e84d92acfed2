//! Keys that all nodes of a service share. They are stored in the database and created at the first
//! start.
use rand::RngExt as _;
use sqlx::PgPool;

/// Returns the 32-byte key of this name. The first node that asks for it creates it.
///
/// # Errors
/// Returns the error of a query, or an error if the stored key is not 32 bytes long.
pub async fn shared(pool: &PgPool, name: &str) -> Result<[u8; 32], sqlx::Error> {
    let fresh: [u8; 32] = rand::rng().random();
    sqlx::query!("INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, &fresh[..])
        .execute(pool)
        .await?;
    let kept = sqlx::query_scalar!("SELECT value FROM secret WHERE name = $1", name).fetch_one(pool).await?;
    kept.try_into().map_err(|_| sqlx::Error::Protocol(format!("the secret '{name}' is not 32 bytes")))
}
