//! A writer that hangs, with the fence and the heads in its hand, holds nobody for more than 5 s.
use std::time::Duration;

use tokio::time::Instant;

use super::{public_room, say};
use crate::db::{self, fence};
use crate::moderation::{self, NewSanction};
use crate::rooms::log::{self, SESSION};
use crate::rooms::{join, kick, membership};
use crate::testing::{Node, node};

/// What nobody may be held for.
const PROMISE: Duration = Duration::from_secs(5);

/// A transaction as a writer's, which goes silent: its process was stopped, or its machine is gone.
async fn hang(node: &Node, rooms: &[i64]) -> sqlx::PgConnection {
    let mut hung = db::connect(&node.app.db, SESSION).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut hung).await.unwrap();
    fence::share(&mut hung).await.unwrap();
    log::lock_heads(&mut hung, rooms).await.unwrap();
    hung
}

#[tokio::test]
async fn a_writer_that_hangs_holds_neither_a_ban_nor_a_kick_nor_the_other_writers() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let (stuck, free) = (public_room(&node, &owner).await, public_room(&node, &owner).await);
    let (ann, bob, cid) = (node.visitor("en").await, node.visitor("en").await, node.visitor("en").await);
    let held = join(&node.app, &ann, stuck).await.unwrap().room.id;
    for who in [&ann, &bob] {
        join(&node.app, who, free).await.unwrap();
    }
    join(&node.app, &cid, stuck).await.unwrap();
    let began = Instant::now();
    let hung = hang(&node, &[held]).await;
    let sanction = |visitor| NewSanction { visitor, reason: "a test", author: None, lasts: None };
    let banning = async {
        moderation::ban(&node.app, &sanction(bob.id)).await.unwrap();
        began.elapsed()
    };
    // Where a batch was given up, the sender repeats: what counts is when it is written.
    let until_written = async |node: &Node, room| {
        while say(node, &ann, room, "x").await.is_err() {
            assert!(began.elapsed() < 2 * PROMISE);
        }
        began.elapsed()
    };
    let kicking = async {
        kick(&node.app, stuck, &sanction(cid.id)).await.unwrap();
        began.elapsed()
    };
    let pace = async {
        // Nothing holds these but the ban's own waiting for the fence, a moment at a time.
        let mut longest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            while say(&other, &ann, free, "x").await.is_err() {}
            longest = longest.max(asked.elapsed());
        }
        longest
    };
    let (banned, here, there, kicked, longest) =
        tokio::join!(banning, until_written(&node, stuck), until_written(&other, stuck), kicking, pace);
    eprintln!(
        "banned after {banned:?}, written after {here:?} and {there:?}, kicked after {kicked:?}, others held {longest:?}"
    );
    for took in [banned, here, there, kicked, longest] {
        assert!(took < PROMISE, "{took:?}");
    }
    drop(hung);
    assert_eq!(say(&other, &bob, free, "x").await.unwrap_err().code(), "banned");
}

#[tokio::test]
async fn a_lane_that_is_stuck_holds_up_its_own_rooms_only() {
    let node = node().await;
    let owner = node.guest("en").await;
    let (stuck, free) = (public_room(&node, &owner).await, public_room(&node, &owner).await);
    let ann = node.visitor("en").await;
    let held = join(&node.app, &ann, stuck).await.unwrap().room.id;
    let other = join(&node.app, &ann, free).await.unwrap().room.id;
    assert_eq!(other, held + 1, "rooms of two lanes");
    let _hung = hang(&node, &[held]).await;
    let began = Instant::now();
    let waiting = say(&node, &ann, stuck, "x");
    let pace = async {
        let mut longest = Duration::ZERO;
        while began.elapsed() < Duration::from_millis(1_500) {
            let asked = Instant::now();
            say(&node, &ann, free, "x").await.unwrap();
            longest = longest.max(asked.elapsed());
        }
        longest
    };
    let (_, longest) = tokio::join!(waiting, pace);
    assert!(began.elapsed() > Duration::from_millis(1_500), "the other lane was stuck all the time");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn a_request_that_hangs_with_a_head_in_its_hand_holds_nobody_either() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let id = public_room(&node, &owner).await;
    let ann = node.visitor("en").await;
    let room = join(&node.app, &ann, id).await.unwrap().room.id;
    let began = Instant::now();
    let mut hung = node.app.db.begin().await.unwrap();
    membership::raise_rights(&mut hung, room).await.unwrap();
    while say(&other, &ann, id, "x").await.is_err() {
        assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
    }
    assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
    assert!(hung.commit().await.is_err());
}
