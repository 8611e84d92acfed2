//! The relay over Redis or Valkey (7 or newer): sharded publish and subscribe, so that a cluster spreads the topics.
//!
//! It is never the truth. What is published goes through a bounded queue of its own and is dropped when Redis does not keep
//! up or is gone; entries are repaired by their sequence, and what is meant for visitors by looking into Postgres.
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CAUGHT_UP, Relayed};
use crate::realtime::Topic;

/// Frames waiting to be published at most; past it they are dropped.
const QUEUE: usize = 16_384;
/// Frames of one pipeline.
const BATCH: usize = 256;
/// Channels of one subscription.
const CHANNELS: usize = 512;
/// What may lie between the connection and the node.
const BUFFER: usize = 16_384;
/// A command that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// A connection that is silent for so long while an answer is due is closed and made anew.
const HANGS: Duration = Duration::from_secs(3);
/// Hash tags that topics are spread over: a cluster may hold each somewhere else.
const TAGS: i64 = 256;

/// The sending half, shared by everybody on the node.
#[derive(Clone)]
pub(super) struct Link {
    frames: mpsc::Sender<Relayed>,
    wanted: Arc<Wanted>,
}

/// The topics this node listens to, as they should be.
#[derive(Default)]
struct Wanted {
    topics: Mutex<HashSet<Topic>>,
    changed: Notify,
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, HashSet<Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Hands a frame over, without waiting. A full queue drops it.
    pub(super) fn publish(&self, relayed: Relayed) {
        if self.frames.try_send(relayed).is_err() {
            tracing::debug!("the relay does not keep up; a frame is repaired by its sequence");
        }
    }

    /// Listens to a topic from soon on, or no longer.
    pub(super) fn follow(&self, topic: Topic, listens: bool) {
        let mut topics = self.wanted.lock();
        let changed = if listens { topics.insert(topic) } else { topics.remove(&topic) };
        drop(topics);
        if changed {
            self.wanted.changed.notify_one();
        }
    }
}

/// The two connections and what they carry; driven by [`Engine::run`].
pub(super) struct Engine {
    publisher: Client,
    subscriber: SubscriberClient,
    frames: mpsc::Receiver<Relayed>,
    wanted: Arc<Wanted>,
    heard: broadcast::Sender<Relayed>,
}

/// A link that will connect when its engine runs. Errors: what is wrong with the URL.
pub(super) fn link(url: &str, heard: broadcast::Sender<Relayed>) -> Result<(Link, Engine), String> {
    let config = Config::from_url(url).map_err(|why| why.to_string())?;
    let mut builder = Builder::from_config(config);
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(2);
            connection.internal_command_timeout = Duration::from_secs(2);
            connection.max_command_attempts = 1;
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(HANGS), interval: PATIENCE };
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = PATIENCE;
            performance.broadcast_channel_capacity = BUFFER;
        })
        // For ever, half a second apart: a Redis that comes back is used at once.
        .set_policy(ReconnectPolicy::new_constant(0, 500));
    let publisher = builder.build().map_err(|why| why.to_string())?;
    let subscriber = builder.build_subscriber_client().map_err(|why| why.to_string())?;
    let (frames, queue) = mpsc::channel(QUEUE);
    let wanted = Arc::new(Wanted::default());
    let link = Link { frames, wanted: wanted.clone() };
    Ok((link, Engine { publisher, subscriber, frames: queue, wanted, heard }))
}

impl Engine {
    /// Connects, and carries until the node stops. Redis may come and go meanwhile.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let Self { publisher, subscriber, frames, wanted, heard } = self;
        let (sending, listening) = (publisher.connect(), subscriber.connect());
        tokio::select! {
            () = stopping.cancelled() => {}
            () = send(&publisher, frames) => {}
            () = listen(&subscriber, &wanted, &heard) => {}
        }
        let _ = tokio::time::timeout(PATIENCE, async {
            let _ = publisher.quit().await;
            let _ = subscriber.quit().await;
        })
        .await;
        sending.abort();
        listening.abort();
    }
}

/// Publishes what is queued, in batches. What fails is dropped.
async fn send(publisher: &Client, mut frames: mpsc::Receiver<Relayed>) {
    let mut batch = Vec::with_capacity(BATCH);
    while frames.recv_many(&mut batch, BATCH).await > 0 {
        let pipeline = publisher.pipeline();
        for relayed in batch.drain(..) {
            let _: Result<(), _> = pipeline.spublish(channel(relayed.topic), pack(&relayed)).await;
        }
        if let Err(why) = pipeline.last::<i64>().await {
            tracing::debug!(error.cause = %why, "Redis took no frames; they are repaired by their sequence");
        }
    }
}

/// Keeps the subscriptions as they should be, and hands on what is heard.
async fn listen(subscriber: &SubscriberClient, wanted: &Wanted, heard: &broadcast::Sender<Relayed>) {
    let mut messages = subscriber.message_rx();
    let mut connected = subscriber.reconnect_rx();
    let mut current: HashSet<Topic> = HashSet::new();
    let mut again = tokio::time::interval(PATIENCE);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            said = connected.recv() => {
                if matches!(said, Err(RecvError::Closed)) { return }
                current.clear();
                if compare(subscriber, wanted, &mut current).await {
                    // What was said meanwhile is not coming any more.
                    let _ = heard.send(catch_up());
                }
            }
            () = wanted.changed.notified() => {
                compare(subscriber, wanted, &mut current).await;
            }
            said = messages.recv() => match said {
                Ok(message) => {
                    let Some(topic) = topic(&message.channel) else { continue };
                    if let Some(relayed) = message.value.into_bytes().and_then(|bytes| unpack(topic, &bytes)) {
                        let _ = heard.send(relayed);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(relay.missed = missed, "Redis was too fast; looking everything up");
                    let _ = heard.send(catch_up());
                }
                Err(RecvError::Closed) => return,
            },
            // What failed is tried again.
            _ = again.tick() => {
                compare(subscriber, wanted, &mut current).await;
            }
        }
    }
}

fn catch_up() -> Relayed {
    Relayed { node: Uuid::nil(), topic: Topic::Nodes, seq: None, frame: CAUGHT_UP.into() }
}

/// Subscribes to what is missing and lets go of the rest. False: Redis did not answer.
async fn compare(subscriber: &SubscriberClient, wanted: &Wanted, current: &mut HashSet<Topic>) -> bool {
    let (add, remove): (Vec<Topic>, Vec<Topic>) = {
        let wanted = wanted.lock();
        (wanted.difference(current).copied().collect(), current.difference(&wanted).copied().collect())
    };
    for (topics, listens) in [(add, true), (remove, false)] {
        for group in by_tag(&topics) {
            let channels: Vec<String> = group.iter().map(|topic| channel(*topic)).collect();
            let done =
                if listens { subscriber.ssubscribe(channels).await } else { subscriber.sunsubscribe(channels).await };
            if let Err(why) = done {
                tracing::debug!(error.cause = %why, "Redis did not answer; the topics are tried again in a second");
                return false;
            }
            for topic in group {
                if listens {
                    current.insert(topic)
                } else {
                    current.remove(&topic)
                };
            }
        }
    }
    true
}

/// One command may name channels of one hash tag only.
fn by_tag(topics: &[Topic]) -> Vec<Vec<Topic>> {
    let mut groups: BTreeMap<i64, Vec<Topic>> = BTreeMap::new();
    for topic in topics {
        groups.entry(tag(*topic)).or_default().push(*topic);
    }
    groups.into_values().flat_map(|group| group.chunks(CHANNELS).map(<[Topic]>::to_vec).collect::<Vec<_>>()).collect()
}

fn tag(topic: Topic) -> i64 {
    match topic {
        Topic::Room(id) | Topic::Visitor(id) => id.rem_euclid(TAGS),
        Topic::Nodes => 0,
    }
}

/// The channel of a topic.
fn channel(topic: Topic) -> String {
    let tag = tag(topic);
    match topic {
        Topic::Room(id) => format!("maju:{{{tag}}}:room:{id}"),
        Topic::Visitor(id) => format!("maju:{{{tag}}}:visitor:{id}"),
        Topic::Nodes => format!("maju:{{{tag}}}:nodes"),
    }
}

/// The topic of a channel; None for somebody else's.
fn topic(channel: &str) -> Option<Topic> {
    let mut parts = channel.strip_prefix("maju:{")?.split_once("}:")?.1.split(':');
    match (parts.next()?, parts.next()) {
        ("room", Some(id)) => id.parse().ok().map(Topic::Room),
        ("visitor", Some(id)) => id.parse().ok().map(Topic::Visitor),
        ("nodes", None) => Some(Topic::Nodes),
        _ => None,
    }
}

/// A frame as it travels: the node (16 bytes), the seq (8 bytes, 0 for none), the text.
fn pack(relayed: &Relayed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + relayed.frame.len());
    bytes.extend_from_slice(relayed.node.as_bytes());
    bytes.extend_from_slice(&relayed.seq.unwrap_or_default().to_be_bytes());
    bytes.extend_from_slice(relayed.frame.as_bytes());
    bytes
}

fn unpack(topic: Topic, bytes: &[u8]) -> Option<Relayed> {
    let (node, rest) = bytes.split_first_chunk::<16>()?;
    let (seq, text) = rest.split_first_chunk::<8>()?;
    let seq = Some(i64::from_be_bytes(*seq)).filter(|seq| *seq > 0);
    Some(Relayed { node: Uuid::from_bytes(*node), topic, seq, frame: std::str::from_utf8(text).ok()?.into() })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Relayed, Topic, by_tag, channel, pack, topic, unpack};

    #[test]
    fn frames_and_topics_survive_the_way() {
        for one in [Topic::Room(7), Topic::Visitor(i64::MAX), Topic::Nodes] {
            assert_eq!(topic(&channel(one)), Some(one));
            for seq in [None, Some(1), Some(i64::MAX)] {
                let sent = Relayed { node: Uuid::new_v4(), topic: one, seq, frame: "안녕".into() };
                let got = unpack(one, &pack(&sent)).unwrap();
                assert_eq!((got.node, got.topic, got.seq, got.frame), (sent.node, sent.topic, sent.seq, sent.frame));
            }
        }
        for foreign in ["", "maju", "maju:{1}:room:x", "other:{1}:room:1", "maju:{1}:room:1x"] {
            assert_eq!(topic(foreign), None, "{foreign}");
        }
        assert!(unpack(Topic::Nodes, &[0; 23]).is_none());
    }

    #[test]
    fn one_command_names_one_hash_tag() {
        let topics: Vec<Topic> = (0..2_000).map(Topic::Room).collect();
        let groups = by_tag(&topics);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 2_000);
        for group in groups {
            let tags: Vec<String> =
                group.iter().map(|one| channel(*one).split(':').nth(1).unwrap().to_owned()).collect();
            assert!(tags.iter().all(|tag| *tag == tags[0]) && group.len() <= 512);
        }
    }
}
