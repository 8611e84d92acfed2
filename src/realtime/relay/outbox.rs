//! The outbox: publications that wait for Redis, packed, by channel. It is limited in bytes; what
//! does not fit is dropped.
use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Publication, Topic, packing};
use crate::ids::{RoomId, VisitorId};

/// Channels that rooms and visitors share. A topic's channel is its id modulo this number, so all
/// nodes of a service have to agree on it (docs/decisions/0008-topics-share-channels.md).
const SHARED_CHANNELS: usize = 8;
/// Channels of a service. The last one is for messages between nodes.
pub(super) const CHANNEL_COUNT: usize = SHARED_CHANNELS + 1;
/// Bytes of one publish, unless a single record is longer.
const MAX_PUBLISH_BYTES: usize = 64 * 1024;
/// Bytes that can wait for one channel: about a second of all that a node with two cores can write.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// Returns the names of a service's channels. Redis does not separate publish and subscribe by
/// database number, so each name holds the service's id. The hash tag lets a cluster put each
/// channel on another server.
pub(super) fn channel_names(service: Uuid) -> [String; CHANNEL_COUNT] {
    std::array::from_fn(|channel| match channel {
        SHARED_CHANNELS => format!("maju:{}:{{nodes}}", service.simple()),
        _ => format!("maju:{}:{{{channel}}}", service.simple()),
    })
}

/// Returns the channel of a topic, as an index into [`channel_names`].
pub(super) fn channel_of(topic: Topic) -> usize {
    match topic {
        Topic::Room(RoomId(id)) | Topic::Visitor(VisitorId(id)) => {
            usize::try_from(id.rem_euclid(SHARED_CHANNELS as i64)).unwrap_or_default()
        }
        Topic::Nodes => SHARED_CHANNELS,
    }
}

/// The publications that wait for Redis.
pub(super) struct Outbox {
    service: Uuid,
    channels: [Mutex<Waiting>; CHANNEL_COUNT],
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    publishes: VecDeque<Vec<u8>>,
    /// Bytes of their records.
    bytes: usize,
}

impl Waiting {
    /// Adds a publication. Returns `false` if it does not fit.
    fn push(&mut self, service: Uuid, one: &Publication) -> bool {
        let size = packing::record_size(one);
        if self.bytes + size > MAX_WAITING_BYTES {
            return false;
        }
        let fits = |last: &Vec<u8>| {
            last.len() + size <= MAX_PUBLISH_BYTES && packing::origin(last) == Some((service, one.node))
        };
        if !self.publishes.back().is_some_and(fits) {
            let mut publish = Vec::with_capacity(4 * 1024);
            packing::write_header(service, one.node, &mut publish);
            self.publishes.push_back(publish);
        }
        if let Some(publish) = self.publishes.back_mut() {
            packing::write_record(one, publish);
        }
        self.bytes += size;
        true
    }
}

impl Outbox {
    /// Creates the empty outbox of a service's node.
    pub(super) fn new(service: Uuid) -> Self {
        Self { service, channels: Default::default(), filled: Notify::default() }
    }

    /// Adds publications and wakes the task that sends them. Never waits. Returns how many did not
    /// fit.
    pub(super) fn push(&self, publications: &[Publication]) -> usize {
        let fits = |one: &Publication| self.lock(channel_of(one.topic)).push(self.service, one);
        let dropped = publications.iter().filter(|one| !fits(one)).count();
        self.filled.notify_one();
        dropped
    }

    /// Waits until `not_before` and until there is something to publish. Returns at most one
    /// publish for each channel, with the channel's index in [`channel_names`].
    pub(super) async fn next_publishes(&self, not_before: Instant) -> Vec<(usize, Vec<u8>)> {
        tokio::time::sleep_until(not_before).await;
        loop {
            let publishes: Vec<_> =
                (0..CHANNEL_COUNT).filter_map(|channel| Some((channel, self.pop(channel)?))).collect();
            if !publishes.is_empty() {
                return publishes;
            }
            self.filled.notified().await;
        }
    }

    fn pop(&self, channel: usize) -> Option<Vec<u8>> {
        let mut waiting = self.lock(channel);
        let publish = waiting.publishes.pop_front()?;
        waiting.bytes -= publish.len() - packing::HEADER_BYTES;
        Some(publish)
    }

    fn lock(&self, channel: usize) -> MutexGuard<'_, Waiting> {
        self.channels[channel].lock()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::time::{Duration, Instant, timeout};
    use uuid::Uuid;

    use super::{
        CHANNEL_COUNT, MAX_PUBLISH_BYTES, MAX_WAITING_BYTES, Outbox, Publication, RoomId, Topic, VisitorId,
        channel_names, channel_of, packing,
    };
    use crate::ids::Seq;
    use crate::realtime::{Content, Entry};
    use crate::testing::TEST_TIMEOUT;

    fn entry(room: i64, seq: i64, length: usize) -> Publication {
        let frame = "x".repeat(length).as_str().into();
        let content = Content::Entry(Entry { seq: Seq(seq), frame });
        Publication { node: Uuid::nil(), topic: Topic::Room(RoomId(room)), content }
    }

    fn seqs(publish: &[u8], room: i64) -> Vec<i64> {
        let records = packing::unpack(publish, |topic| topic == Topic::Room(RoomId(room))).unwrap();
        let seq = |one: &Publication| match &one.content {
            Content::Entry(entry) => Some(entry.seq.0),
            _ => None,
        };
        records.iter().filter_map(seq).collect()
    }

    #[tokio::test]
    async fn a_topic_has_one_channel_and_the_nodes_have_their_own() {
        for id in [i64::MIN, -1, 0, 7, 8, i64::MAX] {
            assert!(channel_of(Topic::Room(RoomId(id))) < CHANNEL_COUNT - 1);
            assert_eq!(channel_of(Topic::Room(RoomId(id))), channel_of(Topic::Visitor(VisitorId(id))));
        }
        assert_eq!(channel_of(Topic::Nodes), CHANNEL_COUNT - 1);
        let both: HashSet<String> = channel_names(Uuid::nil()).into_iter().chain(channel_names(Uuid::max())).collect();
        assert_eq!(both.len(), 2 * CHANNEL_COUNT, "no two channels of two services have the same name");
    }

    #[tokio::test]
    async fn waiting_publications_are_packed_in_order_and_within_the_limit() {
        let outbox = Outbox::new(Uuid::nil());
        let all: Vec<Publication> = (1..=300).flat_map(|seq| [entry(3, seq, 500), entry(4, seq, 10)]).collect();
        let dropped: usize = all.chunks(7).map(|batch| outbox.push(batch)).sum();
        assert_eq!(dropped, 0);
        let (mut third, mut fourth, mut rounds) = (Vec::new(), Vec::new(), 0);
        while third.len() < 300 {
            rounds += 1;
            for (channel, publish) in outbox.next_publishes(Instant::now()).await {
                assert!(publish.len() <= MAX_PUBLISH_BYTES);
                let into = if channel == channel_of(Topic::Room(RoomId(3))) { &mut third } else { &mut fourth };
                into.extend(seqs(&publish, if channel == channel_of(Topic::Room(RoomId(3))) { 3 } else { 4 }));
            }
        }
        assert_eq!(rounds, 3, "150 KB in publishes of 64 KiB");
        assert_eq!((third, fourth), ((1..=300).collect(), (1..=300).collect()));
    }

    #[tokio::test(start_paused = true)]
    async fn publications_wait_for_the_next_publish_and_share_it() {
        let (outbox, began) = (Outbox::new(Uuid::nil()), Instant::now());
        outbox.push(&[entry(3, 1, 10)]);
        assert_eq!(outbox.next_publishes(began).await.len(), 1);
        assert_eq!(began.elapsed(), Duration::ZERO, "the first publish does not wait");
        let later = async {
            for seq in 2..=4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                outbox.push(&[entry(3, seq, 10)]);
            }
        };
        let (publishes, ()) = tokio::join!(outbox.next_publishes(began + Duration::from_millis(20)), later);
        assert_eq!(began.elapsed(), Duration::from_millis(20));
        assert_eq!(seqs(&publishes[0].1, 3), [2, 3, 4]);
    }

    #[tokio::test]
    async fn a_full_channel_drops_publications_and_other_channels_go_on() {
        let outbox = Outbox::new(Uuid::nil());
        let whole: Vec<Publication> = (1..=80).map(|seq| entry(3, seq, MAX_WAITING_BYTES / 64)).collect();
        let dropped = outbox.push(&whole);
        assert!((17..=20).contains(&dropped), "{dropped}");
        assert_eq!(outbox.push(&[entry(4, 1, 10)]), 0);
        let mut got = Vec::new();
        while got.len() < 80 - dropped {
            for (channel, publish) in outbox.next_publishes(Instant::now()).await {
                if channel == channel_of(Topic::Room(RoomId(3))) {
                    got.extend(seqs(&publish, 3));
                }
            }
        }
        assert_eq!(got, (1..=80 - i64::try_from(dropped).unwrap()).collect::<Vec<_>>());
        assert_eq!(outbox.push(&whole), dropped, "publishes that were taken make room again");
    }

    #[tokio::test]
    async fn frames_of_another_node_are_published_under_its_id() {
        let outbox = Outbox::new(Uuid::nil());
        let other = Publication { node: Uuid::max(), ..entry(3, 2, 10) };
        outbox.push(&[entry(3, 1, 10), other, entry(3, 3, 10)]);
        for node in [Uuid::nil(), Uuid::max(), Uuid::nil()] {
            let publishes = timeout(TEST_TIMEOUT, outbox.next_publishes(Instant::now()))
                .await
                .expect("a publish for each change of node");
            assert_eq!(packing::origin(&publishes[0].1), Some((Uuid::nil(), node)));
        }
    }
}
