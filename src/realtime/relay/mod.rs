//! The relay: carries what was published on one node to the others. In one process it is a channel;
//! between machines it is Redis. Postgres is the source of truth: nodes find there whatever the
//! relay loses (docs/decisions/0002-postgres-is-the-truth.md).
mod errors;
mod outbox;
mod packing;
mod probe;
mod redis;
mod subscriptions;

pub use probe::probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Entry, Frame, NodeEvent, Topic};
use crate::faults::{self, Fault};
use crate::metrics::Relayed;

/// Events that can wait for one receiver. A receiver that falls further behind gets
/// [`RelayEvent::Missed`].
const MAX_PENDING_EVENTS: usize = 1_024;

/// What a node published to a topic.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The node that published it. A node skips its own publications when they come back.
    pub node: Uuid,
    pub topic: Topic,
    pub content: Content,
}

/// The content of a publication.
#[derive(Clone, Debug)]
pub enum Content {
    /// An entry of the log of the topic's room.
    Entry(Entry),
    /// An ephemeral frame, or a frame for a visitor.
    Frame(Frame),
    /// An event for the nodes.
    Event(NodeEvent),
    /// A frame for the sockets of a visitor, and what it means for the nodes.
    FrameWithEvent(Frame, NodeEvent),
}

/// The kinds of topics. A receiver gets the events of one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    Rooms,
    Visitors,
    Nodes,
}

impl Topic {
    fn kind(self) -> TopicKind {
        match self {
            Self::Room(_) => TopicKind::Rooms,
            Self::Visitor(_) => TopicKind::Visitors,
            Self::Nodes => TopicKind::Nodes,
        }
    }
}

/// What a receiver gets from the relay.
#[derive(Clone, Debug)]
pub enum RelayEvent {
    /// What one node published together, in order.
    Published(Arc<Vec<Publication>>),
    /// Publications may have been lost: look everything up in Postgres.
    Missed,
}

/// A receiver of what is published to one kind of topic.
pub struct RelayEvents(broadcast::Receiver<RelayEvent>);

impl RelayEvents {
    /// Waits for the next event. Returns `None` if the relay is gone.
    pub async fn next(&mut self) -> Option<RelayEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(relay.missed = missed, "relay: events came too fast, looking everything up");
                Some(RelayEvent::Missed)
            }
            Err(RecvError::Closed) => None,
        }
    }
}

/// Distributes events to the receivers of each kind of topic.
#[derive(Clone)]
struct EventSenders {
    kinds: [broadcast::Sender<RelayEvent>; 3],
    counts: Arc<Relayed>,
}

impl EventSenders {
    fn new() -> Self {
        Self { kinds: std::array::from_fn(|_| broadcast::channel(MAX_PENDING_EVENTS).0), counts: Arc::default() }
    }

    fn send(&self, publications: impl IntoIterator<Item = Publication>) {
        let mut kinds: [Vec<Publication>; 3] = Default::default();
        for one in publications {
            kinds[one.topic.kind() as usize].push(one);
        }
        for (sender, published) in self.kinds.iter().zip(kinds) {
            if !published.is_empty() {
                self.counts.received.add(published.len() as u64);
                // Fails without receivers, which is no error: a single node has none.
                let _ = sender.send(RelayEvent::Published(Arc::new(published)));
            }
        }
    }

    fn send_missed(&self) {
        self.counts.missed.increment();
        for sender in &self.kinds {
            let _ = sender.send(RelayEvent::Missed);
        }
    }
}

/// A node's connection to the other nodes of the service.
#[derive(Clone)]
pub struct Relay {
    senders: EventSenders,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    /// Nodes of one process, which all receive everything. Holds the number of nodes.
    InProcess(Arc<AtomicUsize>),
    /// Nodes that share a Redis. The task is taken out when the node connects.
    Redis(redis::RedisHandle, Arc<Mutex<Option<redis::RedisTask>>>),
}

impl Relay {
    /// Creates a relay without Redis: nodes that get clones of it receive each other's
    /// publications.
    pub fn in_process() -> Self {
        Self { senders: EventSenders::new(), backend: Backend::InProcess(Arc::default()) }
    }

    /// Creates the relay of one node over Redis or Valkey. The server does not have to be reachable
    /// yet.
    ///
    /// # Errors
    /// Describes what is wrong with the URL.
    pub fn over_redis(url: &str, service: Uuid) -> Result<Self, String> {
        let senders = EventSenders::new();
        let (handle, task) = redis::relay(url, service, senders.clone())?;
        Ok(Self { senders, backend: Backend::Redis(handle, Arc::new(Mutex::new(Some(task)))) })
    }

    /// Connects a node to the others. Returns the function that runs the connection until
    /// `stopping`; each call of it connects anew. `None` if nothing has to run.
    pub fn connect(
        &self,
        node: Uuid,
        stopping: CancellationToken,
    ) -> Option<impl FnMut() -> BoxFuture<'static, ()> + Send + use<>> {
        self.subscribe(Topic::Nodes);
        match &self.backend {
            Backend::InProcess(nodes) => {
                nodes.fetch_add(1, Ordering::Relaxed);
                None
            }
            Backend::Redis(_, task) => {
                let task = task.lock().take()?;
                Some(move || task.clone().run(node, stopping.clone()).boxed())
            }
        }
    }

    /// Subscribes this node to a topic: the topic has its first local subscriber.
    pub(super) fn subscribe(&self, topic: Topic) {
        if let Backend::Redis(handle, _) = &self.backend {
            handle.subscribe(topic);
        }
    }

    /// Unsubscribes this node from a topic: its last local subscriber has left.
    pub(super) fn unsubscribe(&self, topic: Topic) {
        if let Backend::Redis(handle, _) = &self.backend {
            handle.unsubscribe(topic);
        }
    }

    /// Returns what is counted of the relay. Nodes of one process share it.
    pub fn counts(&self) -> &Relayed {
        &self.senders.counts
    }

    /// Publishes to the other nodes, and wakes them as rarely as possible. Never waits. Nodes find
    /// a lost entry by its sequence number.
    pub fn publish(&self, publications: Vec<Publication>) {
        if publications.is_empty() || faults::on(Fault::RelaySilent) {
            return;
        }
        self.senders.counts.published.add(publications.len() as u64);
        match &self.backend {
            Backend::InProcess(_) => self.senders.send(publications),
            Backend::Redis(handle, _) => handle.publish(&publications),
        }
    }

    /// Returns a receiver of what is published to one kind of topic from now on. It may get this
    /// node's own publications too and has to skip them.
    pub fn events(&self, kind: TopicKind) -> RelayEvents {
        RelayEvents(self.senders.kinds[kind as usize].subscribe())
    }

    /// Returns `true` if there can be other nodes.
    pub fn has_others(&self) -> bool {
        match &self.backend {
            Backend::InProcess(nodes) => nodes.load(Ordering::Relaxed) > 1,
            Backend::Redis(..) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Publication, Relay, RelayEvent, Topic, TopicKind, Uuid};
    use crate::ids::{RoomId, VisitorId};

    #[tokio::test]
    async fn a_receiver_gets_its_kind_only_and_all_learn_that_something_was_missed() {
        let relay = Relay::in_process();
        let kinds = [TopicKind::Rooms, TopicKind::Visitors, TopicKind::Nodes];
        let mut receivers = kinds.map(|kind| relay.events(kind));
        let topics = [Topic::Room(RoomId(1)), Topic::Visitor(VisitorId(1)), Topic::Room(RoomId(2)), Topic::Nodes];
        let one = |topic| Publication { node: Uuid::nil(), topic, content: Content::Frame("x".into()) };
        relay.publish(topics.into_iter().map(one).collect());
        relay.senders.send_missed();
        for (kind, receiver) in kinds.into_iter().zip(&mut receivers) {
            let Some(RelayEvent::Published(published)) = receiver.next().await else { panic!("nothing for {kind:?}") };
            let own: Vec<_> = topics.into_iter().filter(|topic| topic.kind() == kind).collect();
            let got: Vec<_> = published.iter().map(|one| one.topic).collect();
            assert_eq!(got, own, "in one event, in order");
            assert!(matches!(receiver.next().await, Some(RelayEvent::Missed)));
        }
        // A receiver that is too slow learns it.
        for _ in 0..=super::MAX_PENDING_EVENTS {
            relay.publish(vec![one(Topic::Nodes)]);
        }
        assert!(matches!(receivers[2].next().await, Some(RelayEvent::Missed)));
    }
}
