//! The named numbers of the landing page: what they are, and which value is shown. No I/O.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::cms::limits::{MAX_STAT_LABEL_CHARS, MIN_PEOPLE_SHOWN};
use crate::error::{Error, Result};
use crate::locale::Locale;
use crate::text;

/// A named number on the landing page: set by an editor, or counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteStat {
    #[schema(example = "online")]
    pub key: String,
    pub label: Label,
    /// Null while it is not known, and for fewer than 5 people. Never 0.
    pub value: Option<i64>,
    pub unit: Unit,
    /// Whether the value is not shown once it is old.
    #[serde(skip)]
    pub hide_when_stale: bool,
}

/// The label of a stat, by the tag of its language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label(BTreeMap<String, String>);

impl Label {
    /// Returns the label in a language, else in the default one. Empty if it has neither.
    pub fn text(&self, locale: Locale) -> &str {
        self.own(locale).or_else(|| self.own(Locale::default())).unwrap_or("")
    }

    /// Returns the label in a language. `None` if it is missing.
    pub fn own(&self, locale: Locale) -> Option<&str> {
        self.0.get(locale.tag()).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Checks a label: a text in the site's first language, and in others as far as there are any.
    ///
    /// # Errors
    /// `bad_frame` or `too_long` with the field `label`.
    pub fn checked(self) -> Result<Self> {
        let mut checked = BTreeMap::new();
        for (tag, typed) in self.0 {
            if !Locale::ALL.iter().any(|locale| locale.tag() == tag) {
                return Err(Error::bad_field("label", format!("The site has no language `{tag}`.")));
            }
            let label = text::tidy(&typed);
            if label.chars().count() > MAX_STAT_LABEL_CHARS {
                return Err(Error::TooLong { limit: MAX_STAT_LABEL_CHARS, field: Some("label") });
            }
            if !label.is_empty() {
                text::check_line(&label).map_err(|flaw| Error::bad_field("label", flaw.to_string()))?;
                checked.insert(tag, label.into_owned());
            }
        }
        let label = Self(checked);
        if label.own(Locale::default()).is_none() {
            let first = Locale::default().tag();
            return Err(Error::bad_field("label", format!("Write a label in the first language (`{first}`).")));
        }
        Ok(label)
    }
}

impl FromIterator<(String, String)> for Label {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(labels: T) -> Self {
        Self(labels.into_iter().collect())
    }
}

/// The unit of a stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Count,
    Seconds,
}

impl Unit {
    /// Returns the name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
        }
    }
}

/// What a stat can be counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StatSource)]
pub enum Source {
    /// The people with an open page of the chat.
    Online,
    /// The talks that began since midnight in the site's time zone.
    TalksToday,
    /// The messages since midnight in the site's time zone, at most a minute old.
    MessagesToday,
    /// The median wait of the last hour's talks, in seconds.
    MedianWait,
    /// The open public rooms.
    Rooms,
    /// The languages of the last day's talks.
    Languages,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 6] =
        [Self::Online, Self::TalksToday, Self::MessagesToday, Self::MedianWait, Self::Rooms, Self::Languages];

    /// Returns the name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::TalksToday => "talks_today",
            Self::MessagesToday => "messages_today",
            Self::MedianWait => "median_wait",
            Self::Rooms => "rooms",
            Self::Languages => "languages",
        }
    }

    /// Returns the source of this name. `None` if there is none.
    pub fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }

    /// Returns the smallest value of this source that is shown. A handful of people is not shown:
    /// the number would say little about the site, and much about those few.
    fn smallest_shown(self) -> i64 {
        if self == Self::Online { MIN_PEOPLE_SHOWN } else { 1 }
    }
}

/// What was counted. `None` if it is not known, or there is too little data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCounts {
    pub online: Option<i64>,
    pub talks_today: Option<i64>,
    pub messages_today: Option<i64>,
    pub median_wait: Option<i64>,
    pub rooms: Option<i64>,
    pub languages: Option<i64>,
}

impl LiveCounts {
    /// Returns the count of a source.
    pub fn of(&self, source: Source) -> Option<i64> {
        match source {
            Source::Online => self.online,
            Source::TalksToday => self.talks_today,
            Source::MessagesToday => self.messages_today,
            Source::MedianWait => self.median_wait,
            Source::Rooms => self.rooms,
            Source::Languages => self.languages,
        }
    }
}

/// A stat as editors see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub key: String,
    /// Orders the stats; the numbers have gaps.
    pub position: i32,
    pub visible: bool,
    /// The value that is set by hand. `None` if it is counted.
    pub manual: Option<i64>,
    /// What it is counted from while there is no `manual`.
    pub source: Option<Source>,
    pub label: Label,
    pub unit: Unit,
    /// A smaller value is not shown.
    pub hide_below: i64,
    /// Whether the value is not shown once it is more than a minute old.
    pub hide_when_stale: bool,
    /// The value is rounded down to a multiple of it.
    pub round_to: i64,
    /// Rises with each change.
    pub version: i64,
    pub updated_by: String,
    pub updated_at: OffsetDateTime,
}

impl Stat {
    /// Returns the value before rounding and hiding. `None` if it is not known.
    pub fn raw_value(&self, counts: &LiveCounts) -> Option<i64> {
        self.manual.or_else(|| counts.of(self.source?))
    }

    /// Returns the value that visitors see. `None` if they see none.
    pub fn shown_value(&self, counts: &LiveCounts) -> Option<i64> {
        let value = self.raw_value(counts)?;
        let smallest = self.source.map_or(1, Source::smallest_shown).max(self.hide_below);
        if value < smallest {
            return None;
        }
        let rounded = value - value % self.round_to.max(1);
        (rounded > 0).then_some(rounded)
    }

    /// Returns the stat as visitors see it.
    pub(in crate::cms) fn shown(self, counts: &LiveCounts) -> SiteStat {
        let value = self.shown_value(counts);
        let Self { key, label, unit, hide_when_stale, .. } = self;
        SiteStat { key, label, value, unit, hide_when_stale }
    }
}

/// A change of a stat. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct StatChange {
    /// `Some(None)` counts it from its source again.
    pub manual: Option<Option<i64>>,
    /// `Some(None)` leaves it without a source.
    pub source: Option<Option<Source>>,
    pub label: Option<Label>,
    pub unit: Option<Unit>,
    pub visible: Option<bool>,
    /// It is put between the stats with smaller and larger positions.
    pub position: Option<i32>,
    pub hide_below: Option<i64>,
    pub hide_when_stale: Option<bool>,
    pub round_to: Option<i64>,
}

impl StatChange {
    /// Returns the stat after the change.
    ///
    /// # Errors
    /// `bad_frame` or `too_long` with the field.
    pub(super) fn applied(self, old: Stat) -> Result<Stat> {
        let in_range = |field: &'static str, value: i64, least: i64| {
            if (least..=MAX_VALUE).contains(&value) {
                Ok(value)
            } else {
                Err(Error::bad_field(field, format!("Use a whole number from {least} to {MAX_VALUE}.")))
            }
        };
        if let Some(Some(manual)) = self.manual {
            in_range("manual", manual, 0)?;
        }
        Ok(Stat {
            position: self.position.unwrap_or(old.position),
            visible: self.visible.unwrap_or(old.visible),
            manual: self.manual.unwrap_or(old.manual),
            source: self.source.unwrap_or(old.source),
            label: self.label.map_or(Ok(old.label), Label::checked)?,
            unit: self.unit.unwrap_or(old.unit),
            hide_below: in_range("hide_below", self.hide_below.unwrap_or(old.hide_below), 1)?,
            hide_when_stale: self.hide_when_stale.unwrap_or(old.hide_when_stale),
            round_to: in_range("round_to", self.round_to.unwrap_or(old.round_to), 1)?,
            ..old
        })
    }
}

/// The largest value by hand.
const MAX_VALUE: i64 = 1_000_000_000_000;

/// Checks the key of a new stat.
///
/// # Errors
/// `bad_frame` with the field `key`.
pub(super) fn checked_key(key: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if key.len() <= 40 && key.starts_with(|c: char| c.is_ascii_lowercase()) && key.chars().all(is_allowed) {
        return Ok(());
    }
    Err(Error::bad_field("key", "Use a-z, 0-9 and _, beginning with a letter, at most 40 characters."))
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::{Label, LiveCounts, Source, Stat, StatChange, Unit, checked_key};

    fn stat() -> Stat {
        Stat {
            key: "online".to_owned(),
            position: 10,
            visible: true,
            manual: None,
            source: Some(Source::Online),
            label: [("ko".to_owned(), "지금".to_owned())].into_iter().collect(),
            unit: Unit::Count,
            hide_below: 1,
            hide_when_stale: false,
            round_to: 1,
            version: 1,
            updated_by: "jin".to_owned(),
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn few_people_are_never_shown_and_a_value_by_hand_replaces_the_count() {
        let counts = |online| LiveCounts { online: Some(online), ..LiveCounts::default() };
        for (stat, online, shown) in [
            (stat(), 4, None),
            (stat(), 5, Some(5)),
            (Stat { hide_below: 100, ..stat() }, 99, None),
            (Stat { round_to: 50, ..stat() }, 149, Some(100)),
            (Stat { round_to: 50, ..stat() }, 49, None),
            (Stat { manual: Some(77), ..stat() }, 4, Some(77)),
            (Stat { manual: Some(0), source: None, ..stat() }, 4, None),
            (Stat { source: None, ..stat() }, 400, None),
            (Stat { source: Some(Source::Rooms), ..stat() }, 400, None),
        ] {
            assert_eq!(stat.shown_value(&counts(online)), shown, "{stat:?} with {online}");
        }
    }

    #[test]
    fn a_change_is_checked_and_names_its_field() {
        let refused = |change: StatChange| change.applied(stat()).unwrap_err().field();
        assert_eq!(refused(StatChange { manual: Some(Some(-1)), ..StatChange::default() }), Some("manual"));
        assert_eq!(refused(StatChange { round_to: Some(0), ..StatChange::default() }), Some("round_to"));
        assert_eq!(refused(StatChange { hide_below: Some(0), ..StatChange::default() }), Some("hide_below"));
        for (tag, text) in [("fr", "maintenant"), ("en", "now"), ("ko", " "), ("ko", "a\u{202e}b")] {
            let label: Label = [(tag.to_owned(), text.to_owned())].into_iter().collect();
            assert_eq!(
                refused(StatChange { label: Some(label), ..StatChange::default() }),
                Some("label"),
                "{tag} {text}"
            );
        }
        let change = StatChange { manual: Some(Some(3)), visible: Some(false), ..StatChange::default() };
        assert_eq!(change.applied(stat()).unwrap(), Stat { manual: Some(3), visible: false, ..stat() });
        for key in ["", "Online", "1st", "a-b", "ä", &"a".repeat(41)] {
            assert!(checked_key(key).is_err(), "{key}");
        }
        assert!(checked_key("talks_2026").is_ok());
    }
}
