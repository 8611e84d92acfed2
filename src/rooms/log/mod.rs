//! The log: every entry goes through a group-commit writer, which numbers the entries of a room
//! without a gap. An entry is acknowledged after its commit, and published then.
mod authorization;
mod batch;
mod flood;
mod recent;
mod shard;
mod store;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::limits::WRITE_DEADLINE;
use super::membership::Membership;
use super::model::{ChatRoom, Member, Payload};
use super::{Answer, Post};
use crate::app::App;
use crate::db::group_commit::{self, Queue, Sender};
use crate::db::{CommitScheduler, Latencies, LatencyCounts};
use crate::error::Result;
use crate::http::{Bucket, Key};
use crate::ids::{FenceVersion, RightsVersion, Seq, SessionEpoch};
use authorization::DenyReason;

#[cfg(test)]
pub(super) use shard::SESSION;
#[cfg(test)]
pub(super) use store::lock_heads;

/// Writer shards on a node: one for each core within these bounds. More shards make smaller
/// batches, which costs Postgres about a tenth more for each message.
const SHARDS: RangeInclusive<usize> = 2..=4;
/// How long a node counts as unable to write after Postgres has refused a write, unless a write
/// commits. After that, one write is attempted.
const REFUSED_FOR: Duration = Duration::from_secs(3);

/// An entry that is accepted but not yet committed.
pub(super) struct PendingEntry {
    pub room: Arc<ChatRoom>,
    pub member: Arc<Member>,
    /// The versions at which the sender's membership was read.
    pub rights: RightsVersion,
    pub fence: FenceVersion,
    /// The epoch of the sender's session, which was the account's when the membership was read.
    pub epoch: Option<SessionEpoch>,
    /// Why the sender must not write, as found when the membership was read.
    pub denied: Option<DenyReason>,
    pub client_id: Uuid,
    pub payload: Payload,
    pub reply_to: Option<Seq>,
    /// The keyed hash of the sender's address prefix.
    pub prefix: Vec<u8>,
    pub deadline: Instant,
    pub answer: Answer,
}

/// The log's part of the node: the queues of the writer shards.
pub(super) struct State {
    shards: Vec<Sender<PendingEntry>>,
    /// When Postgres last refused a write: `None` since a write has committed.
    refused_at: Mutex<Option<Instant>>,
    /// Entries that were committed in talks, and in other rooms.
    talk_entries: AtomicU64,
    room_entries: AtomicU64,
    commits: Latencies,
}

/// What the writers of this node have done since its start.
#[derive(Clone, Debug, Default)]
pub struct WriterCounts {
    /// Entries that were committed in talks.
    pub talk_entries: u64,
    /// Entries that were committed in other rooms.
    pub room_entries: u64,
    /// How long each transaction took.
    pub commits: LatencyCounts,
    /// Entries that wait, in each shard.
    pub waiting: Vec<usize>,
}

/// The receiving ends of the queues, for [`run`].
pub(super) struct ShardQueues {
    queues: Vec<Queue<PendingEntry>>,
    scheduler: CommitScheduler,
}

impl State {
    /// Creates the queues of a node. Half of its shards commit at a time.
    pub(super) fn new() -> (Self, ShardQueues) {
        let count = shards();
        let (shards, queues) = (0..count).map(|_| group_commit::queue()).unzip();
        let queues = ShardQueues { queues, scheduler: CommitScheduler::new(count / 2) };
        let state = Self {
            shards,
            refused_at: Mutex::default(),
            talk_entries: AtomicU64::new(0),
            room_entries: AtomicU64::new(0),
            commits: Latencies::default(),
        };
        (state, queues)
    }

    /// Returns `false` if Postgres has just refused a write. It may answer reads all the same while
    /// its disk is full.
    pub(super) fn can_write(&self) -> bool {
        self.refused_at.lock().is_none_or(|at| at.elapsed() > REFUSED_FOR)
    }

    /// Returns what the writers have done.
    pub(super) fn counts(&self) -> WriterCounts {
        WriterCounts {
            talk_entries: self.talk_entries.load(Ordering::Relaxed),
            room_entries: self.room_entries.load(Ordering::Relaxed),
            commits: self.commits.counts(),
            waiting: self.shards.iter().map(Sender::waiting).collect(),
        }
    }

    fn note_commit(&self, took: Duration) {
        *self.refused_at.lock() = None;
        self.commits.record(took);
    }

    fn note_entries(&self, in_talks: u64, in_rooms: u64) {
        self.talk_entries.fetch_add(in_talks, Ordering::Relaxed);
        self.room_entries.fetch_add(in_rooms, Ordering::Relaxed);
    }

    fn note_refusal(&self) {
        *self.refused_at.lock() = Some(Instant::now());
    }

    /// Returns how many entries wait for each shard.
    pub(super) fn queue_lengths(&self) -> Vec<usize> {
        self.shards.iter().map(Sender::waiting).collect()
    }

    fn submit(&self, entry: PendingEntry) -> Result<()> {
        let shard = usize::try_from(entry.room.id.0.unsigned_abs()).unwrap_or_default() % self.shards.len();
        self.shards[shard].submit(entry)
    }
}

impl ShardQueues {
    /// Returns the scheduler of the node's commits, which leaves share.
    pub(super) fn scheduler(&self) -> CommitScheduler {
        self.scheduler.clone()
    }
}

/// Returns the number of writer shards of this node. Each has a database connection of its own.
pub(super) fn shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.clamp(*SHARDS.start(), *SHARDS.end())
}

/// Starts the writer shards.
pub(super) fn run(app: &App, queues: ShardQueues) {
    for queue in queues.queues {
        shard::run(app, queue, queues.scheduler.clone());
    }
}

/// Checks an entry of a member and hands it to its writer shard. `answer` is called after the
/// commit, unless this fails.
///
/// A room that has ended and a muted member are refused by the writer, because a repeat of an entry
/// that was written before gets the first answer.
///
/// # Errors
/// `bad_payload`, `too_long`; `rate_limited` if the room, or one address prefix in it, gets too
/// many entries, or the sender has written too many bytes; `unavailable` if the queue is full.
pub(super) fn submit(app: &App, membership: Membership, post: Post, answer: Answer) -> Result<()> {
    let text_key = flood::text_key(app, &post.payload);
    let payload = Payload::checked(post.payload)?;
    // An entry that will be refused takes nothing from the others in the room.
    if membership.muted.is_none() && membership.room.closed_at.is_none() {
        flood::check(app, &membership.room, &post.prefix, text_key)?;
    }
    let bytes = u32::try_from(payload.stored()).unwrap_or(u32::MAX);
    app.limits.take_many(Bucket::StoredBytes, Key::Visitor(membership.member.visitor), bytes)?;
    app.rooms.log.submit(PendingEntry {
        room: membership.room,
        member: membership.member,
        rights: membership.rights,
        fence: membership.fence,
        epoch: membership.epoch,
        denied: membership.muted.map(Into::into),
        client_id: post.client_id,
        payload,
        reply_to: post.reply_to,
        prefix: post.prefix,
        deadline: post.requested_at + WRITE_DEADLINE,
        answer,
    })
}
