//! Matching: the SQL of tickets and leases, and no rules.
use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::live_topics::Chosen;
use super::model::{LEASE_TIMEOUT_SECS, Seek, StoredSeek, Ticket, TicketId};
use super::reconcile::TicketState;
use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, VisitorId};
use crate::locale::Locale;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The largest number of tickets in one scan, the longest waits first.
const MAX_SCAN_ROWS: i64 = 10_000;

/// The key of the matcher's advisory lock: "maju" in ASCII, then 2.
const MATCHER_LOCK_KEY: i64 = 0x6d61_6a75_0000_0002;

/// Returns `true` if a node's lease has not expired.
pub(super) async fn is_node_alive(tx: &mut PgConnection, node: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM node_lease
                          WHERE node = $1 AND seen_at > now() - make_interval(secs => $2)) AS "alive!""#,
        node,
        LEASE_TIMEOUT_SECS
    )
    .fetch_one(tx)
    .await
}

/// Tickets to be written, as one list per column. Each visitor occurs at most once.
#[derive(Default)]
pub(super) struct TicketBatch {
    pub visitors: Vec<VisitorId>,
    pub tickets: Vec<Uuid>,
    pub seeks: Vec<String>,
    pub since: Vec<OffsetDateTime>,
}

impl TicketBatch {
    /// Adds a ticket.
    pub(super) fn add(&mut self, visitor: VisitorId, ticket: Uuid, seek: &Seek, since: OffsetDateTime) {
        self.visitors.push(visitor);
        self.tickets.push(ticket);
        // Encoding lists of strings and a flag cannot fail.
        self.seeks.push(serde_json::to_string(seek).unwrap_or_default());
        self.since.push(since);
    }

    /// Returns the batch without the tickets of some visitors.
    pub(super) fn without(&self, visitors: &HashSet<VisitorId>) -> Self {
        let mut rest = Self::default();
        for at in (0..self.visitors.len()).filter(|at| !visitors.contains(&self.visitors[*at])) {
            rest.visitors.push(self.visitors[at]);
            rest.tickets.push(self.tickets[at]);
            rest.seeks.push(self.seeks[at].clone());
            rest.since.push(self.since[at]);
        }
        rest
    }
}

/// Locks the tickets of visitors, in id order. While they are locked, no pair with these visitors
/// is committed.
pub(super) async fn lock_tickets_by_visitor(tx: &mut PgConnection, visitors: &[VisitorId]) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM random_ticket WHERE visitor_id = ANY($1) ORDER BY id FOR UPDATE",
        visitors as &[VisitorId]
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

/// Returns which of these visitors are in an open talk.
pub(super) async fn visitors_in_talk(tx: &mut PgConnection, visitors: &[VisitorId]) -> Result<Vec<VisitorId>> {
    if faults::on(Fault::OpenTalkNotSeen) {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!(
        r#"SELECT visitor_id AS "visitor_id: VisitorId" FROM membership
           WHERE visitor_id = ANY($1) AND slot IS NOT NULL AND left_at IS NULL"#,
        visitors as &[VisitorId]
    )
    .fetch_all(tx)
    .await
}

/// Writes tickets. Each one replaces its visitor's earlier ticket and gets a new id.
pub(super) async fn write_tickets(tx: &mut PgConnection, node: Uuid, new: &TicketBatch) -> Result<()> {
    sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, topics, languages, translate, since)
         SELECT ticket, visitor, $1, ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'interests')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'topics')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'languages')),
                (seek::jsonb ->> 'translate')::boolean, since
         FROM UNNEST($2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[]) AS t(visitor, ticket, seek, since)
         ORDER BY visitor
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO UPDATE SET id = DEFAULT,
            public_id = excluded.public_id, node = excluded.node, interests = excluded.interests,
            topics = excluded.topics, languages = excluded.languages, translate = excluded.translate, since = excluded.since, connected = true,
            cancelled_at = NULL",
        node,
        &new.visitors as &[VisitorId],
        &new.tickets,
        &new.seeks,
        &new.since
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes missing tickets again, unless their visitor has a new one, has just cancelled or is in a
/// talk. Returns the number of tickets written.
pub(super) async fn restore_tickets(db: &PgPool, node: Uuid, lost: &TicketBatch) -> Result<u64> {
    let restored = sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, topics, languages, translate, since)
         SELECT ticket, visitor, $1, ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'interests')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'topics')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'languages')),
                (seek::jsonb ->> 'translate')::boolean, since
         FROM UNNEST($2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[]) AS t(visitor, ticket, seek, since)
         WHERE NOT EXISTS (SELECT 1 FROM membership m
                           WHERE m.visitor_id = visitor AND m.slot IS NOT NULL AND m.left_at IS NULL)
         ORDER BY visitor
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO NOTHING",
        node,
        &lost.visitors as &[VisitorId],
        &lost.tickets,
        &lost.seeks,
        &lost.since
    )
    .execute(db)
    .await?;
    Ok(restored.rows_affected())
}

/// Marks a visitor's ticket as cancelled. If there is no ticket, it writes a cancelled one, so that
/// another node does not write a missing one again.
pub(super) async fn cancel(db: &mut PgConnection, visitor: VisitorId, node: Uuid) -> Result<()> {
    if faults::on(Fault::CancelIgnored) {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since, cancelled_at)
         VALUES ($1, $2, $3, '{}', '{}', false, now(), now())
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO UPDATE SET cancelled_at = now()",
        Uuid::new_v4(),
        visitor as VisitorId,
        node
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the visitors that are banned now and were revoked after a fence version. If `after` is
/// `None`, returns all banned visitors that wait or are in a talk.
pub(super) async fn banned(db: &PgPool, after: Option<FenceVersion>) -> Result<Vec<VisitorId>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT asked.id AS "visitor!: VisitorId"
           FROM (SELECT visitor_id FROM revocation WHERE version > $1
                 UNION ALL SELECT visitor_id FROM random_ticket WHERE $1::bigint IS NULL
                 UNION ALL SELECT visitor_id FROM membership
                           WHERE $1::bigint IS NULL AND slot IS NOT NULL AND left_at IS NULL) AS asked(id)
           CROSS JOIN LATERAL active_restriction(asked.id, NULL) restriction WHERE restriction.kind = 'ban'"#,
        after as Option<FenceVersion>
    )
    .fetch_all(db)
    .await
}

/// Deletes tickets for which this node is responsible, unless they are cancelled.
pub(super) async fn delete_own(db: &PgPool, node: Uuid, visitors: &[VisitorId], tickets: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "DELETE FROM random_ticket r USING UNNEST($2::bigint[], $3::uuid[]) AS t(visitor, ticket)
         WHERE r.visitor_id = t.visitor AND r.public_id = t.ticket AND r.node = $1 AND r.cancelled_at IS NULL",
        node,
        visitors as &[VisitorId],
        tickets
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes waiting tickets by their public ids.
pub(super) async fn delete_by_public_id(db: &PgPool, tickets: &[Uuid]) -> Result<()> {
    sqlx::query!("DELETE FROM random_ticket WHERE public_id = ANY($1) AND cancelled_at IS NULL", tickets)
        .execute(db)
        .await?;
    Ok(())
}

/// Records on tickets whether their visitors have a socket on this node.
///
/// A ticket whose visitor has one belongs to this node from then on. A ticket whose visitor has
/// none is changed only if it belongs to this node: the visitor can have a socket on the other
/// node.
pub(super) async fn set_connected(
    db: &PgPool,
    node: Uuid,
    visitors: &[VisitorId],
    tickets: &[Uuid],
    connected: &[bool],
) -> Result<()> {
    if faults::on(Fault::GhostIsPaired) {
        return Ok(());
    }
    // All writers lock tickets in id order, so they cannot deadlock.
    sqlx::query!(
        "UPDATE random_ticket r SET connected = due.connected, node = $1
         FROM (SELECT r.id, t.connected
               FROM UNNEST($2::bigint[], $3::uuid[], $4::boolean[]) AS t(visitor, ticket, connected)
               JOIN random_ticket r ON r.visitor_id = t.visitor AND r.public_id = t.ticket
               WHERE r.cancelled_at IS NULL AND (t.connected OR r.node = $1)
               ORDER BY r.id FOR UPDATE OF r) AS due
         WHERE r.id = due.id",
        node,
        visitors as &[VisitorId],
        tickets,
        connected
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A ticket as it is in the table, on this node or another.
pub(super) struct StoredTicket {
    pub visitor: VisitorId,
    pub connected: bool,
    pub seek: Seek,
    pub since: OffsetDateTime,
    pub state: TicketState,
}

fn seek_of(interests: Vec<String>, topics: Vec<String>, languages: Vec<String>, translate: bool) -> Seek {
    StoredSeek { interests, topics, languages, translate }.into()
}

/// Returns the rows of these visitors, and all rows of this node.
pub(super) async fn rows(db: &PgPool, node: Uuid, visitors: &[VisitorId]) -> Result<Vec<StoredTicket>> {
    let rows = sqlx::query!(
        r#"SELECT visitor_id AS "visitor_id: VisitorId", public_id, interests, topics, languages, translate, since, connected,
                  cancelled_at IS NOT NULL AS "cancelled!"
           FROM random_ticket WHERE node = $1 OR visitor_id = ANY($2)"#,
        node,
        visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    let tickets = rows.into_iter().map(|row| StoredTicket {
        visitor: row.visitor_id,
        connected: row.connected,
        seek: seek_of(row.interests, row.topics, row.languages, row.translate),
        since: row.since,
        state: TicketState { ticket: row.public_id, cancelled: row.cancelled },
    });
    Ok(tickets.collect())
}

/// Returns which of these visitors wait, on any node.
pub(super) async fn waiting_among(db: &PgPool, visitors: Vec<VisitorId>) -> Result<HashMap<VisitorId, ()>> {
    let found = sqlx::query_scalar!(
        r#"SELECT visitor_id AS "visitor_id: VisitorId" FROM random_ticket
           WHERE visitor_id = ANY($1) AND cancelled_at IS NULL"#,
        &visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(|visitor| (visitor, ())).collect())
}

/// Moves a visitor's waiting ticket to this node and returns it. `None` if the visitor does not
/// wait.
pub(super) async fn take_over(db: &PgPool, node: Uuid, visitor: VisitorId) -> Result<Option<StoredTicket>> {
    let row = sqlx::query!(
        "UPDATE random_ticket SET node = $1, connected = true WHERE visitor_id = $2 AND cancelled_at IS NULL
         RETURNING public_id, interests, topics, languages, translate, since",
        node,
        visitor as VisitorId
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| StoredTicket {
        visitor,
        connected: true,
        seek: seek_of(row.interests, row.topics, row.languages, row.translate),
        since: row.since,
        state: TicketState { ticket: row.public_id, cancelled: false },
    }))
}

/// Returns the number of visitors that wait and are connected, on nodes that are alive.
pub(super) async fn count_waiting(db: &PgPool) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM random_ticket t JOIN node_lease l ON l.node = t.node
           WHERE t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $1)"#,
        LEASE_TIMEOUT_SECS
    )
    .fetch_one(db)
    .await
}

/// Returns the topics of the visitors that wait and are connected or are in a talk, with how many
/// visitors chose the same. At most [`MAX_SCAN_ROWS`] choices, the most frequent ones first.
pub(super) async fn chosen_topics(db: &PgPool) -> Result<Vec<Chosen>> {
    sqlx::query_as!(
        Chosen,
        r#"SELECT topics AS "topics!", count(*) AS "people!"
           FROM (SELECT t.topics FROM random_ticket t JOIN node_lease l ON l.node = t.node
                 WHERE t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $1)
                 UNION ALL
                 SELECT ARRAY(SELECT jsonb_array_elements_text(side.seek -> 'topics'))
                 FROM random_session s CROSS JOIN LATERAL (VALUES (s.a_seek), (s.b_seek)) AS side(seek)
                 WHERE s.ended_at IS NULL) AS chosen
           WHERE topics <> '{}' GROUP BY topics ORDER BY count(*) DESC LIMIT $2"#,
        LEASE_TIMEOUT_SECS,
        MAX_SCAN_ROWS
    )
    .fetch_all(db)
    .await
}

/// Moves the running times by the length of a clock jump of Postgres: when visitors started to
/// wait, when open talks started and when sides went away. No time is moved into the future.
pub(super) async fn shift_times(db: &PgPool, jump: time::Duration) -> Result<()> {
    let seconds = jump.as_seconds_f64();
    let mut tx = db.begin().await?;
    sqlx::query!(
        "UPDATE random_session SET created_at = LEAST(created_at + make_interval(secs => $1), now()),
            a_away_since = LEAST(a_away_since + make_interval(secs => $1), now()),
            b_away_since = LEAST(b_away_since + make_interval(secs => $1), now())
         WHERE ended_at IS NULL AND (a_node IS NULL OR b_node IS NULL OR a_away_since IS NOT NULL OR b_away_since IS NOT NULL)",
        seconds
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE random_ticket SET since = LEAST(since + make_interval(secs => $1), now()) WHERE cancelled_at IS NULL",
        seconds
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Tries to get the matcher's advisory lock. Returns `true` if this connection has it now; it keeps
/// the lock until it is closed.
pub(super) async fn try_lock_matcher(db: &mut PgConnection) -> Result<bool> {
    if faults::on(Fault::MatcherWithoutLock) {
        return Ok(true);
    }
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "held!""#, MATCHER_LOCK_KEY).fetch_one(db).await
}

/// Returns the waiting tickets with an id above `after` whose visitors are connected, on nodes that
/// are alive.
pub(super) async fn live_tickets(db: &mut PgConnection, after: TicketId) -> Result<Vec<Ticket>> {
    let rows = sqlx::query!(
        r#"SELECT t.id AS "id: TicketId", t.public_id, t.visitor_id AS "visitor_id: VisitorId", t.interests,
                  t.topics, t.languages, t.translate, t.since
           FROM random_ticket t JOIN node_lease l ON l.node = t.node
           WHERE t.id > $1 AND t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $2)
           ORDER BY t.since, t.id LIMIT $3"#,
        after as TicketId,
        LEASE_TIMEOUT_SECS,
        MAX_SCAN_ROWS
    )
    .fetch_all(db)
    .await?;
    let tickets = rows.into_iter().map(|row| Ticket {
        id: row.id,
        public_id: row.public_id,
        visitor: row.visitor_id,
        seek: seek_of(row.interests, row.topics, row.languages, row.translate),
        since: row.since,
    });
    Ok(tickets.collect())
}

/// Deletes expired leases, the tickets of nodes without a lease, and tickets that were cancelled so
/// long ago that every node has seen it. Returns the number of tickets deleted.
pub(super) async fn sweep_tickets(db: &PgPool) -> Result<u64> {
    sqlx::query!("DELETE FROM node_lease WHERE seen_at <= now() - make_interval(secs => $1)", LEASE_TIMEOUT_SECS)
        .execute(db)
        .await?;
    let swept = sqlx::query!(
        "DELETE FROM random_ticket t WHERE CASE WHEN t.cancelled_at IS NOT NULL
            THEN t.cancelled_at < now() - interval '10 seconds'
            ELSE NOT EXISTS (SELECT 1 FROM node_lease l
                             WHERE l.node = t.node AND l.seen_at > now() - make_interval(secs => $1)) END",
        LEASE_TIMEOUT_SECS
    )
    .execute(db)
    .await?;
    Ok(swept.rows_affected())
}

/// A ticket that is locked for a round.
pub(super) struct LockedTicket {
    pub ticket: Ticket,
    /// The language of its visitor's name.
    pub locale: Locale,
    /// Its visitor was banned after the ticket was written. It must not be paired.
    pub banned: bool,
}

/// Locks the tickets that still wait and whose visitors are connected, in id order.
pub(super) async fn lock_tickets(tx: &mut PgConnection, ids: &[TicketId]) -> Result<Vec<LockedTicket>> {
    let rows = sqlx::query!(
        r#"SELECT t.id AS "id: TicketId", t.public_id, t.visitor_id AS "visitor_id: VisitorId", t.interests,
                  t.topics, t.languages, t.translate, t.since, v.locale,
                  EXISTS (SELECT 1 FROM active_restriction(t.visitor_id, NULL) restriction WHERE restriction.kind = 'ban') AS "banned!"
           FROM random_ticket t JOIN visitor v ON v.id = t.visitor_id
           WHERE t.id = ANY($1) AND t.cancelled_at IS NULL AND t.connected ORDER BY t.id FOR UPDATE OF t"#,
        ids as &[TicketId]
    )
    .fetch_all(tx)
    .await?;
    let locked = rows.into_iter().map(|row| LockedTicket {
        locale: Locale::of_tag(&row.locale).unwrap_or_default(),
        banned: row.banned,
        ticket: Ticket {
            id: row.id,
            public_id: row.public_id,
            visitor: row.visitor_id,
            seek: seek_of(row.interests, row.topics, row.languages, row.translate),
            since: row.since,
        },
    });
    Ok(locked.collect())
}

/// Deletes tickets and returns the ids of those that were there.
pub(super) async fn delete_tickets(tx: &mut PgConnection, ids: &[TicketId]) -> Result<Vec<TicketId>> {
    sqlx::query_scalar!(
        r#"DELETE FROM random_ticket WHERE id = ANY($1) RETURNING id AS "id: TicketId""#,
        ids as &[TicketId]
    )
    .fetch_all(tx)
    .await
}
