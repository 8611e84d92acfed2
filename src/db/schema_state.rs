//! Compares the schema of a database with that of this version, and changes nothing.
use std::collections::BTreeMap;

use sqlx::PgPool;

use super::MIGRATIONS;

/// How the schema of a database relates to that of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has no schema yet.
    Empty,
    /// It has the schema of this version.
    Current,
    /// This many migrations are missing.
    Behind(usize),
    /// A newer version has migrated it up to this number.
    Ahead(i64),
    /// The migration of this number was interrupted, or is not the one of this version.
    Damaged(i64),
}

/// Reads how the schema relates to that of this version.
///
/// # Errors
/// Returns the error of a query.
pub async fn schema_state(pool: &PgPool) -> Result<SchemaState, sqlx::Error> {
    let is_there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(is_there).fetch_one(pool).await? {
        return Ok(SchemaState::Empty);
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(pool)
            .await?;
    let mut own: BTreeMap<i64, &[u8]> =
        MIGRATIONS.iter().map(|migration| (migration.version, &*migration.checksum)).collect();
    let newest = own.keys().last().copied().unwrap_or_default();
    for (version, checksum, success) in &rows {
        match own.remove(version) {
            Some(expected) if *success && expected == checksum.as_slice() => {}
            None if *version > newest => return Ok(SchemaState::Ahead(rows.last().map_or(*version, |row| row.0))),
            _ => return Ok(SchemaState::Damaged(*version)),
        }
    }
    Ok(if own.is_empty() { SchemaState::Current } else { SchemaState::Behind(own.len()) })
}

#[cfg(test)]
mod tests {
    use super::{SchemaState, schema_state};
    use crate::testing;

    #[tokio::test]
    async fn the_schema_is_compared_with_that_of_this_version() {
        let db = testing::database().await;
        assert_eq!(schema_state(&db).await.unwrap(), SchemaState::Current);
        let newest = super::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
        for (sql, expected) in [
            ("UPDATE _sqlx_migrations SET success = false WHERE version = 2", SchemaState::Damaged(2)),
            ("UPDATE _sqlx_migrations SET success = true, checksum = '' WHERE version = 2", SchemaState::Damaged(2)),
            ("DELETE FROM _sqlx_migrations WHERE version = 2", SchemaState::Behind(1)),
            ("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3", SchemaState::Ahead(9999)),
            ("DROP TABLE _sqlx_migrations", SchemaState::Empty),
        ] {
            sqlx::query(sql).execute(&db).await.unwrap();
            assert_eq!(schema_state(&db).await.unwrap(), expected, "{sql}, newest is {newest}");
        }
    }
}
