//! The dashboard: the start page of the back-office. A script keeps it fresh and adds cursors to its
//! charts; without one, everything is on the page.
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use super::chart::{Chart, Event};
use super::desk::{Area, Desk};
use super::figures::{self, Figure, Figures};
use super::format::Times;
use super::panels::{self, Panel};
use crate::app::App;
use crate::audit;
use crate::db;
use crate::error::Result;
use crate::http::Query;
use crate::locale::{AdminStrings, DashboardStrings};

/// The ranges of the address, in seconds, in the order of their names in the strings.
pub(super) const RANGES: [(&str, i64); 6] =
    [("15m", 900), ("1h", 3_600), ("6h", 21_600), ("24h", 86_400), ("7d", 604_800), ("90d", 7_776_000)];
/// The usual range.
pub(super) const USUAL_RANGE: usize = 1;
/// The pauses between two refreshes in seconds. 0 is off.
const REFRESHES: [u32; 3] = [0, 10, 60];
/// How long one part of the page may wait for the database. What takes longer says so, and the rest
/// of the page is shown.
pub(super) const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// Events of one kind that are marked at most, the newest.
const MAX_EVENTS: i64 = 20;

/// What is asked for. Unknown values count as the usual ones.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    range: String,
    #[serde(default)]
    refresh: String,
}

/// The time that a page shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

/// A choice of the page's head.
struct Choice {
    name: String,
    path: String,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "admin/dashboard.html")]
struct Dashboard {
    t: &'static AdminStrings,
    d: &'static DashboardStrings,
    range: &'static str,
    refresh: u32,
    ranges: Vec<Choice>,
    refreshes: Vec<Choice>,
    as_of: String,
    zone: String,
    offset_secs: i32,
    lead: Figure,
    spark: Chart,
    figures: Vec<Figure>,
    panels: Vec<Panel>,
    small: Vec<Panel>,
    day_path: String,
    own_path: String,
}

pub(super) async fn page(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    let t = desk.t();
    let range = RANGES.iter().position(|(name, _)| *name == asked.range).unwrap_or(USUAL_RANGE);
    let (name, secs) = RANGES[range];
    let refresh = asked.refresh.parse().ok().filter(|secs| REFRESHES.contains(secs)).unwrap_or(0);
    let path = |range: &str, refresh: u32| format!("/admin?range={range}&refresh={refresh}");
    let now = desk.app.clock.now();
    let span = Span { from: now - Duration::seconds(secs), until: now };
    let times = Times::of(&desk.app, desk.appearance.locale).await;
    let d = &t.dashboard;
    let events = events(&desk.app, span, d).await;
    let (figures, (panels, small)) =
        tokio::join!(figures::read(&desk.app, span, d), panels::read(&desk.app, span, &events, times, d));
    let Figures { lead, spark, others } = figures;
    let page = Dashboard {
        t,
        d,
        range: name,
        refresh,
        ranges: (RANGES.iter().zip(d.ranges).enumerate())
            .map(|(nth, ((key, _), name))| Choice {
                name: name.to_owned(),
                path: path(key, refresh),
                is_current: nth == range,
            })
            .collect(),
        refreshes: (REFRESHES.into_iter())
            .map(|secs| Choice {
                name: if secs == 0 { d.refresh_off.to_owned() } else { (d.refresh_every)(secs) },
                path: path(name, secs),
                is_current: secs == refresh,
            })
            .collect(),
        as_of: (d.as_of)(&times.clock(now), &desk.app.config.time_zone),
        zone: desk.app.config.time_zone.clone(),
        offset_secs: times.offset().whole_seconds(),
        lead,
        spark,
        figures: others,
        panels,
        small,
        day_path: path("24h", refresh),
        own_path: path(name, refresh),
    };
    desk.respond(StatusCode::OK, Area::Dashboard, &[], t.shell.dashboard, &page).await
}

/// Returns what the charts mark: publishes, and starts of new versions. None if they cannot be read.
async fn events(app: &App, span: Span, d: &DashboardStrings) -> Vec<Event> {
    let mut events = Vec::new();
    for (action, class, name) in
        [("section.published", "mark-publish", d.published), ("server.updated", "mark-version", d.updated)]
    {
        let filter = audit::Filter { actor: "", action, from: Some(span.from), until: Some(span.until) };
        let read = db::with_timeout(READ_TIMEOUT, audit::list(&app.db, &filter, None, MAX_EVENTS)).await;
        events.extend(read.unwrap_or_default().into_iter().map(|act| {
            let what = match act.detail.get("version").and_then(serde_json::Value::as_i64) {
                Some(version) => format!("v{version}"),
                None if class == "mark-version" => act.subject,
                None => String::new(),
            };
            Event { at: act.at, class, name: format!("{name} {what}").trim_end().to_owned() }
        }));
    }
    events.sort_by_key(|event| event.at);
    events
}
