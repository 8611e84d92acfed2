//! Accounts: the limits that a visitor or an operator can meet.
use time::Duration;

/// How long a signed-in session lasts without use. Pings, polls and other reads are no use.
///
/// Beyond it: `session_ended`, 4401.
pub const SIGNED_IN_IDLE_TIMEOUT: Duration = Duration::minutes(30);
/// How long a signed-in session lasts at most.
///
/// Beyond it: `session_ended`, 4401.
pub const SIGNED_IN_LIFETIME: Duration = Duration::hours(12);
/// How long before the end of a signed-in session its sockets are told.
pub const EXPIRY_WARNING: Duration = Duration::minutes(2);
/// How long a session that has ended stays in its owner's list.
pub const ENDED_SESSION_SHOWN: Duration = Duration::days(1);
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
/// The time without activity after which a visitor who left nothing behind is deleted.
pub const UNUSED_VISITOR_LIFETIME: Duration = Duration::days(1);
