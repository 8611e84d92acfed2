//! The relay over Redis or Valkey (7 or newer): sharded publish and subscribe, over a few channels
//! that the topics share (docs/decisions/0008-topics-share-channels.md).
//!
//! Redis is never the source of truth. Publications go through a limited outbox and are dropped
//! when Redis does not keep up or cannot be reached. Nodes then find entries by their sequence
//! numbers, and what is meant for visitors by reading Postgres.
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
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

#[cfg(test)]
use super::Content;
use super::errors::ErrorReporter;
use super::outbox::{self, CHANNEL_COUNT, Outbox};
use super::subscriptions::Subscriptions;
use super::{EventSenders, Publication, packing};
use crate::connection_url;
use crate::faults::{self, Fault};
use crate::metrics::Relayed;
use crate::realtime::Topic;

/// Messages from Redis that can wait for this node's task.
const MAX_BUFFERED_MESSAGES: usize = 1_024;
/// The shortest time between two publishes of a node; the first one after a pause goes out at once.
/// Each publish wakes Redis and every node. At 4,000 messages a second the nodes use a ninth less
/// CPU with it, and messages reach the other node 1.5 ms later.
const MIN_PUBLISH_INTERVAL: Duration = Duration::from_millis(2);
/// The time after which a command has failed.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often failed subscriptions are retried.
const SUBSCRIBE_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two log lines about frames of another service.
const FOREIGN_REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// A connection that is silent for so long while a reply is due is closed and made anew.
const UNRESPONSIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before connecting again after the client has given up.
const RECONNECT_DELAY: Duration = Duration::from_secs(3);

/// A handle to publish and to subscribe, shared by all tasks of the node.
#[derive(Clone)]
pub(super) struct RedisHandle {
    outbox: Arc<Outbox>,
    subscriptions: Arc<Subscriptions>,
    counts: Arc<Relayed>,
}

impl RedisHandle {
    /// Queues publications, without waiting. What does not fit is dropped.
    pub(super) fn publish(&self, publications: &[Publication]) {
        let dropped = self.outbox.push(publications);
        if dropped > 0 {
            self.counts.dropped.add(dropped as u64);
            tracing::debug!(
                relay.dropped = dropped,
                "relay: publications dropped, Redis does not keep up; nodes find entries by their sequence numbers"
            );
        }
    }

    /// Subscribes to a topic. It takes effect a moment later.
    pub(super) fn subscribe(&self, topic: Topic) {
        self.subscriptions.add(topic);
    }

    /// Unsubscribes from a topic. It takes effect a moment later.
    pub(super) fn unsubscribe(&self, topic: Topic) {
        self.subscriptions.remove(topic);
    }
}

/// The task that drives the connections to Redis: one to publish, one to subscribe.
#[derive(Clone)]
pub(super) struct RedisTask {
    service: Uuid,
    publisher: Client,
    subscriber: SubscriberClient,
    outbox: Arc<Outbox>,
    subscriptions: Arc<Subscriptions>,
    senders: EventSenders,
    errors: Arc<ErrorReporter>,
}

/// Creates the handle and the task of a service's node. The task connects when it runs.
///
/// # Errors
/// Describes what is wrong with the URL.
pub(super) fn relay(url: &str, service: Uuid, senders: EventSenders) -> Result<(RedisHandle, RedisTask), String> {
    let mut config = connection_url::redis(url)?.options;
    // Do not fail if Redis cannot be reached at the start: connect when it is there.
    config.fail_fast = false;
    let mut builder = Builder::from_config(config);
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(2);
            connection.internal_command_timeout = Duration::from_secs(2);
            connection.max_command_attempts = 1;
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE_TIMEOUT), interval: Duration::from_secs(1) };
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = MAX_BUFFERED_MESSAGES;
        })
        // Without end, every 500 ms: a Redis that comes back is used at once.
        .set_policy(ReconnectPolicy::new_constant(0, 500));
    let publisher = builder.build().map_err(|why| why.to_string())?;
    let subscriber = builder.build_subscriber_client().map_err(|why| why.to_string())?;
    let (outbox, subscriptions) = (Arc::new(Outbox::new(service)), Arc::new(Subscriptions::default()));
    let counts = senders.counts.clone();
    let handle = RedisHandle { outbox: outbox.clone(), subscriptions: subscriptions.clone(), counts };
    let errors = Arc::new(ErrorReporter::new(connection_url::redacted(url)));
    Ok((handle, RedisTask { service, publisher, subscriber, outbox, subscriptions, senders, errors }))
}

impl RedisTask {
    /// Returns the reporter of the connections' errors.
    #[cfg(test)]
    pub(super) fn errors(&self) -> Arc<ErrorReporter> {
        self.errors.clone()
    }

    /// Connects, sends and receives until the node stops. Redis can go away and come back
    /// meanwhile.
    pub(super) async fn run(self, node: Uuid, stopping: CancellationToken) {
        let Self { service, publisher, subscriber, outbox, subscriptions, senders, errors } = self;
        let names = outbox::channel_names(service);
        let receiver = Receiver {
            service,
            node,
            names: &names,
            subscriber: &subscriber,
            subscriptions: &subscriptions,
            senders,
            subscribed: Default::default(),
            foreign: ForeignPublishes::default(),
        };
        // Not inside `select!`: the connections are still needed to close them properly.
        let connected = pin!(join(keep_connected(&publisher, &errors), keep_connected(&subscriber, &errors)));
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = send(&publisher, &names, &outbox, &errors) => {}
            () = receiver.run() => {}
            _ = connected => {}
        }
        let _ = tokio::time::timeout(COMMAND_TIMEOUT, async {
            let _ = publisher.quit().await;
            let _ = subscriber.quit().await;
        })
        .await;
    }
}

/// Connects, and reports errors. fred reconnects by itself unless it takes an error for final, such
/// as a single server where a cluster was named. That can change too, so it is retried here.
async fn keep_connected<C: EventInterface>(client: &C, reporter: &ErrorReporter) {
    let mut errors = client.error_rx();
    loop {
        let mut connection = AbortOnDropHandle::new(client.connect());
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                error = errors.recv() => match error {
                    Ok((why, _)) => { reporter.report(&why); }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => errors = client.error_rx(),
                },
            }
        };
        if let Ok(Err(why)) = ended {
            reporter.report(&why);
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Publishes what waits in the outbox, at most one publish per channel at a time. What is queued
/// meanwhile goes with the next publish. What fails is dropped.
async fn send(publisher: &Client, names: &[String; CHANNEL_COUNT], outbox: &Outbox, errors: &ErrorReporter) {
    let (mut next, mut failing) = (Instant::now(), false);
    loop {
        let publishes = outbox.next_publishes(next).await;
        next = Instant::now() + MIN_PUBLISH_INTERVAL;
        let pipeline = publisher.pipeline();
        for (channel, publish) in publishes {
            let _: Result<(), _> = pipeline.spublish(names[channel].as_str(), Bytes::from(publish)).await;
        }
        // Logged once for each failure: an operator sees nothing of it except that messages reach
        // visitors on other nodes late.
        match pipeline.last::<i64>().await {
            Err(why) if !failing => {
                if is_reply(&why) {
                    errors.report(&why);
                }
                let why = errors.reason().unwrap_or_else(|| why.to_string());
                tracing::warn!(
                    error.cause = why,
                    "relay: publishing to Redis fails; nodes read from Postgres instead, within two seconds"
                );
                failing = true;
            }
            Ok(_) if failing => {
                tracing::info!("relay: publishing to Redis works again");
                errors.clear();
                failing = false;
            }
            Ok(_) => errors.clear(),
            Err(_) => {}
        }
    }
}

/// Returns `true` if an error is a reply of Redis, and not a missing reply.
fn is_reply(error: &Error) -> bool {
    use fred::error::ErrorKind::{Canceled, IO, Timeout};
    !matches!(error.kind(), Canceled | IO | Timeout)
}

/// The receiving half of the task.
struct Receiver<'a> {
    service: Uuid,
    node: Uuid,
    /// The names of the service's channels.
    names: &'a [String; CHANNEL_COUNT],
    subscriber: &'a SubscriberClient,
    subscriptions: &'a Subscriptions,
    senders: EventSenders,
    /// The channels that Redis has been asked for.
    subscribed: [bool; CHANNEL_COUNT],
    foreign: ForeignPublishes,
}

/// Counts the publishes of other services on this service's channels. They are ignored.
#[derive(Default)]
struct ForeignPublishes {
    count: u64,
    /// The count that was logged last, and when.
    reported: (u64, Option<Instant>),
}

impl ForeignPublishes {
    /// Returns the count if it should be logged now.
    fn report(&mut self, now: Instant) -> Option<u64> {
        let (reported, at) = self.reported;
        if self.count == reported || at.is_some_and(|at| now < at + FOREIGN_REPORT_INTERVAL) {
            return None;
        }
        self.reported = (self.count, Some(now));
        Some(self.count)
    }
}

/// Whether a change of the subscriptions added a channel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelChange {
    /// What was published to the new channel before is lost.
    Added,
    NoneAdded,
}

impl Receiver<'_> {
    /// Keeps the subscribed channels up to date and distributes what is received.
    async fn run(mut self) {
        let mut messages = self.subscriber.message_rx();
        let mut connected = self.subscriber.reconnect_rx();
        let mut retry = tokio::time::interval(SUBSCRIBE_RETRY_INTERVAL);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = connected.recv() => {
                    if matches!(event, Err(RecvError::Closed)) { return }
                    self.senders.counts.connections.increment();
                    self.subscribed = Default::default();
                    if self.update_channels().await == ChannelChange::Added {
                        // What was published during the interruption is lost.
                        self.senders.send_missed();
                    }
                }
                () = self.subscriptions.changed() => {
                    self.update_channels().await;
                }
                message = messages.recv() => match message {
                    Ok(message) => self.receive(message),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(
                            relay.missed = missed,
                            "relay: messages from Redis came too fast, looking everything up"
                        );
                        self.senders.send_missed();
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = retry.tick() => {
                    if let Some(count) = self.foreign.report(Instant::now()) {
                        tracing::warn!(
                            relay.foreign = count,
                            "relay: another service publishes on this service's channels, ignored"
                        );
                    }
                    if self.update_channels().await == ChannelChange::Added {
                        self.senders.send_missed();
                    }
                }
            }
        }
    }

    /// Distributes what another node published to topics that have a subscriber here.
    fn receive(&mut self, message: Message) {
        let Some(channel) = self.names.iter().position(|name| *message.channel == **name) else { return };
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
            let topics = self.subscriptions.lock(channel);
            packing::unpack(&publish, |topic| topics.contains(&topic))
        };
        match records {
            Some(records) => self.senders.send(records),
            None => tracing::debug!(
                relay.channel = self.names[channel],
                relay.bytes = publish.len(),
                "relay: malformed publish ignored"
            ),
        }
    }

    /// Subscribes to missing channels and unsubscribes from unused ones. What fails is retried
    /// later.
    async fn update_channels(&mut self) -> ChannelChange {
        let changes = self.names.iter().enumerate().filter_map(|(channel, name)| {
            let wanted = !self.subscriptions.lock(channel).is_empty();
            (wanted != self.subscribed[channel]).then_some((channel, name, wanted))
        });
        // One command names one channel, because a cluster holds each on another server. All run at
        // the same time, so that one without a reply does not delay the others.
        let subscriber = self.subscriber;
        let changed = join_all(changes.map(|(channel, name, wanted)| async move {
            let outcome = match wanted {
                true => subscriber.ssubscribe(name.as_str()).await,
                false => subscriber.sunsubscribe(name.as_str()).await,
            };
            (channel, wanted, outcome)
        }));
        let mut change = ChannelChange::NoneAdded;
        for (channel, wanted, outcome) in changed.await {
            match outcome {
                Ok(()) => {
                    self.subscribed[channel] = wanted;
                    if wanted {
                        change = ChannelChange::Added;
                    }
                }
                Err(why) => {
                    tracing::debug!(
                        relay.channel = self.names[channel],
                        error.cause = %why,
                        "relay: subscription failed, retrying in a second"
                    );
                }
            }
        }
        change
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
    use super::{Content, EventSenders, ForeignPublishes, Publication, Topic, outbox, packing};
    use crate::ids::RoomId;
    use crate::testing::{Redis, TEST_TIMEOUT};

    #[tokio::test]
    async fn a_frame_of_another_service_on_this_ones_channel_is_ignored() {
        let redis = Redis::start().await;
        let (own, other, topic) = (Uuid::from_u128(1), Uuid::from_u128(2), Topic::Room(RoomId(8)));
        let relay = Relay::over_redis(&redis.url, own).unwrap();
        let mut events = relay.events(TopicKind::Rooms);
        relay.subscribe(topic);
        let stopping = CancellationToken::new();
        let mut run = relay.connect(Uuid::from_u128(3), stopping.clone()).unwrap();
        let (_, task) = super::relay(&redis.url, other, EventSenders::new()).unwrap();
        let (publisher, names) = (task.publisher, outbox::channel_names(own));
        let publishing = async {
            publisher.init().await.unwrap();
            let publish = |service, text: &str| {
                let mut bytes = Vec::new();
                let node = Uuid::from_u128(4);
                packing::write_header(service, node, &mut bytes);
                let content = Content::Frame(text.into());
                packing::write_record(&Publication { node, topic, content }, &mut bytes);
                publisher.spublish::<i64, _, _>(names[outbox::channel_of(topic)].clone(), Bytes::from(bytes))
            };
            loop {
                publish(other, "foreign").await.unwrap();
                publish(own, "own").await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let receiving = async {
            // The first event after subscribing is that something may have been missed.
            while !matches!(events.next().await, Some(RelayEvent::Missed)) {}
            for _ in 0..5 {
                let Some(RelayEvent::Published(published)) = events.next().await else {
                    panic!("nothing was received")
                };
                assert!(
                    published.iter().all(|one| matches!(&one.content, Content::Frame(frame) if &**frame == "own")),
                    "{published:?}"
                );
            }
        };
        tokio::select! {
            () = run() => panic!("the relay ended"),
            () = publishing => {}
            received = timeout(TEST_TIMEOUT, receiving) => received.unwrap(),
        }
        stopping.cancel();
    }

    #[test]
    fn frames_of_another_service_are_counted_and_logged_once_a_minute() {
        let (mut foreign, began) = (ForeignPublishes::default(), Instant::now());
        assert_eq!(foreign.report(began), None, "nothing came");
        foreign.count = 3;
        assert_eq!([foreign.report(began), foreign.report(began)], [Some(3), None]);
        foreign.count = 5;
        assert_eq!(foreign.report(began + Duration::from_secs(59)), None);
        assert_eq!(foreign.report(began + Duration::from_secs(60)), Some(5));
    }
}
