//! The matcher: one node at a time pairs the waiting tickets.
//!
//! It holds an advisory lock on its own connection and commits pairs on the same connection. A
//! matcher that has lost the lock has lost the connection too, so it cannot commit.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::model::{Ticket, TicketId};
use super::pair::{Exclusions, Match, pair};
use super::store::{self, LockedTicket};
use super::talks::{self, NewTalk, TalkView};
use crate::app::App;
use crate::db::{self, ConnectionHealth};
use crate::faults::{self, Fault};
use crate::ids::VisitorId;
use crate::moderation;
use crate::rooms::{self, Pair, Participant};

/// Time between two full scans of the table, and between two attempts to get the lock.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest pause between two rounds. A round that took long is followed by a longer pause.
const MIN_ROUND_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two rounds.
const MAX_ROUND_PAUSE: Duration = Duration::from_millis(250);
/// Pause after the connection was lost.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// How long closing the connection can take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long this node leads before it acts on expired leases. After a crash of Postgres every node
/// renews its own lease first.
const LEASE_RECOVERY: Duration = Duration::from_millis(3_500);
/// How long a scan, or a transaction of pairs, can take. After that the connection is given up, and
/// the lock with it.
const ROUND_DEADLINE: Duration = Duration::from_secs(6);
/// The largest number of pairs in one transaction.
const MAX_BATCH_PAIRS: usize = 1_000;
/// The session settings of the connection. A matcher that hangs loses its connection and the lock.
const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "3s"),
    ("idle_session_timeout", "3s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    ("application_name", "maju matcher"),
];

/// The state of this node's matcher, for the rest of the node.
#[derive(Default)]
pub(super) struct Matcher {
    new_tickets: Notify,
    /// Since when this node leads: since when it has held the lock. `None` if it does not.
    leading_since: Mutex<Option<Instant>>,
    /// When the last round ended on this node, and when the last sweep did.
    last_round: Mutex<Option<Instant>>,
    last_sweep: Mutex<Option<Instant>>,
    pub(super) connection: ConnectionHealth,
}

impl Matcher {
    /// Starts a round soon, because there is a new ticket.
    pub(super) fn wake(&self) {
        self.new_tickets.notify_one();
    }

    /// Returns for how long this node has led. `None` if it does not lead.
    pub(super) fn leading_for(&self) -> Option<Duration> {
        self.leading_since.lock().map(|since| since.elapsed())
    }

    /// Returns the time since the last round of this node. `None` if there was none.
    pub(super) fn since_round(&self) -> Option<Duration> {
        self.last_round.lock().map(|at| at.elapsed())
    }

    /// Returns the time since the last sweep of this node that did its work. `None` if there was none.
    pub(super) fn since_sweep(&self) -> Option<Duration> {
        self.last_sweep.lock().map(|at| at.elapsed())
    }

    /// Counts the time of leading from now on, if this node leads.
    fn restart_leading(&self) {
        let mut leading_since = self.leading_since.lock();
        if leading_since.is_some() {
            *leading_since = Some(Instant::now());
        }
    }

    fn set_leading_since(&self, since: Option<Instant>) {
        *self.leading_since.lock() = since;
    }
}

/// Starts the matcher and the sweeper. The sweeper works only on the node that leads.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.matcher", move || run_matcher(node.clone()));
    let node = app.clone();
    app.tasks.every("matching.sweeper", SCAN_INTERVAL, move || sweep_if_leading(node.clone()));
}

async fn run_matcher(node: App) {
    // An earlier run that panicked has dropped its connection, and the lock with it.
    node.matching.matcher.set_leading_since(None);
    while !node.tasks.stopping.is_cancelled() {
        if let Err(why) = lead(&node).await {
            tracing::warn!(error.cause = %why, "matcher: connection lost; another node takes over, or this one reconnects");
            pause(&node, RECONNECT_DELAY).await;
        }
    }
}

async fn sweep_if_leading(node: App) {
    let Some(leading_for) = node.matching.matcher.leading_for() else { return };
    match db::with_timeout(db::JOB_TIMEOUT, sweep(&node, leading_for)).await {
        Ok(()) => *node.matching.matcher.last_sweep.lock() = Some(Instant::now()),
        Err(why) => tracing::debug!(error.cause = ?why, "matching: the sweep failed, retrying in a second"),
    }
}

async fn pause(app: &App, how_long: Duration) {
    tokio::select! {
        () = app.tasks.stopping.cancelled() => {}
        () = tokio::time::sleep(how_long) => {}
    }
}

/// Removes expired tickets, and ends the talks whose deadline has passed.
async fn sweep(app: &App, leading_for: Duration) -> crate::error::Result<()> {
    let asked = Instant::now();
    let now = db::now(&app.db).await?;
    if let Some(jump) = app.clock.jump_to(now, asked) {
        // A side that is away still has all of its time to return, and every node renews its lease
        // first, as after a crash.
        tracing::warn!(jump.ms = %jump.whole_milliseconds(), "matching: the clock of Postgres jumped, moving the running times");
        store::shift_times(&app.db, jump).await?;
        app.clock.sync_after_jump(now, asked);
        app.matching.matcher.restart_leading();
        return Ok(());
    }
    if leading_for >= LEASE_RECOVERY && !faults::on(Fault::LeaseNeverExpires) {
        store::sweep_tickets(&app.db).await?;
        talks::mark_orphaned_away(app).await?;
    }
    talks::end_overdue(app).await
}

/// Waits for the lock, then pairs until the connection fails or the node stops.
async fn lead(app: &App) -> Result<(), sqlx::Error> {
    let connecting = db::connect(&app.db, SESSION_SETTINGS).await;
    app.matching.matcher.connection.record(connecting.is_ok());
    let mut connection = connecting?;
    while !db::with_timeout(db::REQUEST_TIMEOUT, store::try_lock_matcher(&mut connection)).await? {
        pause(app, SCAN_INTERVAL).await;
        if app.tasks.stopping.is_cancelled() {
            return Ok(());
        }
    }
    tracing::debug!(node.id = %app.node, "matcher: this node leads now");
    app.matching.matcher.set_leading_since(Some(Instant::now()));
    let outcome = Rounds::default().run(app, &mut connection).await;
    app.matching.matcher.set_leading_since(None);
    // A connection that is closed properly releases the lock at once.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
    outcome
}

/// Which tickets are read before a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// All tickets. Ids can commit out of order, so reading only new ones is not enough.
    Full,
    /// The tickets with an id above the highest one read.
    New,
}

/// What the matcher remembers between rounds. The table decides: a full scan reads it each second.
#[derive(Default)]
struct Rounds {
    tickets: HashMap<VisitorId, Ticket>,
    exclusions: Exclusions,
    /// The highest ticket id read.
    highest_id: TicketId,
}

/// The result of committing the matches of a round.
#[derive(Default)]
struct RoundOutcome {
    views: Vec<TalkView>,
    /// The visitors that were paired.
    paired: Vec<VisitorId>,
    /// The visitors whose tickets do not wait any more.
    gone: Vec<VisitorId>,
    /// The pairs that were not committed because of a block.
    blocked: Vec<(VisitorId, VisitorId)>,
}

impl Rounds {
    async fn run(&mut self, app: &App, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut scans = app.tasks.ticks(SCAN_INTERVAL);
        let mut earliest = Instant::now();
        loop {
            let scan = tokio::select! {
                runs = scans.next() => if runs { Scan::Full } else { return Ok(()) },
                () = app.matching.matcher.new_tickets.notified() => Scan::New,
            };
            tokio::time::sleep_until(earliest).await;
            db::with_timeout(ROUND_DEADLINE, self.read(app, connection, scan)).await?;
            let started = Instant::now();
            let matches = pair(self.tickets.values(), &self.exclusions, app.clock.now());
            app.metrics.matcher.rounds.increment();
            app.metrics.matcher.pairing.observe(started.elapsed().as_secs_f64());
            earliest = Instant::now() + (started.elapsed() * 4).clamp(MIN_ROUND_PAUSE, MAX_ROUND_PAUSE);
            self.commit_batches(app, connection, &matches).await?;
            *app.matching.matcher.last_round.lock() = Some(Instant::now());
        }
    }

    /// Commits matches for a second, the longest waits first. The rest is paired again after the
    /// table is read.
    ///
    /// After an outage a large pool is matched at once, and no statement can take long.
    async fn commit_batches(
        &mut self,
        app: &App,
        connection: &mut PgConnection,
        matches: &[Match],
    ) -> Result<(), sqlx::Error> {
        let until = Instant::now() + SCAN_INTERVAL;
        for batch in matches.chunks(MAX_BATCH_PAIRS) {
            db::with_timeout(ROUND_DEADLINE, self.commit(app, connection, batch)).await?;
            if Instant::now() >= until || app.tasks.stopping.is_cancelled() {
                app.matching.matcher.wake();
                break;
            }
        }
        Ok(())
    }

    /// Reads tickets, and the exclusions of their visitors.
    async fn read(&mut self, app: &App, db: &mut PgConnection, scan: Scan) -> Result<(), sqlx::Error> {
        let after = match scan {
            Scan::Full => TicketId::default(),
            Scan::New => self.highest_id,
        };
        let read = store::live_tickets(&mut *db, after).await?;
        self.highest_id = read.iter().map(|ticket| ticket.id).max().unwrap_or_default().max(self.highest_id);
        let is_known = |ticket: &Ticket| self.tickets.get(&ticket.visitor).is_some_and(|known| known.id == ticket.id);
        let new: Vec<VisitorId> = read.iter().filter(|ticket| !is_known(ticket)).map(|ticket| ticket.visitor).collect();
        if scan == Scan::Full {
            self.tickets.clear();
        }
        self.tickets.extend(read.into_iter().map(|ticket| (ticket.visitor, ticket)));
        if scan == Scan::Full {
            let tickets = &self.tickets;
            self.exclusions.retain_waiting(|visitor| tickets.contains_key(&visitor));
        }
        if !new.is_empty() {
            for (a, b, ended) in talks::recent_partners(&mut *db, &new, app.clock.now()).await? {
                self.exclusions.add_recent(a, b, ended);
            }
        }
        if scan == Scan::Full && self.tickets.len() > 1 {
            // New blocks between two full scans are found by the check inside the transaction.
            let visitors: Vec<VisitorId> = self.tickets.keys().copied().collect();
            let blocks = moderation::blocks_among(db, &visitors).await?;
            self.exclusions.clear_blocks();
            for (low, high) in blocks {
                self.exclusions.add_block(low, high);
            }
        }
        Ok(())
    }

    /// Commits matches and publishes `found` to the visitors. If a pair violates a constraint, only
    /// that pair is dropped.
    async fn commit(&mut self, app: &App, connection: &mut PgConnection, matches: &[Match]) -> Result<(), sqlx::Error> {
        let mut tx = connection.begin().await?;
        let outcome = match self.write(app, &mut tx, matches).await {
            Ok(outcome) => {
                tx.commit().await?;
                outcome
            }
            Err(why) if db::constraint(&why).is_some() => {
                tx.rollback().await?;
                self.commit_singly(app, connection, matches).await?
            }
            Err(why) => return Err(why),
        };
        let now = app.clock.now();
        app.metrics.matcher.pairs.add(outcome.views.len() as u64);
        for visitor in &outcome.paired {
            app.matching.local.untrack(*visitor);
            if let Some(ticket) = self.tickets.remove(visitor) {
                app.metrics.matcher.waits.observe((now - ticket.since).as_seconds_f64().max(0.0));
            }
        }
        for visitor in &outcome.gone {
            self.tickets.remove(visitor);
        }
        for (one, other) in &outcome.blocked {
            self.exclusions.add_block(*one, *other);
        }
        if outcome.views.len() < matches.len() {
            app.matching.matcher.wake(); // visitors whose partner fell away need not wait for the next scan
        }
        talks::publish_found(app, outcome.views);
        Ok(())
    }

    /// Commits matches one by one, each in its own savepoint.
    async fn commit_singly(
        &self,
        app: &App,
        connection: &mut PgConnection,
        matches: &[Match],
    ) -> Result<RoundOutcome, sqlx::Error> {
        let mut all = RoundOutcome::default();
        let mut tx = connection.begin().await?;
        for one in matches {
            let mut savepoint = tx.begin().await?;
            match self.write(app, &mut savepoint, std::slice::from_ref(one)).await {
                Ok(outcome) => {
                    savepoint.commit().await?;
                    all.views.extend(outcome.views);
                    all.paired.extend(outcome.paired);
                    all.gone.extend(outcome.gone);
                    all.blocked.extend(outcome.blocked);
                }
                Err(why) => {
                    let Some(constraint) = db::constraint(&why) else { return Err(why) };
                    tracing::error!(constraint.name = constraint, "matcher: dropped a pair that violates a constraint");
                    savepoint.rollback().await?;
                    all.gone.extend([one.a, one.b]); // until the next full scan
                }
            }
        }
        tx.commit().await?;
        Ok(all)
    }

    /// Deletes the tickets, opens the rooms and stores the talks of the pairs that are still
    /// allowed.
    async fn write(&self, app: &App, tx: &mut PgConnection, matches: &[Match]) -> Result<RoundOutcome, sqlx::Error> {
        let visitors = matches.iter().flat_map(|one| [one.a, one.b]);
        let ids: Vec<TicketId> = visitors.filter_map(|visitor| Some(self.tickets.get(&visitor)?.id)).collect();
        let locked = store::lock_tickets(&mut *tx, &ids).await?;
        let mut waiting: HashMap<VisitorId, LockedTicket> =
            locked.into_iter().map(|one| (one.ticket.visitor, one)).collect();
        // These are later statements, so they see what committed while the locks were waited for.
        let visitors: Vec<VisitorId> = waiting.keys().copied().collect();
        let blocked: HashSet<(VisitorId, VisitorId)> =
            moderation::blocks_among(&mut *tx, &visitors).await?.into_iter().collect();
        let mut delete = Vec::with_capacity(ids.len());
        waiting.retain(|_, one| {
            if one.banned {
                delete.push(one.ticket.id); // a ban that commits later finds the talk and ends it
            }
            !one.banned
        });
        for visitor in store::visitors_in_talk(&mut *tx, &visitors).await? {
            delete.extend(waiting.remove(&visitor).map(|one| one.ticket.id)); // it must not be paired again
        }
        let mut outcome = RoundOutcome::default();
        let mut pairs = Vec::with_capacity(matches.len());
        for one in matches {
            let ordered = (one.a.min(one.b), one.a.max(one.b));
            match (waiting.get(&one.a), waiting.get(&one.b)) {
                (Some(_), Some(_)) if blocked.contains(&ordered) => outcome.blocked.push(ordered),
                (Some(a), Some(b)) => pairs.push(if rand::random() { (one, a, b) } else { (one, b, a) }),
                (a, b) => {
                    let missing = [(one.a, a), (one.b, b)].into_iter().filter(|(_, ticket)| ticket.is_none());
                    outcome.gone.extend(missing.map(|(visitor, _)| visitor));
                }
            }
        }
        delete.extend(pairs.iter().flat_map(|(_, a, b)| [a.ticket.id, b.ticket.id]));
        let deleted: HashSet<TicketId> = store::delete_tickets(&mut *tx, &delete).await?.into_iter().collect();
        pairs.retain(|(_, a, b)| deleted.contains(&a.ticket.id) && deleted.contains(&b.ticket.id));
        outcome.paired = pairs.iter().flat_map(|(_, a, b)| [a.ticket.visitor, b.ticket.visitor]).collect();
        outcome.views = open_talks(app, tx, &pairs).await?;
        if faults::on(Fault::FoundToldBeforeCommit) {
            talks::publish_found(app, std::mem::take(&mut outcome.views));
        }
        Ok(outcome)
    }
}

/// Opens the rooms and stores the talks, with `a` and `b` in their slots.
async fn open_talks(
    app: &App,
    tx: &mut PgConnection,
    pairs: &[(&Match, &LockedTicket, &LockedTicket)],
) -> Result<Vec<TalkView>, sqlx::Error> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let participant = |one: &LockedTicket| Participant { visitor: one.ticket.visitor, locale: one.locale };
    let new_pairs: Vec<Pair> = pairs.iter().map(|(_, a, b)| Pair { a: participant(a), b: participant(b) }).collect();
    let rooms = rooms::open(&mut *tx, &new_pairs).await?;
    let new = pairs.iter().zip(&rooms).map(|((one, a, b), room)| NewTalk {
        room_id: *room,
        a: &a.ticket,
        b: &b.ticket,
        languages: &one.languages,
        relaxed: one.relaxed,
    });
    let ids = talks::insert(&mut *tx, &new.collect::<Vec<_>>(), app.clock.now()).await?;
    talks::views(tx, &ids).await
}
