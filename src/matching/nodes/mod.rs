//! The nodes that are alive: the lease that each renews, and what matching does on all of them.
mod store;

pub(super) use store::{Lease, renew_lease};
pub use store::{LiveNode, figures, live_nodes};
