//! Revocation: nothing is written after the commit that took the right away. Visitors flood rooms
//! on one node while another node takes their rights away, and Postgres shows what was written.
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{committed, create_public_room, post_text, submit, text_post};
use crate::accounts::{self, Visitor};
use crate::db::{self, fence};
use crate::error::Result;
use crate::ids::{FenceVersion, RightsVersion, RoomId, Seq, VisitorId};
use crate::moderation::{self, NewSanction};
use crate::rooms::{self, Answer, Membership, Posted, join, leave, log, membership, post_and_wait};
use crate::testing::{self, Node, Redis, eventually, node};

/// A way to take the right to write away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    Ban,
    Mute,
    Kick,
    RoomMute,
    Leave,
    /// The end of the session of an account. The others are guests.
    Session,
}

impl Revocation {
    const ALL: [Self; 6] = [Self::Ban, Self::Mute, Self::Kick, Self::RoomMute, Self::Leave, Self::Session];

    /// Creates a visitor from whom the right can be taken away.
    async fn visitor(self, node: &Node) -> Visitor {
        if self != Self::Session {
            return node.visitor("en").await;
        }
        let handle = format!("h{}", &Uuid::new_v4().simple().to_string()[..16]);
        node.visitor_of(&accounts::account(node, &handle, accounts::Role::Member).await).await
    }

    /// Takes the right away, and returns after the commit.
    async fn apply(self, node: &Node, who: &Visitor, room: Uuid) {
        let new = NewSanction { visitor: who.id, reason: "a test", author: None, lasts: None };
        match self {
            Self::Ban => drop(moderation::ban(&node.app, &new).await.unwrap()),
            Self::Mute => drop(moderation::mute(&node.app, &new).await.unwrap()),
            Self::Kick => drop(rooms::kick(&node.app, room, &new).await.unwrap()),
            Self::RoomMute => drop(rooms::mute(&node.app, room, &new).await.unwrap()),
            Self::Leave => leave(&node.app, who, room).await.unwrap(),
            Self::Session => {
                let account = who.account.as_ref().unwrap().id;
                let change = async |_: &mut sqlx::PgConnection| Ok(());
                accounts::revoke_sessions(&node.app, account, accounts::EndReason::PasswordChanged, change)
                    .await
                    .unwrap();
            }
        }
    }

    /// Returns the error code that a send gets afterwards.
    fn code(self) -> &'static str {
        match self {
            Self::Ban => "banned",
            Self::Mute | Self::RoomMute => "muted",
            Self::Kick | Self::Leave => "not_found",
            Self::Session => "session_ended",
        }
    }
}

/// Returns the number of committed entries of a visitor in a room.
async fn count_entries(node: &Node, room: RoomId, sender: VisitorId) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM message WHERE room_id = $1 AND sender_id = $2")
        .bind(room)
        .bind(sender)
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

/// Posts with a membership that was checked once and is never refreshed, as on a node whose cache
/// is out of date.
async fn post_with_stale_membership(node: &Node, membership: &Membership) -> Result<Posted> {
    let (answer, receipt) = tokio::sync::oneshot::channel();
    let answer: Answer = Box::new(|outcome| drop(answer.send(outcome)));
    log::submit(&node.app, membership.clone(), text_post(Uuid::new_v4(), "x"), answer)?;
    committed(receipt).await
}

/// Posts without a pause, with the stale membership and in the usual way, until twelve posts were
/// refused. Asserts the error code of each.
async fn post_until_refused(node: &Node, who: &Visitor, membership: &Membership, revocation: Revocation) {
    let (mut refused, mut turn) = (0, 0);
    while refused < 12 {
        turn += 1;
        let outcomes = tokio::join!(
            post_with_stale_membership(node, membership),
            post_with_stale_membership(node, membership),
            post_and_wait(&node.app, who, membership.room.public_id, text_post(Uuid::new_v4(), "x"))
        );
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            match outcome {
                Ok(_) => assert!(turn < 100_000, "{revocation:?} never took effect"),
                Err(why) if why.code() == "unavailable" => {}
                Err(why) => {
                    assert_eq!(why.code(), revocation.code(), "{revocation:?}");
                    refused += 1;
                }
            }
        }
    }
}

/// In each round, six visitors flood one room on the node `there`, and `here` takes the right of
/// each away in a different way. Asserts that nothing is written afterwards. Returns the number of
/// revocations.
async fn revoke_during_floods(here: &Node, there: &Node, rounds: usize) -> usize {
    let owner = here.guest("en").await;
    let id = create_public_room(here, &owner).await;
    let bystander = here.visitor("en").await;
    let room = join(&there.app, &bystander, id).await.unwrap().room.id;
    let mut revocations = 0;
    for round in 0..rounds {
        let mut members = Vec::new();
        for revocation in Revocation::ALL {
            let who = revocation.visitor(here).await;
            join(&here.app, &who, id).await.unwrap();
            let membership = membership(&there.app, &who, id).await.unwrap();
            members.push((revocation, Arc::new(who), membership));
        }
        let each = members.iter().map(|(revocation, who, membership)| {
            let pause = Duration::from_micros(rand::rng().random_range(0..20_000));
            let revoking = async move {
                tokio::time::sleep(pause).await;
                revocation.apply(here, who, id).await;
                count_entries(here, room, who.id).await
            };
            async move {
                let ((), at_commit) = tokio::join!(post_until_refused(there, who, membership, *revocation), revoking);
                (*revocation, who.id, at_commit)
            }
        });
        let all = futures_util::future::join_all(each);
        let (all, posted) = tokio::join!(all, post_text(there, &bystander, id, "still a member"));
        assert!(posted.is_ok(), "round {round}: {posted:?}");
        for (revocation, visitor, at_commit) in all {
            assert_eq!(count_entries(here, room, visitor).await, at_commit, "round {round}: {revocation:?}");
            revocations += 1;
        }
    }
    let (head, entries): (i64, i64) = sqlx::query_as(
        "SELECT h.seq, count(m.seq) FROM room_head h JOIN message m ON m.room_id = h.room_id WHERE h.room_id = $1 GROUP BY h.seq",
    )
    .bind(room)
    .fetch_one(&here.app.db)
    .await
    .unwrap();
    assert_eq!(head, entries, "refused entries leave no gap");
    revocations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_the_commit_of_a_revocation_without_a_relay() {
    let here = node().await;
    let there = Node::apart(&here).await;
    assert_eq!(revoke_during_floods(&here, &there, 25).await, 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_the_commit_of_a_revocation_with_redis() {
    let redis = Redis::start().await;
    let here = Node::over_redis(&redis.url, None).await;
    let there = Node::over_redis(&redis.url, Some(&here)).await;
    assert_eq!(revoke_during_floods(&here, &there, 25).await, 150);
}

#[tokio::test]
async fn a_post_with_a_stale_membership_is_refused() {
    let here = node().await;
    let there = Node::apart(&here).await;
    let owner = here.guest("en").await;
    let id = create_public_room(&here, &owner).await;
    for revocation in Revocation::ALL {
        let who = revocation.visitor(&here).await;
        join(&here.app, &who, id).await.unwrap();
        let membership = membership(&there.app, &who, id).await.unwrap();
        post_with_stale_membership(&there, &membership).await.unwrap();
        revocation.apply(&here, &who, id).await;
        let refused = post_with_stale_membership(&there, &membership).await;
        assert_eq!(refused.unwrap_err().code(), revocation.code(), "{revocation:?}");
        assert_eq!(count_entries(&here, membership.room.id, who.id).await, 1, "{revocation:?}");
    }
}

#[tokio::test]
async fn nothing_is_written_after_the_commit_of_a_leave() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    for round in 0..10 {
        let who = Arc::new(node.visitor("en").await);
        let joined = join(&node.app, &who, room).await.unwrap();
        // The other node uses its cached membership, which the first node ends meanwhile.
        post_text(&other, &who, room, "fills the cache").await.unwrap();
        let (app, sender) = (other.app.clone(), who.clone());
        let flood = async {
            let mut receipts = Vec::new();
            for n in 0..200 {
                let post = text_post(Uuid::new_v4(), &format!("{round} {n}"));
                if let Ok(receipt) = submit(&app, &sender, room, post).await {
                    receipts.push(receipt);
                }
                if n % 20 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for receipt in receipts {
                if let Err(why) = committed(receipt).await {
                    assert_eq!(why.code(), "not_found");
                }
            }
        };
        let leaving = async {
            tokio::time::sleep(Duration::from_millis(2 * round)).await;
            leave(&node.app, &who, joined.room.public_id).await.unwrap();
            // Nothing of this visitor may be added to the log after this commit.
            count_entries(&node, joined.room.id, who.id).await
        };
        let ((), at_commit) = tokio::join!(flood, leaving);
        assert_eq!(count_entries(&node, joined.room.id, who.id).await, at_commit, "round {round}");
        assert_eq!(membership(&other.app, &who, room).await.err().unwrap().code(), "not_found");
    }
}

#[tokio::test]
async fn nothing_is_written_while_a_revocation_holds_the_fence() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    let mut revoker = db::connect(&node.app.db, &[]).await.unwrap();
    let mut revocation = revoker.begin().await.unwrap();
    fence::revoke(&mut revocation, who.id, Duration::from_secs(2)).await.unwrap();
    let id = Uuid::new_v4();
    let early = committed(submit(&node.app, &who, room, text_post(id, "x")).await.unwrap());
    let early = tokio::time::timeout(Duration::from_millis(500), early).await;
    assert!(early.is_err(), "answered while the fence was locked: {early:?}");
    revocation.commit().await.unwrap();
    eventually("the entry is written after the revocation", || async {
        let retry = submit(&node.app, &who, room, text_post(id, "x")).await.unwrap();
        committed(retry).await.is_ok_and(|posted| posted.seq == Seq(1))
    })
    .await;
}

#[tokio::test]
async fn a_node_with_a_cached_membership_refuses_sends_after_the_end_of_a_talk() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let mut elsewhere = other.socket(&two).await;
    elsewhere.text(&talk.room, "in time").await;
    talk.a.ok(json!({"type": "leave", "room": talk.room})).await;
    let payload = json!({"kind": "text", "text": "late"});
    let late = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
    assert_eq!(elsewhere.refused(late).await, "closed");
}

#[tokio::test]
async fn a_batch_that_waited_for_its_locks_reads_the_newest_versions() {
    let node = node().await;
    let owner = node.guest("en").await;
    let who = node.visitor("en").await;
    let room = join(&node.app, &who, create_public_room(&node, &owner).await).await.unwrap().room.id;
    let pool = &node.app.db;
    let (mut one, mut two, mut three) = (
        db::connect(pool, &[]).await.unwrap(),
        db::connect(pool, &[]).await.unwrap(),
        db::connect(pool, &[]).await.unwrap(),
    );
    let mut holder = one.begin().await.unwrap();
    log::lock_heads(&mut holder, &[room]).await.unwrap();
    let mut revoker = two.begin().await.unwrap();
    fence::revoke(&mut revoker, who.id, testing::TEST_TIMEOUT).await.unwrap();
    let batch = async {
        let mut tx = three.begin().await.unwrap();
        fence::lock_shared(&mut tx).await.unwrap();
        log::lock_heads(&mut tx, &[room]).await.unwrap()
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        revoker.commit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        membership::raise_rights(&mut holder, room).await.unwrap();
        holder.commit().await.unwrap();
    };
    let (heads, ()) = tokio::join!(batch, others);
    assert_eq!((heads[0].fence, heads[0].rights), (FenceVersion(1), RightsVersion(1)));
}
