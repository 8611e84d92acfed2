//! How talks end: by a report or a block, and when a side does not enter, goes away or returns.
use std::time::Duration;

use super::{Client, OPEN, count, id, meet};
use crate::error::Error;
use crate::ids::{Seq, VisitorId};
use crate::matching::{self, NewReport, TalkState};
use crate::moderation::ReportReason;
use crate::testing::{self, Node};

const BLOCKS: &str = "SELECT count(*) FROM visitor_block";

fn a_report(room: uuid::Uuid) -> NewReport {
    NewReport { room, reason: ReportReason::Harassment, seqs: vec![], note: Some("rude".to_owned()), block: false }
}

#[tokio::test]
async fn a_report_ends_the_talk_and_they_never_meet_again() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    let room = id(&mine["room"]);
    matching::report(&node.app, &one.who, a_report(room)).await.unwrap();
    assert_eq!(one.receives("ended").await["reason"], "report");
    assert_eq!(other.receives("partner").await["state"], "left");
    assert_eq!(other.receives("ended").await["reason"], "left", "as if the other side had left");
    let stored: (VisitorId, Option<VisitorId>) =
        sqlx::query_as("SELECT reporter_id, reported_id FROM report").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(stored, (one.who.id, Some(other.who.id)), "the partner is reported although no entry was chosen");
    // A repeat after the end changes nothing, and the other side can report too.
    matching::report(&node.app, &one.who, a_report(room)).await.unwrap();
    matching::report(&node.app, &other.who, a_report(id(&theirs["room"]))).await.unwrap();
    let stranger = Client::new(&node).await;
    assert!(matches!(matching::report(&node.app, &stranger.who, a_report(room)).await, Err(Error::NotFound)));

    node.app.clock.advance(Duration::from_secs(3_600));
    one.seek(&[], &["ko"]).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    node.app.clock.advance(Duration::from_secs(60));
    one.receives_nothing(2_500).await;
    stranger.seek(&[], &["ko"]).await.unwrap();
    one.receives("found").await;
    other.receives_nothing(100).await;
}

#[tokio::test]
async fn a_report_over_its_limits_is_refused() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    let report = |seqs: Vec<Seq>, note: String| {
        let new = NewReport { seqs, note: Some(note), ..a_report(id(&mine["room"])) };
        matching::report(&node.app, &one.who, new)
    };
    for (seqs, note, code) in [
        (vec![Seq(1); 51], String::new(), "bad_frame"),
        (vec![Seq(0)], String::new(), "bad_payload"),
        (vec![], "x".repeat(1_001), "too_long"),
        (vec![], "a\0b".to_owned(), "bad_frame"),
    ] {
        assert_eq!(report(seqs, note).await.unwrap_err().code(), code);
    }
    assert_eq!(count(&node, "SELECT count(*) FROM report").await, 0);
    assert_eq!(count(&node, OPEN).await, 1);
}

#[tokio::test]
async fn a_block_is_mutual_and_works_after_the_end() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    let room = id(&mine["room"]);
    let (me, them) = (id(&mine["you"]["id"]), id(&theirs["you"]["id"]));
    let code = matching::block(&node.app, &one.who, room, me).await.unwrap_err().code();
    assert_eq!(code, "bad_frame", "a visitor cannot block itself");
    let unknown = matching::block(&node.app, &one.who, room, uuid::Uuid::new_v4()).await;
    assert!(matches!(unknown, Err(Error::NotFound)));
    matching::block(&node.app, &one.who, room, them).await.unwrap();
    assert_eq!(one.receives("ended").await["reason"], "block");
    assert_eq!(other.receives("partner").await["state"], "left");
    assert_eq!(other.receives("ended").await["reason"], "left", "as if the other side had left");
    matching::block(&node.app, &other.who, room, me).await.unwrap();
    assert_eq!(count(&node, BLOCKS).await, 2, "each side has its own block");
    // A block while both visitors already wait.
    let (mut third, mut fourth) = (Client::new(&node).await, Client::new(&node).await);
    let (found, partner) = meet(&mut third, &mut fourth).await;
    matching::next(&node.app, &third.who, id(&found["session"]), false).await.unwrap();
    third.seek(&["x"], &["en"]).await.unwrap();
    fourth.seek(&["y"], &["en"]).await.unwrap();
    matching::block(&node.app, &third.who, id(&found["room"]), id(&partner["you"]["id"])).await.unwrap();
    node.app.clock.advance(Duration::from_secs(700));
    third.receives("ended").await;
    third.receives_nothing(2_200).await;
    assert_eq!(count(&node, OPEN).await, 0);
}

#[tokio::test]
async fn a_block_can_be_taken_back_by_the_visitor_who_made_it() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    let room = id(&mine["room"]);
    let (me, them) = (id(&mine["you"]["id"]), id(&theirs["you"]["id"]));
    let stranger = Client::new(&node).await;
    matching::block(&node.app, &one.who, room, them).await.unwrap();
    assert_eq!(one.receives("ended").await["reason"], "block");
    other.receives("partner").await;
    other.receives("ended").await;
    // Only the visitor who made a block can take it back.
    assert!(matches!(matching::unblock(&node.app, &stranger.who, room, them).await, Err(Error::NotFound)));
    assert!(matches!(matching::unblock(&node.app, &one.who, room, uuid::Uuid::new_v4()).await, Err(Error::NotFound)));
    matching::unblock(&node.app, &other.who, room, me).await.unwrap();
    assert_eq!(count(&node, BLOCKS).await, 1);
    // Of two blocks one is enough.
    matching::block(&node.app, &other.who, room, me).await.unwrap();
    for _ in 0..2 {
        matching::unblock(&node.app, &one.who, room, them).await.unwrap();
    }
    assert_eq!(count(&node, OPEN).await, 0, "the talk stays ended");
    one.seek(&[], &["ko"]).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    node.app.clock.advance(Duration::from_secs(60));
    one.receives_nothing(2_500).await;
    assert_eq!(count(&node, BLOCKS).await, 1);
    // After the last one is taken back they meet, even while both wait already. The cooldown holds.
    matching::unblock(&node.app, &other.who, room, me).await.unwrap();
    assert_eq!(one.receives("found").await["relaxed"], true);
    other.receives("found").await;
}

#[tokio::test]
async fn a_side_whose_partner_never_enters_goes_back_to_the_front() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, _) = meet(&mut one, &mut other).await;
    one.enter(&mine).await;
    let since: time::OffsetDateTime =
        sqlx::query_scalar("SELECT CASE WHEN a = $1 THEN a_since ELSE b_since END FROM random_session")
            .bind(one.who.id)
            .fetch_one(&node.app.db)
            .await
            .unwrap();
    node.app.clock.advance(Duration::from_secs(15));
    let freed = one.receives("ended").await;
    assert_eq!(freed["reason"], "lost");
    let gone = other.receives("ended").await;
    assert_eq!((&gone["reason"], gone.get("seeking")), (&serde_json::json!("lost"), None));
    let (ticket, front): (uuid::Uuid, time::OffsetDateTime) =
        sqlx::query_as("SELECT public_id, since FROM random_ticket WHERE visitor_id = $1")
            .bind(one.who.id)
            .fetch_one(&node.app.db)
            .await
            .unwrap();
    assert_eq!((id(&freed["seeking"]["ticket"]), since), (ticket, front));
    assert_eq!(
        count(&node, "SELECT count(*) FROM random_ticket").await,
        1,
        "the side that did not enter does not wait"
    );
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(
        matching::current_activity(&node.app, &one.who).await.unwrap().seeking,
        Some(ticket),
        "the ticket is tracked"
    );
    let mut third = Client::new(&node).await;
    third.seek(&[], &["ko"]).await.unwrap();
    one.receives("found").await;
    third.receives("found").await;
}

#[tokio::test]
async fn a_talk_that_nobody_enters_ends() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    meet(&mut one, &mut other).await;
    node.app.clock.advance(Duration::from_secs(15));
    for client in [&mut one, &mut other] {
        let ended = client.receives("ended").await;
        assert_eq!((&ended["reason"], ended.get("seeking")), (&serde_json::json!("lost"), None));
    }
}

#[tokio::test]
async fn a_disconnected_side_has_half_a_minute_to_return() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    one.enter(&mine).await;
    other.enter(&theirs).await;
    // A page that reloads does not count as away.
    one.close();
    one.open(&node);
    node.app.clock.advance(Duration::from_secs(2));
    other.receives_nothing(600).await;

    one.close();
    node.app.clock.advance(Duration::from_secs(2));
    let away = other.receives("partner").await;
    assert_eq!(away["state"], "away");
    let standing = matching::current_activity(&node.app, &other.who).await.unwrap().session.unwrap();
    assert_eq!(
        (standing.state, standing.partner_until),
        (TalkState::Away, Some(away["until"].as_str().unwrap().to_owned()))
    );
    one.open(&node);
    one.enter(&mine).await;
    let back = other.receives("partner").await;
    assert_eq!((&back["state"], back.get("until")), (&serde_json::json!("back"), None));

    one.close();
    node.app.clock.advance(Duration::from_secs(2));
    assert_eq!(other.receives("partner").await["state"], "away");
    node.app.clock.advance(Duration::from_secs(20));
    other.receives_nothing(1_300).await;
    node.app.clock.advance(Duration::from_secs(10));
    let ended = other.receives("ended").await;
    assert_eq!((&ended["reason"], ended.get("seeking")), (&serde_json::json!("lost"), None));
}

#[tokio::test]
async fn a_side_can_return_on_another_node() {
    let node = testing::node().await;
    let second = Node::beside(&node).await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    one.enter(&mine).await;
    other.enter(&theirs).await;
    one.close();
    node.app.clock.advance(Duration::from_secs(2));
    assert_eq!(other.receives("partner").await["state"], "away");
    one.open(&second);
    one.enter(&mine).await;
    assert_eq!(other.receives("partner").await["state"], "back");
    matching::next(&node.app, &other.who, id(&mine["session"]), false).await.unwrap();
    assert_eq!(one.receives("partner").await["state"], "left");
    assert_eq!(one.receives("ended").await["reason"], "next");
}

#[tokio::test]
async fn a_jump_of_a_nodes_clock_ends_no_talk_and_hides_none() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    // Neither side has entered yet, and neither has been away for half a minute.
    node.app.clock.jump_system(Duration::from_secs(60));
    other.receives_nothing(2_500).await;
    one.enter(&mine).await;
    other.enter(&theirs).await;
    one.close();
    let away = other.receives("partner").await;
    assert_eq!(away["state"], "away");
    node.app.clock.jump_system(Duration::from_secs(60));
    other.receives_nothing(2_500).await;
    one.open(&node);
    one.enter(&mine).await;
    assert_eq!(other.receives("partner").await["state"], "back");
    matching::next(&node.app, &other.who, id(&mine["session"]), false).await.unwrap();
    assert_eq!(one.receives("partner").await["state"], "left");
    one.receives("ended").await;
    node.app.clock.jump_system(Duration::from_secs(25 * 3_600));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let room = id(&mine["room"]);
    assert!(crate::rooms::membership(&node.app, &one.who, room).await.is_ok(), "the room stays readable for a day");
    // A day later, by the clock of Postgres, it is not readable.
    sqlx::query("UPDATE chat_room SET closed_at = closed_at - interval '24 hours'")
        .execute(&node.app.db)
        .await
        .unwrap();
    assert!(matches!(crate::rooms::membership(&node.app, &one.who, room).await, Err(Error::NotFound)));
    // The waiting time of a new seek starts now, not yesterday or tomorrow.
    one.seek(&["x"], &["en"]).await.unwrap();
    let waited = "SELECT count(*) FROM random_ticket WHERE abs(extract(epoch FROM now() - since)) < 30";
    assert_eq!(count(&node, waited).await, 1);
}

#[tokio::test]
async fn a_jump_of_the_databases_clock_ends_no_talk_early() {
    let node = testing::node().await;
    let (mut one, mut other) = (Client::new(&node).await, Client::new(&node).await);
    let (mine, theirs) = meet(&mut one, &mut other).await;
    one.enter(&mine).await;
    other.enter(&theirs).await;
    one.close();
    assert_eq!(other.receives("partner").await["state"], "away");
    // This is the state after the clock of Postgres jumped from 14:00 to 14:01: all stored times,
    // and the time that the node knows, are a minute old.
    let mut tx = node.app.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE random_session IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
    let moved = "UPDATE random_session SET created_at = created_at - interval '1 minute',
        a_away_since = a_away_since - interval '1 minute', b_away_since = b_away_since - interval '1 minute'";
    sqlx::query(moved).execute(&mut *tx).await.unwrap();
    node.app.clock.sync(node.app.clock.now() - Duration::from_secs(60), tokio::time::Instant::now());
    tx.commit().await.unwrap();
    other.receives_nothing(2_500).await;
    let since = "SELECT count(*) FROM random_session WHERE coalesce(a_away_since, b_away_since) > now() - interval '25 seconds'";
    assert_eq!(count(&node, since).await, 1, "the half minute counts from when the side went away");
    one.open(&node);
    one.enter(&mine).await;
    assert_eq!(other.receives("partner").await["state"], "back");
}

#[tokio::test]
async fn a_seeker_keeps_its_ticket_while_the_clock_jumps() {
    let node = testing::node().await;
    let mut one = Client::new(&node).await;
    let ticket = one.seek(&[], &["ko"]).await.unwrap();
    one.close();
    node.app.clock.jump_system(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    one.open(&node);
    assert_eq!(matching::current_activity(&node.app, &one.who).await.unwrap().seeking, Some(ticket));
}

#[tokio::test]
async fn nothing_tells_the_other_side_who_reported_or_blocked() {
    let node = testing::node().await;
    // This node has no relay. It finds the end in the database.
    let isolated = Node::apart(&node).await;
    for reason in ["left", "report", "block"] {
        let (mut one, mut other) = (Client::new(&node).await, Client::new(&isolated).await);
        let mut tab = Client::new(&node).await;
        tab.close();
        tab.who = other.who.clone();
        tab.open(&node);
        let (mine, theirs) = (one.seek(&[], &["en"]).await, other.seek(&[], &["en"]).await);
        assert!(mine.is_ok() && theirs.is_ok());
        let mine = one.receives("found").await;
        let theirs = other.receives("found").await;
        tab.receives("found").await;
        let membership = one.enter(&mine).await;
        other.enter(&theirs).await;
        let room = id(&mine["room"]);
        match reason {
            "left" => matching::leave(&node.app, &one.who, &membership).await.unwrap(),
            "report" => drop(matching::report(&node.app, &one.who, a_report(room)).await.unwrap()),
            _ => matching::block(&node.app, &one.who, room, id(&theirs["you"]["id"])).await.unwrap(),
        }
        assert_eq!(one.receives("ended").await["reason"], reason, "the side that did it sees the reason");
        assert_eq!(tab.receives("partner").await["state"], "left");
        let ended = tab.receives("ended").await;
        assert_eq!(
            ended,
            serde_json::json!({"type": "ended", "session": mine["session"], "reason": "left"}),
            "{reason}"
        );
        assert_eq!(other.receives("ended").await, ended, "{reason}, found in the database");
        for (client, at) in [(&mut one, &node), (&mut other, &isolated), (&mut tab, &node)] {
            client.receives_nothing(50).await;
            let standing = matching::current_activity(&at.app, &client.who).await.unwrap();
            assert!(standing.session.is_none() && standing.seeking.is_none());
            client.close();
        }
    }
}
