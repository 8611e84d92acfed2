//! The matcher: one node at a time pairs those who wait. It holds an advisory lock on a connection of its own and commits
//! pairs on that same connection, so that a matcher which lost the lock cannot commit.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::connected::Connected;
use super::model::Ticket;
use super::pair::{Match, Met, pair};
use super::store::{self, Locked};
use super::talks::{self, NewTalk, View};
use crate::app::App;
use crate::faults::{self, Fault};
use crate::rooms::{self, Pair, Seat};
use crate::{db, moderation};

/// How often the whole table is read, and the lock is tried where another node holds it.
const SCAN: Duration = Duration::from_secs(1);
/// Time between two rounds at least; a round that took long is followed by a longer pause.
const GAP: Duration = Duration::from_millis(5);
const LONGEST_GAP: Duration = Duration::from_millis(250);
/// How long the lock is held before expired leases are acted on: after a crash every node renews its own first.
const SETTLE: Duration = Duration::from_millis(3_500);
/// How long a look at the tickets, or a transaction of pairs, may take: a connection that hangs is given up, and the lock with it.
const ROUND: Duration = Duration::from_secs(6);
/// Pairs that one transaction makes at most.
const TOGETHER: usize = 1_000;
/// A matcher that hangs loses its connection, and with it the lock.
const SESSION: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "3s"),
    ("idle_session_timeout", "3s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    ("application_name", "maju matcher"),
];

/// What the rest of the node knows of its matcher.
#[derive(Default)]
pub(super) struct Matcher {
    news: Notify,
    /// Since when this node has been the one who pairs.
    leads: Mutex<Option<Instant>>,
    pub(super) connected: Connected,
}

impl Matcher {
    /// There is a new ticket.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    /// For how long this node has been the one who pairs; None when it is not.
    pub(super) fn leads_for(&self) -> Option<Duration> {
        self.leads.lock().map(|since| since.elapsed())
    }

    /// Counts the time as the one who pairs from now on, if this node still is.
    fn lead_anew(&self) {
        let mut leads = self.leads.lock();
        if leads.is_some() {
            *leads = Some(Instant::now());
        }
    }

    fn set_leads(&self, since: Option<Instant>) {
        *self.leads.lock() = since;
    }
}

/// Starts the matcher and the sweeper, which works where the matcher holds the lock.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("matching.matcher", move || keep_matching(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("matching.sweeper", move || keep_sweeping(node.clone()));
}

async fn keep_matching(node: App) {
    // An earlier run that panicked has let go of its connection, and with it of the lock.
    node.matching.matcher.set_leads(None);
    while !node.tasks.stopping.is_cancelled() {
        if let Err(why) = lead(&node).await {
            tracing::warn!(error.cause = %why, "the matcher lost its connection; another node or a new one takes over");
            pause(&node, Duration::from_millis(500)).await;
        }
    }
}

async fn keep_sweeping(node: App) {
    while !node.tasks.stopping.is_cancelled() {
        pause(&node, SCAN).await;
        let Some(held) = node.matching.matcher.leads_for() else { continue };
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, sweep(&node, held >= SETTLE)).await {
            tracing::debug!(error.cause = ?why, "the sweep runs again in a second");
        }
    }
}

async fn pause(app: &App, how_long: Duration) {
    tokio::select! {
        () = app.tasks.stopping.cancelled() => {}
        () = tokio::time::sleep(how_long) => {}
    }
}

async fn sweep(app: &App, leases: bool) -> crate::error::Result<()> {
    let asked = Instant::now();
    let now = db::now(&app.db).await?;
    if let Some(jump) = app.clock.jump_to(now, asked) {
        // Half a minute stays half a minute, and every node renews its lease first, as after a crash.
        tracing::warn!(jump.ms = %jump.whole_milliseconds(), "the clock of Postgres has jumped; running times are moved along");
        store::move_times(&app.db, jump).await?;
        app.clock.sync_after_jump(now, asked);
        app.matching.matcher.lead_anew();
        return Ok(());
    }
    let leases = leases && !faults::on(Fault::LeaseNeverExpires);
    if leases {
        store::sweep_tickets(&app.db).await?;
    }
    talks::sweep(app, leases).await
}

/// Waits for the lock, then pairs until the connection fails or the node stops.
async fn lead(app: &App) -> Result<(), sqlx::Error> {
    let connecting = db::connect(&app.db, SESSION).await;
    app.matching.matcher.connected.note(connecting.is_ok());
    let mut connection = connecting?;
    while !db::with_timeout(db::REQUEST_TIMEOUT, store::try_lead(&mut connection)).await? {
        pause(app, SCAN).await;
        if app.tasks.stopping.is_cancelled() {
            return Ok(());
        }
    }
    tracing::debug!(node.id = %app.node, "this node pairs now");
    app.matching.matcher.set_leads(Some(Instant::now()));
    let outcome = Rounds::default().run(app, &mut connection).await;
    app.matching.matcher.set_leads(None);
    // Closed in good order, the lock is free at once.
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
    outcome
}

/// What the matcher remembers between rounds. The table is the truth: it is read whole each second.
#[derive(Default)]
struct Rounds {
    tickets: HashMap<i64, Ticket>,
    met: Met,
    /// The highest ticket id read.
    last: i64,
}

/// What a transaction made of a round's matches.
#[derive(Default)]
struct Outcome {
    views: Vec<View>,
    /// Who was paired.
    taken: Vec<i64>,
    /// Visitors whose tickets do not wait any more.
    gone: Vec<i64>,
    blocked: Vec<(i64, i64)>,
}

impl Rounds {
    async fn run(&mut self, app: &App, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut earliest = Instant::now();
        loop {
            let whole = tokio::select! {
                () = app.tasks.stopping.cancelled() => return Ok(()),
                _ = scan.tick() => true,
                () = app.matching.matcher.news.notified() => false,
            };
            tokio::time::sleep_until(earliest).await;
            db::with_timeout(ROUND, self.look(app, connection, whole)).await?;
            let thinking = Instant::now();
            let matches = pair(self.tickets.values(), &self.met, app.clock.now());
            earliest = Instant::now() + (thinking.elapsed() * 4).clamp(GAP, LONGEST_GAP);
            self.commit_some(app, connection, &matches).await?;
        }
    }

    /// Commits the first matches, of those who have waited longest, for a second. The rest is paired anew after a look at
    /// the table: after a silence a whole crowd is matched at once, and no statement may take long.
    async fn commit_some(
        &mut self,
        app: &App,
        connection: &mut PgConnection,
        matches: &[Match],
    ) -> Result<(), sqlx::Error> {
        let until = Instant::now() + SCAN;
        for some in matches.chunks(TOGETHER) {
            db::with_timeout(ROUND, self.commit(app, connection, some)).await?;
            if Instant::now() >= until || app.tasks.stopping.is_cancelled() {
                app.matching.matcher.wake();
                break;
            }
        }
        Ok(())
    }

    /// Reads the new tickets, or the whole table (ids may commit out of order), and whom their visitors met.
    async fn look(&mut self, app: &App, db: &mut PgConnection, whole: bool) -> Result<(), sqlx::Error> {
        let read = store::live_tickets(&mut *db, if whole { 0 } else { self.last }).await?;
        self.last = read.iter().map(|ticket| ticket.id).max().unwrap_or_default().max(self.last);
        let known = |ticket: &Ticket| self.tickets.get(&ticket.visitor).is_some_and(|known| known.id == ticket.id);
        let new: Vec<i64> = read.iter().filter(|ticket| !known(ticket)).map(|ticket| ticket.visitor).collect();
        if whole {
            self.tickets.clear();
        }
        self.tickets.extend(read.into_iter().map(|ticket| (ticket.visitor, ticket)));
        if whole {
            let tickets = &self.tickets;
            self.met.retain(|visitor| tickets.contains_key(&visitor));
        }
        if !new.is_empty() {
            for (a, b, ended) in talks::met_lately(&mut *db, &new, app.clock.now()).await? {
                self.met.met(a, b, ended);
            }
        }
        if whole && self.tickets.len() > 1 {
            // In between, the check inside the transaction finds them.
            let visitors: Vec<i64> = self.tickets.keys().copied().collect();
            for (low, high) in moderation::blocks_among(db, &visitors).await? {
                self.met.block(low, high);
            }
        }
        Ok(())
    }

    /// Commits a round and tells who was found. A pair that violates a constraint is dropped and the rest written.
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
        for visitor in &outcome.taken {
            app.matching.registry.release(*visitor);
            self.tickets.remove(visitor);
        }
        for visitor in &outcome.gone {
            self.tickets.remove(visitor);
        }
        for (one, other) in &outcome.blocked {
            self.met.block(*one, *other);
        }
        if outcome.views.len() < matches.len() {
            app.matching.matcher.wake(); // those whose partner fell away need not wait for the next scan
        }
        talks::tell_found(app, outcome.views);
        Ok(())
    }

    /// The same, pair by pair with savepoints.
    async fn commit_singly(
        &self,
        app: &App,
        connection: &mut PgConnection,
        matches: &[Match],
    ) -> Result<Outcome, sqlx::Error> {
        let mut all = Outcome::default();
        let mut tx = connection.begin().await?;
        for one in matches {
            let mut point = tx.begin().await?;
            match self.write(app, &mut point, std::slice::from_ref(one)).await {
                Ok(outcome) => {
                    point.commit().await?;
                    all.views.extend(outcome.views);
                    all.taken.extend(outcome.taken);
                    all.gone.extend(outcome.gone);
                    all.blocked.extend(outcome.blocked);
                }
                Err(why) => {
                    let Some(constraint) = db::constraint(&why) else { return Err(why) };
                    tracing::error!(constraint.name = constraint, "a pair that the database forbids was dropped");
                    point.rollback().await?;
                    all.gone.extend([one.a, one.b]); // until the next scan
                }
            }
        }
        tx.commit().await?;
        Ok(all)
    }

    /// Takes the tickets, opens the rooms and stores the talks of those pairs that may still be made.
    async fn write(&self, app: &App, tx: &mut PgConnection, matches: &[Match]) -> Result<Outcome, sqlx::Error> {
        let both = || matches.iter().flat_map(|one| [one.a, one.b]);
        let ids: Vec<i64> = both().filter_map(|visitor| Some(self.tickets.get(&visitor)?.id)).collect();
        let waiting = store::lock_tickets(&mut *tx, &ids).await?;
        let mut waiting: HashMap<i64, Locked> = waiting.into_iter().map(|one| (one.ticket.visitor, one)).collect();
        // Later statements, so that they see what committed while the locks were waited for.
        let visitors: Vec<i64> = waiting.keys().copied().collect();
        let blocked: HashSet<(i64, i64)> = moderation::blocks_among(&mut *tx, &visitors).await?.into_iter().collect();
        let mut take = Vec::with_capacity(ids.len());
        waiting.retain(|_, one| {
            if one.banned {
                take.push(one.ticket.id); // a ban that commits from here on finds the talk and ends it
            }
            !one.banned
        });
        for busy in store::in_talk(&mut *tx, &visitors).await? {
            take.extend(waiting.remove(&busy).map(|one| one.ticket.id)); // somebody in a talk does not seek
        }
        let mut outcome = Outcome::default();
        let mut made = Vec::with_capacity(matches.len());
        for one in matches {
            let pair = (one.a.min(one.b), one.a.max(one.b));
            match (waiting.get(&one.a), waiting.get(&one.b)) {
                (Some(_), Some(_)) if blocked.contains(&pair) => outcome.blocked.push(pair),
                (Some(a), Some(b)) => made.push(if rand::random() { (one, a, b) } else { (one, b, a) }),
                (a, b) => {
                    let missing = [(one.a, a), (one.b, b)].into_iter().filter(|(_, there)| there.is_none());
                    outcome.gone.extend(missing.map(|(visitor, _)| visitor));
                }
            }
        }
        take.extend(made.iter().flat_map(|(_, a, b)| [a.ticket.id, b.ticket.id]));
        let taken: HashSet<i64> = store::take_tickets(&mut *tx, &take).await?.into_iter().collect();
        made.retain(|(_, a, b)| taken.contains(&a.ticket.id) && taken.contains(&b.ticket.id));
        outcome.taken = made.iter().flat_map(|(_, a, b)| [a.ticket.visitor, b.ticket.visitor]).collect();
        outcome.views = open(app, tx, &made).await?;
        if faults::on(Fault::FoundToldBeforeCommit) {
            talks::tell_found(app, std::mem::take(&mut outcome.views));
        }
        Ok(outcome)
    }
}

/// Opens the rooms and stores the talks: `a` and `b` in their slots.
async fn open(app: &App, tx: &mut PgConnection, made: &[(&Match, &Locked, &Locked)]) -> Result<Vec<View>, sqlx::Error> {
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let seat = |one: &Locked| Seat { visitor: one.ticket.visitor, locale: one.locale };
    let pairs: Vec<Pair> = made.iter().map(|(_, a, b)| Pair { a: seat(a), b: seat(b) }).collect();
    let opened = rooms::open(&mut *tx, &pairs).await?;
    let new = made.iter().zip(&opened).map(|((one, a, b), room)| NewTalk {
        room_id: *room,
        a: &a.ticket,
        b: &b.ticket,
        shared: &one.shared,
        languages: &one.languages,
        relaxed: one.relaxed,
    });
    let ids = talks::insert(&mut *tx, &new.collect::<Vec<_>>(), app.clock.now()).await?;
    talks::views(tx, &ids).await
}
