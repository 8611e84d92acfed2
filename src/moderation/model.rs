//! Moderation: types and rules, no I/O.
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Why somebody is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    Spam,
    Harassment,
    Sexual,
    Minor,
    Violence,
    Other,
}

impl Reason {
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
