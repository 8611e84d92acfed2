//! Keys that every node of a service shares, kept in the database and made on the first start.
use rand::RngExt as _;
use sqlx::PgPool;

/// The 32-byte key of that name; the first node to ask makes it.
pub async fn shared(pool: &PgPool, name: &str) -> Result<[u8; 32], sqlx::Error> {
    let fresh: [u8; 32] = rand::rng().random();
    sqlx::query!("INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, &fresh[..])
        .execute(pool)
        .await?;
    let kept = sqlx::query_scalar!("SELECT value FROM secret WHERE name = $1", name).fetch_one(pool).await?;
    kept.try_into().map_err(|_| sqlx::Error::Protocol(format!("the secret '{name}' is not 32 bytes")))
}
