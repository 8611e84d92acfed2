//! The figures at the top of the dashboard: what is now, and what it was in the range.
use std::collections::HashMap;

use time::Duration;

use super::chart::Chart;
use super::dashboard::{READ_TIMEOUT, Span};
use super::format::number;
use super::measure::series;
use crate::app::App;
use crate::db;
use crate::locale::DashboardStrings;
use crate::samples::{self, Point};

/// A value older than this is not shown as the present one.
const FRESH: Duration = Duration::seconds(45);
/// The series of the figures.
const SERIES: [&str; 12] = [
    series::ONLINE,
    series::SEARCHING,
    series::TALKS,
    series::ROOMS,
    series::SESSIONS,
    series::SIGN_INS,
    series::ROOM_MESSAGES,
    series::TALK_MESSAGES,
    series::MEDIAN_WAIT,
    series::REPORTS,
    series::ERRORS,
    series::REQUESTS,
];

/// A figure with its name.
pub(super) struct Figure {
    /// The series that the script adds up for it, separated by spaces. Empty if it is not refreshed.
    pub series: &'static str,
    pub digits: usize,
    /// Stands after the number.
    pub unit: String,
    pub name: &'static str,
    pub value: String,
    pub note: String,
    /// Needs somebody's attention.
    pub is_hot: bool,
}

pub(super) struct Figures {
    pub lead: Figure,
    pub spark: Chart,
    pub others: Vec<Figure>,
}

/// What was measured.
struct Measured {
    now: HashMap<String, f64>,
    range: HashMap<&'static str, Vec<Point>>,
    step_secs: i64,
    secs: f64,
}

impl Measured {
    fn points(&self, series: &str) -> &[Point] {
        self.range.get(series).map_or(&[], Vec::as_slice)
    }

    fn average(&self, series: &str) -> Option<f64> {
        let points = self.points(series);
        (!points.is_empty()).then(|| points.iter().map(|point| point.value).sum::<f64>() / points.len() as f64)
    }

    fn highest(&self, series: &str) -> Option<f64> {
        self.points(series).iter().map(|point| point.value).reduce(f64::max)
    }

    /// Returns how many there were in the range, of a series that is per second.
    fn total(&self, series: &str) -> f64 {
        let covered = (self.points(series).len() as f64 * self.step_secs as f64).min(self.secs);
        (self.average(series).unwrap_or_default() * covered).round()
    }
}

/// Reads the figures. What cannot be read is shown as unknown.
pub(super) async fn read(app: &App, span: Span, d: &DashboardStrings) -> Figures {
    let now = span.until;
    let week = Duration::days(7);
    let (then, until) = (now - week - Duration::minutes(5), now - week + Duration::minutes(5));
    let (latest, range, before) = tokio::join!(
        db::with_timeout(READ_TIMEOUT, samples::latest(&app.db, &SERIES, now - FRESH)),
        db::with_timeout(READ_TIMEOUT, samples::read(&app.db, &SERIES, span.from, now, now)),
        db::with_timeout(READ_TIMEOUT, samples::read(&app.db, &[series::ONLINE], then, until, now)),
    );
    let (range, before) = (range.ok(), before.ok());
    let step_secs = range.as_ref().map_or(10, |range| range.step_secs);
    let measured = Measured {
        now: latest.unwrap_or_default().into_iter().map(|(series, point)| (series, point.value)).collect(),
        range: range.map(|range| SERIES.into_iter().zip(range.series).collect()).unwrap_or_default(),
        step_secs,
        secs: (span.until - span.from).as_seconds_f64(),
    };
    let before = before.and_then(|range| {
        let points = range.series.into_iter().next()?;
        (!points.is_empty()).then(|| points.iter().map(|point| point.value).sum::<f64>() / points.len() as f64)
    });
    Figures {
        lead: lead(&measured, before, d),
        spark: Chart::spark(measured.points(series::ONLINE), span.from, span.until, step_secs),
        others: others(&measured, d),
    }
}

fn lead(measured: &Measured, before: Option<f64>, d: &DashboardStrings) -> Figure {
    let online = measured.now.get(series::ONLINE).copied();
    let note = match (online, before.map(f64::round)) {
        (Some(online), Some(before)) if online > before => (d.than_last_week)(&number(online - before, 0), true),
        (Some(online), Some(before)) if online < before => (d.than_last_week)(&number(before - online, 0), false),
        (Some(_), Some(_)) => d.as_last_week.to_owned(),
        _ => String::new(),
    };
    figure(series::ONLINE, d.online, online, 0, note, d)
}

fn figure(
    series: &'static str,
    name: &'static str,
    value: Option<f64>,
    digits: usize,
    note: String,
    d: &DashboardStrings,
) -> Figure {
    let value = value.map_or_else(|| d.unknown.to_owned(), |value| number(value, digits));
    Figure { series, digits, unit: String::new(), name, value, note, is_hot: false }
}

fn others(measured: &Measured, d: &DashboardStrings) -> Vec<Figure> {
    let now = |series: &str| measured.now.get(series).copied();
    let average =
        |series: &str| measured.average(series).map(|value| (d.average)(&number(value, 0))).unwrap_or_default();
    let both = |one: Option<f64>, other: Option<f64>| one.or(other).map(|_| one.unwrap_or(0.0) + other.unwrap_or(0.0));
    let talks = now(series::TALKS);
    let highest = both(measured.highest(series::ROOM_MESSAGES), measured.highest(series::TALK_MESSAGES));
    let (errors, requests) = (measured.total(series::ERRORS), measured.total(series::REQUESTS));
    let reports = measured.total(series::REPORTS);
    let percent = (requests > 0.0).then(|| errors / requests * 100.0);
    let wait = now(series::MEDIAN_WAIT);
    vec![
        figure(series::SEARCHING, d.searching, now(series::SEARCHING), 0, average(series::SEARCHING), d),
        figure(
            series::TALKS,
            d.talks,
            talks,
            0,
            talks.map(|talks| (d.people_in_talks)(&number(talks * 2.0, 0))).unwrap_or_default(),
            d,
        ),
        figure(series::ROOMS, d.rooms, now(series::ROOMS), 0, average(series::ROOMS), d),
        figure(
            series::SESSIONS,
            d.signed_in,
            now(series::SESSIONS),
            0,
            (d.sign_ins)(&number(measured.total(series::SIGN_INS), 0)),
            d,
        ),
        figure(
            "messages.rooms messages.talks",
            d.messages,
            both(now(series::ROOM_MESSAGES), now(series::TALK_MESSAGES)),
            1,
            highest.map(|value| (d.highest)(&number(value, 1))).unwrap_or_default(),
            d,
        ),
        Figure {
            unit: if wait.is_some() { (d.seconds)("") } else { String::new() },
            ..figure(series::MEDIAN_WAIT, d.wait, wait, 1, d.goal_wait.to_owned(), d)
        },
        Figure { is_hot: reports > 0.0, ..figure("", d.reports, Some(reports), 0, d.in_range.to_owned(), d) },
        Figure {
            is_hot: percent.is_some_and(|percent| percent >= 1.0),
            unit: if percent.is_some() { "%".to_owned() } else { String::new() },
            ..figure("", d.errors, percent, 2, (d.times)(&number(errors, 0)), d)
        },
    ]
}
