//! The limits of rooms that people and clients can meet.
use std::time::Duration;

/// Longest text of a message, in Unicode scalar values after NFC and trimming.
pub const MAX_MESSAGE_CHARS: usize = 2_000;
/// Largest payload, in bytes as Postgres prints it: every later reader gets that form.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024;
/// Largest nesting of a payload.
pub const MAX_PAYLOAD_DEPTH: usize = 8;
/// Largest number of payload fields that the server does not know. They are kept.
pub const MAX_UNKNOWN_FIELDS: usize = 32;
/// Largest size of those fields together, in bytes as Postgres prints them.
pub const MAX_UNKNOWN_BYTES: usize = 4 * 1024;
/// Longest title of a room, in characters.
pub const MAX_TITLE_CHARS: usize = 80;
/// Longest topic of a room, in characters.
pub const MAX_TOPIC_CHARS: usize = 200;
/// Longest language tag (BCP 47), in bytes.
pub const MAX_LANGUAGE_TAG_BYTES: usize = 35;
/// Longest search for rooms, in characters.
pub const MAX_SEARCH_CHARS: usize = 100;
/// Largest number of items on a page of rooms or entries.
pub const MAX_PAGE_ITEMS: i64 = 100;
/// Number of items on a page if the request names none.
pub const DEFAULT_PAGE_ITEMS: i64 = 50;
/// Largest size of a page of entries, in bytes. A page has at least one entry.
pub const MAX_PAGE_BYTES: i64 = 256 * 1024;
/// Largest number of entries that a replay sends. A client that missed more reads pages (`resync`).
pub const MAX_REPLAY_ENTRIES: i64 = 500;
/// Number of newest entries that a report freezes besides the chosen ones.
pub const EVIDENCE_NEWEST_ENTRIES: i64 = 50;
/// Largest evidence of a report, in bytes. Chosen entries come first; one entry is kept whatever
/// its size.
pub const MAX_EVIDENCE_BYTES: i64 = 256 * 1024;
/// Largest number of people in a room whose read markers are published.
pub const MAX_PEOPLE_FOR_READ_MARKERS: usize = 50;
/// How long both sides can read a talk after its end.
pub const TALK_READABLE_AFTER_END: time::Duration = time::Duration::hours(24);
/// How long after a request its write may still commit. After that it is answered `unavailable`;
/// clients repeat it under the same id.
pub const WRITE_DEADLINE: Duration = Duration::from_millis(1_800);
