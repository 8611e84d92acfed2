//! Health: what the service depends on and its own parts, each with its state in words, since when it
//! is so, and what to do. Checked in the background, so that the page costs no check.
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use time::OffsetDateTime;

use super::desk::{Area, Desk};
use super::format::{Times, bytes};
use crate::app::App;
use crate::db::{self, ServerState};
use crate::error::Result;
use crate::locale::{AdminStrings, HealthStrings};
use crate::{matching, notify, ready, realtime, rooms};

/// The time between two checks.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long Redis may take to answer.
const REDIS_TIMEOUT: Duration = Duration::from_secs(2);
/// The time since the last round or sweep from which the matcher is late.
const LATE: Duration = Duration::from_secs(10);
/// Messages or mails that may wait.
const MANY_WAITING: usize = 500;
const MANY_MAILS: usize = 20;
/// The share of the disk that should be free, in percent, and the one below which it is urgent.
const LOW_DISK: u64 = 10;
const NO_DISK: u64 = 3;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    /// Not in use.
    Off,
    Warning,
    Wrong,
}

/// What was found, in numbers; words are made for each reader.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// The reasons for which the node accepts no requests. Empty if it does.
    Node(Vec<String>),
    Postgres(Option<ServerState>),
    /// `None` without Redis; its version, or `Err` if it does not answer.
    Relay(Option<std::result::Result<String, ()>>),
    Writer {
        can_write: bool,
        waiting: usize,
        shards: usize,
    },
    Matcher {
        leading: Option<Duration>,
        other: Option<String>,
        is_late: bool,
    },
    Sweeper {
        is_late: bool,
        is_here: bool,
    },
    Mail {
        can_mail: bool,
        waiting: usize,
    },
    /// Bytes that are free, and of how many.
    Disk(Option<(u64, u64)>),
}

/// Something that was checked.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub key: &'static str,
    pub level: Level,
    pub found: Found,
}

/// Starts the task that checks.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("admin.health", INTERVAL, move || check(node.clone()));
}

/// Checks everything and keeps what was found.
pub(super) async fn check(app: App) {
    let (postgres, nodes, relay) = tokio::join!(
        db::with_timeout(db::REQUEST_TIMEOUT, db::server_state(&app.db)),
        db::with_timeout(db::REQUEST_TIMEOUT, matching::live_nodes(&app.db)),
        relay(&app)
    );
    let (round, sweep) = matching::last_work(&app);
    let leading = matching::leading_for(&app);
    let late =
        |since: Option<Duration>| leading.is_some_and(|leading| leading > LATE) && since.is_none_or(|at| at > LATE);
    let leader = nodes.unwrap_or_default().into_iter().find(|node| node.leads_since.is_some() && node.node != app.node);
    let writer = rooms::writer_counts(&app);
    let found = [
        ("node", Found::Node(ready::reasons(&app))),
        ("postgres", Found::Postgres(postgres.ok())),
        ("relay", Found::Relay(relay)),
        (
            "writer",
            Found::Writer {
                can_write: rooms::can_write(&app),
                waiting: writer.waiting.iter().sum(),
                shards: writer.waiting.len(),
            },
        ),
        ("matcher", Found::Matcher { leading, other: leader.map(|node| node.address), is_late: late(round) }),
        ("sweeper", Found::Sweeper { is_late: late(sweep), is_here: leading.is_some() }),
        ("mail", Found::Mail { can_mail: notify::can_mail(&app), waiting: notify::queued(&app) }),
        ("disk", Found::Disk(disk(&app))),
    ];
    let now = app.clock.now();
    let checks: Vec<Check> =
        (found.into_iter()).map(|(key, found)| Check { key, level: level(&found), found }).collect();
    let mut since = app.admin.since.lock();
    for check in &checks {
        let entry = since.entry(check.key).or_insert((check.level, now));
        if entry.0 != check.level {
            *entry = (check.level, now);
        }
    }
    drop(since);
    *app.admin.checks.lock() = Some((now, checks));
}

async fn relay(app: &App) -> Option<std::result::Result<String, ()>> {
    let url = app.config.redis_url.as_deref()?;
    let answer = tokio::time::timeout(REDIS_TIMEOUT, realtime::probe(url)).await;
    Some(answer.map_err(|_| ()).and_then(|answer| answer.map_err(|_| ())))
}

/// Returns the free bytes of the disk with the data folder, and all. `None` if it cannot be read.
fn disk(app: &App) -> Option<(u64, u64)> {
    // The folder may not exist yet, with a database elsewhere.
    let found = app.config.data_dir.ancestors().find(|folder| folder.exists());
    let folder = found.map_or_else(|| std::path::PathBuf::from("."), std::path::Path::to_path_buf);
    let stat = rustix::fs::statvfs(&folder).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

fn percent((free, all): (u64, u64)) -> u64 {
    free.saturating_mul(100) / all.max(1)
}

/// Judges what was found.
pub(super) fn level(found: &Found) -> Level {
    let worse = |is_wrong: bool, is_warning: bool| match (is_wrong, is_warning) {
        (true, _) => Level::Wrong,
        (false, true) => Level::Warning,
        (false, false) => Level::Good,
    };
    match found {
        Found::Node(reasons) => worse(!reasons.is_empty(), false),
        Found::Postgres(None) | Found::Relay(Some(Err(()))) => Level::Wrong,
        Found::Postgres(Some(state)) => worse(false, state.slow > 0 || is_full(state)),
        Found::Relay(Some(Ok(_))) => Level::Good,
        Found::Relay(None) => Level::Off,
        Found::Writer { can_write, waiting, .. } => worse(!can_write, *waiting > MANY_WAITING),
        Found::Matcher { leading: None, other: None, .. } => Level::Wrong,
        Found::Matcher { is_late, .. } | Found::Sweeper { is_late, .. } => worse(false, *is_late),
        Found::Mail { can_mail: false, .. } => Level::Off,
        Found::Mail { waiting, .. } => worse(false, *waiting > MANY_MAILS),
        Found::Disk(None) => Level::Warning,
        Found::Disk(Some(space)) => worse(percent(*space) < NO_DISK, percent(*space) < LOW_DISK),
    }
}

fn is_full(state: &ServerState) -> bool {
    state.connections * 10 > state.max_connections * 9
}

/// A check on the page.
struct Row {
    key: &'static str,
    name: &'static str,
    class: &'static str,
    state: &'static str,
    text: String,
    since: String,
    what_to_do: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "admin/health.html")]
struct Page {
    t: &'static AdminStrings,
    h: &'static HealthStrings,
    lead: String,
    summary: Option<String>,
    is_good: bool,
    rows: Vec<Row>,
}

pub(super) async fn page(desk: Desk) -> Result<Response> {
    let t = desk.t();
    let h = &t.health;
    let times = Times::of(&desk.app, desk.appearance.locale).await;
    let checked = desk.app.admin.checks.lock().clone();
    let since = desk.app.admin.since.lock().clone();
    let now = desk.app.clock.now();
    let checks = checked.as_ref().map_or(&[][..], |(_, checks)| checks);
    let bad = checks.iter().filter(|check| matches!(check.level, Level::Warning | Level::Wrong)).count();
    let row = |check: &Check| {
        let at = since.get(check.key).map_or(now, |(_, at)| *at);
        row(h, check, times, now, at)
    };
    let page = Page {
        t,
        h,
        lead: checked.as_ref().map_or_else(|| h.lead_none.to_owned(), |(at, _)| (h.lead)(&times.clock(*at))),
        summary: (!checks.is_empty()).then(|| if bad == 0 { h.all_good.to_owned() } else { (h.some_bad)(bad) }),
        is_good: bad == 0,
        rows: checks.iter().map(row).collect(),
    };
    desk.respond(StatusCode::OK, Area::Health, &[], t.shell.health, &page).await
}

fn row(h: &'static HealthStrings, check: &Check, times: Times, now: OffsetDateTime, since: OffsetDateTime) -> Row {
    let (class, state) = match check.level {
        Level::Good => ("badge-good", h.good),
        Level::Off => ("", h.off),
        Level::Warning => ("badge-warn", h.warning),
        Level::Wrong => ("badge-bad", h.wrong),
    };
    let (text, what_to_do) = words(h, &check.found, times);
    let is_bad = matches!(check.level, Level::Warning | Level::Wrong);
    let is_mail_off = matches!(check.found, Found::Mail { can_mail: false, .. });
    Row {
        key: check.key,
        name: h.names.iter().find(|(key, _)| *key == check.key).map_or("", |(_, name)| name),
        class,
        state,
        text,
        since: (h.since)(&times.ago(now, since)),
        what_to_do: what_to_do.filter(|_| is_bad || is_mail_off),
    }
}

/// Returns what was found in words, and what to do if it is not good.
fn words(h: &'static HealthStrings, found: &Found, times: Times) -> (String, Option<&'static str>) {
    match found {
        Found::Node(reasons) if reasons.is_empty() => (h.node_good.to_owned(), None),
        Found::Node(reasons) => (format!("{} ({})", h.not_ready, reasons.join("; ")), Some(h.node_do)),
        Found::Postgres(None) => (h.postgres_silent.to_owned(), Some(h.postgres_do)),
        Found::Postgres(Some(state)) if is_full(state) => {
            ((h.postgres_full)(state.connections, state.max_connections), Some(h.postgres_full_do))
        }
        Found::Postgres(Some(state)) if state.slow > 0 => ((h.postgres_slow)(state.slow), Some(h.postgres_slow_do)),
        Found::Postgres(Some(state)) => {
            let size = bytes(state.bytes.unsigned_abs());
            ((h.postgres_good)(&state.version, &size, state.connections, state.max_connections), None)
        }
        Found::Relay(None) => (h.relay_alone.to_owned(), None),
        Found::Relay(Some(Ok(version))) => ((h.relay_good)(version), None),
        Found::Relay(Some(Err(()))) => (h.relay_wrong.to_owned(), Some(h.relay_do)),
        Found::Writer { can_write: false, .. } => (h.writer_refused.to_owned(), Some(h.writer_do)),
        Found::Writer { waiting, .. } if *waiting > MANY_WAITING => ((h.writer_waits)(*waiting), Some(h.writer_do)),
        Found::Writer { shards, .. } => ((h.writer_good)(*shards), None),
        Found::Matcher { leading: Some(_), is_late: true, .. } => (h.matcher_late.to_owned(), Some(h.matcher_do)),
        Found::Matcher { leading: Some(leading), .. } => ((h.matcher_here)(&times.span(*leading)), None),
        Found::Matcher { other: Some(node), .. } => ((h.matcher_elsewhere)(node), None),
        Found::Matcher { .. } => (h.matcher_none.to_owned(), Some(h.matcher_do)),
        Found::Sweeper { is_late: true, .. } => (h.sweeper_late.to_owned(), Some(h.sweeper_do)),
        Found::Sweeper { is_here: true, .. } => (h.sweeper_good.to_owned(), None),
        Found::Sweeper { .. } => ((h.matcher_elsewhere)("–"), None),
        Found::Mail { can_mail: false, .. } => (h.mail_off.to_owned(), Some(h.mail_off_do)),
        Found::Mail { waiting, .. } if *waiting > MANY_MAILS => ((h.mail_waits)(*waiting), Some(h.mail_do)),
        Found::Mail { waiting, .. } => ((h.mail_good)(*waiting), None),
        Found::Disk(None) => (h.disk_unknown.to_owned(), Some(h.disk_do)),
        Found::Disk(Some(space)) if percent(*space) < LOW_DISK => {
            ((h.disk_low)(&bytes(space.0), percent(*space)), Some(h.disk_do))
        }
        Found::Disk(Some(space)) => ((h.disk_good)(&bytes(space.0), percent(*space)), None),
    }
}
