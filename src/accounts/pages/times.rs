//! Times in the words of the pages. They say how long ago something was, so that no time zone has to
//! be known.
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::locale::PageStrings;

/// Shorter than this ago is "just now".
const JUST_NOW_SECS: i64 = 60;

/// Returns how long ago something was.
pub(super) fn ago(t: &PageStrings, now: OffsetDateTime, at: OffsetDateTime) -> String {
    let seconds = (now - at).whole_seconds();
    if seconds < JUST_NOW_SECS { t.ago_now.to_owned() } else { (t.ago)(seconds) }
}

/// Returns how long it is until something, rounded to the nearest hour above one.
pub(super) fn left(t: &PageStrings, now: OffsetDateTime, at: OffsetDateTime) -> String {
    let seconds = (at - now).whole_seconds().max(0).unsigned_abs();
    // Just after it was asked for, 14 days are 14 days and not 13.
    (t.span)(if seconds > 3_600 { seconds.div_ceil(3_600) * 3_600 } else { seconds })
}

/// Returns an instant for the `datetime` attribute.
pub(super) fn machine_readable(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{ago, left};
    use crate::locale::Locale;

    #[test]
    fn times_are_told_from_now() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let [ko, en] = Locale::ALL.map(Locale::account_pages);
        assert_eq!(ago(ko, now, now + Duration::seconds(3)), "방금", "clocks differ by some seconds");
        assert_eq!(ago(en, now, now - Duration::minutes(3)), "3 minutes ago");
        assert_eq!(left(ko, now, now + Duration::days(14) - Duration::seconds(2)), "14일");
        assert_eq!(left(en, now, now + Duration::seconds(30)), "30 seconds");
        assert_eq!(left(en, now, now - Duration::seconds(30)), "1 second");
    }
}
