//! A minimal load balancer: it passes connections in turn to the nodes that are ready.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::context::Context;

/// How often each node's readiness is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The nodes that receive connections.
#[derive(Default)]
pub struct Balancer {
    ready: [AtomicBool; 2],
    turn: AtomicUsize,
}

impl Balancer {
    /// Listens on the balancer's port.
    pub async fn start(shared: Arc<Context>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", shared.cluster.balancer_port)).await.expect("a free port");
        let balancer = Arc::new(Self::default());
        for node in 0..2 {
            let (balancer, shared) = (balancer.clone(), shared.clone());
            tokio::spawn(async move {
                loop {
                    balancer.ready[node].store(shared.cluster.is_ready(node).await, Ordering::Relaxed);
                    tokio::time::sleep(CHECK_INTERVAL).await;
                }
            });
        }
        let taking = balancer.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (balancer, shared) = (taking.clone(), shared.clone());
                tokio::spawn(async move { balancer.carry(&shared, near).await });
            }
        });
        balancer
    }

    /// Returns `true` if a node receives connections.
    pub fn has(&self, node: usize) -> bool {
        self.ready[node].load(Ordering::Relaxed)
    }

    /// Passes a connection to the next ready node, or to the other one if that refuses.
    async fn carry(&self, shared: &Context, mut near: TcpStream) {
        let _ = near.set_nodelay(true);
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for node in [first % 2, (first + 1) % 2].into_iter().filter(|node| self.has(*node)) {
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", shared.cluster.nodes[node].port)).await {
                let _ = far.set_nodelay(true);
                let _ = copy_bidirectional(&mut near, &mut far).await;
                return;
            }
        }
        shared.history.count("connections that no node took");
    }
}
