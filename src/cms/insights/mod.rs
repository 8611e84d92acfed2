//! Charts of the service's own numbers: talks a day, busiest hours, languages. Few people are never
//! shown.
mod store;

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;

use self::store::Amount;
use super::facts::Chart;
use super::formatted_stat::group_digits;
use super::limits::MIN_PEOPLE_SHOWN;
use crate::app::App;
use crate::db;
use crate::locale::Locale;

/// The days of the chart of talks a day.
const DAYS: i64 = 14;
/// The days whose hours of the day are added up.
const HOURS_OF_DAYS: i64 = 7;
/// How often talks are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// How far back they are counted again. Talks are stored for a day after their end.
const COUNT_AGAIN: time::Duration = time::Duration::hours(2);
/// Bars that a chart needs.
const MIN_BARS: usize = 3;
/// The height and the width of a bar's place in a drawing, in its own units.
const HEIGHT: i64 = 100;
const STEP: usize = 20;

/// The counted talks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Insights {
    per_day: Vec<Amount>,
    per_hour: Vec<Amount>,
    per_language: Vec<Amount>,
}

/// A chart of bars with its words.
pub(super) struct BarChart {
    pub(super) title: &'static str,
    /// Heads the names of the bars in the table.
    pub(super) column: &'static str,
    pub(super) bars: Vec<Bar>,
}

/// A bar of a chart.
pub(super) struct Bar {
    pub(super) name: String,
    /// `None` for a number that is too small to be shown.
    value: Option<i64>,
    few: &'static str,
}

impl Bar {
    /// Returns the number in words.
    pub(super) fn shown(&self) -> String {
        self.value.map_or_else(|| self.few.to_owned(), group_digits)
    }
}

impl Insights {
    /// Returns a chart in a language. `None` without enough data.
    pub(super) fn chart(&self, chart: Chart, locale: Locale) -> Option<BarChart> {
        let strings = locale.strings();
        let (title, column, amounts) = match chart {
            Chart::TalksPerDay => (strings.chart_talks_per_day, strings.chart_day, &self.per_day),
            Chart::BusiestHours => (strings.chart_busiest_hours, strings.chart_hour, &self.per_hour),
            Chart::Languages => (strings.chart_languages, strings.chart_language, &self.per_language),
        };
        let bars: Vec<Bar> = amounts
            .iter()
            .map(|amount| Bar {
                name: amount.name.clone(),
                value: Some(amount.talks).filter(|talks| *talks >= MIN_PEOPLE_SHOWN),
                few: strings.chart_few,
            })
            .collect();
        let known = bars.iter().filter(|bar| bar.value.is_some()).count();
        (known >= if chart == Chart::Languages { 2 } else { MIN_BARS }).then_some(BarChart { title, column, bars })
    }
}

impl BarChart {
    /// Returns the drawing. Its numbers are in the table, so it is hidden from screen readers.
    pub(super) fn svg(&self) -> String {
        let highest = self.bars.iter().filter_map(|bar| bar.value).max().unwrap_or(1).max(1);
        let width = self.bars.len() * STEP;
        let mut svg = format!(
            r#"<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true" focusable="false">"#
        );
        for (at, bar) in self.bars.iter().enumerate() {
            let height = bar.value.map_or(0, |value| value * HEIGHT / highest);
            let (x, y, bar_width) = (at * STEP + 3, HEIGHT - height, STEP - 6);
            let _ = write!(svg, r#"<rect x="{x}" y="{y}" width="{bar_width}" height="{height}" rx="2"/>"#);
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Reads the counted talks.
///
/// # Errors
/// The database's.
pub(super) async fn read(db: &mut PgConnection, now: OffsetDateTime, zone: &str) -> sqlx::Result<Insights> {
    Ok(Insights {
        per_day: store::per_day(db, now - time::Duration::days(DAYS), zone).await?,
        per_hour: store::per_hour(db, now - time::Duration::days(HOURS_OF_DAYS), zone).await?,
        per_language: store::per_language(db, now - time::Duration::DAY).await?,
    })
}

/// Starts the task that counts talks.
pub(super) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("cms.insights", COUNT_INTERVAL, move || count(node.clone()));
}

pub(super) async fn count(node: App) {
    let now = node.clock.now();
    let counted = db::with_timeout(db::JOB_TIMEOUT, async {
        store::count(&node.db, now - COUNT_AGAIN).await?;
        store::delete_before(&node.db, now - time::Duration::days(DAYS + 1)).await
    });
    if let Err(why) = counted.await {
        tracing::debug!(error.cause = %why, "talks were not counted for the charts, retrying in a minute");
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Insights};
    use crate::cms::facts::Chart;
    use crate::locale::Locale;

    #[test]
    fn a_chart_needs_data_and_never_shows_few_people() {
        let amount = |name: &str, talks| Amount { name: name.to_owned(), talks };
        let few = vec![amount("01", 4), amount("02", 9), amount("03", 20)];
        let mut insights = Insights { per_hour: few, ..Insights::default() };
        assert!(insights.chart(Chart::BusiestHours, Locale::En).is_none());
        assert!(insights.chart(Chart::TalksPerDay, Locale::En).is_none());
        insights.per_hour.push(amount("04", 1_200));
        let chart = insights.chart(Chart::BusiestHours, Locale::En).unwrap();
        let shown: Vec<String> = chart.bars.iter().map(super::Bar::shown).collect();
        assert_eq!(shown, ["fewer than 5", "9", "20", "1,200"]);
        let svg = chart.svg();
        assert!(svg.contains(r#"height="100" rx"#) && svg.matches("<rect").count() == 4);
    }
}
