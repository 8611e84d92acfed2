//! How many connections may be open: in all, and from one address prefix; and how many of them without a whole request yet.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

use super::Prefix;
use crate::config::{Config, Network};

/// Connections in all, sockets included. A process can commonly hold 20,000 files; the rest is for the database.
const CONNECTIONS: usize = 18_000;
/// Connections from one address prefix that have sent a request: a school or a carrier's gateway, not one person's script.
const PER_PREFIX: usize = 512;
/// Connections from one address, and from one prefix, that have not sent a whole request's head yet.
const HALF_PER_ADDRESS: usize = 64;
const HALF_PER_PREFIX: usize = 256;

/// Counts what is open.
pub(super) struct Gate {
    most: usize,
    /// None: limits are off.
    per_prefix: Option<usize>,
    half_per_address: usize,
    half_per_prefix: usize,
    /// Proxies bring everybody's connections, so theirs are counted in all only.
    proxies: Vec<Network>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// Those that have sent a whole head.
    by_prefix: HashMap<Prefix, usize>,
    /// Those that have not, the oldest first.
    half: BTreeMap<u64, Half>,
    half_by_address: HashMap<IpAddr, BTreeSet<u64>>,
    half_by_prefix: HashMap<Prefix, BTreeSet<u64>>,
    next: u64,
}

/// A connection that has not sent a whole head.
struct Half {
    /// None: its peer is not counted.
    from: Option<(IpAddr, Prefix)>,
    evicted: Arc<Notify>,
}

impl Gate {
    /// The caps of a node; fewer connections where the process may hold fewer files than they need.
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        let most = files.map_or(CONNECTIONS, |files| CONNECTIONS.min(files / 10 * 9));
        Self::with_caps(most, config.limits.then_some(PER_PREFIX), config.trusted_proxies.clone())
    }

    /// Caps of one's own on what is open.
    pub(super) fn with_caps(most: usize, per_prefix: Option<usize>, proxies: Vec<Network>) -> Arc<Self> {
        Arc::new(Self::of(most, per_prefix, (HALF_PER_ADDRESS, HALF_PER_PREFIX), proxies))
    }

    /// The same, with caps of one's own on those without a whole head: of an address, and of a prefix.
    pub(super) fn of(most: usize, per_prefix: Option<usize>, half: (usize, usize), proxies: Vec<Network>) -> Self {
        let (half_per_address, half_per_prefix) = half;
        Self { most, per_prefix, half_per_address, half_per_prefix, proxies, open: Mutex::default() }
    }

    /// Lets a connection in, or returns `None` when there is no room. The place is free again when the permit is dropped.
    ///
    /// Until it has sent a whole head, a connection makes room for newer ones: past the cap of its address, of its prefix or of
    /// the node the oldest such connection is evicted, so that those who dawdle are in each other's way only.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<(Arc<Permit>, Arc<Notify>)> {
        let address = peer.ip().to_canonical();
        let is_counted = self.per_prefix.is_some() && !self.proxies.iter().any(|network| network.contains(address));
        let from = is_counted.then(|| (address, Prefix::of(address)));
        let mut open = self.lock();
        if let Some((address, prefix)) = &from {
            let oldest_here = oldest_past(&open.half_by_address, address, self.half_per_address);
            let oldest = oldest_here.or_else(|| oldest_past(&open.half_by_prefix, prefix, self.half_per_prefix));
            if let Some(oldest) = oldest {
                open.evict(oldest);
            }
        }
        if open.all >= self.most {
            let oldest = open.half.keys().next().copied()?;
            open.evict(oldest);
        }
        let (number, evicted) = (open.next, Arc::new(Notify::new()));
        open.next += 1;
        open.all += 1;
        if let Some((address, prefix)) = from {
            open.half_by_address.entry(address).or_default().insert(number);
            open.half_by_prefix.entry(prefix).or_default().insert(number);
        }
        open.half.insert(number, Half { from, evicted: evicted.clone() });
        let prefix = from.map(|(_, prefix)| prefix);
        Some((Arc::new(Permit { gate: self.clone(), prefix, number, is_whole: AtomicBool::new(false) }), evicted))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

/// The oldest of a group that has reached its cap.
fn oldest_past<K: Eq + Hash>(groups: &HashMap<K, BTreeSet<u64>>, key: &K, cap: usize) -> Option<u64> {
    groups.get(key).filter(|group| group.len() >= cap)?.first().copied()
}

fn leave_group<K: Eq + Hash>(groups: &mut HashMap<K, BTreeSet<u64>>, key: K, number: u64) {
    if let Some(group) = groups.get_mut(&key) {
        group.remove(&number);
        if group.is_empty() {
            groups.remove(&key);
        }
    }
}

impl Open {
    /// Forgets a connection among those without a whole head. `None` if it is not one of them (any more).
    fn take_half(&mut self, number: u64) -> Option<Half> {
        let half = self.half.remove(&number)?;
        if let Some((address, prefix)) = half.from {
            leave_group(&mut self.half_by_address, address, number);
            leave_group(&mut self.half_by_prefix, prefix, number);
        }
        Some(half)
    }

    fn evict(&mut self, number: u64) {
        if let Some(half) = self.take_half(number) {
            self.all -= 1;
            half.evicted.notify_one();
        }
    }
}

/// A connection's place. It goes wherever the connection goes, also into an upgraded socket.
pub(super) struct Permit {
    gate: Arc<Gate>,
    prefix: Option<Prefix>,
    number: u64,
    /// It has sent a whole head, and is counted so.
    is_whole: AtomicBool,
}

impl Permit {
    /// Counts the connection among those that have sent a request, from the first one on. Returns `false` if its prefix has no
    /// place left for it, or it has been evicted: the request is to be refused.
    pub(super) fn has_sent_a_head(&self) -> bool {
        if self.is_whole.load(Ordering::Relaxed) {
            return true;
        }
        let mut open = self.gate.lock();
        if open.take_half(self.number).is_none() {
            return false;
        }
        if let (Some(prefix), Some(most)) = (self.prefix, self.gate.per_prefix) {
            if open.by_prefix.get(&prefix).is_some_and(|here| *here >= most) {
                open.all -= 1;
                return false;
            }
            *open.by_prefix.entry(prefix).or_default() += 1;
        }
        self.is_whole.store(true, Ordering::Relaxed);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        if !*self.is_whole.get_mut() {
            if open.take_half(self.number).is_some() {
                open.all -= 1;
            }
            return;
        }
        open.all -= 1;
        let Some(prefix) = self.prefix else { return };
        if let Some(here) = open.by_prefix.get_mut(&prefix) {
            *here -= 1;
            if *here == 0 {
                open.by_prefix.remove(&prefix);
            }
        }
    }
}
