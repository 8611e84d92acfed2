//! Limits of the database that an operator can meet.

/// The oldest supported major version of PostgreSQL.
///
/// Beyond it: the start is refused.
pub const MIN_POSTGRES_MAJOR: u32 = 15;
/// The most connections of a node's pool, for requests. The writers and the matcher have their own.
///
/// Beyond it: requests wait for a connection.
pub const MAX_POOL_CONNECTIONS: u32 = 16;
/// The fewest connections of the pool with which requests can be served.
///
/// Beyond it: the start is refused.
pub const MIN_POOL_CONNECTIONS: u32 = 2;
/// `max_connections` of the private Postgres.
pub const MAX_PRIVATE_CONNECTIONS: u32 = 120;
