//! The history of a number as a drawing that needs no script, with the same values as a table.
use std::fmt::Write as _;

use time::{Duration, OffsetDateTime};

use super::form::digits;
use crate::admin::desk::Desk;
use crate::admin::sections::Zone;
use crate::cms::{self, Stat};
use crate::error::Result;

/// The size of the drawing. It is stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 200.0;
/// The most rows of the table.
const ROWS: usize = 24;
/// The most points of the drawing.
const POINTS: usize = 600;

/// A drawn history.
pub(super) struct Chart {
    pub(super) line: String,
    pub(super) area: String,
    /// The values at the top and in the middle of the scale.
    pub(super) scale: [String; 2],
    /// The times at the start, in the middle and at the end.
    pub(super) times: [String; 3],
    pub(super) label: String,
    pub(super) highest: String,
    pub(super) lowest: String,
    pub(super) rows: Vec<(String, String)>,
}

/// Reads and draws the history of a number. `None` if there is none.
///
/// # Errors
/// `unavailable`.
pub(super) async fn read(desk: &Desk, zone: &Zone, stat: &Stat, range: &str, name: &str) -> Result<Option<Chart>> {
    let length = match range {
        "1h" => Duration::HOUR,
        "7d" => Duration::days(7),
        "30d" => Duration::days(30),
        _ => Duration::DAY,
    };
    let to = desk.app.clock.now();
    let from = to - length;
    let samples = cms::stat_history(&desk.app, &stat.key, from, to).await?;
    if samples.len() < 2 {
        return Ok(None);
    }
    let locale = desk.appearance.locale;
    let text = |value: f64| digits(rounded(value), stat.unit, locale);
    let highest = samples.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
    let lowest = samples.iter().map(|(_, value)| *value).fold(f64::MAX, f64::min);
    let top = nice(highest);
    let line = path(&thinned(&samples, POINTS), from, to, top);
    let (first, last) = (x(samples[0].0, from, to), x(samples[samples.len() - 1].0, from, to));
    let rows = thinned(&samples, ROWS).iter().rev().map(|(at, value)| (zone.text(*at), text(*value))).collect();
    Ok(Some(Chart {
        area: format!("{line}L{last:.1} {HEIGHT}L{first:.1} {HEIGHT}Z"),
        line,
        scale: [text(top), text(top / 2.0)],
        times: [from, from + length / 2, to].map(|at| zone.text(at)),
        label: (desk.t().numbers.chart_label)(name, &text(lowest), &text(highest)),
        highest: text(highest),
        lowest: text(lowest),
        rows,
    }))
}

#[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^53")]
fn rounded(value: f64) -> i64 {
    value.round() as i64
}

/// Returns a round number at or above a value, with which a scale can end.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(2.0).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].iter().map(|step| step * power).find(|top| *top >= value).unwrap_or(value).max(2.0)
}

/// Returns at most `most` samples, evenly spread, the last one among them.
fn thinned(samples: &[(OffsetDateTime, f64)], most: usize) -> Vec<(OffsetDateTime, f64)> {
    let step = samples.len().div_ceil(most).max(1);
    let last = samples.len().saturating_sub(1);
    samples.iter().enumerate().filter(|(at, _)| (last - at).is_multiple_of(step)).map(|(_, sample)| *sample).collect()
}

fn x(at: OffsetDateTime, from: OffsetDateTime, to: OffsetDateTime) -> f64 {
    (at - from).as_seconds_f64() / (to - from).as_seconds_f64() * WIDTH
}

fn path(samples: &[(OffsetDateTime, f64)], from: OffsetDateTime, to: OffsetDateTime, top: f64) -> String {
    let mut path = String::new();
    for (index, (at, value)) in samples.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", x(*at, from, to), HEIGHT - value / top * HEIGHT);
    }
    path
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{nice, path, thinned};

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (value, top) in [(0.0, 2.0), (7.0, 10.0), (12.0, 20.0), (1284.0, 2000.0), (400.0, 400.0), (41.0, 50.0)] {
            assert!((nice(value) - top).abs() < 1e-9, "{value} ends at {}", nice(value));
        }
    }

    #[test]
    fn a_line_reaches_from_the_start_to_the_end_of_its_range() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let samples: Vec<_> = (0..=100).map(|at| (start + Duration::minutes(at), 5.0)).collect();
        let few = thinned(&samples, 10);
        assert!(few.len() <= 10 && few.last() == samples.last());
        let line = path(&[samples[0], samples[100]], start, samples[100].0, 10.0);
        assert_eq!(line, "M0.0 100.0L600.0 100.0");
    }
}
