//! What a page says about the action before it. It waits in the session's data for one page.
use serde::{Deserialize, Serialize};
use tower_sessions::Session;

use crate::accounts::session_error;
use crate::error::Result;
use crate::locale::PageStrings;

/// The key of a note in a session's data.
const NOTE_KEY: &str = "note";

/// What an action did, or why the reader was led elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    SignedUp,
    SignedOut,
    SessionEnded,
    SignedInElsewhere,
    StepExpired,
    PasswordChanged,
    PasswordReset,
    EmailSent,
    EmailSaved,
    EmailRemoved,
    EmailConfirmed,
    NameSaved,
    AppOn,
    AppOff,
    PinOn,
    PinOff,
    Unblocked,
    DeleteUndone,
    DeleteBegun,
    SetupDone,
}

impl Note {
    /// Returns the sentence.
    pub(super) fn text(self, t: &'static PageStrings) -> &'static str {
        match self {
            Self::SignedUp => t.note_signed_up,
            Self::SignedOut => t.note_signed_out,
            Self::SessionEnded => t.note_session_ended,
            Self::SignedInElsewhere => t.note_signed_in_elsewhere,
            Self::StepExpired => t.note_step_expired,
            Self::PasswordChanged => t.note_password_changed,
            Self::PasswordReset => t.note_password_reset,
            Self::EmailSent => t.note_email_sent,
            Self::EmailSaved => t.note_email_saved,
            Self::EmailRemoved => t.note_email_removed,
            Self::EmailConfirmed => t.note_email_confirmed,
            Self::NameSaved => t.note_name_saved,
            Self::AppOn => t.note_app_on,
            Self::AppOff => t.note_app_off,
            Self::PinOn => t.note_pin_on,
            Self::PinOff => t.note_pin_off,
            Self::Unblocked => t.note_unblocked,
            Self::DeleteUndone => t.note_delete_undone,
            Self::DeleteBegun => t.note_delete_begun,
            Self::SetupDone => t.note_setup_done,
        }
    }

    /// Leaves the note for the next page.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn leave(self, session: &Session) -> Result<()> {
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
