//! What a page says about the action before it. It waits in the session's data for one page.
use serde::{Deserialize, Serialize};
use tower_sessions::Session;

use crate::accounts::session_error;
use crate::error::Result;

/// The key of a note in a session's data.
const NOTE_KEY: &str = "admin_note";

/// A sentence about what was done, and how to take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) text: String,
    /// The path of a form that takes the action back, with its hidden fields. `None` if it cannot
    /// be taken back.
    pub(super) undo: Option<Undo>,
}

/// A form that takes an action back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Undo {
    pub(super) path: String,
    pub(super) fields: Vec<(String, String)>,
}

impl Note {
    /// Makes a note about something that cannot be taken back.
    pub(super) fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), undo: None }
    }

    /// Leaves the note for the next page.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn leave(&self, session: &Session) -> Result<()> {
        session.insert(NOTE_KEY, self).await.map_err(session_error)
    }

    /// Takes the note that was left. `None` if there is none.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn take(session: &Session) -> Result<Option<Self>> {
        session.remove(NOTE_KEY).await.map_err(session_error)
    }
}
