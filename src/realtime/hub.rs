//! The hub: which sockets of this node listen to which topic. A publish hands the same bytes to each of them.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::{Disconnect, Entry, Frame, Priority, Queue, Relay, Topic};

/// Shards keep publishers of different topics out of each other's way.
const SHARDS: usize = 32;
/// Bytes of entries that are handed over in one piece: half of what a queue holds.
const PIECE: usize = 32 * 1024;

/// The listeners of this node, by topic.
pub struct Hub {
    shards: Vec<Mutex<HashMap<Topic, Vec<Arc<Queue>>>>>,
    hasher: RandomState,
    /// Told of the first listener of a topic, and of the last one's end.
    relay: Relay,
}

impl Hub {
    /// A hub without listeners.
    pub fn new(relay: Relay) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new(), relay }
    }

    /// Lets a queue listen to a topic, once. Answers how many listen now.
    pub fn subscribe(&self, topic: Topic, queue: &Arc<Queue>) -> usize {
        let mut shard = self.shard(topic);
        let listeners = shard.entry(topic).or_default();
        if !listeners.iter().any(|known| Arc::ptr_eq(known, queue)) {
            listeners.push(queue.clone());
            if listeners.len() == 1 {
                self.relay.follow(topic, true);
            }
        }
        listeners.len()
    }

    /// Ends a queue's listening. Answers how many are left.
    pub fn unsubscribe(&self, topic: Topic, queue: &Arc<Queue>) -> usize {
        let mut shard = self.shard(topic);
        let Some(listeners) = shard.get_mut(&topic) else { return 0 };
        listeners.retain(|known| !Arc::ptr_eq(known, queue));
        let left = listeners.len();
        if left == 0 {
            shard.remove(&topic);
            self.relay.follow(topic, false);
        }
        left
    }

    /// Ends the listening of every socket of one owner.
    pub fn unsubscribe_owner(&self, topic: Topic, owner: i64) {
        let mut shard = self.shard(topic);
        let Some(listeners) = shard.get_mut(&topic) else { return };
        listeners.retain(|known| known.owner() != owner);
        if listeners.is_empty() {
            shard.remove(&topic);
            self.relay.follow(topic, false);
        }
    }

    /// Ends every socket of this node that listens to the topic.
    pub fn dismiss(&self, topic: Topic, why: &Disconnect) {
        for queue in self.shard(topic).get(&topic).into_iter().flatten() {
            queue.dismiss(why);
        }
    }

    /// Hands a frame to everybody who listens to the topic on this node, but one queue if it is named.
    pub fn publish(&self, topic: Topic, frame: &Frame, except: Option<&Arc<Queue>>) {
        let weight = if matches!(topic, Topic::Visitor(_)) { Priority::Reliable } else { Priority::Ephemeral };
        let shard = self.shard(topic);
        let Some(listeners) = shard.get(&topic) else { return };
        for queue in listeners {
            if !except.is_some_and(|other| Arc::ptr_eq(queue, other)) {
                queue.push(weight, frame.wire().clone());
            }
        }
    }

    /// Hands entries of a room's log, in order, to everybody who follows the room on this node. Each wakes once, and gets
    /// them in as few pieces as the bound of its queue allows.
    pub fn publish_entries(&self, room: i64, entries: &[Entry]) {
        let topic = Topic::Room(room);
        let shard = self.shard(topic);
        let Some(listeners) = shard.get(&topic) else { return };
        let pieces: Vec<(Priority, Bytes)> = match entries {
            [entry] => vec![(Priority::Entry { room, seq: entry.seq }, entry.frame.wire().clone())],
            _ => pieces(room, entries),
        };
        for queue in listeners {
            queue.push_all(pieces.iter().cloned());
        }
    }

    /// How many sockets of this node listen to the topic.
    pub fn listeners(&self, topic: Topic) -> usize {
        self.shard(topic).get(&topic).map_or(0, Vec::len)
    }

    /// The different owners of the sockets that listen to the topic on this node.
    pub fn owners(&self, topic: Topic) -> HashSet<i64> {
        self.shard(topic).get(&topic).into_iter().flatten().map(|queue| queue.owner()).collect()
    }

    /// Whether any socket of this owner listens to the topic on this node.
    pub fn listens(&self, topic: Topic, owner: i64) -> bool {
        self.shard(topic).get(&topic).is_some_and(|queues| queues.iter().any(|queue| queue.owner() == owner))
    }

    fn shard(&self, topic: Topic) -> MutexGuard<'_, HashMap<Topic, Vec<Arc<Queue>>>> {
        let place = usize::try_from(self.hasher.hash_one(topic) % SHARDS as u64).unwrap_or_default();
        self.shards[place].lock()
    }
}

/// Entries in pieces of [`PIECE`] bytes, or of one entry that is longer.
fn pieces(room: i64, entries: &[Entry]) -> Vec<(Priority, Bytes)> {
    let mut bytes = 0;
    let runs = entries.chunk_by(|one, next| {
        bytes += one.frame.wire().len();
        let fits = bytes + next.frame.wire().len() <= PIECE;
        if !fits {
            bytes = 0;
        }
        fits
    });
    let piece = |run: &[Entry]| {
        let seq = run.last().map_or(0, |entry| entry.seq);
        (Priority::Entry { room, seq }, Frame::joined(run.iter().map(|entry| &entry.frame)))
    };
    runs.map(piece).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::{Entry, Hub, Queue, Topic};
    use crate::realtime::Relay;

    #[test]
    fn a_publish_reaches_each_listener_once() {
        let hub = Hub::new(Relay::in_process());
        let (one, two) = (Arc::new(Queue::new(1)), Arc::new(Queue::new(2)));
        assert_eq!(hub.subscribe(Topic::Room(1), &one), 1);
        assert_eq!(hub.subscribe(Topic::Room(1), &one), 1, "twice is once");
        assert_eq!(hub.subscribe(Topic::Room(1), &two), 2);
        hub.publish(Topic::Room(1), &"x".into(), Some(&two));
        hub.publish(Topic::Room(2), &"y".into(), None);
        let taken = |queue: &Queue| {
            let mut frames = VecDeque::new();
            queue.take_into(&mut frames);
            frames.len()
        };
        assert_eq!((taken(&one), taken(&two)), (1, 0));
        let entry = |seq, text: &str| Entry { seq, frame: text.into() };
        hub.publish_entries(1, &[entry(4, "four"), entry(5, "five")]);
        assert_eq!((taken(&one), taken(&two)), (1, 1), "in one piece");
        let long: Vec<Entry> = (6..12).map(|seq| entry(seq, &"x".repeat(10_000))).collect();
        hub.publish_entries(1, &long);
        assert_eq!((taken(&one), taken(&two)), (2, 2), "three fit into one");
        assert_eq!(hub.unsubscribe(Topic::Room(1), &one), 1);
        assert_eq!(hub.unsubscribe(Topic::Room(1), &two), 0);
        assert_eq!(hub.listeners(Topic::Room(1)), 0);
    }
}
