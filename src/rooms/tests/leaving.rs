//! Leaving: leaves that arrive together share one commit and are answered one by one. Afterwards no
//! cache, socket or other node treats the visitor as a member.
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, Row as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::{create_public_room, inner_id, post_text};
use crate::db;
use crate::ids::{RightsVersion, RoomId};
use crate::realtime::{Queue, Topic};
use crate::rooms::{join, leave, log, membership, read};
use crate::testing::{Node, eventually, node};

/// Returns the committed version of a room's rights.
async fn rights_version(node: &Node, room: RoomId) -> RightsVersion {
    sqlx::query_scalar("SELECT rights FROM room_head WHERE room_id = $1")
        .bind(room)
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn leaves_that_arrive_together_share_one_commit() {
    let node = node().await;
    let other = Node::beside(&node).await;
    let owner = node.guest("en").await;
    let rooms = [
        create_public_room(&node, &owner).await,
        create_public_room(&node, &owner).await,
        create_public_room(&node, &owner).await,
    ];
    let (mut guests, mut sockets) = (Vec::new(), Vec::new());
    for at in [&node, &other, &node, &other, &node, &other, &node, &other] {
        let guest = node.guest("en").await;
        let mut socket = at.socket(&guest).await;
        for room in rooms {
            socket.ok(json!({"type": "join", "room": room})).await;
        }
        socket.ok(json!({"type": "ping"})).await; // the socket is subscribed by now
        guests.push(node.visitor_of(&guest).await);
        sockets.push(socket);
    }
    let stranger = node.visitor("en").await;
    let ids = rooms.map(|room| inner_id(&other, &room.to_string()));
    let before =
        [rights_version(&node, ids[0]).await, rights_version(&node, ids[1]).await, rights_version(&node, ids[2]).await];
    // While this transaction holds the first head, the first leave waits for it, and all later ones
    // gather for the next commit.
    let mut holder = db::connect(&node.app.db, &[]).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    log::lock_heads(&mut held, &ids[..1]).await.unwrap();
    let first = leave(&node.app, &guests[0], rooms[0]);
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let leaves = guests.iter().flat_map(|who| {
            // Each visitor asks twice at once for each room, except that only some leave the last.
            let rooms = if who.id.0 % 2 == 0 { &rooms[..] } else { &rooms[..2] };
            rooms.iter().flat_map(move |room| [(who, *room), (who, *room)])
        });
        let leaves: Vec<_> = leaves.filter(|(who, room)| (who.id, *room) != (guests[0].id, rooms[0])).collect();
        let all = futures_util::future::join_all(leaves.iter().map(|(who, room)| leave(&node.app, who, *room)));
        let (all, not_a_member, no_such_room) =
            tokio::join!(all, leave(&node.app, &stranger, rooms[0]), leave(&node.app, &guests[0], Uuid::new_v4()));
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        // On the node that answers, the sockets are unsubscribed before the answer.
        assert!(guests.iter().all(|who| !node.app.hub.is_subscribed(Topic::Room(ids[1]), who.id)));
        assert_eq!((not_a_member.unwrap_err().code(), no_such_room.unwrap_err().code()), ("not_found", "not_found"));
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        held.commit().await.unwrap();
    };
    let (first, (), ()) = tokio::join!(first, others, release);
    first.unwrap();
    let even = guests.iter().filter(|who| who.id.0 % 2 == 0).count() as i64;
    for ((room, before), left) in ids.iter().zip(before).zip([8, 8, even]) {
        assert_eq!(rights_version(&node, *room).await.0, before.0 + left, "one version for each member who left");
    }
    let times = sqlx::query("SELECT DISTINCT left_at FROM membership WHERE left_at IS NOT NULL");
    let commits: Vec<time::OffsetDateTime> =
        times.fetch_all(&node.app.db).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(commits.len(), 2, "one commit for the first leave, one for all the others");
    for who in &guests {
        for (room, id) in rooms.iter().zip(ids) {
            let has_left = *room != rooms[2] || who.id.0 % 2 == 0;
            assert_eq!(membership(&node.app, who, *room).await.is_err(), has_left);
            eventually("only the members are subscribed on the other node", || async {
                other.app.hub.is_subscribed(Topic::Room(id), who.id) != has_left
            })
            .await;
        }
    }
}

#[tokio::test]
async fn concurrent_joins_leaves_reads_and_posts_all_succeed() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(create_public_room(&node, &owner).await);
    }
    let (rooms, mut visitors) = (&rooms, Vec::new());
    for _ in 0..12 {
        visitors.push(node.visitor("en").await);
    }
    let until = Instant::now() + Duration::from_secs(3);
    let each = visitors.iter().enumerate().map(|(n, who)| {
        let node = if n % 2 == 0 { &node } else { &other };
        async move {
            let (mut turn, mut left) = (n, 0);
            while Instant::now() < until {
                // Visitors go through the rooms in different directions, so that the batches name
                // them in every order.
                let room = rooms[if n % 3 == 0 { turn % 4 } else { 3 - turn % 4 }];
                turn += 1;
                join(&node.app, who, room).await.unwrap();
                let seq = post_text(node, who, room, "x").await.unwrap();
                read(&node.app, who, room, seq, &Arc::new(Queue::new(who.id))).await.unwrap();
                leave(&node.app, who, room).await.unwrap();
                assert_eq!(leave(&node.app, who, room).await.unwrap_err().code(), "not_found");
                assert_eq!(post_text(node, who, room, "y").await.unwrap_err().code(), "not_found");
                left += 1;
            }
            left
        }
    });
    let left: usize = futures_util::future::join_all(each).await.into_iter().sum();
    let versions: i64 =
        sqlx::query_scalar("SELECT sum(rights)::bigint FROM room_head").fetch_one(&node.app.db).await.unwrap();
    assert!(left >= 100, "{left}");
    assert_eq!(versions, i64::try_from(left).unwrap(), "one version for each leave");
}

#[tokio::test]
async fn a_leave_that_cannot_be_written_is_answered_in_time_and_can_be_retried() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    let id = join(&node.app, &who, room).await.unwrap().room.id;
    let mut holder = db::connect(&node.app.db, &[]).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    log::lock_heads(&mut held, &[id]).await.unwrap();
    let requested_at = Instant::now();
    assert_eq!(leave(&node.app, &who, room).await.unwrap_err().code(), "unavailable");
    assert!(requested_at.elapsed() < Duration::from_secs(2), "{:?}", requested_at.elapsed());
    assert!(membership(&node.app, &who, room).await.is_ok());
    held.rollback().await.unwrap();
    leave(&node.app, &who, room).await.unwrap();
    assert_eq!(membership(&node.app, &who, room).await.err().unwrap().code(), "not_found");
    // The writer of leaves loses its connection, as when Postgres restarts. The next leave succeeds.
    join(&node.app, &who, room).await.unwrap();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'maju leaving'
                     AND datname = current_database()";
    sqlx::query(terminate).execute(&node.app.db).await.unwrap();
    leave(&node.app, &who, room).await.unwrap();
}

#[tokio::test]
async fn a_visitor_who_leaves_receives_nothing_more_on_any_tab() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = create_public_room(&node, &one).await.to_string();
    let (mut stays, mut leaves, mut tab) = (node.socket(&one).await, node.socket(&two).await, node.socket(&two).await);
    for socket in [&mut stays, &mut leaves, &mut tab] {
        socket.ok(json!({"type": "join", "room": room})).await;
    }
    leaves.ok(json!({"type": "leave", "room": room})).await;
    stays.text(&room, "members only").await;
    stays.event("message").await;
    for socket in [&mut leaves, &mut tab] {
        socket.ok(json!({"type": "ping"})).await; // everything that was queued before has arrived
        assert!(socket.events.iter().all(|event| event["type"] != "message"), "{:?}", socket.events);
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_on_one_node_receives_nothing_more_on_another() {
    for has_relay in [true, false] {
        let first = node().await;
        let second = if has_relay { Node::beside(&first).await } else { Node::apart(&first).await };
        let (owner, guest) = (first.guest("en").await, first.guest("ko").await);
        let room = create_public_room(&first, &owner).await.to_string();
        let (mut here, mut there) = (first.socket(&guest).await, second.socket(&guest).await);
        for socket in [&mut here, &mut there] {
            socket.ok(json!({"type": "join", "room": room})).await;
            socket.ok(json!({"type": "ping"})).await; // the socket is subscribed by now
        }
        let (id, visitor) = (inner_id(&second, &room), second.visitor_of(&guest).await.id);
        here.ok(json!({"type": "leave", "room": room})).await;
        let topic = Topic::Room(id);
        eventually("the socket is unsubscribed", || async { !second.app.hub.is_subscribed(topic, visitor) }).await;
        assert_eq!(there.refused(json!({"type": "typing", "room": room})).await, "not_found");
    }
}

#[tokio::test]
async fn a_leave_removes_the_last_subscription_of_a_room() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await.to_string();
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    assert_eq!(node.app.rooms.in_use(), 1);
    socket.ok(json!({"type": "leave", "room": room})).await;
    assert_eq!(node.app.hub.subscriber_count(Topic::Room(RoomId(1))), 0);
}
