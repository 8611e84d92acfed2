//! The limits of rooms that people and clients can meet.
use std::time::Duration;

/// The longest text of a message, in Unicode scalar values after NFC and trimming.
///
/// Beyond it: `too_long`.
pub const MAX_MESSAGE_CHARS: usize = 2_000;
/// The largest payload of a message, as Postgres prints it, because every reader gets that form.
///
/// Beyond it: `too_long`.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024;
/// The deepest nesting of a payload.
///
/// Beyond it: `bad_payload`.
pub const MAX_PAYLOAD_DEPTH: usize = 8;
/// The most fields of a payload that are unknown to the server. They are kept.
///
/// Beyond it: `bad_payload`.
pub const MAX_UNKNOWN_FIELDS: usize = 32;
/// The largest size of the unknown fields together, as Postgres prints them.
///
/// Beyond it: `too_long`.
pub const MAX_UNKNOWN_BYTES: usize = 4 * 1024;
/// The longest title of a room.
///
/// Beyond it: `too_long`.
pub const MAX_TITLE_CHARS: usize = 80;
/// The longest topic of a room.
///
/// Beyond it: `too_long`.
pub const MAX_TOPIC_CHARS: usize = 200;
/// The longest slug in a path.
///
/// Beyond it: `not_found`.
pub const MAX_SLUG_BYTES: usize = 100;
/// The longest language tag (BCP 47).
///
/// Beyond it: `bad_payload` in a message, else `bad_frame`.
pub const MAX_LANGUAGE_TAG_BYTES: usize = 35;
/// The longest search for rooms.
///
/// Beyond it: `too_long`.
pub const MAX_SEARCH_CHARS: usize = 100;
/// The most items on a page of rooms or entries.
///
/// Beyond it: `bad_frame`.
pub const MAX_PAGE_ITEMS: i64 = 100;
/// The number of items on a page if the request names none.
pub const DEFAULT_PAGE_ITEMS: i64 = 50;
/// The largest page of entries.
///
/// Beyond it: the page ends early. It always has one entry.
pub const MAX_PAGE_BYTES: i64 = 256 * 1024;
/// The most entries that a replay sends.
///
/// Beyond it: `resync`. The client reads the log page by page.
pub const MAX_REPLAY_ENTRIES: i64 = 500;
/// The number of newest entries that a report keeps besides the chosen ones.
pub const EVIDENCE_NEWEST_ENTRIES: i64 = 50;
/// The largest evidence of a report. Chosen entries come first.
///
/// Beyond it: the other entries are not kept. One entry is kept whatever its size.
pub const MAX_EVIDENCE_BYTES: i64 = 256 * 1024;
/// The most people in a room whose read markers are published.
///
/// Beyond it: read markers are not published.
pub const MAX_PEOPLE_FOR_READ_MARKERS: usize = 50;
/// The time for which both sides can read a talk after its end.
///
/// Beyond it: `not_found`. The talk is deleted. The evidence of a report is stored apart and stays.
pub const TALK_READABLE_AFTER_END: time::Duration = time::Duration::hours(24);
/// The time after a request in which its write can still commit: an entry, a leave or a seek. A
/// client can repeat it.
///
/// Beyond it: `unavailable`.
pub const WRITE_DEADLINE: Duration = Duration::from_millis(1_800);
