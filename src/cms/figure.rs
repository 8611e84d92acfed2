//! Numbers as a page prints them.
use std::collections::BTreeMap;

use super::model::{SiteStat, Unit};
use crate::locale::Locale;

/// A number as it is printed: digits, and the word after them. Waits from 100 seconds on are told in minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) digits: String,
    pub(super) counter: String,
}

impl Figure {
    /// None for what is not known or not above 0: such a number is left out.
    pub(super) fn of(stat: &SiteStat, counters: &BTreeMap<String, String>, locale: Locale) -> Option<Self> {
        let value = stat.value.filter(|value| *value > 0)?;
        let (value, counter) = match (stat.unit, locale) {
            (Unit::Count, _) => (value, counters.get(&stat.key).cloned().unwrap_or_default()),
            (Unit::Seconds, Locale::Ko) if value < 100 => (value, "초".to_owned()),
            (Unit::Seconds, Locale::Ko) => (value.saturating_add(30) / 60, "분".to_owned()),
            (Unit::Seconds, Locale::En) if value < 100 => (value, "s".to_owned()),
            (Unit::Seconds, Locale::En) => (value.saturating_add(30) / 60, "min".to_owned()),
        };
        Some(Self { digits: grouped(value), counter })
    }
}

/// Digits in groups of three, as both languages write them.
fn grouped(value: i64) -> String {
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
