//! The relay over Redis or Valkey (7 or newer): sharded publish and subscribe, over a few channels that the topics share.
//!
//! It is never the truth. What is published goes through a bounded outbox and is dropped when Redis does not keep up or is
//! gone; entries are repaired by their sequence, and what is meant for visitors by looking into Postgres.
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use fred::types::{Builder, Message};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::outbox::{CHANNELS, Outbox, channel};
use super::{Readers, Relayed, packing};
use crate::realtime::Topic;

/// Publishes that may lie between the connection and the node.
const BUFFER: usize = 1_024;
/// A node publishes no more often than this, and at once when it has not for so long: each publish wakes Redis and every node.
/// At 4,000 messages a second the nodes spend a ninth less; those of the other node are heard 1.5 ms later.
const PACE: Duration = Duration::from_millis(2);
/// A command that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// A connection that is silent for so long while an answer is due is closed and made anew.
const HANGS: Duration = Duration::from_secs(3);

/// The sending half, shared by everybody on the node.
#[derive(Clone)]
pub(super) struct Link {
    outbox: Arc<Outbox>,
    wanted: Arc<Wanted>,
}

/// The topics this node listens to, by channel. A channel is subscribed to while it has any.
#[derive(Default)]
struct Wanted {
    channels: [Mutex<HashSet<Topic>>; CHANNELS.len()],
    changed: Notify,
}

impl Wanted {
    fn lock(&self, place: usize) -> MutexGuard<'_, HashSet<Topic>> {
        self.channels[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to a topic, or no longer. True: its channel has its first topic, or lost its last.
    fn follow(&self, topic: Topic, listens: bool) -> bool {
        let mut topics = self.lock(channel(topic));
        let before = topics.is_empty();
        if listens {
            topics.insert(topic);
        } else {
            topics.remove(&topic);
        }
        before != topics.is_empty()
    }
}

impl Link {
    /// Hands frames over, without waiting. What does not fit is dropped.
    pub(super) fn publish(&self, relayed: &[Relayed]) {
        let dropped = self.outbox.put(relayed);
        if dropped > 0 {
            tracing::debug!(
                relay.dropped = dropped,
                "the relay does not keep up; frames are repaired by their sequence"
            );
        }
    }

    /// Listens to a topic from soon on, or no longer.
    pub(super) fn follow(&self, topic: Topic, listens: bool) {
        if self.wanted.follow(topic, listens) {
            self.wanted.changed.notify_one();
        }
    }
}

/// The two connections and what they carry; driven by [`Engine::run`].
pub(super) struct Engine {
    publisher: Client,
    subscriber: SubscriberClient,
    outbox: Arc<Outbox>,
    wanted: Arc<Wanted>,
    readers: Readers,
}

/// A link that will connect when its engine runs. Errors: what is wrong with the URL.
pub(super) fn link(url: &str, readers: Readers) -> Result<(Link, Engine), String> {
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
    let (outbox, wanted) = (Arc::new(Outbox::default()), Arc::new(Wanted::default()));
    let link = Link { outbox: outbox.clone(), wanted: wanted.clone() };
    Ok((link, Engine { publisher, subscriber, outbox, wanted, readers }))
}

impl Engine {
    /// Connects, and carries until the node stops. Redis may come and go meanwhile.
    pub(super) async fn run(self, node: Uuid, stopping: CancellationToken) {
        let Self { publisher, subscriber, outbox, wanted, readers } = self;
        let (sending, listening) = (publisher.connect(), subscriber.connect());
        let hearing = Hearing { node, subscriber: &subscriber, wanted: &wanted, readers, current: Default::default() };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = send(&publisher, &outbox) => {}
            () = hearing.run() => {}
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

/// Publishes what has queued up, a publish a channel. What comes meanwhile travels with the next. What fails is dropped.
async fn send(publisher: &Client, outbox: &Outbox) {
    let (mut next, mut lost) = (Instant::now(), false);
    loop {
        let taken = outbox.take(next).await;
        next = Instant::now() + PACE;
        let pipeline = publisher.pipeline();
        for (place, publish) in taken {
            let _: Result<(), _> = pipeline.spublish(CHANNELS[place], Bytes::from(publish)).await;
        }
        // Said once each time: an operator sees nothing of it but that the other nodes' people hear it late.
        match pipeline.last::<i64>().await {
            Err(why) if !lost => {
                tracing::warn!(error.cause = %why, "Redis takes no frames; the nodes hear each other through Postgres, within two seconds");
                lost = true;
            }
            Ok(_) if lost => {
                tracing::info!("Redis takes frames again");
                lost = false;
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The receiving half.
struct Hearing<'a> {
    node: Uuid,
    subscriber: &'a SubscriberClient,
    wanted: &'a Wanted,
    readers: Readers,
    /// The channels that are subscribed to.
    current: [bool; CHANNELS.len()],
}

impl Hearing<'_> {
    /// Keeps the subscriptions as they should be, and hands on what is heard.
    async fn run(mut self) {
        let mut messages = self.subscriber.message_rx();
        let mut connected = self.subscriber.reconnect_rx();
        let mut again = tokio::time::interval(PATIENCE);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                said = connected.recv() => {
                    if matches!(said, Err(RecvError::Closed)) { return }
                    self.current = Default::default();
                    if self.compare().await {
                        // What was said meanwhile is not coming any more.
                        self.readers.missed();
                    }
                }
                () = self.wanted.changed.notified() => {
                    self.compare().await;
                }
                said = messages.recv() => match said {
                    Ok(message) => self.take(message),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(relay.missed = missed, "Redis was too fast; looking everything up");
                        self.readers.missed();
                    }
                    Err(RecvError::Closed) => return,
                },
                // What failed is tried again.
                _ = again.tick() => {
                    if self.compare().await {
                        self.readers.missed();
                    }
                }
            }
        }
    }

    /// Hands on what another node published for topics that somebody follows here.
    fn take(&self, message: Message) {
        let Some(place) = CHANNELS.iter().position(|name| *message.channel == **name) else { return };
        let publish = message.value.into_bytes().unwrap_or_default();
        if packing::node(&publish) == Some(self.node) {
            return;
        }
        let records = {
            let wanted = self.wanted.lock(place);
            packing::unpack(&publish, |topic| wanted.contains(&topic))
        };
        match records {
            Some(records) => self.readers.say(records),
            None => tracing::debug!(relay.channel = CHANNELS[place], relay.bytes = publish.len(), "not understood"),
        }
    }

    /// Subscribes to what is missing and lets go of the rest. Answers whether a channel is heard that was not.
    async fn compare(&mut self) -> bool {
        let changes = CHANNELS.into_iter().enumerate().filter_map(|(place, name)| {
            let wanted = !self.wanted.lock(place).is_empty();
            (wanted != self.current[place]).then_some((place, name, wanted))
        });
        // One command names one channel: a cluster holds each somewhere else. All at once: one that has no answer holds up no other.
        let subscriber = self.subscriber;
        let changed = join_all(changes.map(|(place, name, wanted)| async move {
            let done = match wanted {
                true => subscriber.ssubscribe(name).await,
                false => subscriber.sunsubscribe(name).await,
            };
            (place, wanted, done)
        }));
        let mut heard = false;
        for (place, wanted, done) in changed.await {
            match done {
                Ok(()) => {
                    self.current[place] = wanted;
                    heard |= wanted;
                }
                Err(why) => {
                    tracing::debug!(relay.channel = CHANNELS[place], error.cause = %why, "tried again in a second");
                }
            }
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::{Topic, Wanted, channel};

    #[test]
    fn a_channel_is_wanted_from_its_first_topic_to_its_last() {
        let wanted = Wanted::default();
        let (one, two) = (Topic::Room(8), Topic::Visitor(16));
        assert_eq!(channel(one), channel(two));
        assert!(wanted.follow(one, true));
        assert!(!wanted.follow(one, true), "twice is once");
        assert!(!wanted.follow(two, true));
        assert!(!wanted.follow(one, false));
        assert!(!wanted.follow(one, false), "and so is leaving");
        assert!(wanted.follow(two, false));
        assert!(wanted.lock(channel(one)).is_empty());
    }
}
