//! The waits by the hour of the day, recorded from real talks and answered over HTTP.
use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, meet};
use crate::matching::waits;
use crate::testing::{self, Node};

async fn asked(node: &Node) -> Value {
    node.app.clock.advance(Duration::from_secs(31));
    node.get("/api/v1/waits").await.json()
}

/// Returns the hours that have a median.
fn known(answer: &Value) -> Vec<(u64, u64)> {
    let hours = answer["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    hours.iter().filter_map(|hour| Some((hour["hour"].as_u64()?, hour["median_s"].as_u64()?))).collect()
}

/// Makes talks that began in the same minute, half of whose people waited for 3 s. Records them.
/// Returns the hour in Seoul, the default time zone of a site.
async fn talks(node: &Node, count: usize) -> u64 {
    for _ in 0..count {
        let (mut one, mut other) = (Client::new(node).await, Client::new(node).await);
        meet(&mut one, &mut other).await;
    }
    let hour: i32 = sqlx::query_scalar(
        "WITH first AS (SELECT min(created_at) AS at FROM random_session),
              moved AS (UPDATE random_session SET created_at = at, a_since = at - interval '3 s', b_since = at FROM first)
         SELECT extract(hour FROM at AT TIME ZONE 'Asia/Seoul')::int FROM first",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    node.app.clock.advance(Duration::from_secs(80));
    *node.app.matching.waits.recorded.lock() = None; // as a node that has just become the leader
    waits::record(&node.app).await.unwrap();
    hour.try_into().unwrap()
}

#[tokio::test]
async fn the_waits_of_an_hour_are_shown_from_five() {
    let node = testing::node().await;
    let nothing = asked(&node).await;
    assert_eq!((known(&nothing), &nothing["busiest"], &nothing["days"]), (vec![], &Value::Null, &json!(7)));
    talks(&node, 2).await;
    assert_eq!(known(&asked(&node).await), [], "four waits are too few");
    let hour = talks(&node, 1).await;
    let answer = asked(&node).await;
    assert_eq!((known(&answer), &answer["busiest"]), (vec![(hour, 2)], &json!(hour)));
    let ago = (24 + answer["now"].as_u64().unwrap() - hour) % 24;
    assert!(ago <= 1, "it is that hour still, or the next one: {answer}");
    // Once its five minutes are over they are recorded as a whole, and counts once.
    node.app.clock.advance(Duration::from_secs(3_700));
    waits::record(&node.app).await.unwrap();
    assert_eq!(known(&asked(&node).await), [(hour, 2)]);
    let whole: i64 = sqlx::query_scalar("SELECT sum(amount)::bigint FROM sample WHERE step = '5m'")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    assert_eq!(whole, 6);
    node.app.clock.advance(Duration::from_secs(8 * 86_400));
    assert_eq!(known(&asked(&node).await), [], "a week later");
}

#[tokio::test]
async fn only_the_node_that_leads_records() {
    let first = testing::node().await;
    let second = Node::beside(&first).await;
    testing::eventually("one node leads", || async {
        first.app.matching.matcher.leading_for().is_some() || second.app.matching.matcher.leading_for().is_some()
    })
    .await;
    let leads = |node: &Node| node.app.matching.matcher.leading_for().is_some();
    for node in [&first, &second] {
        waits::record_if_leading(node.app.clone()).await;
        assert_eq!(node.app.matching.waits.recorded.lock().is_some(), leads(node));
    }
}
