//! Limits of mail that an operator can meet.
use std::time::Duration;

/// The most mails that wait to be sent on a node.
///
/// Beyond it: `unavailable`.
pub const MAX_QUEUED_MAILS: usize = 1_000;
/// The most mails that a node sends at the same time.
///
/// Beyond it: they wait.
pub const MAX_MAILS_SENDING: usize = 4;
/// The time in which a mail is tried again.
///
/// Beyond it: the mail is given up, and a line is logged.
pub const MAIL_DEADLINE: Duration = Duration::from_secs(600);
/// The time that one attempt to send a mail can take.
///
/// Beyond it: the mail is tried again.
pub const MAIL_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
