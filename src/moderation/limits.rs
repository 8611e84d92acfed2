//! Moderation: the limits that a caller can meet.

/// Characters in the reason of a sanction, which the visitor reads. A reason has at least one.
pub const MAX_REASON_CHARS: usize = 500;
