//! The frames of the wire: what a client can send, and the answers to it (docs/WIRE.md).
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use uuid::Uuid;

use super::limits::MAX_RESUMED_ROOMS;
use crate::accounts::VisitorView;
use crate::error::{Error, Result};
use crate::http::Bucket;
use crate::ids::Seq;
use crate::matching::{EndReason, OpenSession};
use crate::metrics::FrameType;
use crate::moderation::ReportReason;
use crate::realtime::Frame;
use crate::rooms::{RoomView, Sender};

/// A frame of a client. Its `id` is parsed separately. Unknown fields are refused.
#[derive(Debug, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[ts(rename = "Request")]
pub(super) enum ClientFrame {
    /// The first frame: rooms that were subscribed to before, and how far they were read.
    Hello {
        #[serde(default)]
        #[ts(optional, as = "Option<Vec<ResumePoint>>")]
        resume: Vec<ResumePoint>,
    },
    Join {
        room: Uuid,
        #[ts(optional, type = "number")]
        after: Option<Seq>,
    },
    Leave {
        room: Uuid,
    },
    Send {
        room: Uuid,
        client_id: Uuid,
        #[ts(type = "Payload")]
        payload: Map<String, Value>,
        #[ts(optional, type = "number")]
        reply_to: Option<Seq>,
    },
    Typing {
        room: Uuid,
    },
    Read {
        room: Uuid,
        #[ts(type = "number")]
        seq: Seq,
    },
    Seek {
        interests: Vec<String>,
        languages: Vec<String>,
        translate: bool,
    },
    Cancel {},
    Next {
        session: Uuid,
        seek: bool,
    },
    Report {
        room: Uuid,
        reason: ReportReason,
        #[ts(type = "number[]")]
        seqs: Vec<Seq>,
        #[ts(optional)]
        note: Option<String>,
        block: bool,
    },
    /// Blocks a member of a room, or takes the block back if `on` is `false`.
    Block {
        room: Uuid,
        sender: Uuid,
        #[serde(default = "yes")]
        #[ts(optional, as = "Option<bool>")]
        on: bool,
    },
    Ping {},
}

fn yes() -> bool {
    true
}

impl ClientFrame {
    /// Returns its type, as metrics count it.
    pub(super) fn frame_type(&self) -> FrameType {
        match self {
            Self::Hello { .. } => FrameType::Hello,
            Self::Join { .. } => FrameType::Join,
            Self::Leave { .. } => FrameType::Leave,
            Self::Send { .. } => FrameType::Send,
            Self::Typing { .. } => FrameType::Typing,
            Self::Read { .. } => FrameType::Read,
            Self::Seek { .. } => FrameType::Seek,
            Self::Cancel {} => FrameType::Cancel,
            Self::Next { .. } => FrameType::Next,
            Self::Report { .. } => FrameType::Report,
            Self::Block { .. } => FrameType::Block,
            Self::Ping {} => FrameType::Ping,
        }
    }

    /// Returns `true` if the frame can end the visitor's right to write. Earlier sends of the
    /// socket are finished before it, so that frames take effect in order.
    pub(super) fn may_end_right_to_write(&self) -> bool {
        match self {
            Self::Leave { .. } | Self::Next { .. } | Self::Report { .. } | Self::Block { .. } => true,
            Self::Hello { .. }
            | Self::Join { .. }
            | Self::Send { .. }
            | Self::Typing { .. }
            | Self::Read { .. }
            | Self::Seek { .. }
            | Self::Cancel {}
            | Self::Ping {} => false,
        }
    }

    /// Returns `true` if the frame shows that somebody is there. The client sends the others by itself.
    pub(super) fn is_use(&self) -> bool {
        match self {
            Self::Hello { .. } | Self::Ping {} => false,
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Send { .. }
            | Self::Typing { .. }
            | Self::Read { .. }
            | Self::Seek { .. }
            | Self::Cancel {}
            | Self::Next { .. }
            | Self::Report { .. }
            | Self::Block { .. } => true,
        }
    }

    /// Returns the rate limit for this kind of frame, in addition to the limits on all frames of a
    /// visitor and of an address prefix. `None` if answering costs no more than reading.
    pub(super) fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Hello { .. } => Some(Bucket::Hellos),
            Self::Join { .. } => Some(Bucket::Joins),
            Self::Leave { .. } => Some(Bucket::Leaves),
            Self::Send { .. } => Some(Bucket::Entries),
            Self::Typing { .. } | Self::Read { .. } => Some(Bucket::EphemeralFrames),
            Self::Seek { .. } | Self::Next { .. } => Some(Bucket::Seeks),
            Self::Cancel {} => Some(Bucket::Cancels),
            Self::Report { .. } => Some(Bucket::Reports),
            Self::Block { .. } => Some(Bucket::Blocks),
            Self::Ping {} => None,
        }
    }
}

/// A room of which the client has the entries up to `after`.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumePoint {
    pub room: Uuid,
    #[ts(type = "number")]
    pub after: Seq,
}

/// A parsed text: its id, and the frame or the error that refuses it.
pub(super) struct ParsedFrame {
    pub id: u64,
    pub frame: Result<ClientFrame>,
}

/// A `send`, the most frequent frame, parsed in one pass: the general way in [`parse`] reads a
/// payload three times. All other texts, malformed ones too, are parsed the general way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendFrame {
    id: u64,
    #[serde(rename = "type")]
    _kind: SendTag,
    room: Uuid,
    client_id: Uuid,
    payload: Map<String, Value>,
    reply_to: Option<Seq>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SendTag {
    Send,
}

/// Parses a text. `None` if it is not a JSON object with a usable id.
pub(super) fn parse(text: &str) -> Option<ParsedFrame> {
    if text.contains(r#""send""#)
        && let Ok(SendFrame { id, room, client_id, payload, reply_to, .. }) = serde_json::from_str(text)
    {
        return Some(ParsedFrame { id, frame: Ok(ClientFrame::Send { room, client_id, payload, reply_to }) });
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else { return None };
    let id = object.remove("id")?.as_u64()?;
    let frame = match serde_json::from_value(Value::Object(object)) {
        Ok(ClientFrame::Hello { resume }) if resume.len() > MAX_RESUMED_ROOMS => {
            let why = format!("At most {MAX_RESUMED_ROOMS} rooms can be resumed at once.");
            Err(Error::bad_field("resume", why))
        }
        Ok(frame) => Ok(frame),
        Err(why) => Err(Error::bad_frame(why.to_string())),
    };
    Some(ParsedFrame { id, frame })
}

/// Parses only the id of a text that is refused with `why` whatever it holds. `None` as in
/// [`parse`].
pub(super) fn parse_refused(text: &str, why: Error) -> Option<ParsedFrame> {
    #[derive(Deserialize)]
    struct Id {
        id: u64,
    }
    let Id { id } = serde_json::from_str(text).ok()?;
    Some(ParsedFrame { id, frame: Err(why) })
}

/// The answer to a `hello`.
#[derive(Serialize, TS)]
pub(super) struct HelloOk {
    pub visitor: VisitorView,
    #[ts(type = "number")]
    pub heartbeat_ms: u64,
    pub server_time: String,
    /// The open talk.
    pub session: Option<OpenSession>,
    pub seeking: Option<Waiting>,
    pub rooms: Vec<ResumedRoom>,
}

/// The ticket of a visitor who is waiting for a match.
#[derive(Serialize, TS)]
pub(super) struct Waiting {
    pub ticket: Uuid,
}

/// The answer for a resumed room: its missing entries follow, or they are too many and the client
/// has to page through the log.
#[derive(Serialize, TS)]
#[serde(untagged)]
pub(super) enum ResumedRoom {
    Replayed {
        room: Uuid,
        #[ts(type = "number")]
        head: Seq,
        #[ts(type = "number")]
        replayed: i64,
        /// How the room's talk ended, as this side sees it; absent while it is open.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        ended: Option<EndReason>,
    },
    Resync {
        room: Uuid,
        resync: bool,
        #[ts(type = "number")]
        head: Seq,
        /// How the room's talk ended, as this side sees it; absent while it is open.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        ended: Option<EndReason>,
    },
}

/// The answer to a `join`.
#[derive(Serialize, TS)]
pub(super) struct JoinOk {
    pub room: RoomView,
    #[ts(type = "number")]
    pub head: Seq,
    #[ts(type = "number")]
    pub members_online: usize,
    pub you: MembershipView,
    /// `true` if `after` is too far back: the client has to page through the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub resync: bool,
}

/// The visitor's own membership in a room.
#[derive(Serialize, TS)]
pub(super) struct MembershipView {
    #[serde(flatten)]
    pub sender: Sender,
    pub role: String,
}

/// The answer to a `send`, after the commit.
#[derive(Serialize, TS)]
pub(super) struct SendOk {
    #[ts(type = "number")]
    pub seq: Seq,
    pub at: String,
}

/// The answer to a `seek`.
#[derive(Serialize, TS)]
pub(super) struct SeekOk {
    pub ticket: Uuid,
    /// Visitors who are waiting now, including this one.
    #[ts(type = "number")]
    pub waiting: i64,
    /// The median of recent waits; absent if there were too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub median_wait_ms: Option<i64>,
}

/// The answer to a `next`.
#[derive(Serialize, TS)]
pub(super) struct NextOk {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub ticket: Option<Uuid>,
}

/// The answer to a `report`.
#[derive(Serialize, TS)]
pub(super) struct ReportOk {
    pub report: Uuid,
}

/// The answer to a `ping`.
#[derive(Serialize, TS)]
pub(super) struct PingOk {
    pub server_time: String,
}

/// An answer without fields.
#[derive(Serialize, TS)]
pub(super) struct Empty {}

#[derive(Serialize)]
struct OkAnswer<'a, T> {
    re: u64,
    ok: &'a T,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    re: Option<u64>,
    error: ErrorBody<'a>,
}

/// An error as it is sent on the wire.
#[derive(Serialize, TS)]
pub(super) struct ErrorBody<'a> {
    pub code: &'static str,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub field: Option<&'static str>,
}

/// Encodes the answer to the frame `re`.
pub(super) fn ok<T: Serialize>(re: u64, answer: &T) -> Frame {
    Frame::json(&OkAnswer { re, ok: answer })
}

/// Encodes the refusal of the frame `re`, and logs the error if it is internal. `re` is `None` for
/// a frame without a usable id.
pub(super) fn refusal(re: Option<u64>, why: &Error) -> Frame {
    why.log();
    let message = why.to_string();
    let error =
        ErrorBody { code: why.code(), message: &message, retry_after_ms: why.retry_after_ms(), field: why.field() };
    Frame::json(&ErrorAnswer { re, error })
}

#[cfg(test)]
mod tests {
    use super::{ClientFrame, ParsedFrame, parse};

    #[test]
    fn frames_are_parsed_strictly() {
        let refused = |text: &str| {
            let parsed = parse(text).unwrap();
            (parsed.id, parsed.frame.unwrap_err().code())
        };
        for text in [
            r#"{"id":7}"#,
            r#"{"id":7,"type":5}"#,
            r#"{"id":7,"type":"edit"}"#,
            r#"{"id":7,"type":"ping","x":1}"#,
            r#"{"id":7,"type":"cancel","x":1}"#,
            r#"{"id":7,"type":"join"}"#,
            r#"{"id":7,"type":"join","room":"x"}"#,
            r#"{"id":7,"type":"send","room":"00000000-0000-0000-0000-000000000000","client_id":"00000000-0000-0000-0000-000000000000","payload":"x"}"#,
            r#"{"id":7,"type":"hello","resume":[{"room":"00000000-0000-0000-0000-000000000000","after":1,"x":2}]}"#,
            r#"{"id":7,"type":"seek","interests":[],"languages":"ko","translate":true}"#,
        ] {
            assert_eq!(refused(text), (7, "bad_frame"), "{text}");
        }
        for text in [
            "",
            "x",
            "5",
            "null",
            "[]",
            r#"{"type":"ping"}"#,
            r#"{"id":"1","type":"ping"}"#,
            r#"{"id":-1,"type":"ping"}"#,
            r#"{"id":1.5,"type":"ping"}"#,
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        let nil = "00000000-0000-0000-0000-000000000000";
        for reply in ["", r#","reply_to":null"#, r#","reply_to":3"#] {
            let text = format!(
                r#"{{"type":"send","payload":{{"kind":"text"}},"id":1,"room":"{nil}","client_id":"{nil}"{reply}}}"#
            );
            assert!(
                matches!(parse(&text).unwrap(), ParsedFrame { id: 1, frame: Ok(ClientFrame::Send { .. }) }),
                "{text}"
            );
        }
        let hello = parse(r#"{"id":1,"type":"hello"}"#).unwrap();
        assert!(matches!(hello.frame, Ok(ClientFrame::Hello { resume }) if resume.is_empty()));
        let most = u64::MAX;
        assert_eq!(parse(&format!(r#"{{"id":{most},"type":"ping"}}"#)).unwrap().id, most);
    }
}
