//! What the back-office remembers on a node: the counts at the last measurement, and the checks.
use std::collections::HashMap;

use parking_lot::Mutex;
use time::OffsetDateTime;

use super::health::{Check, Level};
use super::measure::Counts;
use crate::audit::Verdict;

/// The back-office's part of a node.
#[derive(Default)]
pub struct State {
    /// The counts at the last measurement. `None` before the first.
    pub(super) counted: Mutex<Option<Counts>>,
    /// What the last check found, and when.
    pub(super) checks: Mutex<Option<(OffsetDateTime, Vec<Check>)>>,
    /// Since when each thing that is checked is as it is.
    pub(super) since: Mutex<HashMap<&'static str, (Level, OffsetDateTime)>>,
    pub(super) verification: Mutex<Verification>,
}

/// The check of the audit log's chain on this node.
#[derive(Clone, Debug, Default)]
pub(super) enum Verification {
    #[default]
    None,
    Running {
        checked: i64,
        all: i64,
    },
    Done {
        at: OffsetDateTime,
        verdict: Verdict,
    },
    /// The database did not answer.
    Failed,
}
