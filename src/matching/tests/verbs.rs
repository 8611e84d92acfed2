//! The verbs seek, cancel, next and leave on a real Postgres.
use std::collections::HashSet;

use uuid::Uuid;

use super::{Client, OPEN, WAITING, count, id, meet, seek};
use crate::error::Error;
use crate::matching::{self, TalkState};
use crate::testing::{self, Node, eventually};

#[tokio::test]
async fn two_strangers_meet_in_a_and_b() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    one.seek(&["Music", "tea"], &["ko-KR", "en"]).await.unwrap();
    one.receives_nothing(50).await;
    other.seek(&["music"], &["ko"]).await.unwrap();
    let (mine, theirs) = (one.receives("found").await, other.receives("found").await);
    assert_eq!((&mine["session"], &mine["room"]), (&theirs["session"], &theirs["room"]));
    let slots: HashSet<&str> = [&mine, &theirs].map(|found| found["slot"].as_str().unwrap()).into();
    assert_eq!(slots, HashSet::from(["A", "B"]));
    assert_eq!((&mine["shared"], &mine["languages"]), (&serde_json::json!(["Music"]), &serde_json::json!(["ko"])));
    assert_eq!(theirs["shared"], serde_json::json!(["music"]), "each side reads its own word");
    assert_eq!(
        (&mine["partner"]["name"], &mine["partner"]["color"]),
        (&theirs["you"]["name"], &theirs["you"]["color"])
    );
    assert_eq!((&mine["you"]["slot"], &mine["relaxed"]), (&mine["slot"], &serde_json::json!(false)));
    let membership = one.enter(&mine).await;
    assert_eq!(id(&mine["you"]["id"]), membership.member.sender.id, "the sender of the visitor's own messages");
    assert_eq!(count(&node, WAITING).await, 0);
    let standing = matching::current_activity(&node.app, &one.who).await.unwrap();
    let session = standing.session.unwrap();
    assert_eq!((session.found.session, session.state), (id(&mine["session"]), TalkState::Open));
    assert_eq!(standing.seeking, None);
    assert!(matches!(one.seek(&[], &[]).await, Err(Error::AlreadyInSession)));
    assert_eq!(count(&node, WAITING).await, 0);
    one.receives_nothing(1_500).await;
    other.receives_nothing(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_on_two_nodes_make_twenty_pairs() {
    let first = testing::node().await;
    let second = Node::beside(&first).await;
    let mut clients = Vec::new();
    for n in 0..40 {
        clients.push(Client::new(if n % 2 == 0 { &first } else { &second }).await);
    }
    let seeks = clients.iter().map(|client| client.seek(&[], &["ko"]));
    for outcome in futures_util::future::join_all(seeks).await {
        outcome.unwrap();
    }
    let mut rooms = Vec::new();
    for client in &mut clients {
        rooms.push(id(&client.receives("found").await["room"]));
    }
    for room in &rooms {
        assert_eq!(rooms.iter().filter(|other| *other == room).count(), 2, "each room has two members");
    }
    for client in &mut clients {
        client.receives_nothing(0).await;
    }
    assert_eq!(count(&first, "SELECT count(*) FROM random_session").await, 20);
    assert_eq!(
        count(&first, "SELECT count(DISTINCT v) FROM random_session, LATERAL (VALUES (a), (b)) AS t(v)").await,
        40
    );
    assert_eq!(count(&first, WAITING).await, 0);
    assert!(first.app.matching.matcher.leading_for().is_some() != second.app.matching.matcher.leading_for().is_some());
}

#[tokio::test]
async fn a_second_seek_replaces_the_first() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let first = one.seek(&["tea"], &["ko"]).await.unwrap();
    let second = one.seek(&["music"], &["ko"]).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(count(&node, WAITING).await, 1);
    assert_eq!(matching::current_activity(&node.app, &one.who).await.unwrap().seeking, Some(second));
    other.seek(&["tea"], &["ko"]).await.unwrap();
    other.receives_nothing(1_200).await;
    other.seek(&["music"], &["ko"]).await.unwrap();
    assert_eq!(one.receives("found").await["shared"], serde_json::json!(["music"]));
    assert_eq!(count(&node, OPEN).await, 1);
    let at_once = [one.seek(&[], &[]), one.seek(&[], &[])];
    assert!(futures_util::future::join_all(at_once).await.iter().all(|outcome| outcome.is_err()), "in a talk");
}

#[tokio::test]
async fn a_cancelled_seek_is_not_matched() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    matching::cancel(&node.app, &one.who).await.unwrap(); // there is no ticket
    one.seek(&[], &["ko"]).await.unwrap();
    matching::cancel(&node.app, &one.who).await.unwrap();
    matching::cancel(&node.app, &one.who).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    other.receives_nothing(1_300).await;
    assert_eq!(matching::current_activity(&node.app, &one.who).await.unwrap().seeking, None);
    one.seek(&[], &["ko"]).await.unwrap();
    other.receives("found").await;
    one.receives("found").await;
}

#[tokio::test]
async fn next_ends_and_seeks_again() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    let session = id(&mine["session"]);
    let stranger = Client::new(&node).await;
    for (who, session) in [(&stranger.who, session), (&one.who, Uuid::new_v4())] {
        let refused = matching::next(&node.app, who, session, true).await;
        assert!(matches!(refused, Err(Error::NotFound)));
    }
    let ticket = matching::next(&node.app, &one.who, session, true).await.unwrap().unwrap();
    let ended = one.receives("ended").await;
    assert_eq!((&ended["reason"], ended.get("seeking")), (&serde_json::json!("next"), None));
    assert_eq!(other.receives("partner").await["state"], "left");
    assert_eq!(other.receives("ended").await["reason"], "next");
    // A repeat, and then the `next` of the other side.
    assert_eq!(matching::next(&node.app, &one.who, session, true).await.unwrap(), Some(ticket));
    assert_eq!(matching::next(&node.app, &other.who, session, false).await.unwrap(), None);
    let again = matching::next(&node.app, &other.who, session, true).await.unwrap();
    assert!(again.is_some_and(|again| again != ticket));
    // They met a moment ago, and another visitor could come. After three seconds they meet again,
    // and `found` shows it.
    one.receives_nothing(300).await;
    node.app.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(one.receives("found").await["relaxed"], true);
    other.receives("found").await;
}

#[tokio::test]
async fn leaving_is_harmless_twice_and_the_age_gate_comes_first() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    let membership = one.enter(&mine).await;
    for _ in 0..2 {
        matching::leave(&node.app, &one.who, &membership).await.unwrap();
    }
    assert_eq!(one.receives("ended").await["reason"], "left");
    assert_eq!(other.receives("partner").await["state"], "left");
    assert_eq!(other.receives("ended").await["reason"], "left");
    one.receives_nothing(100).await;
    other.receives_nothing(0).await;
    assert_eq!(matching::current_activity(&node.app, &other.who).await.unwrap().session, None);
    let mut minor = one.who.clone();
    minor.rules_accepted = None;
    assert!(matches!(matching::seek(&node.app, &minor, seek(&[], &[], false)).await, Err(Error::AgeGate)));
}

#[tokio::test]
async fn a_ticket_outlives_its_socket_by_ten_seconds() {
    let node = testing::node().await;
    let mut one = Client::new(&node).await;
    let ticket = one.seek(&[], &["ko"]).await.unwrap();
    one.close();
    node.app.clock.advance(std::time::Duration::from_secs(5));
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    one.open(&node);
    assert_eq!(
        matching::current_activity(&node.app, &one.who).await.unwrap().seeking,
        Some(ticket),
        "the ticket was never deleted"
    );
    node.app.clock.advance(std::time::Duration::from_secs(60));
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    assert_eq!(count(&node, WAITING).await, 1, "a ticket with a socket stays");
    one.close();
    node.app.clock.advance(std::time::Duration::from_secs(11));
    eventually("the ticket is deleted", || async { count(&node, WAITING).await == 0 }).await;
    assert!(node.app.matching.local.tracked().is_empty());
}

#[tokio::test]
async fn nobody_is_paired_with_somebody_who_is_gone() {
    let node = testing::node().await;
    // The nodes share only the database. A node learns of the other's sockets from the row.
    let other = testing::Node::apart(&node).await;
    for at in [&node, &other] {
        let mut gone = Client::new(&node).await;
        let ticket = gone.seek(&[], &["ko"]).await.unwrap();
        gone.close();
        let (mut first, mut second) = (Client::new(at).await, Client::new(at).await);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let began = tokio::time::Instant::now();
        first.seek(&[], &["ko"]).await.unwrap();
        first.receives_nothing(300).await;
        second.seek(&[], &["ko"]).await.unwrap();
        assert_eq!(first.receives("found").await["session"], second.receives("found").await["session"]);
        assert!(began.elapsed() < std::time::Duration::from_secs(8), "it must not take 15 s: {:?}", began.elapsed());
        // A visitor that returns in time keeps its place, also on another node, and is paired
        // again.
        gone.open(at);
        assert_eq!(matching::current_activity(&at.app, &gone.who).await.unwrap().seeking, Some(ticket));
        let mut third = Client::new(&node).await;
        third.seek(&[], &["ko"]).await.unwrap();
        assert_eq!(gone.receives("found").await["session"], third.receives("found").await["session"]);
    }
}

#[tokio::test]
async fn a_socket_on_another_node_counts() {
    let node = testing::node().await;
    let other = testing::Node::apart(&node).await;
    let mut one = Client::new(&node).await;
    one.seek(&[], &["ko"]).await.unwrap();
    // A second tab on another node takes the ticket over. When it closes, the first tab still
    // counts.
    let mut tab = Client { who: one.who.clone(), ..Client::new(&other).await };
    tab.close();
    tab.open(&other);
    assert!(matching::current_activity(&other.app, &one.who).await.unwrap().seeking.is_some());
    tab.close();
    let mut two = Client::new(&node).await;
    two.seek(&[], &["ko"]).await.unwrap();
    assert_eq!(one.receives("found").await["session"], two.receives("found").await["session"]);
}

/// Prints its times with `cargo test matching::tests::verbs::a_thousand -- --nocapture`. They are
/// not asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_seek_at_once_and_all_are_in_talks() {
    let node = testing::node().await;
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(Client::new(&node).await);
    }
    let began = std::time::Instant::now();
    let seeks = clients.iter().map(|client| client.seek(&[], &["ko"]));
    futures_util::future::join_all(seeks).await.into_iter().for_each(|outcome| _ = outcome.unwrap());
    let written = began.elapsed();
    eventually("all are in talks", || async { count(&node, OPEN).await == 500 }).await;
    assert_eq!(count(&node, WAITING).await, 0, "nobody waits");
    eprintln!("1,000 seeks at once: tickets answered in {written:?}, 500 pairs committed in {:?}", began.elapsed());
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let mut waits = Vec::new();
    for _ in 0..100 {
        one.seek(&[], &["en"]).await.unwrap();
        let began = std::time::Instant::now();
        other.seek(&[], &["en"]).await.unwrap();
        let (mine, _) = (one.receives("found").await, other.receives("found").await);
        waits.push(began.elapsed());
        matching::next(&node.app, &one.who, id(&mine["session"]), false).await.unwrap();
        (one, other) = (Client::new(&node).await, Client::new(&node).await);
    }
    waits.sort_unstable();
    eprintln!("the second of two, seek to found: median {:?}, p99 {:?}", waits[50], waits[98]);
}
