//! Accounts: the limits that a visitor or an operator can meet.
use time::Duration;

/// Characters in a name that a visitor chose.
pub const MAX_NAME_CHARS: usize = 24;
/// Bytes of a visitor's settings, as Postgres prints the JSON.
pub const MAX_SETTINGS_BYTES: usize = 4_096;
/// Years of age from which a person can confirm the age gate.
pub const MIN_AGE_YEARS: u32 = 18;
/// A session that is not used for this long expires, and its cookie with it.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::days(30);
/// A visitor who left nothing behind is deleted after this long without activity.
pub const UNUSED_VISITOR_LIFETIME: Duration = Duration::days(1);
