//! What all clients of a run share.
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::history::History;
use crate::watch::Watch;
use crate::world::World;

/// Where the run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Run,
    /// Nothing new is said; what was said is repeated until it is answered.
    Settle,
    Over,
}

/// The numbers of those whom faults make begin here.
const STRANGERS: usize = 1_000_000;

/// What all clients share.
pub struct Context {
    pub world: World,
    pub history: History,
    pub seed: u64,
    phase: AtomicU8,
    /// What each client still waits for; a client is quiet at 0.
    waits: Mutex<HashMap<usize, usize>>,
    /// Seekers that have settled, by their visitor's public id: whether they go on waiting (or talking).
    pub settled: Mutex<HashMap<String, bool>>,
    /// People who leave rooms: what they said there they cannot repeat.
    pub leavers: Mutex<HashSet<usize>>,
    /// Everybody that was made, by number.
    pub people: Mutex<HashMap<usize, Guest>>,
    /// The number of the next person that a fault makes, far from those of the run.
    next_stranger: AtomicUsize,
    pub watch: Watch,
    /// Two people who write when a fault needs somebody to, and the room they write to.
    pub writers: OnceLock<(Vec<Guest>, String)>,
}

impl Context {
    pub fn new(world: World, seed: u64) -> Self {
        let (waits, settled, leavers, people, watch) = Default::default();
        Self {
            world,
            history: History::new(),
            seed,
            phase: AtomicU8::new(0),
            waits,
            settled,
            leavers,
            people,
            next_stranger: AtomicUsize::new(STRANGERS),
            watch,
            writers: OnceLock::new(),
        }
    }

    /// A number for somebody whom a fault makes.
    pub fn stranger(&self) -> usize {
        self.next_stranger.fetch_add(1, Ordering::Relaxed)
    }

    pub fn set_waits(&self, who: usize, count: usize) {
        self.waits.lock().expect("no panic").insert(who, count);
    }

    /// All that clients still wait for.
    pub fn waits(&self) -> usize {
        self.waits.lock().expect("no panic").values().sum()
    }

    pub fn phase(&self) -> Phase {
        [Phase::Run, Phase::Settle, Phase::Over][usize::from(self.phase.load(Ordering::Relaxed))]
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// Who a client is.
#[derive(Clone)]
pub struct Guest {
    pub who: usize,
    pub cookie: String,
    /// The visitor's public id.
    pub id: String,
}
