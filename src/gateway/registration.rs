//! What the rest of the node knows of a socket.
use std::sync::Arc;

use crate::app::App;
use crate::realtime::{Queue, Topic};
use crate::{accounts, matching};

/// Taken back when the socket's task ends, however it ends.
pub(super) struct SocketRegistration {
    pub app: App,
    pub visitor: i64,
    pub queue: Arc<Queue>,
    /// The first hello has come: it listens, and matching counts it.
    pub counted: bool,
}

impl Drop for SocketRegistration {
    fn drop(&mut self) {
        accounts::untrack_socket(&self.app, &self.queue);
        if self.counted {
            self.app.hub.unsubscribe(Topic::Visitor(self.visitor), &self.queue);
            matching::disconnected(&self.app, self.visitor);
        }
    }
}
