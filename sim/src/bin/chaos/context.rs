//! What all clients of a run share.
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::cluster::Cluster;
use crate::history::History;
use crate::monitor::Monitor;

/// The phase of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Run,
    /// Nothing new is sent. Earlier sends are repeated until they are answered.
    Settle,
    Over,
}

/// The numbers of visitors that faults make begin here.
const STRANGERS: usize = 1_000_000;

/// What all clients share.
pub struct Context {
    pub cluster: Cluster,
    pub history: History,
    pub seed: u64,
    phase: AtomicU8,
    /// How many answers each client waits for. A client is quiet at 0.
    waits: Mutex<HashMap<usize, usize>>,
    /// Seekers in their final state, by public id: `true` if they continue to wait or talk.
    pub settled: Mutex<HashMap<String, bool>>,
    /// Visitors who leave rooms: what they sent there cannot be repeated.
    pub leavers: Mutex<HashSet<usize>>,
    /// All visitors, by number.
    pub people: Mutex<HashMap<usize, Visitor>>,
    /// The number of the next visitor that a fault makes, far from those of the run.
    next_stranger: AtomicUsize,
    pub monitor: Monitor,
    /// Two visitors who write when a fault needs that, and the room they write to.
    pub writers: OnceLock<(Vec<Visitor>, String)>,
}

impl Context {
    pub fn new(cluster: Cluster, seed: u64) -> Self {
        let (waits, settled, leavers, people, monitor) = Default::default();
        Self {
            cluster,
            history: History::new(),
            seed,
            phase: AtomicU8::new(0),
            waits,
            settled,
            leavers,
            people,
            next_stranger: AtomicUsize::new(STRANGERS),
            monitor,
            writers: OnceLock::new(),
        }
    }

    /// Returns a number for a visitor that a fault makes.
    pub fn stranger(&self) -> usize {
        self.next_stranger.fetch_add(1, Ordering::Relaxed)
    }

    pub fn set_waits(&self, who: usize, count: usize) {
        self.waits.lock().insert(who, count);
    }

    /// Returns how many answers all clients wait for.
    pub fn pending_count(&self) -> usize {
        self.waits.lock().values().sum()
    }

    pub fn phase(&self) -> Phase {
        [Phase::Run, Phase::Settle, Phase::Over][usize::from(self.phase.load(Ordering::Relaxed))]
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// A visitor.
#[derive(Clone)]
pub struct Visitor {
    pub who: usize,
    pub cookie: String,
    /// The public id.
    pub id: String,
}
