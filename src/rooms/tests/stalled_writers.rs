//! A writer that stalls while it holds the fence and the heads delays everyone else by less than
//! five seconds.
use std::time::Duration;

use tokio::time::Instant;

use super::{create_public_room, post_text};
use crate::db::{self, fence};
use crate::ids::{RoomId, VisitorId};
use crate::moderation::{self, NewSanction};
use crate::rooms::log::{self, SESSION};
use crate::rooms::{join, kick, membership};
use crate::testing::{Node, node};

/// Longest time that a stalled writer can delay others.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Begins a transaction like a writer shard's and leaves it open, as if the process were suspended
/// or the machine unreachable.
async fn begin_stalled_batch(node: &Node, rooms: &[RoomId]) -> sqlx::PgConnection {
    let mut stalled = db::connect(&node.app.db, SESSION).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut stalled).await.unwrap();
    fence::lock_shared(&mut stalled).await.unwrap();
    log::lock_heads(&mut stalled, rooms).await.unwrap();
    stalled
}

#[tokio::test]
async fn a_stalled_writer_delays_bans_kicks_and_other_writers_by_less_than_five_seconds() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let (locked, free) = (create_public_room(&node, &owner).await, create_public_room(&node, &owner).await);
    let (ann, bob, cid) = (node.visitor("en").await, node.visitor("en").await, node.visitor("en").await);
    let locked_id = join(&node.app, &ann, locked).await.unwrap().room.id;
    for who in [&ann, &bob] {
        join(&node.app, who, free).await.unwrap();
    }
    join(&node.app, &cid, locked).await.unwrap();
    let began = Instant::now();
    let stalled = begin_stalled_batch(&node, &[locked_id]).await;
    let sanction = |visitor: VisitorId| NewSanction { visitor, reason: "a test", author: None, lasts: None };
    let banning = async {
        moderation::ban(&node.app, &sanction(bob.id)).await.unwrap();
        began.elapsed()
    };
    // A batch can fail meanwhile, and the sender retries. The time until the entry is written counts.
    let until_written = async |node: &Node, room| {
        while post_text(node, &ann, room, "x").await.is_err() {
            assert!(began.elapsed() < 2 * MAX_DELAY);
        }
        began.elapsed()
    };
    let kicking = async {
        kick(&node.app, locked, &sanction(cid.id)).await.unwrap();
        began.elapsed()
    };
    let writing = async {
        // The stalled writer does not lock this room. Only the ban delays its entries: it waits for
        // the fence, for a moment at a time.
        let mut longest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) {
            let sent_at = Instant::now();
            while post_text(&other, &ann, free, "x").await.is_err() {}
            longest = longest.max(sent_at.elapsed());
        }
        longest
    };
    let (banned, here, there, kicked, longest) =
        tokio::join!(banning, until_written(&node, locked), until_written(&other, locked), kicking, writing);
    eprintln!(
        "banned after {banned:?}, written after {here:?} and {there:?}, kicked after {kicked:?}, \
         longest delay in the free room {longest:?}"
    );
    for took in [banned, here, there, kicked, longest] {
        assert!(took < MAX_DELAY, "{took:?}");
    }
    drop(stalled);
    assert_eq!(post_text(&other, &bob, free, "x").await.unwrap_err().code(), "banned");
}

#[tokio::test]
async fn a_stalled_shard_delays_only_its_own_rooms() {
    let node = node().await;
    let owner = node.guest("en").await;
    let (locked, free) = (create_public_room(&node, &owner).await, create_public_room(&node, &owner).await);
    let ann = node.visitor("en").await;
    let locked_id = join(&node.app, &ann, locked).await.unwrap().room.id;
    let free_id = join(&node.app, &ann, free).await.unwrap().room.id;
    assert_eq!(free_id.0, locked_id.0 + 1, "the rooms belong to two shards");
    let _stalled = begin_stalled_batch(&node, &[locked_id]).await;
    let began = Instant::now();
    let waiting = post_text(&node, &ann, locked, "x");
    let writing = async {
        let mut longest = Duration::ZERO;
        while began.elapsed() < Duration::from_millis(1_500) {
            let sent_at = Instant::now();
            post_text(&node, &ann, free, "x").await.unwrap();
            longest = longest.max(sent_at.elapsed());
        }
        longest
    };
    let (_, longest) = tokio::join!(waiting, writing);
    assert!(began.elapsed() > Duration::from_millis(1_500), "the other shard was stalled all the time");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn a_stalled_request_that_holds_a_head_is_ended_within_five_seconds() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let id = create_public_room(&node, &owner).await;
    let ann = node.visitor("en").await;
    let room = join(&node.app, &ann, id).await.unwrap().room.id;
    let began = Instant::now();
    let mut stalled = node.app.db.begin().await.unwrap();
    membership::raise_rights(&mut stalled, room).await.unwrap();
    while post_text(&other, &ann, id, "x").await.is_err() {
        assert!(began.elapsed() < MAX_DELAY, "{:?}", began.elapsed());
    }
    assert!(began.elapsed() < MAX_DELAY, "{:?}", began.elapsed());
    assert!(stalled.commit().await.is_err());
}
