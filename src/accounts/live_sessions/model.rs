//! Signed-in sessions: types and rules, no I/O.
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ts_rs::TS;

use crate::accounts::limits::SIGNED_IN_IDLE_TIMEOUT;
use crate::clock::format_timestamp;
use crate::realtime::{CloseCode, Disconnect, Notice, NoticeKind};

/// The characters of a device's name that are stored at most.
const MAX_DEVICE_CHARS: usize = 80;

/// Why a signed-in session ended. The constraint `session_end_reason_known` names the same reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionEndReason)]
pub enum EndReason {
    SignedOut,
    SignedInElsewhere,
    /// Ended from the list of sessions.
    EndedByOwner,
    /// Ended by a member of the staff.
    EndedByStaff,
    PasswordChanged,
    RoleChanged,
    Deactivated,
    Deleted,
    Expired,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::SignedOut,
        Self::SignedInElsewhere,
        Self::EndedByOwner,
        Self::EndedByStaff,
        Self::PasswordChanged,
        Self::RoleChanged,
        Self::Deactivated,
        Self::Deleted,
        Self::Expired,
    ];

    /// Returns the reason's name, as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::SignedInElsewhere => "signed_in_elsewhere",
            Self::EndedByOwner => "ended_by_owner",
            Self::EndedByStaff => "ended_by_staff",
            Self::PasswordChanged => "password_changed",
            Self::RoleChanged => "role_changed",
            Self::Deactivated => "deactivated",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }

    /// Returns the reason of this name. `None` if there is none.
    pub(in crate::accounts) fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// How a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::accounts) struct Ended {
    pub(in crate::accounts) reason: EndReason,
    /// The session that stands for the account now. `None` if there is none any more.
    pub(in crate::accounts) elsewhere: Option<Elsewhere>,
}

impl Ended {
    /// Returns the last frame and the close code of the sockets of a session. `None` is a session
    /// that has ended without a reason: a guest's, or one whose record is gone.
    pub(in crate::accounts) fn disconnect(ended: Option<&Self>) -> Disconnect {
        match ended.map(|ended| ended.reason) {
            None => Disconnect {
                last: Notice::of(NoticeKind::Revoked).encode(),
                code: CloseCode::SessionEnded,
                reason: "the session has ended",
            },
            Some(EndReason::SignedInElsewhere) => Disconnect {
                last: ended.and_then(|ended| ended.elsewhere.as_ref()).map_or_else(
                    || Notice::of(NoticeKind::SignedInElsewhere).encode(),
                    |elsewhere| elsewhere.notice().encode(),
                ),
                code: CloseCode::SignedInElsewhere,
                reason: EndReason::SignedInElsewhere.as_str(),
            },
            Some(reason) => {
                let words = Some(reason.as_str().to_owned());
                let last =
                    Notice::Notice { kind: NoticeKind::Revoked, at: None, reason: words, device: None, room: None }
                        .encode();
                Disconnect { last, code: CloseCode::SessionEnded, reason: reason.as_str() }
            }
        }
    }
}

/// The session on another device that ended one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::accounts) struct Elsewhere {
    /// The browser and the system, in a few words.
    pub(in crate::accounts) device: Option<String>,
    pub(in crate::accounts) signed_in_at: OffsetDateTime,
}

impl Elsewhere {
    fn notice(&self) -> Notice {
        Notice::Notice {
            kind: NoticeKind::SignedInElsewhere,
            at: Some(format_timestamp(self.signed_in_at)),
            reason: None,
            device: self.device.clone(),
            room: None,
        }
    }
}

/// When a signed-in session ends, by the database's clock: at the earlier of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// Moves on with use.
    pub idle_until: OffsetDateTime,
    /// Does not move.
    pub ends_at: OffsetDateTime,
}

impl SessionTimes {
    /// Returns the times after a use at `now`.
    pub(in crate::accounts) fn used(self, now: OffsetDateTime) -> Self {
        Self { idle_until: self.idle_until.max(now + SIGNED_IN_IDLE_TIMEOUT), ..self }
    }

    /// Returns the time of the last use that is written.
    pub(in crate::accounts) fn last_used_at(self) -> OffsetDateTime {
        self.idle_until - SIGNED_IN_IDLE_TIMEOUT
    }
}

/// When a signed-in session ends: at the earlier of both.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
#[ts(rename = "SessionTimes")]
#[schema(as = SessionTimes)]
pub struct SessionView {
    /// Moves on with use.
    pub idle_until: String,
    /// Does not move.
    pub ends_at: String,
}

impl From<SessionTimes> for SessionView {
    fn from(times: SessionTimes) -> Self {
        Self { idle_until: format_timestamp(times.idle_until), ends_at: format_timestamp(times.ends_at) }
    }
}

/// The browsers that are named, the first that fits: the others' words contain those of Chrome and
/// Safari.
const BROWSERS: [(&str, &str); 12] = [
    ("SamsungBrowser/", "Samsung Internet"),
    ("Whale/", "Whale"),
    ("KAKAOTALK", "KakaoTalk"),
    ("NAVER(", "NAVER"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
];
/// The systems that are named, the first that fits: Android says Linux too.
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
];

/// Returns the browser and the system of a request in a few words, such as `Firefox, Windows`, for
/// the list of sessions. Empty if neither is known. Nothing of the header itself is kept.
pub fn device_name(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let find =
        |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    // Safari's own word comes last: nearly every browser says it.
    let browser = find(&BROWSERS).or_else(|| agent.contains("Safari/").then_some("Safari"));
    [browser, find(&SYSTEMS)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns a device's name as it is stored. `None` if it is empty.
pub(super) fn stored_device(device: &str) -> Option<String> {
    let device: String = device.trim().chars().take(MAX_DEVICE_CHARS).collect();
    (!device.is_empty()).then_some(device)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{EndReason, Ended, device_name, stored_device};

    #[test]
    fn a_device_is_named_in_a_few_words_and_never_by_its_header() {
        for (agent, name) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox, Windows"),
            (
                "Mozilla/5.0 (Linux; Android 15; SM-S921N) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
                "Samsung Internet, Android",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
                "Safari, iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0",
                "Edge, Mac",
            ),
            ("curl/8.5.0", ""),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
            assert_eq!(device_name(&headers), name, "{agent}");
        }
        assert_eq!(device_name(&HeaderMap::new()), "");
        assert_eq!((stored_device(" "), stored_device(&"x".repeat(200)).unwrap().len()), (None, 80));
    }

    #[test]
    fn every_reason_has_a_name_and_a_close_code() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::of_str(reason.as_str()), Some(reason));
            let code = Ended::disconnect(Some(&Ended { reason, elsewhere: None })).code.number();
            assert_eq!(code, if reason == EndReason::SignedInElsewhere { 4409 } else { 4401 });
        }
        assert_eq!(Ended::disconnect(None).code.number(), 4401);
    }
}
