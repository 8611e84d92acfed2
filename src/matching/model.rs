//! Matching: types and rules, no I/O.
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ts_rs::TS;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::limits::{MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_LANGUAGES};
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
pub struct Seek {
    /// Lowercase, at most [`MAX_INTERESTS`]. Empty if the visitor is open to anyone.
    pub interests: Vec<String>,
    /// BCP 47 tags, at most [`MAX_LANGUAGES`]. Empty if any language will do.
    pub languages: Vec<String>,
    /// A talk with a translation is welcome.
    pub translate: bool,
}

impl Seek {
    /// Checks a seek and normalizes it: interests become NFC, trimmed and lowercase; duplicates are
    /// removed; `translate` is dropped unless [`TRANSLATES`].
    ///
    /// # Errors
    /// `bad_frame` with the field that is over its limit or not valid.
    pub fn checked(self) -> Result<Self> {
        if self.interests.len() > MAX_INTERESTS {
            return Err(Error::bad_field("interests", format!("At most {MAX_INTERESTS} interests.")));
        }
        if self.languages.len() > MAX_LANGUAGES {
            return Err(Error::bad_field("languages", format!("At most {MAX_LANGUAGES} languages.")));
        }
        let mut interests = Vec::with_capacity(self.interests.len());
        for interest in &self.interests {
            let interest: String = text::tidy(interest).to_lowercase().nfc().collect();
            if !(1..=MAX_INTEREST_CHARS).contains(&interest.chars().count()) {
                let why = format!("An interest has 1 to {MAX_INTEREST_CHARS} characters.");
                return Err(Error::bad_field("interests", why));
            }
            text::check_line(&interest).map_err(|flaw| Error::bad_field("interests", flaw.to_string()))?;
            if !interests.contains(&interest) {
                interests.push(interest);
            }
        }
        let mut languages: Vec<String> = Vec::with_capacity(self.languages.len());
        for tag in self.languages {
            if !is_language_tag(&tag) {
                return Err(Error::bad_field("languages", "A language is a BCP 47 tag."));
            }
            if !languages.iter().any(|known| known.eq_ignore_ascii_case(&tag)) {
                languages.push(tag);
            }
        }
        Ok(Self { interests, languages, translate: self.translate && TRANSLATES })
    }
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
    /// The interests that both named.
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
