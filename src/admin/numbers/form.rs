//! The form of a number: what was entered, and the change that it means. No I/O.
use serde::Deserialize;

use crate::cms::{Label, Source, Stat, StatChange, Unit};
use crate::error::Error;
use crate::locale::section_fields as w;
use crate::locale::section_fields::Words;
use crate::locale::{Locale, NumberStrings};

/// The fields of the form. Numbers in a form arrive as text.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) key: String,
    #[serde(rename = "label.ko")]
    pub(super) ko: String,
    #[serde(rename = "label.en")]
    pub(super) en: String,
    pub(super) unit: String,
    pub(super) source: String,
    pub(super) manual: String,
    pub(super) hide_below: String,
    pub(super) round_to: String,
    pub(super) hide_when_stale: String,
    pub(super) visible: String,
    pub(super) version: String,
    pub(super) position: String,
}

impl Fields {
    /// Returns a number as its form shows it.
    pub(super) fn of(stat: &Stat) -> Self {
        let tick = |is_on: bool| if is_on { "on".to_owned() } else { String::new() };
        let label = |locale: Locale| stat.label.own(locale).unwrap_or_default().to_owned();
        Self {
            key: stat.key.clone(),
            ko: label(Locale::Ko),
            en: label(Locale::En),
            unit: stat.unit.as_str().to_owned(),
            source: stat.source.map(Source::as_str).unwrap_or_default().to_owned(),
            manual: stat.manual.map(|value| value.to_string()).unwrap_or_default(),
            hide_below: stat.hide_below.to_string(),
            round_to: stat.round_to.to_string(),
            hide_when_stale: tick(stat.hide_when_stale),
            visible: tick(stat.visible),
            version: stat.version.to_string(),
            position: stat.position.to_string(),
        }
    }

    /// Returns the fields of a form that restores them over a version.
    pub(super) fn pairs(self, version: i64) -> Vec<(String, String)> {
        let pairs = [
            ("key", self.key),
            ("label.ko", self.ko),
            ("label.en", self.en),
            ("unit", self.unit),
            ("source", self.source),
            ("manual", self.manual),
            ("hide_below", self.hide_below),
            ("round_to", self.round_to),
            ("hide_when_stale", self.hide_when_stale),
            ("visible", self.visible),
            ("version", version.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// Returns the change that was entered. `None` if a number in it is none.
pub(super) fn change_of(fields: &Fields, position: Option<i32>) -> Option<StatChange> {
    let number = |text: &str, empty: i64| match text.trim().replace(',', "").as_str() {
        "" => Some(empty),
        text => text.parse::<i64>().ok().filter(|number| *number >= 0),
    };
    let manual = if fields.manual.trim().is_empty() { None } else { Some(number(&fields.manual, 0)?) };
    let labels = [("ko", &fields.ko), ("en", &fields.en)];
    let label: Label = labels.into_iter().map(|(tag, text)| (tag.to_owned(), text.trim().to_owned())).collect();
    Some(StatChange {
        manual: Some(manual),
        source: Some(Source::of_str(&fields.source)),
        label: Some(label),
        unit: Some(if fields.unit == "seconds" { Unit::Seconds } else { Unit::Count }),
        visible: Some(!fields.visible.is_empty()),
        position,
        hide_below: Some(number(&fields.hide_below, 1)?.max(1)),
        hide_when_stale: Some(!fields.hide_when_stale.is_empty()),
        round_to: Some(number(&fields.round_to, 1)?.max(1)),
    })
}

/// An option of a choice.
pub(super) struct Choice {
    pub(super) key: &'static str,
    pub(super) name: &'static str,
}

fn words(source: Source) -> &'static Words {
    match source {
        Source::Online => &w::STAT_ONLINE,
        Source::TalksToday => &w::STAT_TALKS,
        Source::MessagesToday => &w::STAT_MESSAGES,
        Source::MedianWait => &w::STAT_WAIT,
        Source::Rooms => &w::STAT_ROOMS,
        Source::Languages => &w::STAT_LANGUAGES,
    }
}

/// Returns what numbers can be counted from.
pub(super) fn sources(locale: Locale) -> Vec<Choice> {
    Source::ALL.map(|source| Choice { key: source.as_str(), name: words(source).text(locale) }).into()
}

/// Returns what a number is counted from.
pub(super) fn source_name(stat: &Stat, locale: Locale) -> &'static str {
    match (stat.manual, stat.source) {
        (None, Some(source)) => words(source).text(locale),
        _ => locale.admin().numbers.by_hand,
    }
}

/// Returns a value with its unit: 1,284 or 12초.
pub(super) fn digits(value: i64, unit: Unit, locale: Locale) -> String {
    let digits = value.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    let grouped = grouped.join(",");
    match unit {
        Unit::Count => grouped,
        Unit::Seconds if locale == Locale::Ko => format!("{grouped}{}", locale.strings().seconds),
        Unit::Seconds => format!("{grouped} {}", locale.strings().seconds),
    }
}

/// Returns what is wrong in words. `None` if it was not what was entered.
pub(super) fn problem(t: &NumberStrings, why: &Error) -> Option<&'static str> {
    match why.field()? {
        "label" => Some(t.problem_label),
        "key" => Some(t.problem_key),
        "manual" | "hide_below" | "round_to" => Some(t.problem_number),
        _ => None,
    }
}
