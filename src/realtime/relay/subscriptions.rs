//! The topics that this node subscribes to, by Redis channel.
use std::collections::HashSet;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::outbox::{CHANNEL_COUNT, channel_of};
use crate::realtime::Topic;

/// The topics that this node subscribes to, by Redis channel. The node subscribes to a channel
/// while the channel has a topic.
#[derive(Default)]
pub(super) struct Subscriptions {
    channels: [Mutex<HashSet<Topic>>; CHANNEL_COUNT],
    changed: Notify,
}

impl Subscriptions {
    /// Locks and returns the topics of a channel, from 0 to [`CHANNEL_COUNT`] - 1.
    pub(super) fn lock(&self, channel: usize) -> MutexGuard<'_, HashSet<Topic>> {
        self.channels[channel].lock()
    }

    /// Adds a topic. Returns `true` if it is the first one of its channel.
    pub(super) fn add(&self, topic: Topic) -> bool {
        let is_first = {
            let mut topics = self.lock(channel_of(topic));
            topics.insert(topic) && topics.len() == 1
        };
        if is_first {
            self.changed.notify_one();
        }
        is_first
    }

    /// Removes a topic. Returns `true` if it was the last one of its channel.
    pub(super) fn remove(&self, topic: Topic) -> bool {
        let was_last = {
            let mut topics = self.lock(channel_of(topic));
            topics.remove(&topic) && topics.is_empty()
        };
        if was_last {
            self.changed.notify_one();
        }
        was_last
    }

    /// Waits until a channel gets its first topic or loses its last one.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Subscriptions, Topic, channel_of};
    use crate::ids::{RoomId, VisitorId};

    #[test]
    fn a_channel_is_subscribed_from_its_first_topic_to_its_last() {
        let subscriptions = Subscriptions::default();
        let (one, two) = (Topic::Room(RoomId(8)), Topic::Visitor(VisitorId(16)));
        assert_eq!(channel_of(one), channel_of(two));
        assert!(subscriptions.add(one));
        assert!(!subscriptions.add(one), "a second time changes nothing");
        assert!(!subscriptions.add(two));
        assert!(!subscriptions.remove(one));
        assert!(!subscriptions.remove(one), "a second time changes nothing");
        assert!(subscriptions.remove(two));
        assert!(subscriptions.lock(channel_of(one)).is_empty());
    }
}
