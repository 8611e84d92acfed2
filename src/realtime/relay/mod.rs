//! The relay: carries what was published on one node to the others. In one process it is a channel; between machines it is
//! Redis. It is never the truth, and whatever it loses is repaired from Postgres.
mod outbox;
mod packing;
mod redis;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Frame, Topic};
use crate::faults::{self, Fault};

/// How many publishes of other nodes a reader may lag behind before it is told to look everything up.
const BUFFER: usize = 1_024;

/// Something a node published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The node that published it; own frames are skipped on return.
    pub node: Uuid,
    pub topic: Topic,
    /// The entry's number in the room's log; None for passing frames and for what is meant for a visitor.
    pub seq: Option<i64>,
    pub frame: Frame,
}

/// The kinds of topics: a reader wakes for its own kind only.
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

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum RelayEvent {
    /// What one node published together, in its order.
    Published(Arc<Vec<Publication>>),
    /// Something may have been missed: look everything up.
    Missed,
}

/// What is published from now on about one kind of topic.
pub struct Listener(broadcast::Receiver<RelayEvent>);

impl Listener {
    /// Waits for the next. None when the relay is gone.
    pub async fn next(&mut self) -> Option<RelayEvent> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(relay.missed = missed, "the relay was too fast; looking everything up");
                Some(RelayEvent::Missed)
            }
            Err(RecvError::Closed) => None,
        }
    }
}

/// Hands what is heard to the readers of its kind.
#[derive(Clone)]
struct Readers([broadcast::Sender<RelayEvent>; 3]);

impl Readers {
    fn new() -> Self {
        Self(std::array::from_fn(|_| broadcast::channel(BUFFER).0))
    }

    fn say(&self, relayed: impl IntoIterator<Item = Publication>) {
        let mut kinds: [Vec<Publication>; 3] = Default::default();
        for one in relayed {
            kinds[one.topic.kind() as usize].push(one);
        }
        for (reader, said) in self.0.iter().zip(kinds) {
            if !said.is_empty() {
                // No reader is no error: one node has nobody to tell.
                let _ = reader.send(RelayEvent::Published(Arc::new(said)));
            }
        }
    }

    fn missed(&self) {
        for reader in &self.0 {
            let _ = reader.send(RelayEvent::Missed);
        }
    }
}

/// Carries frames between the nodes that share it.
#[derive(Clone)]
pub struct Relay {
    readers: Readers,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// Nodes of one process: all hear everything. Counts them.
    Here(Arc<AtomicUsize>),
    Redis(redis::Link, Arc<Mutex<Option<redis::Engine>>>),
}

impl Relay {
    /// The in-process stand-in: nodes that are given clones of it hear each other.
    pub fn in_process() -> Self {
        Self { readers: Readers::new(), way: Way::Here(Arc::default()) }
    }

    /// Returns the relay of one node of a service over Redis or Valkey. The server may be away; the relay connects when it is there.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn over_redis(url: &str, service: Uuid) -> Result<Self, String> {
        let readers = Readers::new();
        let (link, engine) = redis::link(url, service, readers.clone())?;
        Ok(Self { readers, way: Way::Redis(link, Arc::new(Mutex::new(Some(engine)))) })
    }

    /// A node joins the others. Answers what has to run until `stopping`, if anything; called again, it connects anew.
    pub fn enter(
        &self,
        node: Uuid,
        stopping: CancellationToken,
    ) -> Option<impl FnMut() -> BoxFuture<'static, ()> + Send + use<>> {
        self.follow(Topic::Nodes, true);
        match &self.way {
            Way::Here(nodes) => {
                nodes.fetch_add(1, Ordering::Relaxed);
                None
            }
            Way::Redis(_, engine) => {
                let engine = engine.lock().take()?;
                Some(move || engine.clone().run(node, stopping.clone()).boxed())
            }
        }
    }

    /// Listens to a topic for this node, or no longer: its first local member came, its last one left.
    pub(super) fn follow(&self, topic: Topic, listens: bool) {
        if let Way::Redis(link, _) = &self.way {
            link.follow(topic, listens);
        }
    }

    /// Sends to the other nodes. Never waits; a lost frame is repaired by sequence.
    pub fn publish(&self, relayed: Publication) {
        self.publish_all(vec![relayed]);
    }

    /// Sends what one node has to say at once, as [`Relay::publish`] does: it wakes the others as seldom as it can.
    pub fn publish_all(&self, relayed: Vec<Publication>) {
        if relayed.is_empty() || faults::on(Fault::RelaySilent) {
            return;
        }
        match &self.way {
            Way::Here(_) => self.readers.say(relayed),
            Way::Redis(link, _) => link.publish(&relayed),
        }
    }

    /// What is published about one kind of topic from now on (own frames too: the reader skips them).
    pub fn listen(&self, kind: TopicKind) -> Listener {
        Listener(self.readers.0[kind as usize].subscribe())
    }

    /// Whether there may be any other node.
    pub fn has_others(&self) -> bool {
        match &self.way {
            Way::Here(nodes) => nodes.load(Ordering::Relaxed) > 1,
            Way::Redis(..) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Publication, Relay, RelayEvent, Topic, TopicKind, Uuid};

    #[tokio::test]
    async fn a_reader_wakes_for_its_kind_only_and_all_hear_that_something_was_missed() {
        let relay = Relay::in_process();
        let kinds = [TopicKind::Rooms, TopicKind::Visitors, TopicKind::Nodes];
        let mut listeners = kinds.map(|kind| relay.listen(kind));
        let topics = [Topic::Room(1), Topic::Visitor(1), Topic::Room(2), Topic::Nodes];
        let one = |topic| Publication { node: Uuid::nil(), topic, seq: None, frame: "x".into() };
        relay.publish_all(topics.into_iter().map(one).collect());
        relay.readers.missed();
        for (kind, listener) in kinds.into_iter().zip(&mut listeners) {
            let Some(RelayEvent::Published(said)) = listener.next().await else { panic!("nothing said to {kind:?}") };
            let own: Vec<_> = topics.into_iter().filter(|topic| topic.kind() == kind).collect();
            assert_eq!(said.iter().map(|one| one.topic).collect::<Vec<_>>(), own, "in one piece, in order");
            assert!(matches!(listener.next().await, Some(RelayEvent::Missed)));
        }
        // Who is too slow is told so.
        for _ in 0..=super::BUFFER {
            relay.publish(one(Topic::Nodes));
        }
        assert!(matches!(listeners[2].next().await, Some(RelayEvent::Missed)));
    }
}
