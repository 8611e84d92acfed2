//! Numbers and times as the pages of the back-office show them.
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::app::App;
use crate::db;
use crate::locale::{Locale, PageStrings};

/// Shorter than this ago is "just now", in seconds.
const JUST_NOW_SECS: i64 = 60;

/// Returns a number with separated thousands and a fixed number of digits after the point.
pub(super) fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (nth, digit) in whole.chars().enumerate() {
        if nth > 0 && (whole.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    if rest.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{rest}") }
}

/// Returns a number of bytes with its unit.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit < UNITS.len() - 1 {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", number(value, usize::from(unit > 0 && value < 100.0)), UNITS[unit])
}

/// Times in the site's time zone, in the reader's language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    offset: UtcOffset,
    locale: Locale,
}

impl Default for Times {
    fn default() -> Self {
        Self { offset: UtcOffset::UTC, locale: Locale::default() }
    }
}

impl Times {
    /// Reads the difference of the site's time zone to UTC. If the database does not answer, the
    /// times are in UTC.
    pub(super) async fn of(app: &App, locale: Locale) -> Self {
        let asked = db::utc_offset(&app.db, &app.config.time_zone);
        let offset = db::with_timeout(db::REQUEST_TIMEOUT, asked).await.unwrap_or(UtcOffset::UTC);
        Self { offset, locale }
    }

    /// Returns the difference to UTC.
    pub(super) fn offset(self) -> UtcOffset {
        self.offset
    }

    /// Returns the time of day with seconds.
    pub(super) fn clock(self, at: OffsetDateTime) -> String {
        let at = at.to_offset(self.offset);
        format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
    }

    /// Returns the day and the time.
    pub(super) fn full(self, at: OffsetDateTime) -> String {
        let at = at.to_offset(self.offset);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        match self.locale {
            Locale::Ko => format!("{year}년 {month}월 {day}일 {:02}:{:02}", at.hour(), at.minute()),
            Locale::En => {
                let month = at.month().to_string();
                format!("{day} {} {year}, {:02}:{:02}", &month[..3], at.hour(), at.minute())
            }
        }
    }

    /// Returns a time as the axis of a chart of this length shows it.
    pub(super) fn axis(self, at: OffsetDateTime, length: Duration) -> String {
        let at = at.to_offset(self.offset);
        let (month, day) = (u8::from(at.month()), at.day());
        if length > Duration::days(14) {
            format!("{month}/{day}")
        } else if length > Duration::DAY {
            format!("{month}/{day} {:02}:00", at.hour())
        } else {
            format!("{:02}:{:02}", at.hour(), at.minute())
        }
    }

    /// Returns how long ago something was, in words.
    pub(super) fn ago(self, now: OffsetDateTime, at: OffsetDateTime) -> String {
        let t: &PageStrings = self.locale.account_pages();
        let seconds = (now - at).whole_seconds();
        if seconds < JUST_NOW_SECS { t.ago_now.to_owned() } else { (t.ago)(seconds) }
    }

    /// Returns a length of time in words.
    pub(super) fn span(self, length: std::time::Duration) -> String {
        (self.locale.account_pages().span)(length.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, number};

    #[test]
    fn numbers_have_their_thousands_separated() {
        for (value, digits, text) in [
            (0.0, 0, "0"),
            (-0.04, 1, "0.0"),
            (999.0, 0, "999"),
            (1_284.0, 0, "1,284"),
            (-1_234_567.89, 1, "-1,234,567.9"),
            (0.029, 2, "0.03"),
        ] {
            assert_eq!(number(value, digits), text);
        }
        assert_eq!([bytes(7), bytes(2_048), bytes(3 << 40)], ["7 B", "2.0 KiB", "3.0 TiB"]);
    }
}
