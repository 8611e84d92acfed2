//! The relay: carries what was published on one node to the others. In one process it is a channel.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;
use uuid::Uuid;

use super::{Frame, Topic};

/// How many relayed frames a node may lag behind before it is told to look everything up again.
const BUFFER: usize = 8_192;

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
    channel: broadcast::Sender<Relayed>,
    nodes: Arc<AtomicUsize>,
}

impl Relay {
    /// The in-process stand-in: nodes that are given clones of it hear each other.
    pub fn in_process() -> Self {
        Self { channel: broadcast::channel(BUFFER).0, nodes: Arc::default() }
    }

    /// A node joins the others.
    pub fn enter(&self) {
        self.nodes.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends to the other nodes. Never waits; a lost frame is repaired by sequence.
    pub fn publish(&self, relayed: Relayed) {
        // No listener is no error: one node has nobody to tell.
        let _ = self.channel.send(relayed);
    }

    /// What the others publish from now on (own frames too: the reader skips them).
    pub fn subscribe(&self) -> broadcast::Receiver<Relayed> {
        self.channel.subscribe()
    }

    /// Whether there is any other node.
    pub fn has_others(&self) -> bool {
        self.nodes.load(Ordering::Relaxed) > 1
    }
}
