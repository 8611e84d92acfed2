//! The limits on open connections: in all, per address prefix, and without a complete request head.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

use super::{Prefix, limits};
use crate::config::{Config, Network};

/// Counts the open connections of a node, and refuses those above its limits.
pub(super) struct ConnectionLimit {
    max_open: usize,
    /// `None` if the settings switch limits off.
    max_per_prefix: Option<usize>,
    max_pending: MaxPending,
    /// Proxies carry the connections of many clients, so theirs count in all only.
    proxies: Vec<Network>,
    open: Mutex<Open>,
}

/// How many connections without a complete request head are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxPending {
    pub(super) per_address: usize,
    pub(super) per_prefix: usize,
}

impl Default for MaxPending {
    fn default() -> Self {
        Self { per_address: limits::MAX_PENDING_PER_ADDRESS, per_prefix: limits::MAX_PENDING_PER_PREFIX }
    }
}

#[derive(Default)]
struct Open {
    total: usize,
    /// Connections that have sent a complete head.
    by_prefix: HashMap<Prefix, usize>,
    /// Connections that have not, the oldest first.
    pending: BTreeMap<u64, Pending>,
    pending_by_address: HashMap<IpAddr, BTreeSet<u64>>,
    pending_by_prefix: HashMap<Prefix, BTreeSet<u64>>,
    next_number: u64,
}

/// A connection that has not sent a complete head.
struct Pending {
    /// `None` if its peer is not counted.
    peer: Option<(IpAddr, Prefix)>,
    evicted: Arc<Notify>,
}

/// A connection that was admitted.
pub(super) struct Admitted {
    /// Its place, which is free again when the permit is dropped.
    pub(super) permit: Arc<Permit>,
    /// Notified when the connection has to close to make room for newer ones.
    pub(super) evicted: Arc<Notify>,
}

impl ConnectionLimit {
    /// Creates the limits of a node. They are lower if the process may open fewer files than
    /// [`limits::MAX_CONNECTIONS`] connections need.
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        let max_open = files.map_or(limits::MAX_CONNECTIONS, |files| limits::MAX_CONNECTIONS.min(files / 10 * 9));
        let max_per_prefix = config.limits.then_some(limits::MAX_CONNECTIONS_PER_PREFIX);
        Self::with_limits(max_open, max_per_prefix, MaxPending::default(), config.trusted_proxies.clone())
    }

    /// Creates limits with given values.
    pub(super) fn with_limits(
        max_open: usize,
        max_per_prefix: Option<usize>,
        max_pending: MaxPending,
        proxies: Vec<Network>,
    ) -> Arc<Self> {
        Arc::new(Self { max_open, max_per_prefix, max_pending, proxies, open: Mutex::default() })
    }

    /// Admits a connection. `None` if there is no room.
    ///
    /// A connection without a complete head makes room for newer ones: above the limit of its
    /// address, of its prefix or of the node, the oldest such connection is evicted. So clients
    /// that are slow to send a request displace only each other.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Admitted> {
        let address = peer.ip().to_canonical();
        let is_counted = self.max_per_prefix.is_some() && !self.proxies.iter().any(|network| network.contains(address));
        let peer = is_counted.then(|| (address, Prefix::of(address)));
        let mut open = self.open.lock();
        if let Some((address, prefix)) = &peer {
            let of_address = oldest_if_full(&open.pending_by_address, address, self.max_pending.per_address);
            let oldest =
                of_address.or_else(|| oldest_if_full(&open.pending_by_prefix, prefix, self.max_pending.per_prefix));
            if let Some(oldest) = oldest {
                open.evict(oldest);
            }
        }
        if open.total >= self.max_open {
            let oldest = open.pending.keys().next().copied()?;
            open.evict(oldest);
        }
        let (number, evicted) = (open.next_number, Arc::new(Notify::new()));
        open.next_number += 1;
        open.total += 1;
        if let Some((address, prefix)) = peer {
            open.pending_by_address.entry(address).or_default().insert(number);
            open.pending_by_prefix.entry(prefix).or_default().insert(number);
        }
        open.pending.insert(number, Pending { peer, evicted: evicted.clone() });
        let prefix = peer.map(|(_, prefix)| prefix);
        let permit = Permit { limit: self.clone(), prefix, number, has_sent_head: AtomicBool::new(false) };
        Some(Admitted { permit: Arc::new(permit), evicted })
    }
}

/// Returns the oldest connection of a group that has reached its limit. `None` if it has not.
fn oldest_if_full<K: Eq + Hash>(groups: &HashMap<K, BTreeSet<u64>>, key: &K, limit: usize) -> Option<u64> {
    groups.get(key).filter(|group| group.len() >= limit)?.first().copied()
}

fn remove_from_group<K: Eq + Hash>(groups: &mut HashMap<K, BTreeSet<u64>>, key: K, number: u64) {
    if let Some(group) = groups.get_mut(&key) {
        group.remove(&number);
        if group.is_empty() {
            groups.remove(&key);
        }
    }
}

impl Open {
    /// Removes a connection from those without a complete head. `None` if it is not one of them.
    fn take_pending(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        if let Some((address, prefix)) = pending.peer {
            remove_from_group(&mut self.pending_by_address, address, number);
            remove_from_group(&mut self.pending_by_prefix, prefix, number);
        }
        Some(pending)
    }

    fn evict(&mut self, number: u64) {
        if let Some(pending) = self.take_pending(number) {
            self.total -= 1;
            pending.evicted.notify_one();
        }
    }
}

/// A connection's place. It moves with the connection, also into an upgraded socket.
pub(super) struct Permit {
    limit: Arc<ConnectionLimit>,
    prefix: Option<Prefix>,
    number: u64,
    /// The connection counts among those that have sent a complete head.
    has_sent_head: AtomicBool,
}

impl Permit {
    /// Counts the connection among those that have sent a complete head, from its first request on.
    ///
    /// Returns `false` if its prefix has no place left or the connection has been evicted. The
    /// request then has to be refused.
    pub(super) fn confirm(&self) -> bool {
        if self.has_sent_head.load(Ordering::Relaxed) {
            return true;
        }
        let mut open = self.limit.open.lock();
        if open.take_pending(self.number).is_none() {
            return false;
        }
        if let (Some(prefix), Some(most)) = (self.prefix, self.limit.max_per_prefix) {
            if open.by_prefix.get(&prefix).is_some_and(|here| *here >= most) {
                open.total -= 1;
                return false;
            }
            *open.by_prefix.entry(prefix).or_default() += 1;
        }
        self.has_sent_head.store(true, Ordering::Relaxed);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.open.lock();
        if !*self.has_sent_head.get_mut() {
            if open.take_pending(self.number).is_some() {
                open.total -= 1;
            }
            return;
        }
        open.total -= 1;
        let Some(prefix) = self.prefix else { return };
        if let Some(here) = open.by_prefix.get_mut(&prefix) {
            *here -= 1;
            if *here == 0 {
                open.by_prefix.remove(&prefix);
            }
        }
    }
}
