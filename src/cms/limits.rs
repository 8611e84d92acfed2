//! The limits of the landing page.
use std::time::Duration;

/// Visible sections that are shown, of all languages.
pub const MAX_SECTIONS: i64 = 200;
/// Visible stats that are shown.
pub const MAX_STATS: i64 = 50;
/// Talks in the last hour below which the median wait is not shown.
pub const MIN_MEDIAN_TALKS: i64 = 5;
/// Time between two refreshes of sections and stats.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// Age from which the page shows when its stats were read.
pub const STATS_STALE_AFTER: Duration = Duration::from_secs(60);
