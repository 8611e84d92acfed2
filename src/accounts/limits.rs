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
/// The time in which the link to the first administrator's page works, which is in the log of a site
/// without one.
///
/// Beyond it: `not_found`; the next start has another one.
pub const FIRST_ADMIN_LINK_LIFETIME: Duration = Duration::hours(1);
/// The time without activity after which a visitor who left nothing behind is deleted.
pub const UNUSED_VISITOR_LIFETIME: Duration = Duration::days(1);

/// The shortest handle of an account.
///
/// Beyond it: `bad_frame`.
pub const MIN_HANDLE_CHARS: usize = 3;
/// The longest handle of an account.
///
/// Beyond it: `bad_frame`.
pub const MAX_HANDLE_CHARS: usize = 32;
/// The shortest password.
///
/// Beyond it: `bad_frame`.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// The longest password.
///
/// Beyond it: `too_long`.
pub const MAX_PASSWORD_CHARS: usize = 128;
/// The digits of a PIN.
///
/// Beyond it: `bad_frame`.
pub const PIN_DIGITS: usize = 6;
/// The longest mail address.
///
/// Beyond it: `too_long`.
pub const MAX_EMAIL_CHARS: usize = 254;
/// Password hashes that wait for a core on a node.
///
/// Beyond it: `unavailable`.
pub const QUEUED_HASHES: usize = 64;
/// The iterations of a password hash of the earlier system.
///
/// Beyond it: the hash matches no password.
pub const MAX_LEGACY_ITERATIONS: u32 = 2_000_000;
/// The time in which all steps of a sign-in have to be done.
///
/// Beyond it: `wrong_step`.
pub const SIGN_IN_LIFETIME: Duration = Duration::minutes(10);
/// Wrong codes in one sign-in.
///
/// Beyond it: `wrong_step`, the sign-in has ended.
pub const MAX_WRONG_CODES: i32 = 5;
/// Wrong proofs of one account from one address prefix before the next one has to wait.
///
/// Beyond it: `rate_limited`.
pub const FREE_FAILURES: i32 = 5;
/// The first wait after too many wrong proofs. It doubles with each further one.
pub const FIRST_FAILURE_WAIT: Duration = Duration::seconds(30);
/// The longest wait after wrong proofs.
pub const MAX_FAILURE_WAIT: Duration = Duration::minutes(15);
/// The time after which wrong proofs are forgotten.
pub const FAILURE_MEMORY: Duration = Duration::hours(24);
/// Recovery codes of an account. Each works once.
pub const RECOVERY_CODES: usize = 10;
/// How long a link that confirms a mail address works.
///
/// Beyond it: `wrong_credentials`.
pub const VERIFY_LINK_LIFETIME: Duration = Duration::hours(24);
/// How long a link to a new password works.
///
/// Beyond it: `wrong_credentials`.
pub const RESET_LINK_LIFETIME: Duration = Duration::hours(1);
/// How long the owner of an account can take its deletion back.
pub const DELETION_DELAY: Duration = Duration::days(14);
/// How long a check by an outside verifier can take.
///
/// Beyond it: `wrong_credentials`.
pub const VERIFICATION_LIFETIME: Duration = Duration::minutes(10);
/// The longest path to return to after a sign-in.
///
/// Beyond it: it is ignored.
pub const MAX_NEXT_BYTES: usize = 1_024;
/// The largest body of a form on the pages of sign-in and account.
///
/// Beyond it: 413.
pub const MAX_FORM_BYTES: usize = 8 * 1024;
