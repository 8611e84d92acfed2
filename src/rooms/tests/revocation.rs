//! Nothing is written after the commit that took the right: floods on two nodes while rights are
//! taken away, and Postgres is asked afterwards.
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{post, public_room, receive, say, text};
use crate::accounts::Visitor;
use crate::db::{self, fence};
use crate::error::Result;
use crate::moderation::{self, NewSanction};
use crate::rooms::{self, Answer, Membership, Posted, join, leave, log, membership};
use crate::testing::{self, Node, Redis, node};

/// How a right is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Ban,
    Mute,
    Kick,
    RoomMute,
    Leave,
}

const ALL: [Taken; 5] = [Taken::Ban, Taken::Mute, Taken::Kick, Taken::RoomMute, Taken::Leave];

impl Taken {
    async fn from(self, node: &Node, who: &Visitor, room: Uuid) {
        let new = NewSanction { visitor: who.id, reason: "a test", author: None, lasts: None };
        match self {
            Self::Ban => drop(moderation::ban(&node.app, &new).await.unwrap()),
            Self::Mute => drop(moderation::mute(&node.app, &new).await.unwrap()),
            Self::Kick => drop(rooms::kick(&node.app, room, &new).await.unwrap()),
            Self::RoomMute => drop(rooms::mute(&node.app, room, &new).await.unwrap()),
            Self::Leave => leave(&node.app, who, room).await.unwrap(),
        }
    }

    /// What a send is answered afterwards.
    fn code(self) -> &'static str {
        match self {
            Self::Ban => "banned",
            Self::Mute | Self::RoomMute => "muted",
            Self::Kick | Self::Leave => "not_found",
        }
    }
}

/// Entries of a visitor in a room, as a reader that begins now sees them.
async fn written(node: &Node, room: i64, visitor: i64) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM message WHERE room_id = $1 AND sender_id = $2")
        .bind(room)
        .bind(visitor)
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

/// Posts with a membership that was checked once and is believed for ever, as on a node whose cache
/// nothing corrects.
async fn believe(node: &Node, membership: &Membership) -> Result<Posted> {
    let (answer, receipt) = tokio::sync::oneshot::channel();
    let answer: Answer = Box::new(|outcome| drop(answer.send(outcome)));
    log::submit(&node.app, membership.clone(), text(Uuid::new_v4(), "x"), answer)?;
    receive(receipt).await
}

/// Sends without a pause, from memory and as everybody does, until it was refused often; answers
/// whether it ever was.
async fn flood(node: &Node, who: &Visitor, membership: &Membership, taken: Taken) {
    let (mut refused, mut turn) = (0, 0);
    while refused < 12 {
        turn += 1;
        let outcomes = tokio::join!(believe(node, membership), believe(node, membership), async {
            let posted = post(&node.app, who, membership.room.public_id, text(Uuid::new_v4(), "x")).await?;
            receive(posted).await
        });
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            match outcome {
                Ok(_) => assert!(turn < 100_000, "{taken:?} was never felt"),
                Err(why) if why.code() == "unavailable" => {}
                Err(why) => {
                    assert_eq!(why.code(), taken.code(), "{taken:?}");
                    refused += 1;
                }
            }
        }
    }
}

/// One after the other loses its right on one node while it floods on the other. Answers how many
/// did.
async fn rounds(here: &Node, there: &Node, count: usize) -> usize {
    let owner = here.guest("en").await;
    let id = public_room(here, &owner).await;
    let innocent = here.visitor("en").await;
    let room = join(&there.app, &innocent, id).await.unwrap().room.id;
    let mut taken_away = 0;
    for round in 0..count {
        let mut people = Vec::new();
        for taken in ALL {
            let who = here.visitor("en").await;
            join(&here.app, &who, id).await.unwrap();
            let standing = membership(&there.app, &who, id).await.unwrap();
            people.push((taken, Arc::new(who), standing));
        }
        let each = people.iter().map(|(taken, who, standing)| {
            let pause = Duration::from_micros(rand::rng().random_range(0..20_000));
            let taking = async move {
                tokio::time::sleep(pause).await;
                taken.from(here, who, id).await;
                written(here, room, who.id).await
            };
            async move {
                let ((), at_commit) = tokio::join!(flood(there, who, standing, *taken), taking);
                (*taken, who.id, at_commit)
            }
        });
        let after = futures_util::future::join_all(each);
        let (after, said) = tokio::join!(after, say(there, &innocent, id, "nobody took my right"));
        assert!(said.is_ok(), "round {round}: {said:?}");
        for (taken, visitor, at_commit) in after {
            assert_eq!(written(here, room, visitor).await, at_commit, "round {round}: {taken:?}");
            taken_away += 1;
        }
    }
    let (head, entries): (i64, i64) = sqlx::query_as(
        "SELECT h.seq, count(m.seq) FROM room_head h JOIN message m ON m.room_id = h.room_id WHERE h.room_id = $1 GROUP BY h.seq",
    )
    .bind(room)
    .fetch_one(&here.app.db)
    .await
    .unwrap();
    assert_eq!(head, entries, "no hole where somebody was refused");
    taken_away
}

#[tokio::test]
async fn a_node_that_believes_its_memory_is_refused_all_the_same() {
    let here = node().await;
    let there = Node::apart(&here).await;
    let owner = here.guest("en").await;
    let id = public_room(&here, &owner).await;
    for taken in ALL {
        let who = here.visitor("en").await;
        join(&here.app, &who, id).await.unwrap();
        let standing = membership(&there.app, &who, id).await.unwrap();
        believe(&there, &standing).await.unwrap();
        taken.from(&here, &who, id).await;
        assert_eq!(believe(&there, &standing).await.unwrap_err().code(), taken.code(), "{taken:?}");
        assert_eq!(written(&here, standing.room.id, who.id).await, 1, "{taken:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_the_commit_that_forbade_it_between_nodes_that_hear_nothing() {
    let here = node().await;
    let there = Node::apart(&here).await;
    assert_eq!(rounds(&here, &there, 25).await, 125);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_the_commit_that_forbade_it_with_redis() {
    let redis = Redis::start().await;
    let here = Node::over_redis(&redis.url, None).await;
    let there = Node::over_redis(&redis.url, Some(&here)).await;
    assert_eq!(rounds(&here, &there, 25).await, 125);
}

#[tokio::test]
async fn the_version_read_with_the_heads_is_that_of_the_last_revocation_however_long_either_is_waited_for() {
    let node = node().await;
    let owner = node.guest("en").await;
    let who = node.visitor("en").await;
    let room = join(&node.app, &who, public_room(&node, &owner).await).await.unwrap().room.id;
    let pool = &node.app.db;
    let (mut one, mut two, mut three) = (
        db::connect(pool, &[]).await.unwrap(),
        db::connect(pool, &[]).await.unwrap(),
        db::connect(pool, &[]).await.unwrap(),
    );
    let mut holder = one.begin().await.unwrap();
    log::lock_heads(&mut holder, &[room]).await.unwrap();
    let mut revoker = two.begin().await.unwrap();
    fence::revoke(&mut revoker, who.id, testing::PATIENCE).await.unwrap();
    let batch = async {
        let mut tx = three.begin().await.unwrap();
        fence::share(&mut tx).await.unwrap();
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
    assert_eq!((heads[0].fence, heads[0].rights), (1, 1));
}
