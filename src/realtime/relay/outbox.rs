//! The outbox: what waits to be published, packed, by channel. Bounded in bytes; what does not fit is dropped.
use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Publication, Topic, packing};

/// Channels of rooms and visitors. All nodes of a service have to agree: the channel of a topic is its id modulo this.
const SHARED: usize = 8;
/// How many channels a service has. The last is that of the nodes themselves.
pub(super) const CHANNELS: usize = SHARED + 1;
/// Bytes of one publish, unless a single record is longer.
const PUBLISH: usize = 64 * 1024;
/// Bytes that may wait for one channel: about a second of all that a node of two cores can write.
const LIMIT: usize = 1024 * 1024;

/// Returns the names of a service's channels. Redis does not separate publish and subscribe by database number, so each
/// name holds the service's id. The hash tag lets a cluster hold each channel on another server.
pub(super) fn names(service: Uuid) -> [String; CHANNELS] {
    std::array::from_fn(|place| match place {
        SHARED => format!("maju:{}:{{nodes}}", service.simple()),
        _ => format!("maju:{}:{{{place}}}", service.simple()),
    })
}

/// The channel of a topic, as its place in [`names`].
pub(super) fn channel(topic: Topic) -> usize {
    match topic {
        Topic::Room(id) | Topic::Visitor(id) => usize::try_from(id.rem_euclid(SHARED as i64)).unwrap_or_default(),
        Topic::Nodes => SHARED,
    }
}

/// What waits to be published.
pub(super) struct Outbox {
    service: Uuid,
    channels: [Mutex<Waiting>; CHANNELS],
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    publishes: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Waiting {
    /// False: it does not fit.
    fn put(&mut self, service: Uuid, one: &Publication) -> bool {
        let size = packing::size(one);
        if self.bytes + size > LIMIT {
            return false;
        }
        let fits = |last: &Vec<u8>| last.len() + size <= PUBLISH && packing::origin(last) == Some((service, one.node));
        if !self.publishes.back().is_some_and(fits) {
            let mut publish = Vec::with_capacity(4 * 1024);
            packing::begin(service, one.node, &mut publish);
            self.publishes.push_back(publish);
        }
        if let Some(publish) = self.publishes.back_mut() {
            packing::pack(one, publish);
        }
        self.bytes += size;
        true
    }
}

impl Outbox {
    /// Returns an empty outbox of a service's node.
    pub(super) fn new(service: Uuid) -> Self {
        Self { service, channels: Default::default(), filled: Notify::default() }
    }

    /// Adds what is to be published together, and wakes who publishes it. Never waits. Answers how many did not fit.
    pub(super) fn put(&self, relayed: &[Publication]) -> usize {
        let dropped = relayed.iter().filter(|one| !self.lock(channel(one.topic)).put(self.service, one)).count();
        self.filled.notify_one();
        dropped
    }

    /// Waits for something to publish, and until then. Answers one publish a channel, by its place in [`names`].
    pub(super) async fn take(&self, then: Instant) -> Vec<(usize, Vec<u8>)> {
        tokio::time::sleep_until(then).await;
        loop {
            let taken: Vec<_> = (0..CHANNELS).filter_map(|place| Some((place, self.pop(place)?))).collect();
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn pop(&self, place: usize) -> Option<Vec<u8>> {
        let mut waiting = self.lock(place);
        let publish = waiting.publishes.pop_front()?;
        waiting.bytes -= publish.len() - packing::HEAD;
        Some(publish)
    }

    fn lock(&self, place: usize) -> MutexGuard<'_, Waiting> {
        self.channels[place].lock()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::time::{Duration, Instant, timeout};
    use uuid::Uuid;

    use super::{CHANNELS, LIMIT, Outbox, PUBLISH, Publication, Topic, channel, names, packing};
    use crate::testing::PATIENCE;

    fn entry(room: i64, seq: i64, length: usize) -> Publication {
        let frame = "x".repeat(length).as_str().into();
        Publication { node: Uuid::nil(), topic: Topic::Room(room), seq: Some(seq), frame }
    }

    fn seqs(publish: &[u8], room: i64) -> Vec<i64> {
        let records = packing::unpack(publish, |topic| topic == Topic::Room(room)).unwrap();
        records.iter().filter_map(|one| one.seq).collect()
    }

    #[tokio::test]
    async fn a_topic_has_one_channel_and_the_nodes_have_their_own() {
        for id in [i64::MIN, -1, 0, 7, 8, i64::MAX] {
            assert!(channel(Topic::Room(id)) < CHANNELS - 1);
            assert_eq!(channel(Topic::Room(id)), channel(Topic::Visitor(id)));
        }
        assert_eq!(channel(Topic::Nodes), CHANNELS - 1);
        let both: HashSet<String> = names(Uuid::nil()).into_iter().chain(names(Uuid::max())).collect();
        assert_eq!(both.len(), 2 * CHANNELS, "no two channels of two services have one name");
    }

    #[tokio::test]
    async fn what_queues_up_goes_out_together_in_order_and_in_bounds() {
        let outbox = Outbox::new(Uuid::nil());
        let all: Vec<Publication> = (1..=300).flat_map(|seq| [entry(3, seq, 500), entry(4, seq, 10)]).collect();
        let dropped: usize = all.chunks(7).map(|batch| outbox.put(batch)).sum();
        assert_eq!(dropped, 0);
        let (mut third, mut fourth, mut rounds) = (Vec::new(), Vec::new(), 0);
        while third.len() < 300 {
            rounds += 1;
            for (place, publish) in outbox.take(Instant::now()).await {
                assert!(publish.len() <= PUBLISH);
                let into = if place == channel(Topic::Room(3)) { &mut third } else { &mut fourth };
                into.extend(seqs(&publish, if place == channel(Topic::Room(3)) { 3 } else { 4 }));
            }
        }
        assert_eq!(rounds, 3, "150 KB in publishes of 64 KiB");
        assert_eq!((third, fourth), ((1..=300).collect(), (1..=300).collect()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_its_time_goes_out_together_then() {
        let (outbox, began) = (Outbox::new(Uuid::nil()), Instant::now());
        outbox.put(&[entry(3, 1, 10)]);
        assert_eq!(outbox.take(began).await.len(), 1);
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing went out before: at once");
        let later = async {
            for seq in 2..=4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                outbox.put(&[entry(3, seq, 10)]);
            }
        };
        let (taken, ()) = tokio::join!(outbox.take(began + Duration::from_millis(20)), later);
        assert_eq!(began.elapsed(), Duration::from_millis(20));
        assert_eq!(seqs(&taken[0].1, 3), [2, 3, 4]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_dropped_and_other_channels_go_on() {
        let outbox = Outbox::new(Uuid::nil());
        let whole: Vec<Publication> = (1..=80).map(|seq| entry(3, seq, LIMIT / 64)).collect();
        let dropped = outbox.put(&whole);
        assert!((17..=20).contains(&dropped), "{dropped}");
        assert_eq!(outbox.put(&[entry(4, 1, 10)]), 0);
        let mut got = Vec::new();
        while got.len() < 80 - dropped {
            for (place, publish) in outbox.take(Instant::now()).await {
                if place == channel(Topic::Room(3)) {
                    got.extend(seqs(&publish, 3));
                }
            }
        }
        assert_eq!(got, (1..=80 - i64::try_from(dropped).unwrap()).collect::<Vec<_>>());
        assert_eq!(outbox.put(&whole), dropped, "taken is room again");
    }

    #[tokio::test]
    async fn frames_of_another_node_travel_under_its_name() {
        let outbox = Outbox::new(Uuid::nil());
        let other = Publication { node: Uuid::max(), ..entry(3, 2, 10) };
        outbox.put(&[entry(3, 1, 10), other, entry(3, 3, 10)]);
        for node in [Uuid::nil(), Uuid::max(), Uuid::nil()] {
            let taken =
                timeout(PATIENCE, outbox.take(Instant::now())).await.expect("a publish for each change of node");
            assert_eq!(packing::origin(&taken[0].1), Some((Uuid::nil(), node)));
        }
    }
}
