//! The identifiers and versions that several nouns share. Each is a type of its own, so that the
//! compiler rejects a visitor where a room is expected. Postgres stores each as a `bigint`.
//!
//! Inner ids do not implement `Serialize`, so they cannot get into an answer by mistake.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// The inner id of a room. Clients know a room by its public id, a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct RoomId(pub i64);

/// The inner id of a visitor. Clients never see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct VisitorId(pub i64);

/// The inner id of an account. Clients know an account by its public id and its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct AccountId(pub i64);

/// The id of a section of a page. Editors see it; it is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct SectionId(pub i64);

/// The number of revocations of an account's sessions. A session is live only while it has the
/// number of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct SessionEpoch(pub i64);

/// The number of an entry in its room's log: 1 for the first entry, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// The head of a log without entries.
    pub const ZERO: Self = Self(0);
    /// The first entry of a log.
    pub const FIRST: Self = Self(1);
    /// Above the seq of every entry.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the seq of the entry after this one.
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// Returns the seq of the entry before this one.
    pub fn previous(self) -> Self {
        Self(self.0 - 1)
    }

    /// Returns the seq that is `count` entries later.
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }

    /// Returns how many entries there are after `earlier`, up to and including this one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// In the API's description it is a plain integer.
impl PartialSchema for Seq {
    fn schema() -> RefOr<Schema> {
        i64::schema()
    }
}

impl ToSchema for Seq {
    fn name() -> Cow<'static, str> {
        i64::name()
    }
}

/// The version of a room's rights. It rises when somebody loses a right in that room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct RightsVersion(pub i64);

impl RightsVersion {
    /// Returns the version after one more change.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The version of the fence. It rises when somebody loses a right everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct FenceVersion(pub i64);
