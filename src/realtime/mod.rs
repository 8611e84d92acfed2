//! Realtime: carries bytes to the sockets that listen to a topic, here and on other nodes. Knows no noun.
mod close;
mod entry;
mod frame;
mod hub;
mod notice;
mod queue;
mod relay;

pub use close::CloseCode;
pub use entry::Entry;
pub use frame::Frame;
#[cfg(test)]
pub use frame::texts;
pub use hub::Hub;
pub use notice::{Notice, NoticeKind};
pub use queue::{Disconnect, Priority, Queue};
pub use relay::{Publication, Relay, RelayEvent, TopicKind};

/// What sockets listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The log and the passing frames of a room.
    Room(i64),
    /// What is meant for all sockets of one visitor.
    Visitor(i64),
    /// What is meant for the nodes themselves.
    Nodes,
}
