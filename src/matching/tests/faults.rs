//! Crashes and lost messages: an emptied table, a matcher that loses its connection, a dead node, a
//! node without a relay, a pair that violates a constraint.
use std::time::Duration;

use super::{Client, OPEN, WAITING, count, id, meet};
use crate::matching;
use crate::testing::{self, Node, eventually};

#[tokio::test]
async fn tickets_are_written_again_after_a_crash_of_postgres() {
    let node = testing::node().await;
    let mut one = Client::new(&node).await;
    let ticket = one.seek(&["tea"], &["ko"]).await.unwrap();
    let find = "SELECT public_id, since, interests FROM random_ticket";
    let before: (uuid::Uuid, time::OffsetDateTime, Vec<String>) =
        sqlx::query_as(find).fetch_one(&node.app.db).await.unwrap();
    sqlx::query("TRUNCATE random_ticket, node_lease").execute(&node.app.db).await.unwrap();
    eventually("the ticket is back", || async { count(&node, WAITING).await == 1 }).await;
    let after: (uuid::Uuid, time::OffsetDateTime, Vec<String>) =
        sqlx::query_as(find).fetch_one(&node.app.db).await.unwrap();
    assert_eq!((before, after.0), (after.clone(), ticket));
    let mut other = Client::new(&node).await;
    other.seek(&["tea"], &["ko"]).await.unwrap();
    one.receives("found").await;
    other.receives("found").await;
}

/// Ends the connection of the leading matcher. Returns `false` if no matcher leads at that moment.
async fn kill_matcher(node: &Node) -> bool {
    let killed: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE locktype = 'advisory' AND granted AND objid = 2 AND classid = x'6d616a75'::int::oid
           AND d.datname = current_database()",
    )
    .fetch_all(&node.app.db)
    .await
    .unwrap();
    !killed.is_empty()
}

#[tokio::test]
async fn a_matcher_that_loses_its_connection_is_replaced() {
    let node = testing::node().await;
    let second = Node::beside(&node).await;
    for _ in 0..3 {
        eventually("a matcher leads and loses its connection", || kill_matcher(&node)).await;
        let (mut one, mut other) = (Client::new(&node).await, Client::new(&second).await);
        meet(&mut one, &mut other).await;
    }
    assert_eq!(count(&node, OPEN).await, 3);
}

#[tokio::test]
async fn a_lost_found_is_sent_again_within_a_second() {
    let node = testing::node().await;
    eventually("the first node leads", || async { node.app.matching.matcher.leading_for().is_some() }).await;
    let isolated = Node::apart(&node).await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&isolated).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    assert_eq!(mine["partner"]["name"], theirs["you"]["name"]);
    other.receives_nothing(1_300).await;
    assert!(isolated.app.matching.local.tracked().is_empty());
}

#[tokio::test]
async fn the_tickets_and_sides_of_a_dead_node_expire() {
    let node = testing::node().await;
    eventually("the first node leads", || async { node.app.matching.matcher.leading_for().is_some() }).await;
    let second = Node::beside(&node).await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&second).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    one.enter(&mine).await;
    other.enter(&theirs).await;
    let waits = Client::new(&second).await;
    waits.seek(&[], &["ja"]).await.unwrap();
    drop(second);
    let away = one.receives("partner").await;
    assert_eq!((&away["state"], away["until"].is_string()), (&serde_json::json!("away"), true));
    eventually("its tickets are deleted", || async { count(&node, "SELECT count(*) FROM random_ticket").await == 0 })
        .await;
    // Its side returns on this node and stays.
    other.open(&node);
    other.enter(&theirs).await;
    assert_eq!(one.receives("partner").await["state"], "back");
    node.app.clock.advance(Duration::from_secs(60));
    one.receives_nothing(1_500).await;
    matching::next(&node.app, &one.who, id(&mine["session"]), false).await.unwrap();
    assert_eq!(other.receives("partner").await["state"], "left");
}

#[tokio::test]
async fn a_pair_that_the_database_forbids_is_dropped_and_the_rest_written() {
    let node = testing::node().await;
    eventually("the node leads", || async { node.app.matching.matcher.leading_for().is_some() }).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::new(&node).await);
    }
    let rejected = clients[0].who.id.0;
    let sql = format!(
        "CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.visitor_id = {rejected} THEN
                RAISE unique_violation USING CONSTRAINT = 'membership_one_open_talk';
            END IF;
            RETURN NEW;
         END $$;
         CREATE TRIGGER curse BEFORE INSERT ON membership FOR EACH ROW EXECUTE FUNCTION curse()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&node.app.db).await.unwrap();
    let languages = ["ja", "ja", "ko", "ko", "en", "en"];
    let seeks =
        clients.iter().zip(&languages).map(|(client, language)| client.seek(&[], std::slice::from_ref(language)));
    for outcome in futures_util::future::join_all(seeks).await {
        outcome.unwrap();
    }
    for client in &mut clients[2..] {
        client.receives("found").await;
    }
    assert_eq!(count(&node, OPEN).await, 2);
    assert_eq!(count(&node, WAITING).await, 2, "the other two still wait");
    assert_eq!(count(&node, "SELECT count(*) FROM chat_room").await, 2, "no room without two people");
    sqlx::query("DROP TRIGGER curse ON membership").execute(&node.app.db).await.unwrap();
    clients[0].receives("found").await;
    clients[1].receives("found").await;
}

#[tokio::test]
async fn a_seeker_in_a_talk_is_never_paired() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    // A ticket that must not be there is deleted, not paired.
    sqlx::query(
        "INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since)
         VALUES (gen_random_uuid(), $1, $2, '{}', '{}', false, now())",
    )
    .bind(one.who.id)
    .bind(node.app.node)
    .execute(&node.app.db)
    .await
    .unwrap();
    let mut third = Client::new(&node).await;
    third.seek(&[], &["ko"]).await.unwrap();
    third.receives_nothing(2_200).await;
    assert_eq!(count(&node, OPEN).await, 1);
    matching::next(&node.app, &one.who, id(&mine["session"]), false).await.unwrap();
    other.receives("partner").await;
    assert_eq!(count(&node, WAITING).await, 1, "only the third visitor waits");
}

/// Makes every transaction that writes `event` to `random_session` fail at its commit, until the
/// trigger is dropped.
async fn fail_commits(node: &Node, event: &str) {
    let sql = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
         CREATE CONSTRAINT TRIGGER fail AFTER {event} ON random_session DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&node.app.db).await.unwrap();
}

async fn let_commit(node: &Node) {
    eventually("the trigger is dropped", || async {
        sqlx::query("DROP TRIGGER IF EXISTS fail ON random_session").execute(&node.app.db).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn nobody_is_told_of_a_pair_before_it_is_committed() {
    let node = testing::node().await;
    fail_commits(&node, "INSERT").await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    one.seek(&[], &["ko"]).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    one.receives_nothing(1_500).await;
    other.receives_nothing(0).await;
    let_commit(&node).await;
    one.receives("found").await;
    other.receives("found").await;
    one.receives_nothing(300).await;
}

#[tokio::test]
async fn nobody_is_told_of_an_end_before_it_is_committed() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    fail_commits(&node, "UPDATE").await;
    let talk = id(&mine["session"]);
    assert!(matching::next(&node.app, &one.who, talk, false).await.is_err());
    other.receives_nothing(300).await;
    let_commit(&node).await;
    matching::next(&node.app, &one.who, talk, false).await.unwrap();
    assert_eq!(other.receives("partner").await["state"], "left");
}

#[tokio::test]
async fn one_node_pairs_at_a_time() {
    let node = testing::node().await;
    let second = Node::beside(&node).await;
    let leaders = || [&node, &second].iter().filter(|node| node.app.matching.matcher.leading_for().is_some()).count();
    eventually("one node leads", || async { leaders() > 0 }).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await; // the other node tries to get the lock each second
    assert_eq!(leaders(), 1);
}

#[tokio::test]
async fn the_database_forbids_what_the_code_never_does() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    meet(&mut one, &mut other).await;
    let second =
        "INSERT INTO chat_room (public_id, kind, naming) VALUES (gen_random_uuid(), 'talk', 'anonymous') RETURNING id";
    let room: i64 = sqlx::query_scalar(second).fetch_one(&node.app.db).await.unwrap();
    for (sql, expected) in [
        (
            "INSERT INTO membership (room_id, visitor_id, public_id, slot, color, name)
             VALUES ($1, $2, gen_random_uuid(), 'A', 'pine', 'x')",
            "membership_one_open_talk",
        ),
        ("UPDATE random_session SET b = a WHERE $1 + $2 > 0", "random_session_two_people"),
    ] {
        let outcome = sqlx::query(sql).bind(room).bind(one.who.id).execute(&node.app.db).await;
        let why = outcome.expect_err(expected);
        assert_eq!(crate::db::constraint(&why), Some(expected), "{why}");
    }
}

#[tokio::test]
async fn a_pool_larger_than_one_transaction_is_paired_completely_and_once() {
    let node = testing::node().await;
    // 1,100 pairs, each with an interest of its own, on another node. All start to wait at the same
    // time, as after an outage of the matcher.
    let elsewhere = uuid::Uuid::new_v4();
    let lease = "INSERT INTO node_lease (node, seen_at) VALUES ($1, now() + interval '1 minute')";
    sqlx::query(lease).bind(elsewhere).execute(&node.app.db).await.unwrap();
    sqlx::query(
        "WITH pool AS (
             INSERT INTO visitor (public_id, color, animal, locale)
             SELECT gen_random_uuid(), 'pine', 'otter', 'ko' FROM generate_series(1, 2200) RETURNING id
         ), numbered AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM pool)
         INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since)
         SELECT gen_random_uuid(), id, $1, ARRAY['topic ' || n / 2], ARRAY['ko'], false, now() FROM numbered",
    )
    .bind(elsewhere)
    .execute(&node.app.db)
    .await
    .unwrap();
    eventually("nobody waits", || async { count(&node, "SELECT count(*) FROM random_ticket").await == 0 }).await;
    let talks = "SELECT count(*) FROM random_session";
    assert_eq!(count(&node, talks).await, 1_100);
    let people = "SELECT count(DISTINCT v) FROM random_session, unnest(ARRAY[a, b]) v";
    assert_eq!(count(&node, people).await, 2_200, "each visitor is in one talk");
    let strangers = "SELECT count(*) FROM random_session WHERE cardinality(shared) <> 1";
    assert_eq!(count(&node, strangers).await, 0, "each visitor meets the one that shares its interest");
}

#[tokio::test]
async fn a_node_whose_matcher_gets_no_connection_is_not_ready_until_it_does() {
    let node = testing::node().await;
    let readyz = || async { node.get("/readyz").await };
    let mut inside = crate::db::connect(&node.app.db, &[]).await.unwrap();
    let there = (*node.app.db.connect_options()).clone();
    eventually("the node is ready", || async { readyz().await.status.is_success() }).await;
    // The pool keeps its connections. New connections are refused, as when a connection limit is
    // reached.
    node.app.db.set_connect_options(there.clone().host("127.0.0.1").port(1).username("nobody"));
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'maju matcher'";
    sqlx::raw_sql(end).execute(&mut inside).await.unwrap();
    eventually("the node reports that nobody is matched", || async {
        let answer = readyz().await;
        answer.status == 503 && answer.text.contains("matching is paused: no connection to the database")
    })
    .await;
    node.app.db.set_connect_options(there);
    eventually("the node is ready again", || async { readyz().await.status.is_success() }).await;
    let (mut one, other) = (Client::new(&node).await, Client::new(&node).await);
    one.seek(&[], &["ko"]).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    one.receives("found").await;
}
