//! Moderation: types and rules, no I/O.
use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ts_rs::TS;
use uuid::Uuid;

use crate::error::Error;
use crate::ids::{FenceVersion, VisitorId};

/// How many visitors' revocations a node remembers. Beyond it, everything that was checked before
/// is checked again once.
const MAX_REMEMBERED_VISITORS: usize = 10_000;

/// Why a visitor is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum ReportReason {
    Spam,
    Harassment,
    Sexual,
    Minor,
    Violence,
    Other,
}

impl ReportReason {
    /// Returns the reason as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spam => "spam",
            Self::Harassment => "harassment",
            Self::Sexual => "sexual",
            Self::Minor => "minor",
            Self::Violence => "violence",
            Self::Other => "other",
        }
    }
}

/// Somebody whom a visitor blocked, under the name they had in the room where it was done.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The public id of the block.
    pub id: Uuid,
    pub color: Option<String>,
    /// `None` if the person had chosen the name.
    pub animal: Option<String>,
    pub name: Option<String>,
    pub at: OffsetDateTime,
}

/// A sanction about to be imposed.
#[derive(Clone, Copy, Debug)]
pub struct NewSanction<'a> {
    /// The visitor it is against.
    pub visitor: VisitorId,
    /// The reason that the visitor reads. It has 1 to `MAX_REASON_CHARS` characters.
    pub reason: &'a str,
    /// The staff member who decided it; `None` until there is staff.
    pub author: Option<VisitorId>,
    /// How long it lasts from now, by the database's clock. `None` if it holds until it is lifted.
    pub lasts: Option<Duration>,
}

/// A sanction that is stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredSanction {
    pub public_id: Uuid,
    /// Its end by the database's clock. `None` if it holds until it is lifted.
    pub until: Option<OffsetDateTime>,
}

/// The kind of a sanction. The schema's constraint `sanction_kind_known` names the same kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanctionKind {
    /// The visitor can read, but not write.
    Mute,
    /// The visitor has no access: to one room (a kick), or to the whole service.
    Ban,
}

impl SanctionKind {
    /// Returns the kind as it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
        }
    }
}

/// What a sanction in force forbids a visitor. `ends_in` is the time until its end, by the
/// database's clock; `None` if it holds until it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    Banned {
        ends_in: Option<Duration>,
    },
    /// Banned from the room that the query was about.
    Kicked,
    Muted {
        ends_in: Option<Duration>,
    },
}

impl Restriction {
    /// Reads the columns of the SQL function `active_restriction`. Returns `None` if it returned no
    /// row.
    pub fn of(kind: Option<&str>, in_room: Option<bool>, ends_in_ms: Option<i64>) -> Option<Self> {
        let ends_in = ends_in_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        Some(match (kind?, in_room) {
            ("ban", Some(true)) => Self::Kicked,
            ("ban", _) => Self::Banned { ends_in },
            _ => Self::Muted { ends_in },
        })
    }
}

impl From<Restriction> for Error {
    fn from(restriction: Restriction) -> Self {
        match restriction {
            Restriction::Banned { ends_in } => Self::Banned { after: ends_in },
            Restriction::Kicked => Self::NotFound,
            Restriction::Muted { ends_in } => Self::Muted { after: ends_in },
        }
    }
}

/// The visitors whose rights everywhere changed lately, as far as this node has read.
#[derive(Debug, Default)]
pub(super) struct RecentRevocations {
    /// Every revocation up to this version is known.
    known: FenceVersion,
    /// Rights that were checked before this version must be checked again, for every visitor.
    recheck_before: FenceVersion,
    latest_by_visitor: HashMap<VisitorId, FenceVersion>,
}

impl RecentRevocations {
    /// Creates an empty list at `version`. Correct if no rights that were checked before it are
    /// cached.
    pub(super) fn starting_at(version: FenceVersion) -> Self {
        Self { known: version, ..Self::default() }
    }

    /// Returns the version up to which every revocation is known.
    pub(super) fn known_version(&self) -> FenceVersion {
        self.known
    }

    /// Records revocations that follow a version which was known when they were read:
    /// `(version, visitor)`.
    pub(super) fn record(&mut self, rows: &[(FenceVersion, VisitorId)]) {
        for (version, visitor) in rows {
            let latest = self.latest_by_visitor.entry(*visitor).or_default();
            *latest = (*latest).max(*version);
            self.known = self.known.max(*version);
        }
        if self.latest_by_visitor.len() > MAX_REMEMBERED_VISITORS {
            self.recheck_everybody(self.known);
        }
    }

    /// Forgets the visitors' revocations: all rights that were checked before `version` must be
    /// checked again.
    pub(super) fn recheck_everybody(&mut self, version: FenceVersion) {
        self.known = self.known.max(version);
        self.recheck_before = self.known;
        self.latest_by_visitor.clear();
    }

    /// Returns `true` if a visitor's rights could have changed since the check at `version`.
    pub(super) fn is_revoked_since(&self, visitor: VisitorId, version: FenceVersion) -> bool {
        version < self.recheck_before || self.latest_by_visitor.get(&visitor).is_some_and(|latest| *latest > version)
    }
}

#[cfg(test)]
mod tests {
    use super::{FenceVersion, MAX_REMEMBERED_VISITORS, RecentRevocations, VisitorId};

    fn row(version: i64, visitor: i64) -> (FenceVersion, VisitorId) {
        (FenceVersion(version), VisitorId(visitor))
    }

    fn is_revoked(revocations: &RecentRevocations, visitor: i64, checked_at: i64) -> bool {
        revocations.is_revoked_since(VisitorId(visitor), FenceVersion(checked_at))
    }

    #[test]
    fn what_was_checked_before_a_revocation_is_checked_again() {
        let mut revocations = RecentRevocations::starting_at(FenceVersion(5));
        revocations.record(&[row(6, 1), row(8, 2)]);
        revocations.record(&[row(6, 1), row(7, 1)]); // another reader was slower
        assert_eq!(revocations.known_version(), FenceVersion(8));
        assert!(is_revoked(&revocations, 1, 6) && !is_revoked(&revocations, 1, 7));
        assert!(is_revoked(&revocations, 2, 5) && !is_revoked(&revocations, 3, 5));
    }

    #[test]
    fn memory_is_bounded_and_a_forgotten_revocation_leads_to_a_new_check() {
        let mut revocations = RecentRevocations::starting_at(FenceVersion(0));
        let many = i64::try_from(MAX_REMEMBERED_VISITORS).unwrap() + 1;
        revocations.record(&(1..=many).map(|n| row(n, n)).collect::<Vec<_>>());
        assert!(revocations.latest_by_visitor.is_empty());
        assert!(is_revoked(&revocations, 1, 0) && is_revoked(&revocations, many + 1, many - 1));
        assert!(!is_revoked(&revocations, 1, many));
    }
}
