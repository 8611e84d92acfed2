//! A load balancer as small as it can be: it takes connections in turn to the nodes that say they are ready.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::context::Context;

/// How often nodes are asked whether they are ready.
const EVERY: Duration = Duration::from_millis(250);

/// Who gets connections now.
#[derive(Default)]
pub struct Balancer {
    ready: [AtomicBool; 2],
    turn: AtomicUsize,
}

impl Balancer {
    /// Listens on the world's front port.
    pub async fn start(shared: Arc<Context>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", shared.world.front)).await.expect("a free port");
        let balancer = Arc::new(Self::default());
        for node in 0..2 {
            let (balancer, shared) = (balancer.clone(), shared.clone());
            tokio::spawn(async move {
                loop {
                    balancer.ready[node].store(shared.world.is_ready(node).await, Ordering::Relaxed);
                    tokio::time::sleep(EVERY).await;
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

    /// Whether a node gets connections.
    pub fn has(&self, node: usize) -> bool {
        self.ready[node].load(Ordering::Relaxed)
    }

    /// Takes a connection to the next node that is ready; to the one after it when that one refuses.
    async fn carry(&self, shared: &Context, mut near: TcpStream) {
        let _ = near.set_nodelay(true);
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for node in [first % 2, (first + 1) % 2].into_iter().filter(|node| self.has(*node)) {
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", shared.world.nodes[node].port)).await {
                let _ = far.set_nodelay(true);
                let _ = copy_bidirectional(&mut near, &mut far).await;
                return;
            }
        }
        shared.history.count("connections that no node took");
    }
}
