//! Entries of the audit log and the hash that chains them, no I/O.
use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor<'a> {
    /// An account: its public id, and its handle as it is now.
    Account { id: Uuid, handle: &'a str },
    /// Somebody with a shell on the machine (`maju admin`).
    Shell,
    /// The server itself.
    System,
}

impl<'a> Actor<'a> {
    pub(super) fn id(self) -> Option<Uuid> {
        match self {
            Self::Account { id, .. } => Some(id),
            Self::Shell | Self::System => None,
        }
    }

    /// Returns the name that is stored. No handle is in parentheses.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Account { handle, .. } => handle,
            Self::Shell => "(shell)",
            Self::System => "(system)",
        }
    }
}

/// An act that is to be recorded.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    pub actor: Actor<'a>,
    /// What was done: noun and verb, such as `account.role_changed`. Never from outside.
    pub action: &'static str,
    /// What it was done to, such as a handle.
    pub subject: &'a str,
    /// More about it. Holds no secret and no mail address.
    pub detail: Value,
    /// The keyed hash of the actor's address prefix. `None` for the shell and the system.
    pub prefix_hash: Option<&'a [u8]>,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The entry does not exist.
    Missing,
    /// The entry, or its hash, is not what was recorded.
    Changed,
    /// The entry was added without moving the end of the chain.
    Added,
    /// It is the last entry, but the end of the chain has another hash.
    OtherHead,
    /// The end of the chain is not stored.
    NoHead,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Changed => "was changed",
            Self::Added => "was added past the end of the chain",
            Self::OtherHead => "is not the one that the end of the chain names",
            Self::NoHead => "cannot be checked, because the end of the chain (audit_head) is missing",
        })
    }
}

/// The result of a check of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry follows the one before. `head` is the hash of the last one, in hex.
    Whole { entries: i64, head: String },
    /// The first entry that is wrong.
    Broken { entry: i64, flaw: Flaw },
}

impl Verdict {
    pub(super) fn broken(entry: i64, flaw: Flaw) -> Self {
        Self::Broken { entry, flaw }
    }
}

/// The hash of an entry and of all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) [u8; 32]);

impl Hash {
    /// What the first entry follows.
    pub(super) const START: Self = Self([0; 32]);

    /// Returns the hash of these bytes. One of another length equals no hash of an entry.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or([0xff; 32]))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The end of the chain.
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) hash: Hash,
}

/// An entry as it is stored.
pub(super) struct StoredAct {
    pub(super) id: i64,
    pub(super) at: OffsetDateTime,
    pub(super) actor: Option<Uuid>,
    pub(super) actor_name: String,
    pub(super) action: String,
    pub(super) subject: String,
    /// As Postgres prints it. That depends on nothing but the stored value, also after a dump.
    pub(super) detail: String,
    pub(super) prefix_hash: Option<Vec<u8>>,
}

impl StoredAct {
    /// Returns the hash of this entry after one with the hash `previous`.
    ///
    /// The form that is hashed must never change: each value is preceded by its length, and one
    /// that is null has no length.
    pub(super) fn hash_after(&self, previous: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update(b"maju audit 1");
        let mut add = |value: Option<&[u8]>| match value {
            Some(bytes) => {
                hash.update([1]);
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
            None => hash.update([0]),
        };
        add(Some(&previous.0));
        add(Some(&self.id.to_be_bytes()));
        // Postgres stores microseconds.
        add(Some(&(self.at.unix_timestamp_nanos() / 1_000).to_be_bytes()));
        add(self.actor.as_ref().map(|id| &id.as_bytes()[..]));
        add(Some(self.actor_name.as_bytes()));
        add(Some(self.action.as_bytes()));
        add(Some(self.subject.as_bytes()));
        add(Some(self.detail.as_bytes()));
        add(self.prefix_hash.as_deref());
        Hash(hash.finalize().into())
    }
}
