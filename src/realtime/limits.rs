//! The limits of a socket's outgoing queue.

/// Bytes that can wait for one socket. A socket with more lags: it drops the room entries and reads
/// them again from the log.
pub const MAX_QUEUED_BYTES: usize = 64 * 1024;
/// Frames in the queue of a lagging socket up to which frames that are in no log are still kept.
pub const MAX_RELIABLE_FRAMES: usize = 64;
