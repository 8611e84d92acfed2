//! The measurements of the dashboard, each 10 seconds: what all nodes have together is measured by
//! the node that runs the matcher, and what each node counts is added up.
use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::db::{self, LatencyCounts};
use crate::samples::{self, Combine, Part, Step};
use crate::{accounts, matching, moderation, notify, rooms};

/// The names of the series. Those that count are per second.
pub(super) mod series {
    pub(in crate::admin) const ONLINE: &str = "people.online";
    pub(in crate::admin) const SEARCHING: &str = "matching.searching";
    pub(in crate::admin) const TALKS: &str = "matching.talks";
    pub(in crate::admin) const MEDIAN_WAIT: &str = "matching.wait_median";
    pub(in crate::admin) const SLOW_WAIT: &str = "matching.wait_p95";
    pub(in crate::admin) const ROOMS: &str = "rooms.open";
    pub(in crate::admin) const SESSIONS: &str = "people.signed_in";
    pub(in crate::admin) const REPORTS: &str = "moderation.reports";
    pub(in crate::admin) const ROOM_MESSAGES: &str = "messages.rooms";
    pub(in crate::admin) const TALK_MESSAGES: &str = "messages.talks";
    pub(in crate::admin) const REQUESTS: &str = "http.requests";
    pub(in crate::admin) const ERRORS: &str = "http.errors";
    pub(in crate::admin) const SIGN_INS: &str = "people.sign_ins";
    /// In milliseconds.
    pub(in crate::admin) const COMMIT: &str = "writer.commit_p99";
    pub(in crate::admin) const WRITER_QUEUE: &str = "writer.queue";
    pub(in crate::admin) const MAIL_QUEUE: &str = "mail.queue";
    /// Connections of the pools that are in use.
    pub(in crate::admin) const POOL: &str = "db.pool";

    /// All of them.
    pub(in crate::admin) const ALL: [&str; 17] = [
        ONLINE,
        SEARCHING,
        TALKS,
        MEDIAN_WAIT,
        SLOW_WAIT,
        ROOMS,
        SESSIONS,
        REPORTS,
        ROOM_MESSAGES,
        TALK_MESSAGES,
        REQUESTS,
        ERRORS,
        SIGN_INS,
        COMMIT,
        WRITER_QUEUE,
        MAIL_QUEUE,
        POOL,
    ];
}

/// The time between two measurements.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a node has counted since its start.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    at: Instant,
    room_entries: u64,
    talk_entries: u64,
    commits: LatencyCounts,
    answered: u64,
    failed: u64,
    sign_ins: u64,
}

/// Starts the task that measures.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("admin.measure", INTERVAL, move || measure(node.clone()));
}

async fn measure(app: App) {
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, record(&app)).await {
        tracing::debug!(error.cause = %why, "the figures of the dashboard were not recorded, retrying in 10 s");
    }
}

/// Measures and records the step that is now.
///
/// # Errors
/// Those of the database.
pub(super) async fn record(app: &App) -> sqlx::Result<()> {
    let at = Step::TenSeconds.start_of(app.clock.now());
    let mut parts = own_parts(app);
    if matching::leading_for(app).is_some() {
        parts.extend(shared_parts(app).await?);
    }
    samples::record_parts(&app.db, at, &parts).await
}

fn part(series: &'static str, combine: Combine, value: f64) -> Part<'static> {
    Part { series, combine, value, amount: 1 }
}

/// Returns what this node has counted since the last measurement, and its queues.
fn own_parts(app: &App) -> Vec<Part<'static>> {
    let writer = rooms::writer_counts(app);
    let now = Counts {
        at: Instant::now(),
        room_entries: writer.room_entries,
        talk_entries: writer.talk_entries,
        commits: writer.commits,
        answered: app.traffic.answered(),
        failed: app.traffic.failed(),
        sign_ins: app.accounts.sign_ins(),
    };
    let waiting: usize = writer.waiting.iter().sum();
    let used = f64::from(app.db.size()) - app.db.num_idle() as f64;
    let mut parts = vec![
        part(series::WRITER_QUEUE, Combine::Add, waiting as f64),
        part(series::MAIL_QUEUE, Combine::Add, notify::queued(app) as f64),
        part(series::POOL, Combine::Add, used.max(0.0)),
    ];
    let Some(before) = app.admin.counted.lock().replace(now.clone()) else { return parts };
    let secs = (now.at - before.at).as_secs_f64().max(1.0);
    let rate = |series, now: u64, before: u64| part(series, Combine::Add, now.saturating_sub(before) as f64 / secs);
    parts.extend([
        rate(series::ROOM_MESSAGES, now.room_entries, before.room_entries),
        rate(series::TALK_MESSAGES, now.talk_entries, before.talk_entries),
        rate(series::REQUESTS, now.answered, before.answered),
        rate(series::ERRORS, now.failed, before.failed),
        rate(series::SIGN_INS, now.sign_ins, before.sign_ins),
    ]);
    let commits = now.commits.since(&before.commits);
    if let Some(slow) = commits.quantile(0.99) {
        let amount = i64::try_from(commits.amount()).unwrap_or(i64::MAX);
        parts.push(Part { amount, ..part(series::COMMIT, Combine::Max, slow.as_secs_f64() * 1e3) });
    }
    parts
}

/// Returns what all nodes have together.
async fn shared_parts(app: &App) -> sqlx::Result<Vec<Part<'static>>> {
    let figures = matching::figures(&app.db).await?;
    let reports = moderation::count_reports(&app.db, app.clock.now() - time::Duration::seconds(10)).await?;
    let whole = |series, value: i64| part(series, Combine::Replace, value as f64);
    let mut parts = vec![
        whole(series::ONLINE, accounts::count_online(&app.db).await?),
        whole(series::SEARCHING, figures.waiting),
        whole(series::TALKS, figures.talks),
        whole(series::ROOMS, rooms::count_open(&app.db).await?),
        whole(series::SESSIONS, accounts::people::count_live_sessions(&app.db).await?),
        part(series::REPORTS, Combine::Replace, reports as f64 / 10.0),
    ];
    let waits = [(series::MEDIAN_WAIT, figures.median_secs), (series::SLOW_WAIT, figures.slow_secs)];
    parts.extend(
        waits
            .into_iter()
            .filter_map(|(series, secs)| Some(Part { amount: figures.waits, ..part(series, Combine::Replace, secs?) })),
    );
    Ok(parts)
}
