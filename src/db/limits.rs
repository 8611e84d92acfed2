//! Limits of the database that an operator can meet.

/// The oldest supported major version of PostgreSQL.
pub const MIN_POSTGRES_MAJOR: u32 = 15;
/// The most connections of a node's pool, for requests. The writers and the matcher have their own.
pub const MAX_POOL_CONNECTIONS: u32 = 16;
/// The fewest connections of the pool with which requests can be served.
pub const MIN_POOL_CONNECTIONS: u32 = 2;
/// `max_connections` of the private Postgres.
pub const MAX_PRIVATE_CONNECTIONS: u32 = 120;
