//! Notices: events about a visitor or the service rather than about a room or a talk.
use serde::Serialize;
use ts_rs::TS;
use uuid::Uuid;

use super::Frame;

/// An event that concerns neither an entry nor a talk.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Notice {
    Notice {
        kind: NoticeKind,
        /// When it ends; absent if it has no end. For `signed_in_elsewhere`: when that was.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        at: Option<String>,
        /// The reason in the words of the staff member who decided it, or a name such as
        /// `password_changed` if a session has ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        reason: Option<String>,
        /// For `signed_in_elsewhere`: the browser and the system of the other session, in a few words.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        device: Option<String>,
        /// The room it concerns; absent for the whole service.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        room: Option<Uuid>,
    },
}

/// The kind of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The node is stopping; a close with 1012 follows.
    Restart,
    /// The visitor is banned; a close with 4403 follows.
    Banned,
    /// The visitor was removed from `room` and gets no more frames of it. Without `room`, the
    /// session has ended and a close with 4401 follows.
    Revoked,
    /// The session ends at `at` unless it is used.
    SessionExpiring,
    /// The account signed in elsewhere; a close with 4409 follows.
    SignedInElsewhere,
}

impl Notice {
    /// Creates a notice without an end, a reason or a room.
    pub fn of(kind: NoticeKind) -> Self {
        Self::Notice { kind, at: None, reason: None, device: None, room: None }
    }

    /// Encodes the notice as a frame.
    pub fn encode(&self) -> Frame {
        Frame::json(self)
    }
}
