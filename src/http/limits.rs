//! The limits of the HTTP layer: connections, sizes, times, and the rates of the token buckets.
use std::time::Duration;

/// Connections open on a node, sockets included. A process can commonly open 20,000 files; the
/// rest is for the database.
pub const MAX_CONNECTIONS: usize = 18_000;
/// Connections from one address prefix that have sent a request: enough for a school or a
/// carrier's gateway, too few for one person's script to fill a node.
pub const MAX_CONNECTIONS_PER_PREFIX: usize = 512;
/// Connections from one address that have not sent a complete request head.
pub const MAX_PENDING_PER_ADDRESS: usize = 64;
/// Connections from one address prefix that have not sent a complete request head.
pub const MAX_PENDING_PER_PREFIX: usize = 256;
/// Time after which a client should retry when the node has no place for its connection.
pub const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Time from the start of a connection to its first byte.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the first byte of a request to the end of its head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the start of a response to the first byte of the next request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time from the end of a request's head to the last byte of its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Time from the last byte of a request's body to its response, or to the upgrade of a socket.
pub const REQUEST_DEADLINE: Duration = Duration::from_millis(4_500);

/// Bytes of a request's head, cookies included; a longer one is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Bytes of a request's body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The rate of a token bucket: how fast it refills, and how many tokens it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in each `period`.
    pub refill: u32,
    /// The period of `refill`.
    pub period: Duration,
    /// Tokens of a full bucket: how many can be taken at once.
    pub capacity: u32,
}

impl Rate {
    const fn per_second(refill: u32, capacity: u32) -> Self {
        Self { refill, period: Duration::from_secs(1), capacity }
    }

    const fn per_seconds(seconds: u64, capacity: u32) -> Self {
        Self { refill: 1, period: Duration::from_secs(seconds), capacity }
    }

    /// Returns the time in which one token comes back, in whole microseconds, rounded up.
    pub const fn refill_interval(self) -> Duration {
        let micros = self.period.as_micros().div_ceil(self.refill as u128);
        Duration::from_micros(micros as u64)
    }
}

/// Frames of one visitor's sockets.
pub const FRAME_RATE: Rate = Rate::per_second(40, 80);
/// Frames of one visitor above [`FRAME_RATE`], which are refused. Above this rate, the visitor's
/// sockets are closed.
pub const EXCESS_FRAME_RATE: Rate = Rate::per_second(40, 500);
/// Entries that one visitor writes to rooms.
pub const ENTRY_RATE: Rate = Rate::per_second(8, 30);
/// Bytes of one visitor's entries as they are stored: 2 MiB an hour, far above what typing needs.
pub const STORED_BYTE_RATE: Rate =
    Rate { refill: 2 * 1024 * 1024, period: Duration::from_secs(3_600), capacity: 1024 * 1024 };
/// Searches for a partner by one visitor.
pub const SEEK_RATE: Rate = Rate::per_second(2, 20);
/// Reports by one visitor.
pub const REPORT_RATE: Rate = Rate::per_seconds(10, 10);
/// Rooms that one visitor creates.
pub const ROOM_RATE: Rate = Rate::per_second(1, 30);
/// New visitors from one address prefix.
pub const VISITOR_RATE: Rate = Rate::per_second(10, 400);
/// Socket upgrades from one address prefix.
pub const SOCKET_RATE: Rate = Rate::per_second(50, 500);
/// REST requests of one visitor, reads and writes.
pub const REQUEST_RATE: Rate = Rate::per_second(50, 200);
/// REST requests from one address prefix, with or without a visitor.
pub const PREFIX_REQUEST_RATE: Rate = Rate::per_second(200, 2_000);
/// Cookies from one address prefix that name no session. Each of them costs a query.
pub const UNKNOWN_COOKIE_RATE: Rate = Rate::per_second(10, 400);
/// Frames from one address prefix, of all its visitors.
pub const PREFIX_FRAME_RATE: Rate = Rate::per_second(2_000, 8_000);
/// `hello` frames of one visitor's sockets.
pub const HELLO_RATE: Rate = Rate::per_second(2, 40);
/// Rooms that one visitor enters.
pub const JOIN_RATE: Rate = Rate::per_second(2, 60);
/// Rooms and talks that one visitor leaves: as many as it can enter.
pub const LEAVE_RATE: Rate = JOIN_RATE;
/// Seeks that one visitor cancels: as many as it can begin.
pub const CANCEL_RATE: Rate = SEEK_RATE;
/// Visitors that one visitor blocks.
pub const BLOCK_RATE: Rate = Rate::per_second(1, 20);
/// `typing` and `read` frames of one visitor. Most of them are not passed on to others.
pub const EPHEMERAL_FRAME_RATE: Rate = Rate::per_second(20, 60);
/// `typing` frames of one member that are passed on to a room. Six at once, because each message
/// that is sent makes the next keystroke news again.
pub const TYPING_RATE: Rate = Rate::per_seconds(2, 6);
/// Read markers of one member that are passed on to a room at once; a later one waits its turn.
pub const READ_MARKER_RATE: Rate = Rate::per_second(1, 1);
/// Deliveries of `typing` and `read` in one room.
pub const EPHEMERAL_DELIVERY_RATE: Rate = Rate::per_second(1_000, 3_000);
/// Entries that a room with many members accepts.
pub const ROOM_ENTRY_RATE: Rate = Rate::per_second(100, 300);
/// Entries that such a room accepts from one address prefix, as a school has.
pub const PREFIX_ENTRY_RATE: Rate = Rate::per_second(20, 120);
/// Entries with the same text that such a room accepts from one address prefix.
pub const REPEATED_TEXT_RATE: Rate = Rate::per_second(1, 20);
/// Visitors who enter a room from one address prefix.
pub const PREFIX_JOIN_RATE: Rate = Rate::per_second(10, 200);
