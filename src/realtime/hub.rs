//! The hub: which sockets of this node subscribe to which topic. All subscribers of a topic get the
//! same bytes.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{Content, Disconnect, Entry, Frame, NodeEvent, Priority, Publication, Queue, Relay, Topic};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};

/// Shards, so that publishers of different topics do not wait for the same lock.
const SHARD_COUNT: usize = 32;
/// Bytes of entries that are joined into one chunk: half of what a queue holds.
const MAX_CHUNK_BYTES: usize = super::limits::MAX_QUEUED_BYTES / 2;

/// The subscribers of this node, by topic.
pub struct Hub {
    shards: Vec<Mutex<HashMap<Topic, Vec<Arc<Queue>>>>>,
    hasher: RandomState,
    /// Subscribed to a topic from the topic's first subscriber to its last.
    relay: Relay,
    node: Uuid,
}

impl Hub {
    /// Creates the hub of a node, without subscribers.
    pub fn new(relay: Relay, node: Uuid) -> Self {
        Self { shards: (0..SHARD_COUNT).map(|_| Mutex::default()).collect(), hasher: RandomState::new(), relay, node }
    }

    /// Subscribes a queue to a topic, if it is not subscribed yet. Returns how many queues are
    /// subscribed now.
    pub fn subscribe(&self, topic: Topic, queue: &Arc<Queue>) -> usize {
        let mut shard = self.shard(topic);
        let subscribers = shard.entry(topic).or_default();
        if !subscribers.iter().any(|known| Arc::ptr_eq(known, queue)) {
            subscribers.push(queue.clone());
            if subscribers.len() == 1 {
                self.relay.subscribe(topic);
            }
        }
        subscribers.len()
    }

    /// Unsubscribes a queue from a topic. Returns how many subscribers are left.
    pub fn unsubscribe(&self, topic: Topic, queue: &Arc<Queue>) -> usize {
        let mut shard = self.shard(topic);
        let Some(subscribers) = shard.get_mut(&topic) else { return 0 };
        subscribers.retain(|known| !Arc::ptr_eq(known, queue));
        let left = subscribers.len();
        if left == 0 {
            shard.remove(&topic);
            self.relay.unsubscribe(topic);
        }
        left
    }

    /// Unsubscribes every socket of one visitor from a topic.
    pub fn unsubscribe_owner(&self, topic: Topic, owner: VisitorId) {
        let mut shard = self.shard(topic);
        let Some(subscribers) = shard.get_mut(&topic) else { return };
        subscribers.retain(|known| known.owner() != owner);
        if subscribers.is_empty() {
            shard.remove(&topic);
            self.relay.unsubscribe(topic);
        }
    }

    /// Disconnects every socket of this node that subscribes to the topic.
    pub fn disconnect(&self, topic: Topic, why: &Disconnect) {
        for queue in self.shard(topic).get(&topic).into_iter().flatten() {
            queue.disconnect(why);
        }
    }

    /// Queues a frame for every subscriber of the topic on this node, apart from the queue
    /// `except`.
    pub fn publish(&self, topic: Topic, frame: &Frame, except: Option<&Arc<Queue>>) {
        let priority = if matches!(topic, Topic::Visitor(_)) { Priority::Reliable } else { Priority::Ephemeral };
        let shard = self.shard(topic);
        let Some(subscribers) = shard.get(&topic) else { return };
        for queue in subscribers {
            if !except.is_some_and(|other| Arc::ptr_eq(queue, other)) {
                queue.push(priority, frame.wire().clone());
            }
        }
    }

    /// Publishes a frame to every subscriber of the topic, on this node and on the others, apart
    /// from the queue `except`.
    pub fn broadcast(&self, topic: Topic, frame: Frame, except: Option<&Arc<Queue>>) {
        self.publish(topic, &frame, except);
        self.relay_to_others(topic, || Content::Frame(frame));
    }

    /// Publishes a frame to every subscriber of the topic, on this node and on the others, and
    /// tells the other nodes what it means.
    pub fn broadcast_with_event(&self, topic: Topic, frame: Frame, event: NodeEvent) {
        self.publish(topic, &frame, None);
        self.relay_to_others(topic, || Content::FrameWithEvent(frame, event));
    }

    /// Publishes an event to the other nodes.
    pub fn send_event(&self, topic: Topic, event: NodeEvent) {
        self.relay_to_others(topic, || Content::Event(event));
    }

    fn relay_to_others(&self, topic: Topic, content: impl FnOnce() -> Content) {
        if self.relay.has_others() {
            let node = if faults::on(Fault::RelayEchoes) { Uuid::nil() } else { self.node };
            self.relay.publish(vec![Publication { node, topic, content: content() }]);
        }
    }

    /// Queues entries of a room's log, in order, for every subscriber of the room on this node.
    /// Each socket wakes once and gets the entries in as few chunks as its queue allows.
    pub fn publish_entries(&self, room: RoomId, entries: &[Entry]) {
        let topic = Topic::Room(room);
        let shard = self.shard(topic);
        let Some(subscribers) = shard.get(&topic) else { return };
        let chunks: Vec<(Priority, Bytes)> = match entries {
            [entry] => vec![(Priority::Entry { room, seq: entry.seq }, entry.frame.wire().clone())],
            _ => chunks(room, entries),
        };
        for queue in subscribers {
            queue.push_many(chunks.iter().cloned());
        }
    }

    /// Returns how many sockets of this node subscribe to the topic.
    pub fn subscriber_count(&self, topic: Topic) -> usize {
        self.shard(topic).get(&topic).map_or(0, Vec::len)
    }

    /// Returns how many visitors, and how many rooms, have a subscriber on this node.
    pub fn topics(&self) -> (usize, usize) {
        let (mut visitors, mut rooms) = (0, 0);
        for shard in &self.shards {
            for topic in shard.lock().keys() {
                match topic {
                    Topic::Visitor(_) => visitors += 1,
                    Topic::Room(_) => rooms += 1,
                    Topic::Nodes => {}
                }
            }
        }
        (visitors, rooms)
    }

    /// Returns the visitors whose sockets on this node subscribe to the topic.
    pub fn subscribed_owners(&self, topic: Topic) -> HashSet<VisitorId> {
        self.shard(topic).get(&topic).into_iter().flatten().map(|queue| queue.owner()).collect()
    }

    /// Returns `true` if a socket of this visitor subscribes to the topic on this node.
    pub fn is_subscribed(&self, topic: Topic, owner: VisitorId) -> bool {
        self.shard(topic).get(&topic).is_some_and(|queues| queues.iter().any(|queue| queue.owner() == owner))
    }

    fn shard(&self, topic: Topic) -> MutexGuard<'_, HashMap<Topic, Vec<Arc<Queue>>>> {
        let index = usize::try_from(self.hasher.hash_one(topic) % SHARD_COUNT as u64).unwrap_or_default();
        self.shards[index].lock()
    }
}

/// Joins entries into chunks of at most [`MAX_CHUNK_BYTES`]. A longer entry is a chunk of its own.
fn chunks(room: RoomId, entries: &[Entry]) -> Vec<(Priority, Bytes)> {
    let mut bytes = 0;
    let runs = entries.chunk_by(|one, next| {
        bytes += one.frame.wire().len();
        let fits = bytes + next.frame.wire().len() <= MAX_CHUNK_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    });
    let chunk = |run: &[Entry]| {
        let seq = run.last().map_or(Seq::ZERO, |entry| entry.seq);
        (Priority::Entry { room, seq }, Frame::concat(run.iter().map(|entry| &entry.frame)))
    };
    runs.map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::{Entry, Hub, Queue, RoomId, Seq, Topic, Uuid, VisitorId};
    use crate::realtime::Relay;

    #[test]
    fn a_publish_reaches_each_subscriber_once() {
        let hub = Hub::new(Relay::in_process(), Uuid::nil());
        let (room, other_room) = (Topic::Room(RoomId(1)), Topic::Room(RoomId(2)));
        let (one, two) = (Arc::new(Queue::new(VisitorId(1))), Arc::new(Queue::new(VisitorId(2))));
        assert_eq!(hub.subscribe(room, &one), 1);
        assert_eq!(hub.subscribe(room, &one), 1, "a second time changes nothing");
        assert_eq!(hub.subscribe(room, &two), 2);
        hub.publish(room, &"x".into(), Some(&two));
        hub.publish(other_room, &"y".into(), None);
        let drained = |queue: &Queue| {
            let mut frames = VecDeque::new();
            queue.drain_into(&mut frames);
            frames.len()
        };
        assert_eq!((drained(&one), drained(&two)), (1, 0));
        let entry = |seq, text: &str| Entry { seq: Seq(seq), frame: text.into() };
        hub.publish_entries(RoomId(1), &[entry(4, "four"), entry(5, "five")]);
        assert_eq!((drained(&one), drained(&two)), (1, 1), "in one chunk");
        let long: Vec<Entry> = (6..12).map(|seq| entry(seq, &"x".repeat(10_000))).collect();
        hub.publish_entries(RoomId(1), &long);
        assert_eq!((drained(&one), drained(&two)), (2, 2), "three fit into one chunk");
        assert_eq!(hub.unsubscribe(room, &one), 1);
        assert_eq!(hub.unsubscribe(room, &two), 0);
        assert_eq!(hub.subscriber_count(room), 0);
    }
}
