//! Limits and defaults of the settings that an operator can meet.

/// The port that the server listens on by default.
pub const DEFAULT_LISTEN_PORT: u16 = 8_080;
/// The shortest time that can be set for a stop (`--stop-within`).
///
/// Beyond it: the start is refused.
pub const MIN_STOP_SECS: u64 = 1;
/// The longest time that can be set for a stop.
///
/// Beyond it: the start is refused.
pub const MAX_STOP_SECS: u64 = 600;
/// The time that a stop can take by default.
///
/// Beyond it: the process ends anyway.
pub const DEFAULT_STOP_SECS: u64 = 25;
/// The default time zone (`--time-zone`): the site's first language is Korean.
pub const DEFAULT_TIME_ZONE: &str = "Asia/Seoul";
/// The longest name of a time zone.
///
/// Beyond it: the start is refused.
pub const MAX_TIME_ZONE_BYTES: usize = 64;
/// The longest name of the operator (`--operator`).
///
/// Beyond it: the start is refused.
pub const MAX_OPERATOR_CHARS: usize = 80;
/// The longest address of the operator (`--contact`).
///
/// Beyond it: the start is refused.
pub const MAX_CONTACT_BYTES: usize = 254;
/// The longest sender of the mails (`--mail-from`).
///
/// Beyond it: the start is refused.
pub const MAX_MAIL_FROM_BYTES: usize = 400;
/// The megabytes of images that a node caches on its disk by default (`--media-cache-mb`).
///
/// Beyond it: the image that was not used for the longest time is read from Postgres again.
pub const DEFAULT_MEDIA_CACHE_MB: u64 = 512;
/// The most megabytes that can be set for it.
///
/// Beyond it: the start is refused.
pub const MAX_MEDIA_CACHE_MB: u64 = 1_048_576;
/// The shortest secret of the outside verifier (`--verifier-secret`).
///
/// Beyond it: the start is refused.
pub const MIN_VERIFIER_SECRET_CHARS: usize = 32;
