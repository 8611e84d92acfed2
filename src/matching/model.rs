//! Matching: types and rules, no I/O.
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use ts_rs::TS;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::realtime::Frame;
use crate::rooms::{Slot, is_language_tag};
use crate::text;

/// Interests of a seek at most, and characters of one.
const INTERESTS: usize = 5;
const INTEREST: usize = 30;
/// Languages of a seek at most.
const LANGUAGES: usize = 10;

/// How long a ticket outlives its last socket (DESIGN.md 6).
pub(super) const TICKET_GRACE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a side may be without a socket before the other is told: a page that reloads is not away.
pub(super) const DEBOUNCE: std::time::Duration = std::time::Duration::from_millis(1_500);
/// How long a side that is away may take to come back (DESIGN.md 6).
pub(super) const RETURN: Duration = Duration::seconds(30);
/// How long a side may take to enter a new talk.
pub(super) const ENTRY: Duration = Duration::seconds(15);
/// Age at which a node's lease counts as expired, in seconds of the database's time.
pub(super) const LEASE_SECS: f64 = 3.0;

/// What somebody looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seek {
    /// Lowercase, at most 5; none means open to anyone.
    pub interests: Vec<String>,
    /// BCP 47 tags, at most 10; none means any.
    pub languages: Vec<String>,
    /// Whether a translated talk is welcome.
    pub translate: bool,
}

impl Seek {
    /// Checks and tidies a seek: NFC, trimmed, lowercase, each once. Errors: `bad_frame` with the field.
    pub fn checked(self) -> Result<Self> {
        if self.interests.len() > INTERESTS {
            return Err(Error::bad_field("interests", "At most 5 interests."));
        }
        if self.languages.len() > LANGUAGES {
            return Err(Error::bad_field("languages", "At most 10 languages."));
        }
        let mut interests = Vec::with_capacity(self.interests.len());
        for interest in &self.interests {
            let tidy: String = text::tidy(interest).to_lowercase().nfc().collect();
            if !(1..=INTEREST).contains(&tidy.chars().count()) {
                return Err(Error::bad_field("interests", "An interest has 1 to 30 characters."));
            }
            text::check_line(&tidy).map_err(|flaw| Error::bad_field("interests", flaw.to_string()))?;
            if !interests.contains(&tidy) {
                interests.push(tidy);
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
        Ok(Self { interests, languages, translate: self.translate })
    }
}

/// A waiting ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub id: i64,
    pub public_id: Uuid,
    pub visitor: i64,
    pub seek: Seek,
    /// Since when its visitor has been waiting.
    pub since: OffsetDateTime,
}

/// The answer to a seek.
#[derive(Clone, Copy, Debug)]
pub struct Seeking {
    pub ticket: Uuid,
    /// People who wait now, this one too; a second old at most.
    pub waiting: i64,
    /// The median of recent real waits, in milliseconds; None while there are too few to say.
    pub median_wait_ms: Option<i64>,
}

/// How a talk ended, as a side is told.
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
    /// Reads what is stored; the schema allows nothing else.
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

    /// As a side is told, who ended the talk or did not. Who reported or blocked somebody stays unknown to them: they hear
    /// what they would hear had the other side left.
    pub(super) fn as_told(self, by_oneself: bool) -> Self {
        match self {
            Self::Report | Self::Block if !by_oneself && !faults::on(Fault::ReporterTold) => Self::Left,
            reason => reason,
        }
    }

    /// As it is stored.
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
    /// The person's public id in this room, the same as `sender.id` of its messages.
    pub id: Uuid,
    /// In the person's own language; a page shows `color` and `animal` in the reader's.
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    pub animal: Option<String>,
}

/// One's own side of a talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Own {
    /// One's public id in this room, the same as `sender.id` of one's own messages.
    pub id: Uuid,
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    pub animal: Option<String>,
    pub slot: Slot,
}

/// A talk that was found, as one side sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Pairing {
    pub session: Uuid,
    pub room: Uuid,
    pub slot: Slot,
    pub partner: Partner,
    pub you: Own,
    /// Interests both named.
    pub shared: Vec<String>,
    /// Languages both speak, primary subtags; empty when a translation has to bridge.
    pub languages: Vec<String>,
    /// True when the two met less than 10 minutes ago, because nobody else could be found.
    pub relaxed: bool,
}

/// A ticket that a freed side got back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
pub struct SeekingRef {
    pub ticket: Uuid,
}

/// What matching tells a visitor, on all its sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "made, encoded and dropped: never kept in numbers")]
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

/// How the text of a `found` and of an `ended` begins (serde writes the tag first).
const FOUND: &str = r#"{"type":"found""#;
const ENDED: &str = r#"{"type":"ended""#;

impl TalkEvent {
    /// The frame's text.
    pub fn encode(&self) -> Frame {
        Frame::json(self)
    }

    /// Whether a frame that another node encoded is a `found`.
    pub(super) fn is_found(frame: &str) -> bool {
        frame.starts_with(FOUND)
    }

    /// Whether a frame that another node encoded is an `ended`.
    pub(super) fn is_ended(frame: &str) -> bool {
        frame.starts_with(ENDED)
    }

    /// Whether a frame that another node encoded is an `ended` that puts its visitor back into the queue.
    pub(super) fn puts_back(frame: &str) -> bool {
        frame.starts_with(ENDED) && frame.contains(r#""seeking":"#)
    }
}

/// Whether the other side of an open talk has a socket.
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
    /// The partner's state.
    pub state: TalkState,
    /// Until when an absent partner may come back.
    pub partner_until: Option<String>,
}

/// What a visitor is in the middle of.
#[derive(Clone, Debug)]
pub struct Standing {
    pub session: Option<OpenSession>,
    /// The ticket of a visitor who waits.
    pub seeking: Option<Uuid>,
}

/// One side of a talk as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub visitor: i64,
    pub seek: Seek,
    pub since: OffsetDateTime,
    /// The node that holds its socket; None until it has entered.
    pub node: Option<Uuid>,
    pub away_since: Option<OffsetDateTime>,
}

/// A talk as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub public_id: Uuid,
    pub room_id: i64,
    pub room: Uuid,
    pub a: Side,
    pub b: Side,
    pub created_at: OffsetDateTime,
    pub ended: bool,
}

impl Talk {
    /// The side in a slot.
    pub(super) fn side(&self, slot: Slot) -> &Side {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// The slot of a visitor.
    pub(super) fn slot_of(&self, visitor: i64) -> Option<Slot> {
        [Slot::A, Slot::B].into_iter().find(|slot| self.side(*slot).visitor == visitor)
    }
}

/// The other slot.
pub(super) fn other(slot: Slot) -> Slot {
    match slot {
        Slot::A => Slot::B,
        Slot::B => Slot::A,
    }
}

/// How a talk is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub reason: EndReason,
    /// Who ended it; None when time did.
    pub by: Option<Slot>,
    /// The side that goes back to the front of the queue.
    pub free: Option<Slot>,
}

/// Whether time ends a talk now: a side never entered, or was away too long.
///
/// Only a side that entered and is still there goes back to the front: it had no talk through no fault of its own.
pub(super) fn overdue(talk: &Talk, now: OffsetDateTime) -> Option<Ending> {
    let lost = |free| Some(Ending { reason: EndReason::Lost, by: None, free });
    let sides = [Slot::A, Slot::B];
    if sides.iter().any(|slot| talk.side(*slot).node.is_none()) && now - talk.created_at >= ENTRY {
        let there = |slot: &Slot| talk.side(*slot).node.is_some() && talk.side(*slot).away_since.is_none();
        return lost(sides.into_iter().find(there));
    }
    let gone = |slot: &Slot| talk.side(*slot).away_since.is_some_and(|since| now - since >= RETURN);
    if sides.iter().any(gone) { lost(None) } else { None }
}

/// What both sides are told of an end, in order.
pub(super) fn farewells(talk: &Talk, ending: Ending, ticket: Option<Uuid>) -> Vec<(i64, TalkEvent)> {
    let session = talk.public_id;
    let ended = |reason, seeking| TalkEvent::Ended { session, reason, seeking };
    let mut told = Vec::with_capacity(4);
    for slot in [Slot::A, Slot::B] {
        let visitor = talk.side(slot).visitor;
        if ending.free == Some(slot) {
            told.push((visitor, ended(ending.reason, ticket.map(|ticket| SeekingRef { ticket }))));
            continue;
        }
        // Of two sides that time parted, the one that was there hears that the other has gone.
        let remains = ending.by.is_none() && talk.side(slot).node.is_some() && talk.side(slot).away_since.is_none();
        if ending.by == Some(other(slot)) || remains {
            told.push((visitor, TalkEvent::Partner { session, state: PartnerState::Left, until: None }));
        }
        told.push((visitor, ended(ending.reason.as_told(ending.by == Some(slot)), None)));
    }
    told
}

/// A ticket's row as a node finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub ticket: Uuid,
    pub cancelled: bool,
}

/// What a node does about a seeker it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// The table holds the same ticket.
    Keep,
    /// Another one replaced it (a seek on another node): hold that one.
    Adopt,
    /// It was cancelled or matched; hold it no longer.
    Drop,
    /// It was matched and the talk is open: say so again, the news may have been lost.
    Deliver,
    /// It is missing and was not matched: a crash emptied the table.
    WriteAgain,
}

/// Compares a seeker with its row and with the talk that its visitor is, or its ticket was, in.
///
/// The talks must have been read after the rows: a pair is committed together with the deletion of its tickets.
pub(super) fn upkeep(ticket: Uuid, row: Option<Row>, in_talk: bool, was_matched: bool) -> Upkeep {
    match row {
        Some(row) if row.cancelled => Upkeep::Drop,
        Some(row) if row.ticket == ticket => Upkeep::Keep,
        Some(_) => Upkeep::Adopt,
        None if in_talk => Upkeep::Deliver,
        None if was_matched => Upkeep::Drop,
        None => Upkeep::WriteAgain,
    }
}
