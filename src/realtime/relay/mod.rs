//! The relay: carries what was published on one node to the others. In one process it is a channel; between machines it is
//! Redis. It is never the truth, and whatever it loses is repaired from Postgres.
mod redis;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Frame, Topic};
use crate::faults::{self, Fault};

/// How many relayed frames a node may lag behind before it is told to look everything up again.
const BUFFER: usize = 16_384;

/// What a node hears on [`Topic::Nodes`] when frames may have been missed: look everything up.
pub const CAUGHT_UP: &str = r#"{"type":"caught_up"}"#;

/// Something another node published.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The node that published it; own frames are skipped on return.
    pub node: Uuid,
    pub topic: Topic,
    /// The entry's number in the room's log; None for passing frames and for what is meant for a visitor.
    pub seq: Option<i64>,
    pub frame: Frame,
}

/// Carries frames between the nodes that share it.
#[derive(Clone)]
pub struct Relay {
    heard: broadcast::Sender<Relayed>,
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
        Self { heard: broadcast::channel(BUFFER).0, way: Way::Here(Arc::default()) }
    }

    /// One node's relay over Redis or Valkey. It need not be there: it is connected to when it is. Errors: a URL that is none.
    pub fn over_redis(url: &str) -> Result<Self, String> {
        let heard = broadcast::channel(BUFFER).0;
        let (link, engine) = redis::link(url, heard.clone())?;
        Ok(Self { heard, way: Way::Redis(link, Arc::new(Mutex::new(Some(engine)))) })
    }

    /// A node joins the others. Answers what has to run until `stopping`, if anything.
    pub fn enter(&self, stopping: CancellationToken) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.follow(Topic::Nodes, true);
        match &self.way {
            Way::Here(nodes) => {
                nodes.fetch_add(1, Ordering::Relaxed);
                None
            }
            Way::Redis(_, engine) => {
                let engine = engine.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                Some(engine.run(stopping))
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
    pub fn publish(&self, relayed: Relayed) {
        if faults::on(Fault::RelaySilent) {
            return;
        }
        match &self.way {
            // No listener is no error: one node has nobody to tell.
            Way::Here(_) => drop(self.heard.send(relayed)),
            Way::Redis(link, _) => link.publish(relayed),
        }
    }

    /// What the others publish from now on (own frames too: the reader skips them).
    pub fn subscribe(&self) -> broadcast::Receiver<Relayed> {
        self.heard.subscribe()
    }

    /// Whether there may be any other node.
    pub fn has_others(&self) -> bool {
        match &self.way {
            Way::Here(nodes) => nodes.load(Ordering::Relaxed) > 1,
            Way::Redis(..) => true,
        }
    }
}
