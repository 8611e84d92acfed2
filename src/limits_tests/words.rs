//! How a limit is written: in words for the page, and in TypeScript for the client.
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::http::limits::Rate;

/// The value of a limit.
pub(super) trait Value {
    /// Returns the value with its unit. The name of an integer constant ends with the unit.
    fn in_words(&self, name: &str) -> String;

    /// Returns the name and the value in TypeScript. `None` if the client cannot use such a value.
    fn in_typescript(&self, _name: &str) -> Option<(String, String)> {
        None
    }

    fn is_rate(&self) -> bool {
        false
    }
}

/// Returns a number with a comma between groups of three digits.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

fn bytes(number: u128) -> String {
    const KIB: u128 = 1024;
    const MIB: u128 = 1024 * KIB;
    match number {
        _ if number >= MIB && number.is_multiple_of(MIB) => format!("{} MiB", number / MIB),
        _ if number >= KIB && number.is_multiple_of(KIB) => format!("{} KiB", number / KIB),
        _ => format!("{} bytes", grouped(number)),
    }
}

fn number(name: &str, number: u128) -> String {
    match name.rsplit('_').next() {
        Some("BYTES") => bytes(number),
        Some("CHARS") => format!("{} characters", grouped(number)),
        Some("SECS") => format!("{} s", grouped(number)),
        Some("YEARS") => format!("{number} years"),
        Some("PORT") => number.to_string(),
        _ => grouped(number),
    }
}

fn duration(value: Duration) -> String {
    match value.as_secs() {
        _ if value.subsec_millis() != 0 && value.as_secs() == 0 => format!("{} ms", value.as_millis()),
        _ if value.subsec_millis() != 0 => format!("{} s", value.as_secs_f64()),
        days if days >= 2 * 86_400 && days.is_multiple_of(86_400) => format!("{} days", days / 86_400),
        hours if hours >= 3_600 && hours.is_multiple_of(3_600) => format!("{} h", hours / 3_600),
        minutes if minutes >= 120 && minutes.is_multiple_of(60) => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}

fn integer<T: Copy + TryInto<u128>>(value: T) -> u128 {
    value.try_into().unwrap_or_else(|_| panic!("a limit is not negative"))
}

impl Value for usize {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
    fn in_typescript(&self, name: &str) -> Option<(String, String)> {
        Some((name.to_owned(), self.to_string()))
    }
}

impl Value for i64 {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
    fn in_typescript(&self, name: &str) -> Option<(String, String)> {
        Some((name.to_owned(), self.to_string()))
    }
}

impl Value for i32 {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
}

impl Value for u64 {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
}

impl Value for u32 {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
}

impl Value for u16 {
    fn in_words(&self, name: &str) -> String {
        number(name, integer(*self))
    }
}

impl Value for &str {
    fn in_words(&self, _: &str) -> String {
        (*self).to_owned()
    }
}

impl Value for Duration {
    fn in_words(&self, _: &str) -> String {
        duration(*self)
    }
    fn in_typescript(&self, name: &str) -> Option<(String, String)> {
        Some((format!("{name}_MS"), self.as_millis().to_string()))
    }
}

impl Value for time::Duration {
    fn in_words(&self, name: &str) -> String {
        self.unsigned_abs().in_words(name)
    }
    fn in_typescript(&self, name: &str) -> Option<(String, String)> {
        self.unsigned_abs().in_typescript(name)
    }
}

impl Value for RangeInclusive<u64> {
    fn in_words(&self, name: &str) -> String {
        assert!(name.ends_with("_MS"), "{name} has another unit");
        format!("{} to {} ms", grouped(integer(*self.start())), grouped(integer(*self.end())))
    }
}

impl Value for Rate {
    fn in_words(&self, name: &str) -> String {
        let amount =
            |tokens: u32| if name.contains("BYTE") { bytes(integer(tokens)) } else { grouped(integer(tokens)) };
        let period = match self.period.as_secs() {
            1 => "second".to_owned(),
            3_600 => "hour".to_owned(),
            _ => duration(self.period),
        };
        format!("{} per {period}, {} at once", amount(self.refill), amount(self.capacity))
    }

    fn is_rate(&self) -> bool {
        true
    }
}
