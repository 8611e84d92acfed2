//! The limits of samples.
use std::time::Duration;

/// The time for which the samples of 10 seconds are kept.
pub const KEEP_FINE: Duration = Duration::from_secs(2 * 24 * 3_600);
/// The time for which the samples of 5 minutes are kept.
pub const KEEP_COARSE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// The most points of a series that are read at once.
///
/// Beyond it: the points are farther apart.
pub const MAX_POINTS: i64 = 361;
