//! The relay over Redis or Valkey (7 or newer): sharded publish and subscribe, over a few channels that the topics share.
//!
//! It is never the truth. What is published goes through a bounded outbox and is dropped when Redis does not keep up or is
//! gone; entries are repaired by their sequence, and what is meant for visitors by looking into Postgres.
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, SubscriberClient};
use fred::error::Error;
use fred::interfaces::{ClientLike as _, EventInterface, PubsubInterface as _};
use fred::types::config::{ReconnectPolicy, UnresponsiveConfig};
use fred::types::{Builder, Message};
use futures_util::future::{join, join_all};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::outbox::{self, CHANNELS, Outbox, channel};
use super::trouble::Trouble;
use super::{Publication, Readers, packing};
use crate::connection_url;
use crate::faults::{self, Fault};
use crate::realtime::Topic;

/// Publishes that may lie between the connection and the node.
const BUFFER: usize = 1_024;
/// A node publishes no more often than this, and at once when it has not for so long: each publish wakes Redis and every node.
/// At 4,000 messages a second the nodes spend a ninth less; those of the other node are heard 1.5 ms later.
const PACE: Duration = Duration::from_millis(2);
/// A command that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the log says at most that frames of another service came.
const SAY_FOREIGN: Duration = Duration::from_secs(60);
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
    channels: [Mutex<HashSet<Topic>>; CHANNELS],
    changed: Notify,
}

impl Wanted {
    fn lock(&self, place: usize) -> MutexGuard<'_, HashSet<Topic>> {
        self.channels[place].lock()
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
    pub(super) fn publish(&self, relayed: &[Publication]) {
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
#[derive(Clone)]
pub(super) struct Engine {
    service: Uuid,
    publisher: Client,
    subscriber: SubscriberClient,
    outbox: Arc<Outbox>,
    wanted: Arc<Wanted>,
    readers: Readers,
    trouble: Arc<Trouble>,
}

/// Returns a link of a service's node that will connect when its engine runs.
///
/// # Errors
/// What is wrong with the URL.
pub(super) fn link(url: &str, service: Uuid, readers: Readers) -> Result<(Link, Engine), String> {
    let mut config = connection_url::redis(url)?.options;
    // A Redis that is not there at the start is connected to when it is.
    config.fail_fast = false;
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
    let (outbox, wanted) = (Arc::new(Outbox::new(service)), Arc::new(Wanted::default()));
    let link = Link { outbox: outbox.clone(), wanted: wanted.clone() };
    let trouble = Arc::new(Trouble::of(connection_url::redacted(url)));
    Ok((link, Engine { service, publisher, subscriber, outbox, wanted, readers, trouble }))
}

impl Engine {
    /// What goes wrong with the connections, as it is found out.
    #[cfg(test)]
    pub(super) fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    /// Connects, and carries until the node stops. Redis may come and go meanwhile.
    pub(super) async fn run(self, node: Uuid, stopping: CancellationToken) {
        let Self { service, publisher, subscriber, outbox, wanted, readers, trouble } = self;
        let names = outbox::names(service);
        let hearing = Hearing {
            service,
            node,
            names: &names,
            subscriber: &subscriber,
            wanted: &wanted,
            readers,
            current: Default::default(),
            foreign: Foreign::default(),
        };
        // Not within `select!`: the connections are still needed to close them in order.
        let connected = pin!(join(keep_connected(&publisher, &trouble), keep_connected(&subscriber, &trouble)));
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = send(&publisher, &names, &outbox, &trouble) => {}
            () = hearing.run() => {}
            _ = connected => {}
        }
        let _ = tokio::time::timeout(PATIENCE, async {
            let _ = publisher.quit().await;
            let _ = subscriber.quit().await;
        })
        .await;
    }
}

/// Connects, and listens to what goes wrong. fred connects again by itself unless it takes an error for final (a server
/// alone where a cluster was named); that may change too.
async fn keep_connected<C: EventInterface>(client: &C, trouble: &Trouble) {
    let mut errors = client.error_rx();
    loop {
        let mut connection = AbortOnDropHandle::new(client.connect());
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                said = errors.recv() => match said {
                    Ok((why, _)) => { trouble.note(&why); }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => errors = client.error_rx(),
                },
            }
        };
        if let Ok(Err(why)) = ended {
            trouble.note(&why);
        }
        tokio::time::sleep(HANGS).await;
    }
}

/// Publishes what has queued up, a publish a channel. What comes meanwhile travels with the next. What fails is dropped.
async fn send(publisher: &Client, names: &[String; CHANNELS], outbox: &Outbox, trouble: &Trouble) {
    let (mut next, mut lost) = (Instant::now(), false);
    loop {
        let taken = outbox.take(next).await;
        next = Instant::now() + PACE;
        let pipeline = publisher.pipeline();
        for (place, publish) in taken {
            let _: Result<(), _> = pipeline.spublish(names[place].as_str(), Bytes::from(publish)).await;
        }
        // Said once each time: an operator sees nothing of it but that the other nodes' people hear it late.
        match pipeline.last::<i64>().await {
            Err(why) if !lost => {
                if is_said(&why) {
                    trouble.note(&why);
                }
                let why = trouble.reason().unwrap_or_else(|| why.to_string());
                tracing::warn!(
                    error.cause = why,
                    "Redis takes no frames; the nodes hear each other through Postgres, within two seconds"
                );
                lost = true;
            }
            Ok(_) if lost => {
                tracing::info!("Redis takes frames again");
                trouble.over();
                lost = false;
            }
            Ok(_) => trouble.over(),
            Err(_) => {}
        }
    }
}

/// Whether an error is what Redis answered, and not that it did not.
fn is_said(error: &Error) -> bool {
    use fred::error::ErrorKind::{Canceled, IO, Timeout};
    !matches!(error.kind(), Canceled | IO | Timeout)
}

/// The receiving half.
struct Hearing<'a> {
    service: Uuid,
    node: Uuid,
    /// The names of the service's channels.
    names: &'a [String; CHANNELS],
    subscriber: &'a SubscriberClient,
    wanted: &'a Wanted,
    readers: Readers,
    /// The channels that are subscribed to.
    current: [bool; CHANNELS],
    foreign: Foreign,
}

/// Counts what other services published on this one's channels. It is ignored.
#[derive(Default)]
struct Foreign {
    count: u64,
    /// How many the log has reported, and when.
    reported: (u64, Option<Instant>),
}

impl Foreign {
    /// Returns the count if the log should report it now.
    fn report(&mut self, now: Instant) -> Option<u64> {
        let (reported, at) = self.reported;
        if self.count == reported || at.is_some_and(|at| now < at + SAY_FOREIGN) {
            return None;
        }
        self.reported = (self.count, Some(now));
        Some(self.count)
    }
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
                    if let Some(count) = self.foreign.report(Instant::now()) {
                        tracing::warn!(relay.foreign = count, "another service publishes on the channels of this one; ignored");
                    }
                    if self.compare().await {
                        self.readers.missed();
                    }
                }
            }
        }
    }

    /// Hands on what another node published for topics that somebody follows here.
    fn take(&mut self, message: Message) {
        let Some(place) = self.names.iter().position(|name| *message.channel == **name) else { return };
        let publish = message.value.into_bytes().unwrap_or_default();
        match packing::origin(&publish) {
            Some((service, _)) if service != self.service && !faults::on(Fault::ForeignFrameTaken) => {
                self.foreign.count += 1;
                return;
            }
            Some((_, node)) if node == self.node => return,
            _ => {}
        }
        let records = {
            let wanted = self.wanted.lock(place);
            packing::unpack(&publish, |topic| wanted.contains(&topic))
        };
        match records {
            Some(records) => self.readers.say(records),
            None => tracing::debug!(relay.channel = self.names[place], relay.bytes = publish.len(), "not understood"),
        }
    }

    /// Subscribes to what is missing and lets go of the rest. Answers whether a channel is heard that was not.
    async fn compare(&mut self) -> bool {
        let changes = self.names.iter().enumerate().filter_map(|(place, name)| {
            let wanted = !self.wanted.lock(place).is_empty();
            (wanted != self.current[place]).then_some((place, name, wanted))
        });
        // One command names one channel: a cluster holds each somewhere else. All at once: one that has no answer holds up no other.
        let subscriber = self.subscriber;
        let changed = join_all(changes.map(|(place, name, wanted)| async move {
            let done = match wanted {
                true => subscriber.ssubscribe(name.as_str()).await,
                false => subscriber.sunsubscribe(name.as_str()).await,
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
                    tracing::debug!(relay.channel = self.names[place], error.cause = %why, "tried again in a second");
                }
            }
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fred::interfaces::{ClientLike as _, PubsubInterface as _};
    use tokio::time::{Duration, Instant, timeout};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::{Relay, RelayEvent, TopicKind};
    use super::{Foreign, Publication, Readers, Topic, Wanted, channel, link, outbox, packing};
    use crate::testing::{PATIENCE, Redis};

    #[tokio::test]
    async fn a_frame_of_another_service_is_ignored_though_it_comes_on_the_own_channel() {
        let redis = Redis::start().await;
        let (own, other, topic) = (Uuid::from_u128(1), Uuid::from_u128(2), Topic::Room(8));
        let relay = Relay::over_redis(&redis.url, own).unwrap();
        let mut listener = relay.listen(TopicKind::Rooms);
        relay.follow(topic, true);
        let stopping = CancellationToken::new();
        let mut carry = relay.enter(Uuid::from_u128(3), stopping.clone()).unwrap();
        let (_, engine) = link(&redis.url, other, Readers::new()).unwrap();
        let (publisher, names) = (engine.publisher, outbox::names(own));
        let publishing = async {
            publisher.init().await.unwrap();
            let publish = |service, text: &str| {
                let mut bytes = Vec::new();
                let node = Uuid::from_u128(4);
                packing::begin(service, node, &mut bytes);
                packing::pack(&Publication { node, topic, seq: Some(1), frame: text.into() }, &mut bytes);
                publisher.spublish::<i64, _, _>(names[channel(topic)].clone(), Bytes::from(bytes))
            };
            loop {
                publish(other, "foreign").await.unwrap();
                publish(own, "own").await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let listening = async {
            // The first subscription says that something may have been missed.
            while !matches!(listener.next().await, Some(RelayEvent::Missed)) {}
            for _ in 0..5 {
                let Some(RelayEvent::Published(heard)) = listener.next().await else { panic!("nothing was heard") };
                assert!(heard.iter().all(|one| &*one.frame == "own"), "{heard:?}");
            }
        };
        tokio::select! {
            () = carry() => panic!("the relay ended"),
            () = publishing => {}
            heard = timeout(PATIENCE, listening) => heard.unwrap(),
        }
        stopping.cancel();
    }

    #[test]
    fn frames_of_another_service_are_counted_and_reported_once_a_minute() {
        let (mut foreign, began) = (Foreign::default(), Instant::now());
        assert_eq!(foreign.report(began), None, "nothing came");
        foreign.count = 3;
        assert_eq!([foreign.report(began), foreign.report(began)], [Some(3), None]);
        foreign.count = 5;
        assert_eq!(foreign.report(began + Duration::from_secs(59)), None);
        assert_eq!(foreign.report(began + Duration::from_secs(60)), Some(5));
    }

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
