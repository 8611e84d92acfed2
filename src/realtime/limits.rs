//! The limits of a socket's outgoing queue.

/// The most bytes that can wait for one socket.
///
/// Beyond it: the socket lags. Its room entries are dropped and read again from the log.
pub const MAX_QUEUED_BYTES: usize = 64 * 1024;
/// The number of frames in the queue of a lagging socket up to which frames that are in no log are
/// still kept.
pub const MAX_RELIABLE_FRAMES: usize = 64;
