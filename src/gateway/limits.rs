//! The limits of a socket: sizes, counts and times that a client can meet (docs/WIRE.md).
use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a message. A larger one closes the socket with 1009.
pub const MAX_FRAME_BYTES: usize = 32 * 1024;
/// Fragments of one message. More close the socket with 4400.
pub const MAX_FRAGMENTS: usize = 128;
/// The time from a message's first byte to its last. A slower message closes the socket with 4408.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time from the upgrade to the first `hello`. A later one closes the socket with 4400.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two pings of the server.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// The time without a frame or pong after which the socket is closed: two pings were missed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that one write to a socket can take. A slower one closes the socket with 4408.
pub const SOCKET_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a request is answered with `unavailable`. Later frames of the socket wait
/// for it, also when Postgres cannot be reached.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for `hello`, which no other frame waits for and which can resume many rooms.
pub const HELLO_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Sends of one socket that can wait for their commit. With more, the socket is not read.
pub const MAX_SENDS_IN_FLIGHT: usize = 64;
/// Frames without a usable id at which the socket is closed with 4400.
pub const MAX_UNREADABLE_FRAMES: u32 = 3;
/// Sockets of one visitor on one node. One more is closed with 1013.
pub const MAX_SOCKETS_PER_VISITOR: usize = 20;
/// Rooms that one socket can subscribe to.
pub const MAX_ROOMS_PER_SOCKET: usize = 50;
/// Rooms that one `hello` can resume.
pub const MAX_RESUMED_ROOMS: usize = 50;
/// Refused frames in a row that never close a socket: a client that is slightly too fast slows down
/// when it gets the refusals.
pub const MAX_TOLERATED_REFUSALS: u32 = 40;
/// The time for which a client can keep sending refused frames before it is closed with 4400.
pub const MAX_REFUSAL_RUN: Duration = Duration::from_secs(1);
/// The time that a stopping node waits for the answers to what was sent.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// The milliseconds after which clients of a stopping node are asked to reconnect. They are spread,
/// so that clients do not reconnect all at once.
pub const RECONNECT_DELAY_MS: RangeInclusive<u64> = 200..=2_000;
