//! The limits of the HTTP layer: connections, sizes, times, and the rates of the token buckets.
use std::time::Duration;

/// The most connections of a node, sockets included. A process can commonly open 20,000 files; the
/// rest is for the database. The limit is lower where the process can open fewer files.
///
/// Beyond it: the oldest connection without a complete request is closed; else 503.
pub const MAX_CONNECTIONS: usize = 18_000;
/// The most connections from one address prefix that have sent a request: enough for a school or a
/// carrier's gateway, too few for one person's script to fill a node.
///
/// Beyond it: 503.
pub const MAX_CONNECTIONS_PER_PREFIX: usize = 512;
/// The most connections from one address that have not sent a complete request head.
///
/// Beyond it: the oldest of them is closed.
pub const MAX_PENDING_PER_ADDRESS: usize = 64;
/// The most connections from one address prefix that have not sent a complete request head.
///
/// Beyond it: the oldest of them is closed.
pub const MAX_PENDING_PER_PREFIX: usize = 256;
/// The time after which a client should retry when the node has no place for its connection.
pub const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The time from the start of a connection to its first byte.
///
/// Beyond it: the connection is closed.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time from the first byte of a request to the end of its head.
///
/// Beyond it: the connection is closed.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The time from the start of a response to the first byte of the next request.
///
/// Beyond it: the connection is closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time from the end of a request's head to the last byte of its body.
///
/// Beyond it: 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// The time from the last byte of a request's body to its response, or to the upgrade of a socket.
///
/// Beyond it: 503, `unavailable`.
pub const REQUEST_DEADLINE: Duration = Duration::from_millis(4_500);

/// The largest head of a request, cookies included.
///
/// Beyond it: 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The largest body of a request.
///
/// Beyond it: 413, `too_long`.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The largest body of an upload that is read, so that its sender gets the answer. What an upload
/// can have is smaller and checked where it is read.
///
/// Beyond it: 413, `too_long`.
pub const MAX_UPLOAD_BODY_BYTES: usize = 64 * 1024 * 1024;
/// The time from the end of an upload's head to its response.
///
/// Beyond it: 503, `unavailable`.
pub const UPLOAD_DEADLINE: Duration = Duration::from_secs(120);
/// The time in which nothing of an upload arrives, or in which its processing does not end.
///
/// Beyond it: 503, `unavailable`.
pub const UPLOAD_STALL_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Frames of any kind from one visitor. WebSocket pings have no other limit, and are not answered
/// beyond this one.
///
/// Beyond it: `rate_limited`.
pub const FRAME_RATE: Rate = Rate::per_second(40, 80);
/// Frames of one visitor above [`FRAME_RATE`], all of them refused.
///
/// Beyond it: the sockets are closed with 4400.
pub const EXCESS_FRAME_RATE: Rate = Rate::per_second(40, 500);
/// Entries that one visitor writes to rooms.
///
/// Beyond it: `rate_limited`.
pub const ENTRY_RATE: Rate = Rate::per_second(8, 30);
/// Bytes of one visitor's entries as they are stored: far more than what typing needs.
///
/// Beyond it: `rate_limited`.
pub const STORED_BYTE_RATE: Rate =
    Rate { refill: 2 * 1024 * 1024, period: Duration::from_secs(3_600), capacity: 1024 * 1024 };
/// Seeks of one visitor, by `seek` and `next`.
///
/// Beyond it: `rate_limited`.
pub const SEEK_RATE: Rate = Rate::per_second(2, 20);
/// Reports of one visitor.
///
/// Beyond it: `rate_limited`.
pub const REPORT_RATE: Rate = Rate::per_seconds(10, 10);
/// Rooms that one visitor creates.
///
/// Beyond it: `rate_limited`.
pub const ROOM_RATE: Rate = Rate::per_second(1, 30);
/// New visitors from one address prefix.
///
/// Beyond it: `rate_limited`.
pub const VISITOR_RATE: Rate = Rate::per_second(10, 400);
/// Socket upgrades from one address prefix.
///
/// Beyond it: `rate_limited`.
pub const SOCKET_RATE: Rate = Rate::per_second(50, 500);
/// REST requests of one visitor: reads, writes and the upgrade of a socket together.
///
/// Beyond it: `rate_limited`.
pub const REQUEST_RATE: Rate = Rate::per_second(50, 200);
/// REST requests from one address prefix, with or without a visitor.
///
/// Beyond it: `rate_limited`.
pub const PREFIX_REQUEST_RATE: Rate = Rate::per_second(200, 2_000);
/// Cookies from one address prefix that name no session. Each of them costs a query.
///
/// Beyond it: `rate_limited`.
pub const UNKNOWN_COOKIE_RATE: Rate = Rate::per_second(10, 400);
/// Frames from one address prefix, of all its visitors.
///
/// Beyond it: `rate_limited`.
pub const PREFIX_FRAME_RATE: Rate = Rate::per_second(2_000, 8_000);
/// `hello` frames of one visitor's sockets.
///
/// Beyond it: `rate_limited`.
pub const HELLO_RATE: Rate = Rate::per_second(2, 40);
/// Rooms that one visitor enters.
///
/// Beyond it: `rate_limited`.
pub const JOIN_RATE: Rate = Rate::per_second(2, 60);
/// Rooms and talks that one visitor leaves: as many as it can enter.
///
/// Beyond it: `rate_limited`.
pub const LEAVE_RATE: Rate = JOIN_RATE;
/// Seeks that one visitor cancels: as many as it can begin.
///
/// Beyond it: `rate_limited`.
pub const CANCEL_RATE: Rate = SEEK_RATE;
/// Visitors that one visitor blocks.
///
/// Beyond it: `rate_limited`.
pub const BLOCK_RATE: Rate = Rate::per_second(1, 20);
/// `typing` and `read` frames of one visitor. Most of them are not passed on to others.
///
/// Beyond it: `rate_limited`.
pub const EPHEMERAL_FRAME_RATE: Rate = Rate::per_second(20, 60);
/// `typing` frames of one member that are passed on to a room. Several at once, because each
/// message that is sent makes the next keystroke news again.
///
/// Beyond it: the frame is answered with `ok` and not passed on.
pub const TYPING_RATE: Rate = Rate::per_seconds(2, 6);
/// Read markers of one member that are passed on to a room.
///
/// Beyond it: the last one is passed on later.
pub const READ_MARKER_RATE: Rate = Rate::per_second(1, 1);
/// Deliveries of `typing` and `read` in one room.
///
/// Beyond it: the frame is answered with `ok` and not passed on.
pub const EPHEMERAL_DELIVERY_RATE: Rate = Rate::per_second(1_000, 3_000);
/// Entries that one room accepts. Talks have no such limit.
///
/// Beyond it: `rate_limited`.
pub const ROOM_ENTRY_RATE: Rate = Rate::per_second(100, 300);
/// Entries that one room accepts from one address prefix, as a school has. Talks have no such
/// limit.
///
/// Beyond it: `rate_limited`.
pub const PREFIX_ENTRY_RATE: Rate = Rate::per_second(20, 120);
/// Entries with the same text that one room accepts from one address prefix. Talks have no such
/// limit.
///
/// Beyond it: `rate_limited`.
pub const REPEATED_TEXT_RATE: Rate = Rate::per_second(1, 20);
/// Visitors who enter a room from one address prefix.
///
/// Beyond it: `rate_limited`.
pub const PREFIX_JOIN_RATE: Rate = Rate::per_second(10, 200);
/// Proofs from one address prefix: passwords, codes, PINs and links. Each can cost a slow hash.
///
/// Beyond it: `rate_limited`.
pub const PROOF_RATE: Rate = Rate::per_second(1, 60);
/// Accounts that are made from one address prefix.
///
/// Beyond it: `rate_limited`.
pub const SIGN_UP_RATE: Rate = Rate::per_seconds(10, 30);
/// Mails that one address prefix asks for.
///
/// Beyond it: `rate_limited`.
pub const MAIL_RATE: Rate = Rate::per_seconds(60, 10);
/// Images that one visitor uploads. Each takes seconds to encode.
///
/// Beyond it: `rate_limited`.
pub const UPLOAD_RATE: Rate = Rate::per_seconds(2, 60);
/// Exports of one visitor's data.
///
/// Beyond it: `rate_limited`.
pub const EXPORT_RATE: Rate = Rate::per_seconds(60, 5);
