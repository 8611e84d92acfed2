//! Nodes: their SQL, and no rules.
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::matching::model::LEASE_TIMEOUT_SECS;

/// Renews a node's lease. Returns the time by the clock of Postgres.
///
/// # Errors
/// Those of the database.
pub async fn renew_lease(db: &PgPool, lease: &Lease<'_>) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        "INSERT INTO node_lease (node, seen_at, version, address, leads_since)
         VALUES ($1, clock_timestamp(), $2, $3, clock_timestamp() - make_interval(secs => $4))
         ON CONFLICT ON CONSTRAINT node_lease_pk DO UPDATE SET seen_at = excluded.seen_at,
             leads_since = CASE WHEN excluded.leads_since IS NULL THEN NULL
                                ELSE coalesce(node_lease.leads_since, excluded.leads_since) END
         RETURNING seen_at",
        lease.node,
        lease.version,
        lease.address,
        lease.leading_secs
    )
    .fetch_one(db)
    .await
}

/// What a node writes of itself each second.
pub struct Lease<'a> {
    pub node: Uuid,
    pub version: &'a str,
    pub address: &'a str,
    /// For how long it has led. `None` if it does not.
    pub leading_secs: Option<f64>,
}

/// A node that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    pub node: Uuid,
    /// Empty if the node does not say it.
    pub version: String,
    /// What the node listens on.
    pub address: String,
    pub started_at: OffsetDateTime,
    /// Since when it runs the matcher. `None` if another node does.
    pub leads_since: Option<OffsetDateTime>,
}

/// Returns the nodes whose lease has not expired, the oldest first, at most 100.
///
/// # Errors
/// Those of the database.
pub async fn live_nodes(db: &PgPool) -> sqlx::Result<Vec<LiveNode>> {
    sqlx::query_as!(
        LiveNode,
        "SELECT node, version, address, started_at, leads_since FROM node_lease
         WHERE seen_at > now() - make_interval(secs => $1) ORDER BY started_at, node LIMIT 100",
        LEASE_TIMEOUT_SECS
    )
    .fetch_all(db)
    .await
}

/// What matching does on all nodes now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Visitors that wait.
    pub waiting: i64,
    /// Talks that are open.
    pub talks: i64,
    /// How many people waited for the talks that began in the last five minutes.
    pub waits: i64,
    /// The median of those waits in seconds. `None` if there were none.
    pub median_secs: Option<f64>,
    /// The wait in seconds that 95 % of them did not exceed.
    pub slow_secs: Option<f64>,
}

/// Returns what matching does on all nodes now.
///
/// # Errors
/// Those of the database.
pub async fn figures(db: &PgPool) -> sqlx::Result<Figures> {
    sqlx::query_as!(
        Figures,
        r#"SELECT (SELECT count(*) FROM random_ticket t JOIN node_lease l ON l.node = t.node
                   WHERE t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $1)) AS "waiting!",
                  (SELECT count(*) FROM random_session WHERE ended_at IS NULL) AS "talks!",
                  count(*) AS "waits!", percentile_cont(0.5) WITHIN GROUP (ORDER BY waited.secs) AS median_secs,
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY waited.secs) AS slow_secs
           FROM random_session s CROSS JOIN LATERAL (
               VALUES (greatest(0, extract(epoch FROM s.created_at - s.a_since)::float8)),
                      (greatest(0, extract(epoch FROM s.created_at - s.b_since)::float8))) AS waited(secs)
           WHERE s.created_at > now() - interval '5 minutes'"#,
        LEASE_TIMEOUT_SECS
    )
    .fetch_one(db)
    .await
}
