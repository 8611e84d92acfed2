//! Leaves that come together: one commit, each answered for itself, none lost to a cache, a socket
//! or another node.
use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::{place_id, public_room, say};
use crate::db;
use crate::realtime::{Queue, Topic};
use crate::rooms::{join, leave, log, membership, read};
use crate::testing::{Node, node};

/// The version of a room's rights, as committed.
async fn rights(node: &Node, room: i64) -> i64 {
    sqlx::query_scalar("SELECT rights FROM room_head WHERE room_id = $1")
        .bind(room)
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn those_who_leave_together_leave_in_one_commit() {
    let node = node().await;
    let other = Node::beside(&node).await;
    let owner = node.guest("en").await;
    let rooms = [public_room(&node, &owner).await, public_room(&node, &owner).await, public_room(&node, &owner).await];
    let (mut guests, mut sockets) = (Vec::new(), Vec::new());
    for at in [&node, &other, &node, &other, &node, &other, &node, &other] {
        let guest = node.guest("en").await;
        let mut socket = at.socket(&guest).await;
        for room in rooms {
            socket.ok(serde_json::json!({"type": "join", "room": room})).await;
        }
        socket.ok(serde_json::json!({"type": "ping"})).await; // by now it listens
        guests.push(node.visitor_of(&guest).await);
        sockets.push(socket);
    }
    let stranger = node.visitor("en").await;
    let ids = rooms.map(|room| place_id(&other, &room.to_string()));
    let before = [rights(&node, ids[0]).await, rights(&node, ids[1]).await, rights(&node, ids[2]).await];
    // Nobody gets on while the first head is held: whoever comes meanwhile goes together.
    let mut holder = db::connect(&node.app.db, &[]).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    log::lock_heads(&mut held, &ids[..1]).await.unwrap();
    let first = leave(&node.app, &guests[0], rooms[0]);
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let leaving = guests.iter().flat_map(|who| {
            // Each asks twice at once, in every room but the last, which only some leave.
            let rooms = if who.id % 2 == 0 { &rooms[..] } else { &rooms[..2] };
            rooms.iter().flat_map(move |room| [(who, *room), (who, *room)])
        });
        let asked: Vec<_> = leaving.filter(|(who, room)| (who.id, *room) != (guests[0].id, rooms[0])).collect();
        let all = futures_util::future::join_all(asked.iter().map(|(who, room)| leave(&node.app, who, *room)));
        let (all, unknown, nowhere) =
            tokio::join!(all, leave(&node.app, &stranger, rooms[0]), leave(&node.app, &guests[0], Uuid::new_v4()));
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        // Here it holds with the answer.
        assert!(guests.iter().all(|who| !node.app.hub.is_subscribed(Topic::Room(ids[1]), who.id)));
        assert_eq!((unknown.unwrap_err().code(), nowhere.unwrap_err().code()), ("not_found", "not_found"));
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        held.commit().await.unwrap();
    };
    let (first, (), ()) = tokio::join!(first, others, release);
    first.unwrap();
    let even = guests.iter().filter(|who| who.id % 2 == 0).count() as i64;
    for ((room, before), left) in ids.iter().zip(before).zip([8, 8, even]) {
        assert_eq!(rights(&node, *room).await, before + left, "one for each who left");
    }
    let times = sqlx::query("SELECT DISTINCT left_at FROM membership WHERE left_at IS NOT NULL");
    let commits: Vec<time::OffsetDateTime> =
        times.fetch_all(&node.app.db).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(commits.len(), 2, "the one that was held up, and all the others");
    for who in &guests {
        for (room, id) in rooms.iter().zip(ids) {
            let gone = *room != rooms[2] || who.id % 2 == 0;
            assert_eq!(membership(&node.app, who, *room).await.is_err(), gone);
            crate::testing::eventually("whoever left listens no more", || async {
                other.app.hub.is_subscribed(Topic::Room(id), who.id) != gone
            })
            .await;
        }
    }
}

#[tokio::test]
async fn leaving_coming_reading_and_writing_get_along() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(public_room(&node, &owner).await);
    }
    let (rooms, mut people) = (&rooms, Vec::new());
    for _ in 0..12 {
        people.push(node.visitor("en").await);
    }
    let until = Instant::now() + Duration::from_secs(3);
    let each = people.iter().enumerate().map(|(n, who)| {
        let node = if n % 2 == 0 { &node } else { &other };
        async move {
            let (mut turn, mut left) = (n, 0);
            while Instant::now() < until {
                // Each its own way round the rooms, so that batches ask for them in every order.
                let room = rooms[if n % 3 == 0 { turn % 4 } else { 3 - turn % 4 }];
                turn += 1;
                join(&node.app, who, room).await.unwrap();
                let seq = say(node, who, room, "x").await.unwrap();
                read(&node.app, who, room, seq, &std::sync::Arc::new(Queue::new(who.id))).await.unwrap();
                leave(&node.app, who, room).await.unwrap();
                assert_eq!(leave(&node.app, who, room).await.unwrap_err().code(), "not_found");
                assert_eq!(say(node, who, room, "y").await.unwrap_err().code(), "not_found");
                left += 1;
            }
            left
        }
    });
    let left: usize = futures_util::future::join_all(each).await.into_iter().sum();
    let risen: i64 =
        sqlx::query_scalar("SELECT sum(rights)::bigint FROM room_head").fetch_one(&node.app.db).await.unwrap();
    assert!(left >= 100, "{left}");
    assert_eq!(risen, i64::try_from(left).unwrap(), "one for each who left");
}

#[tokio::test]
async fn who_cannot_leave_now_is_told_in_time_and_leaves_later() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    let id = join(&node.app, &who, room).await.unwrap().room.id;
    let mut holder = db::connect(&node.app.db, &[]).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    log::lock_heads(&mut held, &[id]).await.unwrap();
    let asked = Instant::now();
    assert_eq!(leave(&node.app, &who, room).await.unwrap_err().code(), "unavailable");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(membership(&node.app, &who, room).await.is_ok());
    held.rollback().await.unwrap();
    leave(&node.app, &who, room).await.unwrap();
    assert_eq!(membership(&node.app, &who, room).await.err().unwrap().code(), "not_found");
    // Its session is lost, as when Postgres was started again: the next one does not notice.
    join(&node.app, &who, room).await.unwrap();
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'maju leaving'
                 AND datname = current_database()";
    sqlx::query(ended).execute(&node.app.db).await.unwrap();
    leave(&node.app, &who, room).await.unwrap();
}
