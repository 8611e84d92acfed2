//! Formats numbers for a page.
use std::collections::BTreeMap;

use super::stats::{SiteStat, Unit};
use crate::locale::Locale;

/// Seconds from which a wait is shown in minutes.
const MINUTES_FROM: i64 = 100;

/// A number as it is shown: its digits, and the word after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FormattedStat {
    pub(super) digits: String,
    pub(super) counter: String,
}

impl FormattedStat {
    /// Formats a stat. `None` if its value is not known or not above 0: such a stat is not shown.
    pub(super) fn of(stat: &SiteStat, counters: &BTreeMap<String, String>, locale: Locale) -> Option<Self> {
        let value = stat.value.filter(|value| *value > 0)?;
        let strings = locale.strings();
        let (value, counter) = match stat.unit {
            Unit::Count => (value, counters.get(&stat.key).cloned().unwrap_or_default()),
            Unit::Seconds if value < MINUTES_FROM => (value, strings.seconds.to_owned()),
            Unit::Seconds => (value.saturating_add(30) / 60, strings.minutes.to_owned()),
        };
        Some(Self { digits: group_digits(value), counter })
    }
}

/// Returns a number with a comma after each group of three digits.
pub(super) fn group_digits(value: i64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
