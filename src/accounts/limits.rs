//! Accounts: the limits that a visitor or an operator can meet.
use time::Duration;

/// The longest name that a visitor can choose.
///
/// Beyond it: `too_long`.
pub const MAX_NAME_CHARS: usize = 24;
/// The largest settings of a visitor, as Postgres prints the JSON.
///
/// Beyond it: `too_long`.
pub const MAX_SETTINGS_BYTES: usize = 4_096;
/// The age from which a person can confirm the age gate.
pub const MIN_AGE_YEARS: u32 = 18;
/// The time after which a session that is not used expires, and its cookie with it.
///
/// Beyond it: `session_ended`.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::days(30);
/// The time in which the link to the first administrator's page works, which is in the log of a site
/// without one.
///
/// Beyond it: `not_found`; the next start has another one.
pub const FIRST_ADMIN_LINK_LIFETIME: Duration = Duration::hours(1);
/// The time without activity after which a visitor who left nothing behind is deleted.
pub const UNUSED_VISITOR_LIFETIME: Duration = Duration::days(1);
