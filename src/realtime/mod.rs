//! Realtime: carries bytes to the sockets that subscribe to a topic, here and on other nodes. Knows
//! no noun.
mod close;
mod entry;
mod frame;
mod hub;
pub mod limits;
mod node_event;
mod notice;
mod queue;
mod relay;

pub use close::CloseCode;
pub use entry::Entry;
pub use frame::Frame;
#[cfg(test)]
pub use frame::texts;
pub use hub::Hub;
pub use node_event::NodeEvent;
pub use notice::{Notice, NoticeKind};
pub use queue::{Disconnect, Priority, Queue, QueueState};
pub use relay::{Content, Publication, Relay, RelayEvent, RelayEvents, TopicKind, probe};

use crate::ids::{RoomId, VisitorId};

/// What a socket or a node can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The entries and the ephemeral frames of a room.
    Room(RoomId),
    /// The frames for all sockets of one visitor.
    Visitor(VisitorId),
    /// The messages that nodes send each other.
    Nodes,
}
