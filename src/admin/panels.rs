//! The panels of the dashboard. Each reads its own series, so that one that fails leaves the others.
use futures_util::future::join_all;
use time::Duration;

use super::chart::{Chart, Event, Line, Plan};
use super::dashboard::{READ_TIMEOUT, Span};
use super::format::{Times, number};
use super::measure::series;
use crate::app::App;
use crate::db;
use crate::locale::DashboardStrings;
use crate::samples::{self, Point};

/// A line of a panel.
struct LineSpec {
    series: &'static str,
    class: &'static str,
    name: &'static str,
    /// What a value is multiplied with to be shown.
    scale: f64,
    /// How much earlier the line was measured.
    before: Duration,
}

/// A panel before its values are read.
struct Spec {
    id: &'static str,
    title: &'static str,
    sub: &'static str,
    lines: Vec<LineSpec>,
    is_filled: bool,
    digits: usize,
    goal: Option<(f64, &'static str)>,
    has_events: bool,
}

/// How a panel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PanelState {
    Data,
    /// The values end some time ago.
    Stale,
    Empty,
    Failed,
}

/// A line in a panel's legend, with what the script needs to draw it.
pub(super) struct Legend {
    pub series: &'static str,
    pub class: &'static str,
    pub name: &'static str,
    pub scale: f64,
    pub before_secs: i64,
    pub value: String,
}

/// A panel to be written by a template.
pub(super) struct Panel {
    pub id: &'static str,
    pub title: &'static str,
    pub sub: &'static str,
    pub digits: usize,
    pub state: PanelState,
    /// How long ago the values end, and when.
    pub stale: String,
    pub stale_text: String,
    pub goal: Option<f64>,
    pub legend: Vec<Legend>,
    pub chart: Chart,
    /// The chart in words.
    pub label: String,
}

impl Panel {
    pub(super) fn has_chart(&self) -> bool {
        matches!(self.state, PanelState::Data | PanelState::Stale)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.state == PanelState::Stale
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == PanelState::Empty
    }
}

fn line(series: &'static str, class: &'static str, name: &'static str) -> LineSpec {
    LineSpec { series, class, name, scale: 1.0, before: Duration::ZERO }
}

fn spec(id: &'static str, title: &'static str, sub: &'static str, lines: Vec<LineSpec>) -> Spec {
    Spec { id, title, sub, lines, is_filled: false, digits: 0, goal: None, has_events: false }
}

/// The large panels.
fn large(d: &DashboardStrings) -> Vec<Spec> {
    let week = LineSpec { before: Duration::days(7), ..line(series::ONLINE, "line-2", d.last_week) };
    let per_minute = |series, class, name| LineSpec { scale: 60.0, ..line(series, class, name) };
    vec![
        Spec {
            is_filled: true,
            has_events: true,
            ..spec("online", d.panel_online, d.sub_people, vec![line(series::ONLINE, "line-1", d.now), week])
        },
        Spec {
            digits: 1,
            has_events: true,
            ..spec(
                "messages",
                d.panel_messages,
                d.sub_per_second,
                vec![
                    line(series::ROOM_MESSAGES, "line-1", d.in_rooms),
                    line(series::TALK_MESSAGES, "line-3", d.in_talks),
                ],
            )
        },
        Spec {
            digits: 1,
            goal: Some((10.0, d.goal_wait)),
            ..spec(
                "waits",
                d.panel_waits,
                d.sub_seconds,
                vec![line(series::MEDIAN_WAIT, "line-1", d.median), line(series::SLOW_WAIT, "line-4", d.p95)],
            )
        },
        Spec {
            digits: 1,
            has_events: true,
            ..spec(
                "errors",
                d.panel_errors,
                d.sub_per_minute,
                vec![per_minute(series::ERRORS, "line-5", d.errors), per_minute(series::REPORTS, "line-4", d.reports)],
            )
        },
    ]
}

/// The small panels about the servers.
fn small(d: &DashboardStrings) -> Vec<Spec> {
    let one = |id, title, sub, series, name| spec(id, title, sub, vec![line(series, "line-1", name)]);
    vec![
        Spec { digits: 1, ..one("commit", d.panel_commit, d.sub_ms, series::COMMIT, d.p99) },
        one("writer", d.panel_writer, d.sub_entries, series::WRITER_QUEUE, d.waiting),
        one("pool", d.panel_pool, d.sub_connections, series::POOL, d.used),
        one("mail", d.panel_mail, d.sub_mails, series::MAIL_QUEUE, d.waiting),
    ]
}

/// Reads the large panels and the small ones.
pub(super) async fn read(
    app: &App,
    span: Span,
    events: &[Event],
    times: Times,
    d: &DashboardStrings,
) -> (Vec<Panel>, Vec<Panel>) {
    let all = |specs: Vec<Spec>| join_all(specs.into_iter().map(|spec| panel(app, spec, span, events, times, d)));
    tokio::join!(all(large(d)), all(small(d)))
}

/// The points of each line of a panel, and the seconds between two of them.
async fn points(app: &App, spec: &Spec, span: Span) -> Result<(Vec<Vec<Point>>, i64), sqlx::Error> {
    let mut lines = Vec::new();
    let mut step_secs = 10;
    for line in &spec.lines {
        let (from, until) = (span.from - line.before, span.until - line.before);
        let read = samples::read(&app.db, &[line.series], from, until, span.until).await?;
        if line.before.is_zero() {
            step_secs = read.step_secs;
        }
        let moved = |point: Point| Point { at: point.at + line.before, value: point.value * line.scale };
        lines.push(read.series.into_iter().flatten().map(moved).collect());
    }
    Ok((lines, step_secs))
}

async fn panel(app: &App, spec: Spec, span: Span, events: &[Event], times: Times, d: &DashboardStrings) -> Panel {
    let read = db::with_timeout(READ_TIMEOUT, points(app, &spec, span)).await;
    let failed = read.is_err();
    let (lines, step_secs) = read.unwrap_or_default();
    let own = spec.lines.iter().zip(&lines).filter(|(line, _)| line.before.is_zero());
    let newest = own.filter_map(|(_, points)| Some(points.last()?.at)).max();
    let limit = Duration::seconds((step_secs * 3).max(60));
    let state = match newest {
        _ if failed => PanelState::Failed,
        None => PanelState::Empty,
        Some(at) if span.until - at > limit => PanelState::Stale,
        Some(_) => PanelState::Data,
    };
    let legend: Vec<Legend> = (spec.lines.iter().enumerate())
        .map(|(nth, line)| Legend {
            series: line.series,
            class: line.class,
            name: line.name,
            scale: line.scale,
            before_secs: line.before.whole_seconds(),
            value: match lines.get(nth).and_then(|points| points.last()) {
                Some(point) => number(point.value, spec.digits),
                None => d.unknown.to_owned(),
            },
        })
        .collect();
    let drawn: Vec<Line> = (spec.lines.iter().zip(lines).enumerate())
        .map(|(nth, (line, points))| Line { class: line.class, points, is_filled: spec.is_filled && nth == 0 })
        .collect();
    let plan = Plan {
        from: span.from,
        until: span.until,
        step_secs,
        lines: &drawn,
        events: if spec.has_events { events } else { &[] },
        goal: spec.goal,
        digits: spec.digits,
        times,
    };
    let values = legend.iter().map(|one| format!("{} {}", one.name, one.value)).collect::<Vec<_>>().join(", ");
    let stale_for = newest.map(|at| (span.until - at).unsigned_abs()).unwrap_or_default();
    Panel {
        id: spec.id,
        title: spec.title,
        sub: spec.sub,
        digits: spec.digits,
        state,
        stale: (d.stale)(&times.span(stale_for)),
        stale_text: (d.stale_text)(&newest.map(|at| times.clock(at)).unwrap_or_default()),
        goal: spec.goal.map(|(value, _)| value),
        chart: if matches!(state, PanelState::Data | PanelState::Stale) {
            Chart::draw(&plan)
        } else {
            Chart::default()
        },
        label: format!("{} ({}): {values}", spec.title, spec.sub),
        legend,
    }
}
