//! The limits of the landing page, and of what editors write.
use std::time::Duration;

/// The most sections that are read, of all pages and languages.
///
/// Beyond it: the last ones are not shown.
pub const MAX_SECTIONS: i64 = 1_000;
/// The most sections of a page in one language.
///
/// Beyond it: `conflict`.
pub const MAX_SECTIONS_PER_PAGE: usize = 60;
/// Characters in a title of a section.
///
/// Beyond it: `too_long`.
pub const MAX_SECTION_TITLE_CHARS: usize = 120;
/// Characters in the sentence below a title.
///
/// Beyond it: `too_long`.
pub const MAX_LEAD_CHARS: usize = 500;
/// Characters in a text of a section, Markdown included, and in an answer.
///
/// Beyond it: `too_long`.
pub const MAX_BODY_CHARS: usize = 10_000;
/// Characters in any other text of a section, such as a button.
///
/// Beyond it: `too_long`.
pub const MAX_LINE_CHARS: usize = 300;
/// Characters in the text of an image for people who do not see it.
///
/// Beyond it: `too_long`.
pub const MAX_ALT_CHARS: usize = 300;
/// Items in a list of a section.
///
/// Beyond it: `bad_payload`.
pub const MAX_LIST_ITEMS: usize = 50;
/// Public rooms that a section shows.
///
/// Beyond it: `bad_payload`.
pub const MAX_ROOMS: i64 = 12;
/// Characters in the note of a publish.
///
/// Beyond it: `too_long`.
pub const MAX_NOTE_CHARS: usize = 500;
/// Entries of a section's history that are shown, the newest first.
///
/// Beyond it: the older ones are stored and not shown.
pub const MAX_VERSIONS_SHOWN: i64 = 200;
/// How far ahead a publish can be scheduled.
///
/// Beyond it: `bad_frame`.
pub const MAX_SCHEDULE_AHEAD: Duration = Duration::from_secs(366 * 24 * 3_600);
/// The time for which a deleted section can be restored.
pub const DELETED_SECTION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The most stats.
///
/// Beyond it: `conflict`.
pub const MAX_STATS: i64 = 50;
/// The most topics that people talk about now and that are shown.
///
/// Beyond it: the less popular ones are not shown.
pub const MAX_TOPICS: usize = 8;
/// The number of talks in the last hour below which the median wait is not shown.
pub const MIN_MEDIAN_TALKS: i64 = 5;
/// The number of people below which a count of people is not shown: who is here now, and who waits.
/// A page does not count its own reader.
pub const MIN_PEOPLE_SHOWN: i64 = 5;
/// The time between two refreshes of sections and stats.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// The time between two looks for a publish that the relay did not announce.
pub const VERSION_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The age from which the page shows when its stats were read.
pub const STATS_STALE_AFTER: Duration = Duration::from_secs(60);
/// Characters in the label of a stat.
///
/// Beyond it: `too_long`.
pub const MAX_STAT_LABEL_CHARS: usize = 60;
/// The time for which the count of today's messages is used.
pub const MESSAGES_COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// Characters in a banner, in each language.
///
/// Beyond it: `too_long`.
pub const MAX_BANNER_CHARS: usize = 280;
/// The most banners that are stored; those that have ended count too.
///
/// Beyond it: `conflict`.
pub const MAX_BANNERS: i64 = 100;
/// Open pages that one node tells of news as they happen.
///
/// Beyond it: 503, and the page asks every 15 s.
pub const MAX_LIVE_PAGES: usize = 4_000;
/// The time between two lines that keep a live page's connection alive.
pub const LIVE_HEARTBEAT: Duration = Duration::from_secs(20);
