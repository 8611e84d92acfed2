//! How many connections may be open: in all, and from one address prefix.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};

use super::Prefix;
use crate::config::{Config, Network};

/// Connections in all, sockets included. A process can commonly hold 20,000 files; the rest is for the database.
const CONNECTIONS: usize = 18_000;
/// Connections from one address prefix: a school or a carrier's gateway, not one person's script.
const PER_PREFIX: usize = 512;

/// Counts what is open.
pub(super) struct Gate {
    most: usize,
    /// None: limits are off.
    per_prefix: Option<usize>,
    /// Proxies bring everybody's connections, so theirs are counted in all only.
    proxies: Vec<Network>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_prefix: HashMap<Prefix, usize>,
}

impl Gate {
    /// The caps of a node; fewer connections where the process may hold fewer files than they need.
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        let most = files.map_or(CONNECTIONS, |files| CONNECTIONS.min(files / 10 * 9));
        Self::with_caps(most, config.limits.then_some(PER_PREFIX), config.trusted_proxies.clone())
    }

    /// Caps of one's own.
    pub(super) fn with_caps(most: usize, per_prefix: Option<usize>, proxies: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { most, per_prefix, proxies, open: Mutex::default() })
    }

    /// Lets a connection in, or None when there is no room. The place is free again when the permit is dropped.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Permit> {
        let counted = self.per_prefix.filter(|_| !self.proxies.iter().any(|network| network.contains(peer.ip())));
        let prefix = counted.map(|most| (Prefix::of(peer.ip()), most));
        let mut open = self.lock();
        if open.all >= self.most {
            return None;
        }
        if let Some((prefix, most)) = prefix {
            let here = open.by_prefix.entry(prefix).or_default();
            if *here >= most {
                return None;
            }
            *here += 1;
        }
        open.all += 1;
        Some(Permit { gate: self.clone(), prefix: prefix.map(|(prefix, _)| prefix) })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place. It goes wherever the connection goes, also into an upgraded socket.
pub(super) struct Permit {
    gate: Arc<Gate>,
    prefix: Option<Prefix>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
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
