//! The checker compares what Postgres has stored, read without the server, with what every client
//! was told.
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::context::Context;
use crate::history::{Outcome, Sent, digest, now_ms};
use crate::http;
use sim::rng::Rng;

/// How many acknowledged sends are repeated.
const MAX_REPEATS: usize = 200;
/// How long seekers can take to reach their final state after all faults are healed.
const SETTLE_DEADLINE: Duration = Duration::from_secs(10);

/// How far a stored time can be from the real one, in milliseconds. Both come from this machine's
/// clock.
const SLACK_MS: i64 = 1_000;
/// How often a repeat is tried that a rate limit refuses.
const REPEAT_TRIES: usize = 5;

/// A stored entry.
struct Entry {
    client_id: String,
    sender: String,
    digest: u64,
    at_ms: i64,
}

/// A room's log, in the order of its numbers.
#[derive(Default)]
struct Log {
    head: i64,
    entries: Vec<(i64, Entry)>,
}

/// What the checker counted.
#[derive(Default)]
pub struct Found {
    pub stored: usize,
    pub acked: usize,
    pub refused: usize,
    /// Refused sends of which an earlier try with an unknown outcome is stored.
    pub refused_stored: usize,
    /// Sends with a try of unknown outcome: how many of those tries were stored, and how many not.
    pub unknown_stored: usize,
    pub unknown_not: usize,
    pub repeated: usize,
    pub talks: usize,
    pub waiting: usize,
    pub heard: usize,
}

/// Connects to Postgres directly, as an operator would.
pub async fn connect(shared: &Context) -> Result<Client, tokio_postgres::Error> {
    crate::postgres::connect(&shared.cluster.socket_folder(), "checker").await
}

/// Checks everything. `listeners` are the clients that followed rooms to the end, with those rooms.
pub async fn check(
    shared: &Context,
    db: &Client,
    listeners: &[(usize, Vec<String>)],
) -> Result<Found, tokio_postgres::Error> {
    let mut found = Found::default();
    waiters(shared, db, &mut found).await?;
    // Read before anything is repeated: a repeat of a lost entry would write it again.
    let logs = logs(db).await?;
    log_itself(shared, &logs, &mut found);
    sends(shared, &logs, &mut found);
    views(shared, &logs, listeners, &mut found);
    talks(shared, db, &mut found).await?;
    times(shared, db).await?;
    repeats(shared, &mut found).await;
    Ok(found)
}

async fn logs(db: &Client) -> Result<HashMap<String, Log>, tokio_postgres::Error> {
    let mut logs = HashMap::<String, Log>::new();
    for row in
        db.query("SELECT r.public_id::text, h.seq FROM chat_room r JOIN room_head h ON h.room_id = r.id", &[]).await?
    {
        logs.insert(row.get(0), Log { head: row.get(1), entries: Vec::new() });
    }
    let entries = db
        .query(
            "SELECT r.public_id::text, m.seq, m.client_id::text, v.public_id::text, p.public_id::text, m.payload::text,
                    floor(extract(epoch FROM m.created_at) * 1000)::bigint,
                    to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
             FROM message m JOIN chat_room r ON r.id = m.room_id JOIN visitor v ON v.id = m.sender_id
             LEFT JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id ORDER BY m.room_id, m.seq",
            &[],
        )
        .await?;
    for row in entries {
        let payload: Value = serde_json::from_str(row.get(5)).unwrap_or(Value::Null);
        let (client_id, member): (String, Option<String>) = (row.get(2), row.get(4));
        let digest = digest(&client_id, &member.unwrap_or_default(), &payload, row.get(7));
        let entry = Entry { client_id, sender: row.get(3), digest, at_ms: row.get(6) };
        logs.entry(row.get(0)).or_default().entries.push((row.get(1), entry));
    }
    Ok(logs)
}

/// Checks that numbers run from 1 to the head without a gap and that no client id is stored twice.
fn log_itself(shared: &Context, logs: &HashMap<String, Log>, found: &mut Found) {
    for (room, log) in logs {
        found.stored += log.entries.len();
        for (at, (seq, _)) in log.entries.iter().enumerate() {
            if *seq != at as i64 + 1 {
                shared.history.problem("gap", format!("the stored log of {room} has {seq} in place {}", at + 1));
                break;
            }
        }
        if log.entries.len() as i64 != log.head {
            shared
                .history
                .problem("gap", format!("the head of {room} is {}, its log holds {}", log.head, log.entries.len()));
        }
        if let Some(seq) = before_its_time(&log.entries) {
            shared.history.problem("clock", format!("entry {seq} of {room} is dated before the one it follows"));
        }
        let mut ids = HashSet::new();
        for (seq, entry) in &log.entries {
            if !ids.insert(&entry.client_id) {
                shared
                    .history
                    .problem("doubled", format!("{} is stored twice in {room}, again at {seq}", entry.client_id));
            }
        }
    }
}

/// Returns the first entry that is dated well before the one it follows.
fn before_its_time(entries: &[(i64, Entry)]) -> Option<i64> {
    entries.windows(2).find(|two| two[1].1.at_ms + SLACK_MS < two[0].1.at_ms).map(|two| two[1].0)
}

/// Returns `true` if an acknowledged entry is dated between its first try and its acknowledgement.
/// Postgres dates entries, so a node's clock must not matter.
fn is_dated(sent: &Sent, at_ms: i64) -> bool {
    (sent.first_ms - SLACK_MS..=sent.acked_ms + SLACK_MS).contains(&at_ms)
}

/// Checks that nothing is dated before the run or in the future.
async fn times(shared: &Context, db: &Client) -> Result<(), tokio_postgres::Error> {
    let began_ms = now_ms() - (shared.history.elapsed() * 1e3) as i64 - SLACK_MS;
    let wrong = db
        .query(
            "SELECT what, at::text FROM (
                SELECT 'a room was made', created_at FROM chat_room UNION ALL SELECT 'a room was closed', closed_at FROM chat_room
                UNION ALL SELECT 'a talk began', created_at FROM random_session
                UNION ALL SELECT 'a talk ended', ended_at FROM random_session
                UNION ALL SELECT 'somebody was away', unnest(ARRAY[a_away_since, b_away_since]) FROM random_session
                UNION ALL SELECT 'somebody sought', unnest(ARRAY[a_since, b_since]) FROM random_session
                UNION ALL SELECT 'somebody seeks', since FROM random_ticket
                UNION ALL SELECT 'somebody joined', unnest(ARRAY[joined_at, left_at]) FROM membership
             ) t (what, at) WHERE extract(epoch FROM at) * 1000 NOT BETWEEN $1::float8 AND $2::float8",
            &[&(began_ms as f64), &((now_ms() + SLACK_MS) as f64)],
        )
        .await?;
    for row in wrong {
        let (what, at): (String, String) = (row.get(0), row.get(1));
        shared.history.problem("clock", format!("{what} at {at}, they say, which is not in this run"));
    }
    Ok(())
}

/// Checks that every acknowledged send is stored as it was acknowledged, and that nothing is stored
/// that was refused or never sent.
fn sends(shared: &Context, logs: &HashMap<String, Log>, found: &mut Found) {
    let mut broken = Vec::new();
    let people = shared.people.lock().clone();
    shared.history.with_sent(|all| {
        let mut stored = HashMap::<(&str, &str), (i64, &Entry)>::new();
        for (room, log) in logs {
            stored.extend(log.entries.iter().map(|(seq, entry)| ((&**room, &*entry.client_id), (*seq, entry))));
        }
        for (client_id, sent) in all {
            let there = stored.remove(&(&*sent.room, &**client_id));
            match (&sent.outcome, there) {
                (Outcome::Acked(seq), None) => {
                    broken.push(("lost", format!("{client_id} was acked as {seq} in {} and is not stored", sent.room)))
                }
                (Outcome::Acked(seq), Some((at, entry))) => {
                    if !is_dated(sent, entry.at_ms) {
                        let (first, acked) = (sent.first_ms, sent.acked_ms);
                        let what =
                            format!("{client_id} is dated {} ms, sent at {first} and acked at {acked}", entry.at_ms);
                        broken.push(("clock", what));
                    }
                    if *seq != at || people.get(&sent.who).is_none_or(|visitor| visitor.id != entry.sender) {
                        broken.push((
                            "changed",
                            format!("{client_id} was acked as {seq} in {} and is stored as {at}", sent.room),
                        ));
                    }
                }
                (Outcome::Refused(code), Some((at, _))) if sent.unknown == 0 => {
                    broken.push((
                        "changed",
                        format!("{client_id} was refused ({code}) and is stored as {at} in {}", sent.room),
                    ));
                }
                _ => {}
            }
            match &sent.outcome {
                Outcome::Acked(_) => found.acked += 1,
                Outcome::Refused(_) => {
                    found.refused += 1;
                    found.refused_stored += usize::from(there.is_some());
                }
                Outcome::Unknown => {}
            }
            if sent.unknown > 0 || sent.outcome == Outcome::Unknown {
                // It was stored before the last try was made: an earlier try, of unknown outcome,
                // stored it.
                let by_unknown =
                    there.is_some_and(|(_, entry)| sent.outcome == Outcome::Unknown || entry.at_ms < sent.tried_ms);
                *(if by_unknown { &mut found.unknown_stored } else { &mut found.unknown_not }) += 1;
            }
        }
        for ((room, client_id), (seq, _)) in stored {
            broken.push(("changed", format!("{client_id} at {seq} in {room} was never sent there")));
        }
    });
    broken.into_iter().for_each(|(kind, what)| shared.history.problem(kind, what));
}

/// Checks that clients received what is stored, and that those who stayed received all of it.
fn views(shared: &Context, logs: &HashMap<String, Log>, listeners: &[(usize, Vec<String>)], found: &mut Found) {
    let mut broken = Vec::new();
    shared.history.with_views(|all| {
        for ((who, room), view) in all {
            found.heard += view.entries.len();
            let log = logs.get(room);
            for (seq, digest) in &view.entries {
                let stored = log.and_then(|log| log.entries.get(usize::try_from(*seq - 1).ok()?));
                if stored.is_none_or(|(_, entry)| entry.digest != *digest) {
                    let kind = if stored.is_some() { "changed" } else { "lost" };
                    broken.push((kind, format!("client {who} received {seq} of {room}, which is not what is stored")));
                }
            }
        }
        for (who, rooms) in listeners {
            for room in rooms {
                let head = logs.get(room).map_or(0, |log| log.head);
                let seen = all.get(&(*who, room.clone())).map_or(0, |view| view.seen);
                if seen != head {
                    broken.push((
                        "gap",
                        format!("client {who} has seen {room} up to {seen} at the end, its head is {head}"),
                    ));
                }
            }
        }
    });
    broken.into_iter().for_each(|(kind, what)| shared.history.problem(kind, what));
}

/// Checks that nobody is in two talks at once or in a talk with themselves, and that each talk has
/// its two members.
async fn talks(shared: &Context, db: &Client, found: &mut Found) -> Result<(), tokio_postgres::Error> {
    // The server takes `ended_at` before the end commits, and `created_at` after it saw no open
    // talk, both with this machine's clock. Intervals that overlap at all are therefore a double
    // match.
    let overlaps = db
        .query(
            "WITH side AS (SELECT id, a AS visitor, created_at, ended_at FROM random_session
                           UNION ALL SELECT id, b, created_at, ended_at FROM random_session)
             SELECT s.visitor, s.id, t.id, s.created_at::text, s.ended_at::text, t.created_at::text
             FROM side s JOIN side t ON t.visitor = s.visitor AND s.id <> t.id AND s.created_at <= t.created_at
             WHERE s.ended_at IS NULL OR s.ended_at > t.created_at",
            &[],
        )
        .await?;
    for row in overlaps {
        let (visitor, one, two): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let (from, to, next): (String, Option<String>, String) = (row.get(3), row.get(4), row.get(5));
        shared.history.problem(
            "double match",
            format!("visitor {visitor} in talk {one} ({from} to {to:?}) and {two} (from {next})"),
        );
    }
    for row in db.query("SELECT id FROM random_session WHERE a = b", &[]).await? {
        shared.history.problem("double match", format!("talk {} is of one person", row.get::<_, i64>(0)));
    }
    let odd = db
        .query(
            "SELECT r.id, string_agg(m.slot || ':' || (m.visitor_id = CASE m.slot WHEN 'A' THEN s.a ELSE s.b END)::text, ' ' ORDER BY m.slot)
             FROM chat_room r LEFT JOIN random_session s ON s.room_id = r.id LEFT JOIN membership m ON m.room_id = r.id
             WHERE r.kind = 'talk' GROUP BY r.id HAVING count(DISTINCT s.id) <> 1 OR count(*) <> 2
                OR string_agg(m.slot || ':' || (m.visitor_id = CASE m.slot WHEN 'A' THEN s.a ELSE s.b END)::text, ' ' ORDER BY m.slot)
                   IS DISTINCT FROM 'A:true B:true'",
            &[],
        )
        .await?;
    for row in odd {
        let members: Option<String> = row.get(1);
        shared
            .history
            .problem("double match", format!("talk room {} has the members {members:?}", row.get::<_, i64>(0)));
    }
    found.talks = db.query_one("SELECT count(*) FROM random_session", &[]).await?.get::<_, i64>(0) as usize;
    Ok(())
}

/// Checks that those who wait have a ticket or a talk, and that those who stopped have neither.
/// Both become true after a moment at most.
async fn waiters(shared: &Context, db: &Client, found: &mut Found) -> Result<(), tokio_postgres::Error> {
    let began = Instant::now();
    let settled = shared.settled.lock().clone();
    loop {
        // One statement, so that nobody is seen between a ticket and a talk.
        let rows = db
            .query(
                "SELECT v.public_id::text, EXISTS (SELECT FROM random_ticket t WHERE t.visitor_id = v.id AND t.cancelled_at IS NULL),
                        EXISTS (SELECT FROM random_session s WHERE s.ended_at IS NULL AND v.id IN (s.a, s.b)) FROM visitor v",
                &[],
            )
            .await?;
        let mut wrong = Vec::new();
        found.waiting = 0;
        for row in rows {
            let (id, ticket, talk): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
            found.waiting += usize::from(ticket);
            match settled.get(&id) {
                Some(true) if ticket == talk => wrong.push(format!("{id} waits: ticket {ticket}, talk {talk}")),
                Some(false) | None if ticket || talk => {
                    wrong.push(format!("{id} has stopped: ticket {ticket}, talk {talk}"))
                }
                _ => {}
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SETTLE_DEADLINE {
            wrong.into_iter().for_each(|what| shared.history.problem("waiter", what));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Checks that a repeated acknowledged send gets its first answer from either node. A repeat by a
/// visitor who has left is refused.
async fn repeats(shared: &Context, found: &mut Found) {
    let people = shared.people.lock().clone();
    let mut acked: Vec<(String, usize, String, Value, i64)> = shared.history.with_sent(|all| {
        let acked = all.iter().filter_map(|(id, sent)| match sent.outcome {
            Outcome::Acked(seq) => Some((id.clone(), sent.who, sent.room.clone(), sent.payload.clone(), seq)),
            _ => None,
        });
        acked.collect()
    });
    acked.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let leavers = shared.leavers.lock().clone();
    Rng::new(shared.seed, "repeats").shuffle(&mut acked);
    for (number, (client_id, who, room, payload, seq)) in acked.into_iter().take(MAX_REPEATS).enumerate() {
        let Some(visitor) = people.get(&who) else { continue };
        let body = json!({"client_id": client_id, "payload": payload});
        let path = format!("/api/v1/rooms/{room}/messages");
        let mut answer = None;
        for _ in 0..REPEAT_TRIES {
            answer = http::ask(shared.cluster.endpoint(number % 2, &visitor.cookie), "POST", &path, Some(&body)).await;
            // A rate limit says nothing about the message.
            if answer.as_ref().is_none_or(|answer| answer.status != 429) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        found.repeated += 1;
        match answer {
            Some(answer) if answer.status == 200 && answer.json["seq"] == seq => {}
            Some(answer) if answer.json["code"] == "not_found" && leavers.contains(&who) => {}
            Some(answer) => {
                let kind = if answer.json["seq"].is_number() { "doubled" } else { "repeat" };
                let result = format!("{} {}{}", answer.status, answer.json["seq"], answer.json["code"]);
                shared
                    .history
                    .problem(kind, format!("a repeat of {client_id} ({seq} in {room}) was answered {result}"));
            }
            None => shared.history.problem("liveness", format!("a repeat of {client_id} was not answered")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Entry, Outcome, Sent, before_its_time, is_dated};

    fn sent(first_ms: i64, acked_ms: i64) -> Sent {
        let (room, payload, outcome) = (String::new(), Value::Null, Outcome::Acked(1));
        Sent { who: 0, room, payload, outcome, unknown: 0, first_ms, tried_ms: first_ms, acked_ms }
    }

    #[test]
    fn an_entry_is_dated_between_its_first_try_and_its_ack() {
        let sent = sent(100_000, 103_000);
        assert!([100_000, 101_500, 103_000, 103_900].into_iter().all(|at| is_dated(&sent, at)));
        // An hour early, a minute late, a day late.
        assert!([-3_500_000, 163_000, 90_100_000].into_iter().all(|at| !is_dated(&sent, at)));
    }

    #[test]
    fn an_entry_dated_before_the_one_it_follows_is_found() {
        let entry = |seq, at_ms| (seq, Entry { client_id: String::new(), sender: String::new(), digest: 0, at_ms });
        assert_eq!(before_its_time(&[entry(1, 5_000), entry(2, 5_000), entry(3, 9_000)]), None);
        assert_eq!(before_its_time(&[entry(1, 5_000), entry(2, 65_000), entry(3, 6_000)]), Some(3));
    }
}
