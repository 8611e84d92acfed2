//! The limits of a socket: sizes, counts and times that a client can meet (docs/WIRE.md).
use std::ops::RangeInclusive;
use std::time::Duration;

/// The largest WebSocket message, in one fragment or several.
///
/// Beyond it: the socket is closed with 1009.
pub const MAX_FRAME_BYTES: usize = 32 * 1024;
/// The most fragments of one WebSocket message.
///
/// Beyond it: the socket is closed with 4400.
pub const MAX_FRAGMENTS: usize = 128;
/// The time from a message's first byte to its last.
///
/// Beyond it: the socket is closed with 4408.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time from the upgrade to the first `hello`.
///
/// Beyond it: the socket is closed with 4400.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two pings of the server.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// The time between two pings while the visitor is in an open talk.
pub const TALK_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// The time without a frame or pong after which a socket does not count as the presence of a side
/// in a talk. The next frame or pong counts again.
///
/// Beyond it: the other side receives `partner`.
pub const TALK_SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// The time that a client always has to answer a ping before its silence has a consequence, also
/// after a pause of the server.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// The time without a frame or pong: two pings were missed.
///
/// Beyond it: the connection is dropped, without a close code.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that one write to a socket can take.
///
/// Beyond it: the socket is closed with 4408.
pub const SOCKET_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that a request can take. Later frames of the socket wait for it, also when Postgres
/// cannot be reached.
///
/// Beyond it: `unavailable`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The time that a `hello` can take. No other frame waits for it, and it can resume many rooms.
///
/// Beyond it: `unavailable`.
pub const HELLO_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The most sends of one socket that can wait for their commit.
///
/// Beyond it: the socket is not read until one is committed.
pub const MAX_SENDS_IN_FLIGHT: usize = 64;
/// The number of frames without a usable id at which a socket ends.
///
/// Beyond it: the socket is closed with 4400.
pub const MAX_UNREADABLE_FRAMES: u32 = 3;
/// The most sockets of one visitor on one node.
///
/// Beyond it: the new socket is closed with 1013.
pub const MAX_SOCKETS_PER_VISITOR: usize = 20;
/// The most rooms that one socket can subscribe to.
///
/// Beyond it: `conflict`.
pub const MAX_ROOMS_PER_SOCKET: usize = 50;
/// The most rooms that one `hello` can resume.
///
/// Beyond it: `bad_frame`.
pub const MAX_RESUMED_ROOMS: usize = 50;
/// The number of refused frames in a row that never close a socket: a client that is slightly too
/// fast slows down when it gets the refusals.
pub const MAX_TOLERATED_REFUSALS: u32 = 40;
/// The time for which a client can keep sending refused frames.
///
/// Beyond it: the socket is closed with 4400.
pub const MAX_REFUSAL_RUN: Duration = Duration::from_secs(1);
/// The time that a stopping node waits for the answers to what was sent.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// The delay after which the clients of a stopping node are asked to reconnect. It is random, so
/// that they do not reconnect all at once.
pub const RECONNECT_DELAY_MS: RangeInclusive<u64> = 200..=2_000;
