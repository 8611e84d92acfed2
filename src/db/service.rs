//! The id of a service. It distinguishes services that share a Redis server or a host.
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use super::secret;

/// Returns the id of the service that uses this database. All its nodes read the same id, and no
/// other service has it.
///
/// It is a hash of a random key in the database and of the database's identity (the cluster's
/// system identifier and the database's oid). A dump that is restored elsewhere, for instance for a
/// test site, is therefore another service. A copy of the files is not, so the key must be removed
/// from it (docs/OPERATIONS.md).
///
/// # Errors
/// Returns the error of a query.
pub async fn id(pool: &PgPool) -> Result<Uuid, sqlx::Error> {
    let key = secret::shared(pool, "service").await?;
    let database =
        sqlx::query_scalar!(r#"SELECT oid::bigint AS "oid!" FROM pg_database WHERE datname = current_database()"#)
            .fetch_one(pool)
            .await?;
    let can_read_cluster =
        sqlx::query_scalar!(r#"SELECT has_function_privilege('pg_catalog.pg_control_system()', 'execute') AS "may!""#)
            .fetch_one(pool)
            .await?;
    // Some hosted databases do not show it to their users. The key and the oid must be enough
    // there.
    let cluster: i64 = if can_read_cluster {
        sqlx::query_scalar!(r#"SELECT system_identifier AS "id!" FROM pg_control_system()"#).fetch_one(pool).await?
    } else {
        0
    };
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(cluster.to_be_bytes());
    hash.update(database.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Ok(Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::id;
    use crate::{db, testing};

    #[tokio::test]
    async fn all_nodes_of_a_service_read_one_id_and_a_restored_copy_has_another() {
        let pool = testing::database().await;
        let first = id(&pool).await.unwrap();
        assert_eq!(id(&db::pool((*pool.connect_options()).clone())).await.unwrap(), first);
        let copy = testing::database().await;
        let key: Vec<u8> =
            sqlx::query_scalar("SELECT value FROM secret WHERE name = 'service'").fetch_one(&pool).await.unwrap();
        sqlx::query("INSERT INTO secret (name, value) VALUES ('service', $1)").bind(&key).execute(&copy).await.unwrap();
        assert_ne!(id(&copy).await.unwrap(), first, "a copy restored beside it is another service");
    }
}
