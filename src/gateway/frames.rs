//! The wire: every frame a client may send, and every answer and notice it may get (docs/WIRE.md).
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use uuid::Uuid;

use crate::accounts::VisitorView;
use crate::error::{Error, Result};
use crate::http::Bucket;
use crate::matching::OpenSession;
use crate::moderation::ReportReason;
use crate::realtime::Frame;
use crate::rooms::{RoomView, Sender};

/// Rooms a `hello` may resume.
const RESUMES: usize = 50;

/// What a client says. `id` is read before; unknown fields are refused.
#[derive(Debug, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[ts(rename = "Request")]
pub(super) enum ClientFrame {
    /// First, within 10 s: what was followed before, and how far.
    Hello {
        #[serde(default)]
        #[ts(optional, as = "Option<Vec<ResumePoint>>")]
        resume: Vec<ResumePoint>,
    },
    Join {
        room: Uuid,
        #[ts(optional, type = "number")]
        after: Option<i64>,
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
        reply_to: Option<i64>,
    },
    Typing {
        room: Uuid,
    },
    Read {
        room: Uuid,
        #[ts(type = "number")]
        seq: i64,
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
        seqs: Vec<i64>,
        #[ts(optional)]
        note: Option<String>,
        block: bool,
    },
    Block {
        room: Uuid,
        sender: Uuid,
    },
    Ping {},
}

impl ClientFrame {
    /// Whether it may end the right to write: what the same socket sent before is settled first, so that frames take effect
    /// in order.
    pub(super) fn ends_rights(&self) -> bool {
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

    /// What limits a frame, besides the frames of all kinds that a visitor and its address prefix may send. None: answering
    /// costs no more than reading it.
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

/// A room that was followed up to `after`.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumePoint {
    pub room: Uuid,
    #[ts(type = "number")]
    pub after: i64,
}

/// What could be read of a text: its id, and the frame or why there is none.
pub(super) struct Read {
    pub id: u64,
    pub frame: Result<ClientFrame>,
}

/// The frame that most texts are, read in one pass: the general way below reads a payload three times. Every other text,
/// wrong ones too, goes that way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: u64,
    #[serde(rename = "type")]
    _kind: SendTag,
    room: Uuid,
    client_id: Uuid,
    payload: Map<String, Value>,
    reply_to: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SendTag {
    Send,
}

/// Reads a text. None: not a JSON object with a usable id.
pub(super) fn read(text: &str) -> Option<Read> {
    if text.contains(r#""send""#)
        && let Ok(Sent { id, room, client_id, payload, reply_to, .. }) = serde_json::from_str(text)
    {
        return Some(Read { id, frame: Ok(ClientFrame::Send { room, client_id, payload, reply_to }) });
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else { return None };
    let id = object.remove("id")?.as_u64()?;
    let frame = match serde_json::from_value(Value::Object(object)) {
        Ok(ClientFrame::Hello { resume }) if resume.len() > RESUMES => {
            Err(Error::bad_field("resume", "At most 50 rooms can be resumed at once."))
        }
        Ok(frame) => Ok(frame),
        Err(why) => Err(Error::bad_frame(why.to_string())),
    };
    Some(Read { id, frame })
}

/// Reads no more of a text than its id, for a frame that is refused whatever it says. None: as [`read`].
pub(super) fn read_refused(text: &str, why: Error) -> Option<Read> {
    #[derive(Deserialize)]
    struct Id {
        id: u64,
    }
    let Id { id } = serde_json::from_str(text).ok()?;
    Some(Read { id, frame: Err(why) })
}

/// The answer to a `hello`.
#[derive(Serialize, TS)]
pub(super) struct HelloOk {
    pub visitor: VisitorView,
    #[ts(type = "number")]
    pub heartbeat_ms: u64,
    pub server_time: String,
    /// The talk that is open.
    pub session: Option<OpenSession>,
    pub seeking: Option<Waiting>,
    pub rooms: Vec<ResumedRoom>,
}

/// The ticket of somebody who waits.
#[derive(Serialize, TS)]
pub(super) struct Waiting {
    pub ticket: Uuid,
}

/// What becomes of a resumed room: its missing entries follow, or are too many and are to be paged.
#[derive(Serialize, TS)]
#[serde(untagged)]
pub(super) enum ResumedRoom {
    Replayed {
        room: Uuid,
        #[ts(type = "number")]
        head: i64,
        #[ts(type = "number")]
        replayed: i64,
    },
    Resync {
        room: Uuid,
        resync: bool,
        #[ts(type = "number")]
        head: i64,
    },
}

/// The answer to a `join`.
#[derive(Serialize, TS)]
pub(super) struct JoinOk {
    pub room: RoomView,
    #[ts(type = "number")]
    pub head: i64,
    #[ts(type = "number")]
    pub members_online: usize,
    pub you: MembershipView,
    /// True when `after` lies too far back: page through the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub resync: bool,
}

/// Who one is in a room.
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
    pub seq: i64,
    pub at: String,
}

/// The answer to a `seek`.
#[derive(Serialize, TS)]
pub(super) struct SeekOk {
    pub ticket: Uuid,
    /// People who wait now, this one too.
    #[ts(type = "number")]
    pub waiting: i64,
    /// The median of recent waits; absent when there are too few to say.
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

/// An answer with nothing to say.
#[derive(Serialize, TS)]
pub(super) struct Empty {}

#[derive(Serialize)]
struct Ok<'a, T> {
    re: u64,
    ok: &'a T,
}

#[derive(Serialize)]
struct Failed<'a> {
    re: Option<u64>,
    error: ErrorBody<'a>,
}

/// An error as the wire shows it.
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

/// The answer to frame `re`.
pub(super) fn ok<T: Serialize>(re: u64, answer: &T) -> Frame {
    Frame::json(&Ok { re, ok: answer })
}

/// The refusal of frame `re`; None for one without a usable id.
pub(super) fn refusal(re: Option<u64>, why: &Error) -> Frame {
    why.log();
    let message = why.to_string();
    let error =
        ErrorBody { code: why.code(), message: &message, retry_after_ms: why.retry_after_ms(), field: why.field() };
    Frame::json(&Failed { re, error })
}

#[cfg(test)]
mod tests {
    use super::{ClientFrame, Read, read};

    #[test]
    fn frames_are_read_strictly() {
        let refused = |text: &str| {
            let read = read(text).unwrap();
            (read.id, read.frame.unwrap_err().code())
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
            assert!(read(text).is_none(), "{text}");
        }
        let nil = "00000000-0000-0000-0000-000000000000";
        for reply in ["", r#","reply_to":null"#, r#","reply_to":3"#] {
            let text = format!(
                r#"{{"type":"send","payload":{{"kind":"text"}},"id":1,"room":"{nil}","client_id":"{nil}"{reply}}}"#
            );
            assert!(matches!(read(&text).unwrap(), Read { id: 1, frame: Ok(ClientFrame::Send { .. }) }), "{text}");
        }
        let hello = read(r#"{"id":1,"type":"hello"}"#).unwrap();
        assert!(matches!(hello.frame, Ok(ClientFrame::Hello { resume }) if resume.is_empty()));
        let most = u64::MAX;
        assert_eq!(read(&format!(r#"{{"id":{most},"type":"ping"}}"#)).unwrap().id, most);
    }
}
