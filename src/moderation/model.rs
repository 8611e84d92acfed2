//! Moderation: types and rules, no I/O.
use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ts_rs::TS;
use uuid::Uuid;

use crate::error::Error;

/// Visitors whose revocation a node remembers; past it everything that was checked before is checked again once.
const REMEMBERED: usize = 10_000;

/// Why somebody is reported.
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
    /// As it is stored.
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

/// A sanction about to be imposed.
#[derive(Clone, Copy, Debug)]
pub struct NewSanction<'a> {
    /// Against whom.
    pub visitor: i64,
    /// What the visitor is told: 1 to 500 characters.
    pub reason: &'a str,
    /// Who decided it; None until there is staff.
    pub author: Option<i64>,
    /// From now, by the database's clock; None: until it is lifted.
    pub lasts: Option<Duration>,
}

/// A sanction that was stored.
#[derive(Clone, Copy, Debug)]
pub struct Imposed {
    pub public_id: Uuid,
    /// By the database's clock; None: until it is lifted.
    pub until: Option<OffsetDateTime>,
}

/// What is imposed. As stored; the schema's constraint names them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// May read, not write.
    Mute,
    /// May not come: to the room that is named (a kick), or at all.
    Ban,
}

impl Penalty {
    /// As it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
        }
    }
}

/// What keeps a visitor from something now. `after`: how long still, by the database's clock; None: until it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    Banned {
        after: Option<Duration>,
    },
    /// Banned from the room it was asked about.
    Kicked,
    Muted {
        after: Option<Duration>,
    },
}

impl Restriction {
    /// Reads what the schema's function `active_restriction` answers; None where it answered no row.
    pub fn of(kind: Option<&str>, in_room: Option<bool>, ends_in_ms: Option<i64>) -> Option<Self> {
        let after = ends_in_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        Some(match (kind?, in_room) {
            ("ban", Some(true)) => Self::Kicked,
            ("ban", _) => Self::Banned { after },
            _ => Self::Muted { after },
        })
    }
}

impl From<Restriction> for Error {
    fn from(restriction: Restriction) -> Self {
        match restriction {
            Restriction::Banned { after } => Self::Banned { after },
            Restriction::Kicked => Self::NotFound,
            Restriction::Muted { after } => Self::Muted { after },
        }
    }
}

/// Whose rights changed everywhere lately, as far as this node has read.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// Every revocation up to this version has been taken in.
    known: i64,
    /// What was checked before this version has to be checked again, whoever it is about.
    floor: i64,
    last: HashMap<i64, i64>,
}

impl Revoked {
    /// Nothing that was checked before this version is in anybody's memory.
    pub(super) fn from(version: i64) -> Self {
        Self { known: version, ..Self::default() }
    }

    pub(super) fn known(&self) -> i64 {
        self.known
    }

    /// Takes in revocations that follow on some version it knew: `(version, visitor)`.
    pub(super) fn learn(&mut self, rows: &[(i64, i64)]) {
        for (version, visitor) in rows {
            let last = self.last.entry(*visitor).or_default();
            *last = (*last).max(*version);
            self.known = self.known.max(*version);
        }
        if self.last.len() > REMEMBERED {
            self.doubt(self.known);
        }
    }

    /// Everybody's rights are to be checked again that were checked before this version.
    pub(super) fn doubt(&mut self, version: i64) {
        self.known = self.known.max(version);
        self.floor = self.known;
        self.last.clear();
    }

    /// Whether a visitor's rights may have changed since they were checked at `version`.
    pub(super) fn since(&self, visitor: i64, version: i64) -> bool {
        version < self.floor || self.last.get(&visitor).is_some_and(|last| *last > version)
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED, Revoked};

    #[test]
    fn what_was_checked_before_a_revocation_is_checked_again() {
        let mut revoked = Revoked::from(5);
        revoked.learn(&[(6, 1), (8, 2)]);
        revoked.learn(&[(6, 1), (7, 1)]); // another reader was slower
        assert_eq!(revoked.known(), 8);
        assert!(revoked.since(1, 6) && !revoked.since(1, 7) && revoked.since(2, 5) && !revoked.since(3, 5));
    }

    #[test]
    fn what_is_remembered_has_its_bound_and_forgetting_is_on_the_safe_side() {
        let mut revoked = Revoked::from(0);
        let many = i64::try_from(REMEMBERED).unwrap() + 1;
        revoked.learn(&(1..=many).map(|n| (n, n)).collect::<Vec<_>>());
        assert!(revoked.last.is_empty() && revoked.since(1, 0) && revoked.since(many + 1, many - 1));
        assert!(!revoked.since(1, many));
    }
}
