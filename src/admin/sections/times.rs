//! Times of the editor's pages, in the time zone of the site. The script shows them in the
//! reader's.
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use super::store;
use crate::app::App;
use crate::error::Result;
use crate::locale::Locale;

/// The site's time zone.
pub(in crate::admin) struct Zone {
    offset: UtcOffset,
    now: OffsetDateTime,
    locale: Locale,
    iana: String,
}

impl Zone {
    /// Reads the time zone of the site.
    ///
    /// # Errors
    /// `unavailable`.
    pub(in crate::admin) async fn of(app: &App, locale: Locale) -> Result<Self> {
        let (now, iana) = (app.clock.now(), app.config.time_zone.clone());
        let seconds = store::zone_offset(&app.db, now, &iana).await?;
        let offset = UtcOffset::from_whole_seconds(seconds).unwrap_or(UtcOffset::UTC);
        Ok(Self { offset, now, locale, iana })
    }

    /// Returns the name of the zone.
    pub(in crate::admin) fn name(&self) -> &str {
        match (self.iana.as_str(), self.locale) {
            ("Asia/Seoul", Locale::Ko) => "서울",
            ("Asia/Seoul", Locale::En) => "Seoul",
            (other, _) => other,
        }
    }

    /// Returns a time in words: the time of day if it is today, with the date otherwise.
    pub(in crate::admin) fn text(&self, at: OffsetDateTime) -> String {
        let (at, now) = (at.to_offset(self.offset), self.now.to_offset(self.offset));
        let clock = clock(self.locale, at);
        if at.date() == now.date() {
            return clock;
        }
        let (month, day) = (u8::from(at.month()), at.day());
        let with_year = at.year() != now.year();
        match self.locale {
            Locale::Ko if with_year => format!("{}년 {month}월 {day}일 {clock}", at.year()),
            Locale::Ko => format!("{month}월 {day}일 {clock}"),
            Locale::En if with_year => format!("{day} {} {}, {clock}", short(at.month()), at.year()),
            Locale::En => format!("{day} {}, {clock}", short(at.month())),
        }
    }

    /// Returns a time as the fields of a form show it: date and time of day.
    pub(in crate::admin) fn fields(&self, at: OffsetDateTime) -> (String, String) {
        let at = at.to_offset(self.offset);
        (at.date().to_string(), format!("{:02}:{:02}", at.hour(), at.minute()))
    }
}

/// Returns a time of day: 오후 3:04, 3:04 PM.
fn clock(locale: Locale, at: OffsetDateTime) -> String {
    let (hour, minute) = (at.hour(), at.minute());
    let shown = if hour % 12 == 0 { 12 } else { hour % 12 };
    match (locale, hour < 12) {
        (Locale::Ko, true) => format!("오전 {shown}:{minute:02}"),
        (Locale::Ko, false) => format!("오후 {shown}:{minute:02}"),
        (Locale::En, true) => format!("{shown}:{minute:02} AM"),
        (Locale::En, false) => format!("{shown}:{minute:02} PM"),
    }
}

fn short(month: Month) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[usize::from(u8::from(month)) - 1]
}

/// Returns an instant for the `datetime` attribute.
pub(in crate::admin) fn machine_readable(at: OffsetDateTime) -> String {
    crate::clock::format_timestamp(at)
}

/// Returns the instant that a form names.
///
/// The script of the page adds `utc`, milliseconds since 1970, which it computes in the time zone
/// of the device. Without it, date and time are in the site's time zone. `None` if they are no
/// time.
///
/// # Errors
/// `unavailable`.
pub(in crate::admin) async fn instant(app: &App, date: &str, clock: &str, utc: &str) -> Result<Option<OffsetDateTime>> {
    let of_script =
        utc.parse::<i64>().ok().and_then(|ms| OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).ok());
    Ok(match (of_script, local(date, clock)) {
        (Some(at), _) => Some(at),
        (None, Some(local)) => Some(store::instant_of(&app.db, local, &app.config.time_zone).await?),
        (None, None) => None,
    })
}

/// Parses `2026-12-01` and `09:00`. Years are 2000 to 2999.
fn local(date: &str, clock: &str) -> Option<PrimitiveDateTime> {
    let mut parts = date.trim().splitn(3, '-');
    let year: i32 = parts.next()?.parse().ok().filter(|year| (2_000..3_000).contains(year))?;
    let month = Month::try_from(parts.next()?.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, parts.next()?.parse().ok()?).ok()?;
    let mut parts = clock.trim().split(':');
    let time = Time::from_hms(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, 0).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use time::{OffsetDateTime, UtcOffset};

    use super::{Zone, local};
    use crate::locale::Locale;

    fn zone(locale: Locale) -> Zone {
        let offset = UtcOffset::from_hms(9, 0, 0).unwrap();
        Zone { offset, now: datetime!(2026-11-23 06:00 UTC), locale, iana: "Asia/Seoul".to_owned() }
    }

    #[test]
    fn a_time_is_told_in_the_sites_zone_and_with_its_date_unless_it_is_today() {
        let told = |locale, at: OffsetDateTime| zone(locale).text(at);
        assert_eq!(told(Locale::Ko, datetime!(2026-11-23 06:04 UTC)), "오후 3:04");
        assert_eq!(told(Locale::Ko, datetime!(2026-11-22 15:00 UTC)), "오전 12:00");
        assert_eq!(told(Locale::Ko, datetime!(2026-11-18 05:32 UTC)), "11월 18일 오후 2:32");
        assert_eq!(told(Locale::En, datetime!(2025-11-18 05:32 UTC)), "18 Nov 2025, 2:32 PM");
        assert_eq!(zone(Locale::Ko).fields(datetime!(2026-11-30 23:30 UTC)), ("2026-12-01".into(), "08:30".into()));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert!(local("2026-12-01", "09:00").is_some() && local("2026-12-01", "09:00:30").is_some());
        for (date, clock) in [("2026-02-30", "09:00"), ("2026-12-01", "24:00"), ("", ""), ("0026-12-01", "09:00")] {
            assert!(local(date, clock).is_none(), "{date} {clock}");
        }
    }
}
