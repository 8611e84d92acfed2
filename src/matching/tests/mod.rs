//! Tests of matching: the rule, a model with crashes and lost messages, and the verbs on a real
//! Postgres.
mod ends;
mod faults;
mod pairing;
mod reports;
mod seeks;
mod verbs;
mod waits;
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Seek, Ticket, TicketId};
use crate::accounts::Visitor;
use crate::app::App;
use crate::error::Result;
use crate::ids::VisitorId;
use crate::realtime::{Queue, Topic, texts};
use crate::rooms;
use crate::testing::{Node, TEST_TIMEOUT};

/// Returns a fixed time from which the tests count.
fn start() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)
}

fn try_seek(interests: &[&str], languages: &[&str], translate: bool) -> Result<Seek> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Seek::new(owned(interests), owned(languages), translate)
}

fn seek(interests: &[&str], languages: &[&str], translate: bool) -> Seek {
    try_seek(interests, languages, translate).unwrap()
}

fn ticket(visitor: i64, seek: Seek, waited_ms: i64) -> Ticket {
    let since = start() - time::Duration::milliseconds(waited_ms);
    let public_id = Uuid::from_u128(visitor.unsigned_abs().into());
    Ticket { id: TicketId(visitor), public_id, visitor: VisitorId(visitor), seek, since }
}

/// A visitor with one socket on a node, as matching sees it.
struct Client {
    app: App,
    who: Visitor,
    queue: Option<Arc<Queue>>,
    received: VecDeque<Value>,
}

impl Client {
    async fn new(node: &Node) -> Self {
        let mut client =
            Self { app: node.app.clone(), who: node.visitor("ko").await, queue: None, received: VecDeque::new() };
        client.open(node);
        client
    }

    /// Opens the socket, on this node or another.
    fn open(&mut self, node: &Node) {
        self.app = node.app.clone();
        let queue = Arc::new(Queue::new(self.who.id));
        self.app.hub.subscribe(Topic::Visitor(self.who.id), &queue);
        super::connected(&self.app, self.who.id);
        self.queue = Some(queue);
    }

    fn close(&mut self) {
        if let Some(queue) = self.queue.take() {
            self.app.hub.unsubscribe(Topic::Visitor(self.who.id), &queue);
            super::disconnected(&self.app, self.who.id);
        }
    }

    async fn seek(&self, interests: &[&str], languages: &[&str]) -> Result<Uuid> {
        super::seek(&self.app, &self.who, seek(interests, languages, false)).await.map(|seeking| seeking.ticket)
    }

    fn drain(&mut self) {
        let Some(queue) = &self.queue else { return };
        let mut frames = std::collections::VecDeque::new();
        queue.drain_into(&mut frames);
        self.received.extend(
            frames.iter().flat_map(|(_, bytes)| texts(bytes)).map(|text| serde_json::from_str::<Value>(&text).unwrap()),
        );
    }

    /// Returns the next event, which must have the given type.
    async fn receives(&mut self, kind: &str) -> Value {
        let until = tokio::time::Instant::now() + TEST_TIMEOUT;
        loop {
            self.drain();
            if let Some(event) = self.received.pop_front() {
                assert_eq!(event["type"], kind, "{event}");
                return event;
            }
            assert!(tokio::time::Instant::now() < until, "{kind} was not received");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits and checks that no event arrives.
    async fn receives_nothing(&mut self, for_ms: u64) {
        tokio::time::sleep(Duration::from_millis(for_ms)).await;
        self.drain();
        assert!(self.received.is_empty(), "{:?}", self.received);
    }

    /// Joins the room of a talk.
    async fn enter(&self, found: &Value) -> rooms::Membership {
        let membership = rooms::join(&self.app, &self.who, id(&found["room"])).await.unwrap();
        super::entered(&self.app, &self.who, &membership.room).await.unwrap();
        membership
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

/// Matches two clients and returns the `found` of each.
async fn meet(one: &mut Client, other: &mut Client) -> (Value, Value) {
    one.seek(&[], &["ko"]).await.unwrap();
    other.seek(&[], &["ko"]).await.unwrap();
    let found = (one.receives("found").await, other.receives("found").await);
    assert_eq!(found.0["session"], found.1["session"]);
    found
}

/// Returns a number from the database.
async fn count(node: &Node, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&node.app.db).await.unwrap()
}

const WAITING: &str = "SELECT count(*) FROM random_ticket WHERE cancelled_at IS NULL";
const OPEN: &str = "SELECT count(*) FROM random_session WHERE ended_at IS NULL";
