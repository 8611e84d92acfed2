//! Moderation: the limits that a caller can meet.

/// The longest reason of a sanction. The visitor reads it. A reason has at least one character.
///
/// Beyond it: `bad_frame`.
pub const MAX_REASON_CHARS: usize = 500;
/// The people whom a visitor blocked that the account page lists, the newest first.
pub const MAX_LISTED_BLOCKS: i64 = 200;
