//! Banners: announcements above the pages, between a start and an end. No I/O.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::cms::limits::MAX_BANNER_CHARS;
use crate::error::{Error, Result};
use crate::locale::Locale;
use crate::text;

/// How urgent a banner looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BannerTone)]
pub enum Tone {
    Info,
    Warn,
}

impl Tone {
    /// Returns the name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
        }
    }
}

/// Where a banner is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BannerPlace)]
pub enum Place {
    /// The landing page and the pages about the site.
    Landing,
    Lobby,
    Chat,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Landing, Self::Lobby, Self::Chat];

    /// Returns the name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landing => "landing",
            Self::Lobby => "lobby",
            Self::Chat => "chat",
        }
    }
}

/// An announcement above the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    pub id: i64,
    /// Plain text by language tag. The site's first language stands in for a missing one.
    pub text: BTreeMap<String, String>,
    pub tone: Tone,
    pub places: Vec<Place>,
    pub starts_at: OffsetDateTime,
    /// `None` if it stays until somebody ends it.
    pub ends_at: Option<OffsetDateTime>,
    /// Rises with each change.
    pub version: i64,
    pub updated_by: String,
    pub updated_at: OffsetDateTime,
}

impl Banner {
    /// Returns the text in a language, and the language it is in.
    pub fn text_in(&self, locale: Locale) -> (&str, Locale) {
        let own = |locale: Locale| self.text.get(locale.tag()).map(|text| (text.as_str(), locale));
        own(locale).or_else(|| own(Locale::default())).unwrap_or(("", locale))
    }

    /// Returns `true` if it is shown at a time.
    pub fn is_shown(&self, now: OffsetDateTime) -> bool {
        self.starts_at <= now && self.ends_at.is_none_or(|end| now < end)
    }

    /// Returns what identifies this text: who dismissed it is not shown it again until it changes.
    pub fn key(&self) -> String {
        format!("{}-{}", self.id, self.version)
    }
}

/// What an editor says of a banner.
#[derive(Clone, Debug)]
pub struct BannerChange {
    pub text: BTreeMap<String, String>,
    pub tone: Tone,
    pub places: Vec<Place>,
    /// `None` for now, or as before.
    pub starts_at: Option<OffsetDateTime>,
    pub ends_at: Option<OffsetDateTime>,
}

impl BannerChange {
    /// Checks the texts and places.
    ///
    /// # Errors
    /// `bad_frame` or `too_long` with the field.
    pub(super) fn checked(mut self) -> Result<Self> {
        let mut texts = BTreeMap::new();
        for (tag, typed) in self.text {
            if !Locale::ALL.iter().any(|locale| locale.tag() == tag) {
                return Err(Error::bad_field("text", format!("The site has no language `{tag}`.")));
            }
            let text = text::tidy(&typed);
            if text.chars().count() > MAX_BANNER_CHARS {
                return Err(Error::TooLong { limit: MAX_BANNER_CHARS, field: Some("text") });
            }
            if !text.is_empty() {
                text::check_line(&text).map_err(|flaw| Error::bad_field("text", flaw.to_string()))?;
                texts.insert(tag, text.into_owned());
            }
        }
        if !texts.contains_key(Locale::default().tag()) {
            let first = Locale::default().tag();
            return Err(Error::bad_field("text", format!("Write a text in the first language (`{first}`).")));
        }
        self.text = texts;
        let named = std::mem::take(&mut self.places);
        self.places = Place::ALL.into_iter().filter(|place| named.contains(place)).collect();
        if self.places.is_empty() {
            return Err(Error::bad_field("places", "Choose where it is shown."));
        }
        Ok(self)
    }
}
