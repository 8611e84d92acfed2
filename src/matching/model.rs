//! Matching: types and rules, no I/O.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ts_rs::TS;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::limits::{MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_LANGUAGES};
use super::topics::topic_of;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::VisitorId;
use crate::realtime::{Frame, NodeEvent};
use crate::rooms::{Slot, is_language_tag};
use crate::text;

/// The inner id of a ticket. Clients know a ticket by its public id, a UUID. The default is below
/// every id that Postgres gives out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub(super) struct TicketId(pub i64);

/// The inner id of a talk. Clients know a talk by its public id, a UUID that they call `session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub(super) struct TalkId(pub i64);

/// Age in seconds at which the lease of a node has expired, by the clock of Postgres.
pub(super) const LEASE_TIMEOUT_SECS: f64 = 3.0;

/// Whether this service has a translator. No provider can be configured yet, so `translate` of a
/// seek has no effect, and pages do not offer it.
pub const TRANSLATES: bool = false;

/// What a visitor looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredSeek")]
pub struct Seek {
    /// In the visitor's own words, at most [`MAX_INTERESTS`]. Empty if the visitor is open to
    /// anyone.
    interests: Vec<String>,
    /// What each interest is compared by, in the order of `interests`.
    topics: Vec<String>,
    /// BCP 47 tags, at most [`MAX_LANGUAGES`]. Empty if any language will do.
    languages: Vec<String>,
    /// A talk with a translation is welcome.
    translate: bool,
}

/// A seek as it is stored. Versions that know no topics wrote none.
#[derive(Deserialize)]
pub(super) struct StoredSeek {
    pub interests: Vec<String>,
    #[serde(default)]
    pub topics: Vec<String>,
    pub languages: Vec<String>,
    pub translate: bool,
}

impl From<StoredSeek> for Seek {
    fn from(stored: StoredSeek) -> Self {
        let StoredSeek { interests, mut topics, languages, translate } = stored;
        if topics.len() != interests.len() {
            topics = interests.iter().map(|interest| topic_of(interest)).collect();
        }
        Self { interests, topics, languages, translate }
    }
}

impl Seek {
    /// Checks and normalizes what a visitor looks for. Interests become NFC and trimmed; those with
    /// the topic of an earlier one are left out, and so are repeated languages.
    ///
    /// # Errors
    /// `bad_frame` with the field that is over its limit or not valid.
    pub fn new(asked_interests: Vec<String>, asked_languages: Vec<String>, translate: bool) -> Result<Self> {
        if asked_interests.len() > MAX_INTERESTS {
            return Err(Error::bad_field("interests", format!("At most {MAX_INTERESTS} interests.")));
        }
        if asked_languages.len() > MAX_LANGUAGES {
            return Err(Error::bad_field("languages", format!("At most {MAX_LANGUAGES} languages.")));
        }
        let mut interests = Vec::with_capacity(asked_interests.len());
        let mut topics = Vec::with_capacity(asked_interests.len());
        for asked in &asked_interests {
            let interest = checked_interest(asked)?;
            let topic = topic_of(&interest);
            if !topics.contains(&topic) {
                topics.push(topic);
                interests.push(interest.into_owned());
            }
        }
        let mut languages: Vec<String> = Vec::with_capacity(asked_languages.len());
        for tag in asked_languages {
            if !is_language_tag(&tag) {
                return Err(Error::bad_field("languages", "A language is a BCP 47 tag."));
            }
            if !languages.iter().any(|known| known.eq_ignore_ascii_case(&tag)) {
                languages.push(tag);
            }
        }
        Ok(Self { interests, topics, languages, translate })
    }

    /// Returns what the interests are compared by.
    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    pub(super) fn languages(&self) -> &[String] {
        &self.languages
    }

    pub(super) fn translate(&self) -> bool {
        self.translate
    }

    /// Returns the interests that another seek shares, in the words and the order of this one.
    pub(super) fn shared_with(&self, other: &Self) -> Vec<&str> {
        let own = self.interests.iter().zip(&self.topics);
        own.filter(|(_, topic)| other.topics.contains(topic)).map(|(interest, _)| interest.as_str()).collect()
    }
}

/// Checks an interest and returns it in NFC and trimmed.
///
/// # Errors
/// `bad_frame`.
pub(super) fn checked_interest(interest: &str) -> Result<Cow<'_, str>> {
    let interest = text::tidy(interest);
    // A capital letter can become two characters in lower case, which is what clients count.
    if !(1..=MAX_INTEREST_CHARS).contains(&interest.to_lowercase().nfc().count()) {
        let why = format!("An interest has 1 to {MAX_INTEREST_CHARS} characters.");
        return Err(Error::bad_field("interests", why));
    }
    text::check_line(&interest).map_err(|flaw| Error::bad_field("interests", flaw.to_string()))?;
    Ok(interest)
}

/// A waiting ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub id: TicketId,
    pub public_id: Uuid,
    pub visitor: VisitorId,
    pub seek: Seek,
    /// When its visitor started to wait.
    pub since: OffsetDateTime,
}

/// The answer to a seek.
#[derive(Clone, Copy, Debug)]
pub struct Seeking {
    pub ticket: Uuid,
    /// The number of visitors that wait now, including this one. At most one second old.
    pub waiting: i64,
    /// The median of recent real waits, in milliseconds. `None` while there are too few of them.
    pub median_wait_ms: Option<i64>,
}

/// How a talk ended, as a side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    Left,
    Next,
    Lost,
    Report,
    Block,
    Moderator,
}

impl EndReason {
    /// Parses the stored text. The schema allows no other value.
    pub(super) fn of_str(text: &str) -> Self {
        match text {
            "next" => Self::Next,
            "lost" => Self::Lost,
            "report" => Self::Report,
            "block" => Self::Block,
            "moderator" => Self::Moderator,
            _ => Self::Left,
        }
    }

    /// Returns the reason as a side sees it. `ended_by_self` is `true` for the side that ended the
    /// talk.
    ///
    /// The reported or blocked side does not learn of it. It sees the same as if the other side had
    /// left.
    pub(super) fn shown_to_side(self, ended_by_self: bool) -> Self {
        match self {
            Self::Report | Self::Block if !ended_by_self && !faults::on(Fault::ReporterTold) => Self::Left,
            reason => reason,
        }
    }

    /// Returns the text that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Next => "next",
            Self::Lost => "lost",
            Self::Report => "report",
            Self::Block => "block",
            Self::Moderator => "moderator",
        }
    }
}

/// The state of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum PartnerState {
    Away,
    Back,
    Left,
}

/// The other side of a talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Partner {
    /// The partner's public id in this room, the same as `sender.id` of its messages.
    pub id: Uuid,
    /// In the partner's language. A page shows `color` and `animal` in the language of the reader.
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    pub animal: Option<String>,
}

/// The visitor's own side of a talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Own {
    /// The visitor's public id in this room, the same as `sender.id` of its messages.
    pub id: Uuid,
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    pub animal: Option<String>,
    pub slot: Slot,
}

/// A match as one side sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Pairing {
    pub session: Uuid,
    pub room: Uuid,
    pub slot: Slot,
    pub partner: Partner,
    pub you: Own,
    /// The interests that both named, in this side's own words.
    pub shared: Vec<String>,
    /// The primary subtags of the languages that both speak. Empty if they need a translation or
    /// both take any language.
    pub languages: Vec<String>,
    /// `true` if the two met recently and neither had another possible partner.
    pub relaxed: bool,
}

/// The ticket of a side that waits again because its partner never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
pub struct SeekingRef {
    pub ticket: Uuid,
}

/// An event for a visitor. It goes to all sockets of the visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "encoded and dropped at once; never stored")]
pub enum TalkEvent {
    Found(Pairing),
    Partner {
        session: Uuid,
        state: PartnerState,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        until: Option<String>,
    },
    Ended {
        session: Uuid,
        reason: EndReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        seeking: Option<SeekingRef>,
    },
}

impl TalkEvent {
    /// Encodes the event as a frame.
    pub fn encode(&self) -> Frame {
        Frame::json(self)
    }

    /// Returns what the event means for other nodes, which may hold a ticket of the visitor. `None`
    /// if it means nothing for them.
    pub(super) fn node_event(&self) -> Option<NodeEvent> {
        match self {
            Self::Found(_) => Some(NodeEvent::Matched),
            Self::Ended { seeking, .. } => Some(NodeEvent::TalkEnded { requeued: seeking.is_some() }),
            Self::Partner { .. } => None,
        }
    }
}

/// The state of an open talk: whether the partner has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TalkState {
    Open,
    Away,
}

/// An open talk, for `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct OpenSession {
    #[serde(flatten)]
    pub found: Pairing,
    pub state: TalkState,
    /// Until when a partner that is away can return.
    pub partner_until: Option<String>,
}

/// What a visitor is doing: it is in a talk, it waits, or neither.
#[derive(Clone, Debug)]
pub struct CurrentActivity {
    /// The visitor's open talk.
    pub session: Option<OpenSession>,
    /// The visitor's waiting ticket.
    pub seeking: Option<Uuid>,
}
