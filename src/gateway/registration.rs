//! A socket's registration: what the rest of the node knows about it.
use std::sync::Arc;

use crate::app::App;
use crate::ids::VisitorId;
use crate::realtime::{Queue, Topic};
use crate::{accounts, matching};

/// A socket's entries in the hub, in matching and in the watch over sessions. They are removed when
/// the registration is dropped, however the socket's task ends.
pub(super) struct SocketRegistration {
    pub app: App,
    pub visitor: VisitorId,
    pub queue: Arc<Queue>,
    /// `true` after the first hello: the socket subscribes to its visitor's topic, and matching
    /// counts it.
    pub subscribed: bool,
    /// `true` while the client does not answer in a talk: matching does not count the socket.
    pub silent: bool,
}

impl SocketRegistration {
    /// Records whether the client is silent. A socket that is not subscribed is never counted.
    pub(super) fn set_silent(&mut self, silent: bool) {
        if self.subscribed && silent != self.silent {
            self.silent = silent;
            if silent {
                matching::fell_silent(&self.app, self.visitor);
            } else {
                matching::heard_again(&self.app, self.visitor);
            }
        }
    }
}

impl Drop for SocketRegistration {
    fn drop(&mut self) {
        accounts::untrack_socket(&self.app, &self.queue);
        if self.subscribed {
            self.app.hub.unsubscribe(Topic::Visitor(self.visitor), &self.queue);
            if self.silent {
                matching::closed_silently(&self.app, self.visitor);
            } else {
                matching::disconnected(&self.app, self.visitor);
            }
        }
    }
}
