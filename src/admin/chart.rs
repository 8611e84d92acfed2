//! A chart as the server draws it: paths and labels of an SVG, and the rows of a table. No I/O.
use time::{Duration, OffsetDateTime};

use super::format::{Times, number};
use crate::samples::Point;

/// The size of the drawing, which is stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 200.0;
/// The labels along the time.
const TIME_LABELS: i32 = 5;
/// The rows of the table.
const MAX_ROWS: i64 = 12;
/// Without a measurement for more than this many steps, a line is broken.
const MAX_GAP_STEPS: i64 = 3;

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The name of its class: `line-1` to `line-4`.
    pub class: &'static str,
    pub points: Vec<Point>,
    /// Whether the area below it is filled.
    pub is_filled: bool,
}

/// Something that happened, for a mark in the chart.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub at: OffsetDateTime,
    /// `mark-publish` or `mark-version`.
    pub class: &'static str,
    pub name: String,
}

/// What a chart is drawn from.
pub(super) struct Plan<'a> {
    pub from: OffsetDateTime,
    pub until: OffsetDateTime,
    pub step_secs: i64,
    pub lines: &'a [Line],
    pub events: &'a [Event],
    /// A value that should not be exceeded, with its name.
    pub goal: Option<(f64, &'a str)>,
    /// Digits after the point.
    pub digits: usize,
    pub times: Times,
}

/// A chart to be written by a template.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub paths: Vec<Path>,
    pub ticks: Vec<Label>,
    pub times: Vec<Label>,
    pub marks: Vec<Mark>,
    pub goal: Option<Label>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug)]
pub(super) struct Path {
    pub class: &'static str,
    pub d: String,
}

/// A text at a place in percent.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub at: String,
    pub text: String,
    /// `start`, `middle` or `end`.
    pub anchor: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub class: &'static str,
    pub at: String,
    pub text: String,
    pub anchor: &'static str,
    /// The lines of text above it, so that marks close together stay readable.
    pub row: String,
}

/// A row of the table: a time, and a value of each line.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub time: String,
    pub values: Vec<String>,
}

impl Chart {
    /// Draws a chart.
    pub(super) fn draw(plan: &Plan<'_>) -> Self {
        let highest = plan.lines.iter().flat_map(|line| &line.points).map(|point| point.value).fold(0.0, f64::max);
        let highest = plan.goal.map_or(highest, |(goal, _)| highest.max(goal));
        let step = tick_step(highest);
        let top = ((highest / step).ceil() * step).max(step) * 1.06;
        let mut paths = Vec::new();
        for line in plan.lines {
            let runs = runs(&line.points, plan.step_secs);
            let joined = |close: bool| runs.iter().map(|run| path(plan, top, run, close)).collect::<String>();
            if line.is_filled {
                paths.push(Path { class: "area", d: joined(true) });
            }
            paths.push(Path { class: line.class, d: joined(false) });
        }
        let percent = |value: f64| format!("{:.2}", 100.0 - value / top * 100.0);
        let digits = if step < 1.0 { 1 } else { 0 };
        let count = (top / step).floor() as i64;
        let ticks = (0..=count).map(|nth| {
            let value = nth as f64 * step;
            Label { at: percent(value), text: number(value, digits), anchor: "end" }
        });
        Self {
            ticks: ticks.collect(),
            times: time_labels(plan),
            marks: marks(plan),
            goal: plan.goal.map(|(value, name)| Label { at: percent(value), text: name.to_owned(), anchor: "end" }),
            rows: rows(plan),
            paths,
        }
    }

    /// Returns a small line without labels.
    pub(super) fn spark(points: &[Point], from: OffsetDateTime, until: OffsetDateTime, step_secs: i64) -> Self {
        let line = Line { class: "line-1", points: points.to_vec(), is_filled: true };
        let times = Times::default();
        let plan = Plan { from, until, step_secs, lines: &[line], events: &[], goal: None, digits: 0, times };
        let Self { paths, .. } = Self::draw(&plan);
        Self { paths, ..Self::default() }
    }
}

/// Returns the distance of the grid's lines: 1, 2 or 5 times a power of ten, for two to five lines.
fn tick_step(highest: f64) -> f64 {
    let rough = (highest / 4.0).max(0.25);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    step.unwrap_or(10.0 * power)
}

/// Returns the runs of points without a gap.
fn runs(points: &[Point], step_secs: i64) -> Vec<&[Point]> {
    let gap = Duration::seconds(step_secs * MAX_GAP_STEPS);
    points.chunk_by(|one, next| next.at - one.at <= gap).collect()
}

fn x(plan: &Plan<'_>, at: OffsetDateTime) -> f64 {
    let length = (plan.until - plan.from).as_seconds_f64().max(1.0);
    ((at - plan.from).as_seconds_f64() / length).clamp(0.0, 1.0)
}

/// Returns a run as a path. A single point is a short line, so that it is seen.
fn path(plan: &Plan<'_>, top: f64, run: &[Point], close: bool) -> String {
    let place = |point: &Point| (x(plan, point.at) * WIDTH, HEIGHT - (point.value / top).clamp(0.0, 1.0) * HEIGHT);
    let (Some(first), Some(last)) = (run.first().map(place), run.last().map(place)) else { return String::new() };
    let mut d: String = run
        .iter()
        .map(place)
        .enumerate()
        .map(|(nth, (x, y))| format!("{}{x:.1} {y:.1}", if nth == 0 { 'M' } else { 'L' }))
        .collect();
    if run.len() == 1 {
        d.push_str(&format!("h{:.1}", WIDTH / 200.0));
    }
    if close {
        d.push_str(&format!("L{:.1} {HEIGHT}L{:.1} {HEIGHT}Z", last.0, first.0));
    }
    d
}

fn time_labels(plan: &Plan<'_>) -> Vec<Label> {
    let length = plan.until - plan.from;
    let label = |nth: i32| {
        let share = f64::from(nth) / f64::from(TIME_LABELS - 1);
        let at = plan.from + length * share;
        let anchor = if nth == 0 {
            "start"
        } else if nth == TIME_LABELS - 1 {
            "end"
        } else {
            "middle"
        };
        Label { at: format!("{:.2}", share * 100.0), text: plan.times.axis(at, length), anchor }
    };
    (0..TIME_LABELS).map(label).collect()
}

fn marks(plan: &Plan<'_>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut previous: Option<(f64, usize)> = None;
    for event in plan.events.iter().filter(|event| event.at >= plan.from && event.at <= plan.until) {
        let at = x(plan, event.at);
        let row = match previous {
            Some((last, row)) if at - last < 0.18 => (row + 1) % 3,
            _ => 0,
        };
        previous = Some((at, row));
        marks.push(Mark {
            class: event.class,
            at: format!("{:.2}", at * 100.0),
            text: event.name.clone(),
            anchor: if at > 0.8 { "end" } else { "start" },
            row: format!("{:.1}", 0.8 + 1.2 * row as f64),
        });
    }
    marks
}

/// Returns the rows of the table: the averages of at most [`MAX_ROWS`] parts of the range.
fn rows(plan: &Plan<'_>) -> Vec<Row> {
    let length = plan.until - plan.from;
    let part_secs = (length.whole_seconds() / MAX_ROWS).max(plan.step_secs).max(1);
    let count = (length.whole_seconds() / part_secs).max(1);
    let row = |nth: i64| {
        let from = plan.from + Duration::seconds(nth * part_secs);
        let until = from + Duration::seconds(part_secs);
        let average = |line: &Line| {
            let inside: Vec<f64> =
                line.points.iter().filter(|p| p.at >= from && p.at < until).map(|p| p.value).collect();
            let sum: f64 = inside.iter().sum();
            (!inside.is_empty()).then(|| sum / inside.len() as f64)
        };
        let values: Vec<Option<f64>> = plan.lines.iter().map(average).collect();
        let is_known = values.iter().any(Option::is_some);
        let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| number(value, plan.digits));
        is_known.then(|| Row { time: plan.times.axis(from, length), values: values.into_iter().map(text).collect() })
    };
    (0..count).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{Chart, Event, Line, Plan, Point, Times, tick_step};

    fn plan<'a>(lines: &'a [Line], events: &'a [Event]) -> Plan<'a> {
        let from = OffsetDateTime::UNIX_EPOCH;
        let until = from + Duration::HOUR;
        Plan { from, until, step_secs: 10, lines, events, goal: None, digits: 1, times: Times::default() }
    }

    fn line(points: &[(i64, f64)]) -> Line {
        let point = |(secs, value): &(i64, f64)| Point {
            at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(*secs),
            value: *value,
        };
        Line { class: "line-1", points: points.iter().map(point).collect(), is_filled: false }
    }

    #[test]
    fn the_grid_has_round_numbers_at_every_size() {
        for (highest, step) in [(0.0, 0.5), (1.0, 0.5), (15.0, 5.0), (46.0, 20.0), (1_284.0, 500.0)] {
            assert!((tick_step(highest) - step).abs() < 1e-9, "{highest}: {}", tick_step(highest));
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured() {
        let lines = [line(&[(0, 1.0), (10, 2.0), (600, 2.0), (610, 1.0), (3_000, 2.0)])];
        let chart = Chart::draw(&plan(&lines, &[]));
        assert_eq!(chart.paths[0].d.matches('M').count(), 3, "{}", chart.paths[0].d);
        assert!(chart.paths[0].d.ends_with("h3.0"), "a single point is seen");
        assert_eq!(chart.rows.len(), 3, "{:?}", chart.rows);
        assert_eq!(chart.rows[0].values, ["1.5"]);
        assert_eq!(chart.times.len(), 5);
    }

    #[test]
    fn marks_outside_of_the_range_are_left_out_and_close_ones_do_not_cover_each_other() {
        let at = |secs| OffsetDateTime::UNIX_EPOCH + Duration::seconds(secs);
        let event = |secs| Event { at: at(secs), class: "mark-publish", name: "x".to_owned() };
        let events = [event(-5), event(1_800), event(1_830), event(3_590)];
        let chart = Chart::draw(&plan(&[line(&[(0, 0.0)])], &events));
        let places: Vec<(&str, &str)> = chart.marks.iter().map(|mark| (mark.at.as_str(), mark.anchor)).collect();
        assert_eq!(places, [("50.00", "start"), ("50.83", "start"), ("99.72", "end")]);
        assert_ne!(chart.marks[0].row, chart.marks[1].row);
    }
}
