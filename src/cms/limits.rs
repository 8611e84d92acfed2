//! The limits of the landing page.
use std::time::Duration;

/// The most visible sections that are shown, of all pages and languages.
///
/// Beyond it: the last ones are not shown.
pub const MAX_SECTIONS: i64 = 200;
/// The most visible stats that are shown.
///
/// Beyond it: the last ones are not shown.
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
/// The age from which the page shows when its stats were read.
pub const STATS_STALE_AFTER: Duration = Duration::from_secs(60);
