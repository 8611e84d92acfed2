//! Matching: the SQL of tickets and leases, and no rules.
use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{LEASE_SECS, Row, Seek, Ticket};
use crate::faults::{self, Fault};
use crate::locale::Locale;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Tickets one read brings at most, the oldest first.
const TICKETS: i64 = 10_000;

/// The advisory lock of the one who pairs: "maju" in ASCII, then 2.
const MATCHER: i64 = 0x6d61_6a75_0000_0002;

/// Renews a node's lease, and returns the database's time.
pub(super) async fn renew_lease(db: &PgPool, node: Uuid) -> Result<OffsetDateTime> {
    sqlx::query_scalar!(
        "INSERT INTO node_lease (node, seen_at) VALUES ($1, clock_timestamp())
         ON CONFLICT ON CONSTRAINT node_lease_pk DO UPDATE SET seen_at = excluded.seen_at
         RETURNING seen_at",
        node
    )
    .fetch_one(db)
    .await
}

/// Whether a node is alive.
pub(super) async fn is_alive(tx: &mut PgConnection, node: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM node_lease
                          WHERE node = $1 AND seen_at > now() - make_interval(secs => $2)) AS "alive!""#,
        node,
        LEASE_SECS
    )
    .fetch_one(tx)
    .await
}

/// Tickets about to be written, column by column; no visitor twice.
#[derive(Default)]
pub(super) struct Written {
    pub visitors: Vec<i64>,
    pub tickets: Vec<Uuid>,
    pub seeks: Vec<String>,
    pub since: Vec<OffsetDateTime>,
}

impl Written {
    /// Adds a ticket.
    pub(super) fn add(&mut self, visitor: i64, ticket: Uuid, seek: &Seek, since: OffsetDateTime) {
        self.visitors.push(visitor);
        self.tickets.push(ticket);
        // Lists of strings and a flag always encode.
        self.seeks.push(serde_json::to_string(seek).unwrap_or_default());
        self.since.push(since);
    }

    /// All but those of some visitors.
    pub(super) fn without(&self, visitors: &HashSet<i64>) -> Self {
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

/// Locks the tickets of visitors, in id order: no pair with them is committed meanwhile.
pub(super) async fn lock_tickets_of(tx: &mut PgConnection, visitors: &[i64]) -> Result<()> {
    sqlx::query!("SELECT id FROM random_ticket WHERE visitor_id = ANY($1) ORDER BY id FOR UPDATE", visitors)
        .fetch_all(tx)
        .await?;
    Ok(())
}

/// Who of these is in an open talk.
pub(super) async fn in_talk(tx: &mut PgConnection, visitors: &[i64]) -> Result<Vec<i64>> {
    if faults::on(Fault::OpenTalkNotSeen) {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!(
        "SELECT visitor_id FROM membership WHERE visitor_id = ANY($1) AND slot IS NOT NULL AND left_at IS NULL",
        visitors
    )
    .fetch_all(tx)
    .await
}

/// Writes tickets; each replaces the one its visitor had, under a new id.
pub(super) async fn write_tickets(tx: &mut PgConnection, node: Uuid, new: &Written) -> Result<()> {
    sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since)
         SELECT ticket, visitor, $1, ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'interests')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'languages')),
                (seek::jsonb ->> 'translate')::boolean, since
         FROM UNNEST($2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[]) AS t(visitor, ticket, seek, since)
         ORDER BY visitor
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO UPDATE SET id = DEFAULT,
            public_id = excluded.public_id, node = excluded.node, interests = excluded.interests,
            languages = excluded.languages, translate = excluded.translate, since = excluded.since, connected = true,
            cancelled_at = NULL",
        node,
        &new.visitors,
        &new.tickets,
        &new.seeks,
        &new.since
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes tickets that went missing, unless their visitor has one again, has just cancelled or is in a talk.
pub(super) async fn restore_tickets(db: &PgPool, node: Uuid, lost: &Written) -> Result<u64> {
    let restored = sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since)
         SELECT ticket, visitor, $1, ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'interests')),
                ARRAY(SELECT jsonb_array_elements_text(seek::jsonb -> 'languages')),
                (seek::jsonb ->> 'translate')::boolean, since
         FROM UNNEST($2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[]) AS t(visitor, ticket, seek, since)
         WHERE NOT EXISTS (SELECT 1 FROM membership m
                           WHERE m.visitor_id = visitor AND m.slot IS NOT NULL AND m.left_at IS NULL)
         ORDER BY visitor
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO NOTHING",
        node,
        &lost.visitors,
        &lost.tickets,
        &lost.seeks,
        &lost.since
    )
    .execute(db)
    .await?;
    Ok(restored.rows_affected())
}

/// Marks a visitor's ticket as cancelled. The mark is left even where there is no ticket: another node may be about to
/// write a missing one again.
pub(super) async fn cancel(db: &PgPool, visitor: i64, node: Uuid) -> Result<()> {
    if faults::on(Fault::CancelIgnored) {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since, cancelled_at)
         VALUES ($1, $2, $3, '{}', '{}', false, now(), now())
         ON CONFLICT ON CONSTRAINT random_ticket_visitor_key DO UPDATE SET cancelled_at = now()",
        Uuid::new_v4(),
        visitor,
        node
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who is banned now and was revoked after a version of the fence; if None, who of those that seek or are in a talk.
pub(super) async fn banned(db: &PgPool, after: Option<i64>) -> Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT asked.id AS "visitor!"
           FROM (SELECT visitor_id FROM revocation WHERE version > $1
                 UNION ALL SELECT visitor_id FROM random_ticket WHERE $1::bigint IS NULL
                 UNION ALL SELECT visitor_id FROM membership
                           WHERE $1::bigint IS NULL AND slot IS NOT NULL AND left_at IS NULL) AS asked(id)
           CROSS JOIN LATERAL active_restriction(asked.id, NULL) restriction WHERE restriction.kind = 'ban'"#,
        after
    )
    .fetch_all(db)
    .await
}

/// Deletes tickets that this node answers for and nobody waits for any more.
pub(super) async fn delete_own(db: &PgPool, node: Uuid, visitors: &[i64], tickets: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "DELETE FROM random_ticket r USING UNNEST($2::bigint[], $3::uuid[]) AS t(visitor, ticket)
         WHERE r.visitor_id = t.visitor AND r.public_id = t.ticket AND r.node = $1 AND r.cancelled_at IS NULL",
        node,
        visitors,
        tickets
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes waiting tickets by their public ids.
pub(super) async fn delete_public(db: &PgPool, tickets: &[Uuid]) -> Result<()> {
    sqlx::query!("DELETE FROM random_ticket WHERE public_id = ANY($1) AND cancelled_at IS NULL", tickets)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes of tickets whether their visitors have a socket here. One who has is held by this node from then on; who has none
/// here may have one on the node that holds it.
pub(super) async fn set_connected(
    db: &PgPool,
    node: Uuid,
    visitors: &[i64],
    tickets: &[Uuid],
    connected: &[bool],
) -> Result<()> {
    if faults::on(Fault::GhostIsPaired) {
        return Ok(());
    }
    // Locked in id order, as everybody does.
    sqlx::query!(
        "UPDATE random_ticket r SET connected = due.connected, node = $1
         FROM (SELECT r.id, t.connected
               FROM UNNEST($2::bigint[], $3::uuid[], $4::boolean[]) AS t(visitor, ticket, connected)
               JOIN random_ticket r ON r.visitor_id = t.visitor AND r.public_id = t.ticket
               WHERE r.cancelled_at IS NULL AND (t.connected OR r.node = $1)
               ORDER BY r.id FOR UPDATE OF r) AS due
         WHERE r.id = due.id",
        node,
        visitors,
        tickets,
        connected
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A ticket's row, whoever holds it.
pub(super) struct Held {
    pub visitor: i64,
    pub connected: bool,
    pub seek: Seek,
    pub since: OffsetDateTime,
    pub row: Row,
}

/// The rows of these visitors, and every row of this node.
pub(super) async fn rows(db: &PgPool, node: Uuid, visitors: &[i64]) -> Result<Vec<Held>> {
    let rows = sqlx::query!(
        r#"SELECT visitor_id, public_id, interests, languages, translate, since, connected,
                  cancelled_at IS NOT NULL AS "cancelled!"
           FROM random_ticket WHERE node = $1 OR visitor_id = ANY($2)"#,
        node,
        visitors
    )
    .fetch_all(db)
    .await?;
    let held = rows.into_iter().map(|row| Held {
        visitor: row.visitor_id,
        connected: row.connected,
        seek: Seek { interests: row.interests, languages: row.languages, translate: row.translate },
        since: row.since,
        row: Row { ticket: row.public_id, cancelled: row.cancelled },
    });
    Ok(held.collect())
}

/// Which of these visitors wait, on whatever node.
pub(super) async fn waits(db: &PgPool, visitors: Vec<i64>) -> Result<HashMap<i64, ()>> {
    let found = sqlx::query_scalar!(
        "SELECT visitor_id FROM random_ticket WHERE visitor_id = ANY($1) AND cancelled_at IS NULL",
        &visitors
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(|visitor| (visitor, ())).collect())
}

/// Takes a visitor's waiting ticket over to this node.
pub(super) async fn take_over(db: &PgPool, node: Uuid, visitor: i64) -> Result<Option<Held>> {
    let row = sqlx::query!(
        "UPDATE random_ticket SET node = $1, connected = true WHERE visitor_id = $2 AND cancelled_at IS NULL
         RETURNING public_id, interests, languages, translate, since",
        node,
        visitor
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Held {
        visitor,
        connected: true,
        seek: Seek { interests: row.interests, languages: row.languages, translate: row.translate },
        since: row.since,
        row: Row { ticket: row.public_id, cancelled: false },
    }))
}

/// How many people wait who are there, on nodes that are alive.
pub(super) async fn waiting(db: &PgPool) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM random_ticket t JOIN node_lease l ON l.node = t.node
           WHERE t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $1)"#,
        LEASE_SECS
    )
    .fetch_one(db)
    .await
}

/// Moves the running times along with a jump of the database's clock: since when people wait, and since when open talks and
/// absences in them last. Nothing is moved into the future.
pub(super) async fn move_times(db: &PgPool, jump: time::Duration) -> Result<()> {
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

/// Becomes the one who pairs, if nobody else is. Held until the connection ends.
pub(super) async fn try_lead(db: &mut PgConnection) -> Result<bool> {
    if faults::on(Fault::MatcherWithoutLock) {
        return Ok(true);
    }
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "held!""#, MATCHER).fetch_one(db).await
}

/// Waiting tickets above an id of people who are there, on nodes that are alive.
pub(super) async fn live_tickets(db: &mut PgConnection, after: i64) -> Result<Vec<Ticket>> {
    let rows = sqlx::query!(
        "SELECT t.id, t.public_id, t.visitor_id, t.interests, t.languages, t.translate, t.since
         FROM random_ticket t JOIN node_lease l ON l.node = t.node
         WHERE t.id > $1 AND t.cancelled_at IS NULL AND t.connected AND l.seen_at > now() - make_interval(secs => $2)
         ORDER BY t.since, t.id LIMIT $3",
        after,
        LEASE_SECS,
        TICKETS
    )
    .fetch_all(db)
    .await?;
    let tickets = rows.into_iter().map(|row| Ticket {
        id: row.id,
        public_id: row.public_id,
        visitor: row.visitor_id,
        seek: Seek { interests: row.interests, languages: row.languages, translate: row.translate },
        since: row.since,
    });
    Ok(tickets.collect())
}

/// Deletes the leases that expired, the tickets nobody answers for, and cancelled ones that every node has seen.
pub(super) async fn sweep_tickets(db: &PgPool) -> Result<u64> {
    sqlx::query!("DELETE FROM node_lease WHERE seen_at <= now() - make_interval(secs => $1)", LEASE_SECS)
        .execute(db)
        .await?;
    let swept = sqlx::query!(
        "DELETE FROM random_ticket t WHERE CASE WHEN t.cancelled_at IS NOT NULL
            THEN t.cancelled_at < now() - interval '10 seconds'
            ELSE NOT EXISTS (SELECT 1 FROM node_lease l
                             WHERE l.node = t.node AND l.seen_at > now() - make_interval(secs => $1)) END",
        LEASE_SECS
    )
    .execute(db)
    .await?;
    Ok(swept.rows_affected())
}

/// A ticket locked for a round, with what its visitor is addressed in.
pub(super) struct Locked {
    pub ticket: Ticket,
    pub locale: Locale,
    /// Banned since the ticket was written: it is not to be paired.
    pub banned: bool,
}

/// Locks tickets that still wait, of people who are there, in id order.
pub(super) async fn lock_tickets(tx: &mut PgConnection, ids: &[i64]) -> Result<Vec<Locked>> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.public_id, t.visitor_id, t.interests, t.languages, t.translate, t.since, v.locale,
                  EXISTS (SELECT 1 FROM active_restriction(t.visitor_id, NULL) restriction WHERE restriction.kind = 'ban') AS "banned!"
           FROM random_ticket t JOIN visitor v ON v.id = t.visitor_id
           WHERE t.id = ANY($1) AND t.cancelled_at IS NULL AND t.connected ORDER BY t.id FOR UPDATE OF t"#,
        ids
    )
    .fetch_all(tx)
    .await?;
    let locked = rows.into_iter().map(|row| Locked {
        locale: Locale::of_tag(&row.locale).unwrap_or_default(),
        banned: row.banned,
        ticket: Ticket {
            id: row.id,
            public_id: row.public_id,
            visitor: row.visitor_id,
            seek: Seek { interests: row.interests, languages: row.languages, translate: row.translate },
            since: row.since,
        },
    });
    Ok(locked.collect())
}

/// Deletes tickets and answers which were there.
pub(super) async fn take_tickets(tx: &mut PgConnection, ids: &[i64]) -> Result<Vec<i64>> {
    sqlx::query_scalar!("DELETE FROM random_ticket WHERE id = ANY($1) RETURNING id", ids).fetch_all(tx).await
}
