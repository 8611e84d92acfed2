//! The limits of samples.
use std::time::Duration;

/// The time for which the samples of minutes are kept.
pub const KEEP_MINUTES: Duration = Duration::from_secs(24 * 3_600);
/// The time for which the samples of hours are kept.
pub const KEEP_HOURS: Duration = Duration::from_secs(90 * 24 * 3_600);
