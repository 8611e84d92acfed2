//! Notices: what a socket is told about itself, rather than about a room or a talk.
use serde::Serialize;
use ts_rs::TS;
use uuid::Uuid;

use super::Frame;

/// What is said to a socket that concerns neither an entry nor a talk.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Notice {
    Notice {
        kind: NoticeKind,
        /// When it ends; absent when it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        at: Option<String>,
        /// In the words of the person who decided it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        reason: Option<String>,
        /// The room it is about; absent for the whole service.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        room: Option<Uuid>,
    },
}

/// Why somebody is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The node stops; a 1012 close follows.
    Restart,
    /// The visitor is banned; a 4403 close follows.
    Banned,
    /// The visitor was removed from `room`; its sockets hear no more of it. Without a room the session has ended; a 4401
    /// close follows.
    Revoked,
}

impl Notice {
    /// A notice of a kind, with nothing more to say.
    pub fn of(kind: NoticeKind) -> Self {
        Self::Notice { kind, at: None, reason: None, room: None }
    }

    /// The frame's text.
    pub fn encode(&self) -> Frame {
        Frame::json(self)
    }
}
