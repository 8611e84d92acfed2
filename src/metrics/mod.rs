//! Metrics: what a node counts while it works. Knows no noun; `src/exporter` reads it.
//!
//! Counting costs a relaxed atomic operation. Labels have few values: no address, name, id or text
//! is ever one.
mod http;
mod values;

use std::collections::BTreeMap;

use parking_lot::Mutex;

pub use http::Http;
pub use values::{Counter, Gauge, Histogram};
use values::{DURATIONS, SIZES, WAITS};

/// A type of frame that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    Hello,
    Join,
    Leave,
    Send,
    Typing,
    Read,
    Seek,
    Cancel,
    Next,
    Report,
    Block,
    Ping,
    /// A frame that could not be read, whatever type it names.
    Unknown,
}

impl FrameType {
    pub const ALL: [Self; 13] = [
        Self::Hello,
        Self::Join,
        Self::Leave,
        Self::Send,
        Self::Typing,
        Self::Read,
        Self::Seek,
        Self::Cancel,
        Self::Next,
        Self::Report,
        Self::Block,
        Self::Ping,
        Self::Unknown,
    ];

    /// Returns the value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Send => "send",
            Self::Typing => "typing",
            Self::Read => "read",
            Self::Seek => "seek",
            Self::Cancel => "cancel",
            Self::Next => "next",
            Self::Report => "report",
            Self::Block => "block",
            Self::Ping => "ping",
            Self::Unknown => "unknown",
        }
    }
}

/// What is counted of one type of frame.
#[derive(Debug)]
pub struct Frames {
    /// Frames that were carried out. A send counts when it is handed to its writer.
    pub ok: Counter,
    /// Frames that were answered with an error.
    pub refused: Counter,
    /// From the arrival to the answer. Of sends, from the arrival to the commit.
    pub duration: Histogram,
}

impl Default for Frames {
    fn default() -> Self {
        Self { ok: Counter::default(), refused: Counter::default(), duration: Histogram::new(DURATIONS) }
    }
}

/// What is counted of sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    pub open: Gauge,
    pub opened: Counter,
    frames: [Frames; FrameType::ALL.len()],
}

impl Sockets {
    /// Returns what is counted of a type of frame.
    pub fn frames(&self, kind: FrameType) -> &Frames {
        &self.frames[kind as usize]
    }
}

/// What is counted of the writers of entries.
#[derive(Debug)]
pub struct Writer {
    /// The entries of each transaction.
    pub batch_entries: Histogram,
    /// How long Postgres took for each transaction.
    pub commit: Histogram,
    /// Entries that were committed.
    pub written: Counter,
    /// Transactions that failed. Their entries may be written by the next attempt.
    pub failed: Counter,
}

/// What is counted of the matcher. Only the node that leads has a matcher.
#[derive(Debug)]
pub struct Matcher {
    pub rounds: Counter,
    /// How long the tickets were paired in each round, without Postgres.
    pub pairing: Histogram,
    /// Pairs that were committed.
    pub pairs: Counter,
    /// How long each visitor waited until a partner was found.
    pub waits: Histogram,
}

/// What a node counts while it works.
#[derive(Debug)]
pub struct Metrics {
    pub http: Http,
    pub sockets: Sockets,
    pub writer: Writer,
    pub matcher: Matcher,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            http: Http::default(),
            sockets: Sockets::default(),
            writer: Writer {
                batch_entries: Histogram::new(SIZES),
                commit: Histogram::new(DURATIONS),
                written: Counter::default(),
                failed: Counter::default(),
            },
            matcher: Matcher {
                rounds: Counter::default(),
                pairing: Histogram::new(DURATIONS),
                pairs: Counter::default(),
                waits: Histogram::new(WAITS),
            },
        }
    }
}

/// What is counted of the relay.
#[derive(Debug, Default)]
pub struct Relayed {
    /// Publications for other nodes.
    pub published: Counter,
    /// Publications of other nodes.
    pub received: Counter,
    /// Publications that found no room on the way out.
    pub dropped: Counter,
    /// How often publications may have been lost, so that everything was read from Postgres.
    pub missed: Counter,
    /// Connections for subscriptions, the first one included.
    pub connections: Counter,
}

/// Numbers by name. The names come from the code.
#[derive(Debug, Default)]
pub struct ByName(Mutex<BTreeMap<&'static str, u64>>);

impl ByName {
    /// Adds one.
    pub fn increment(&self, name: &'static str) {
        *self.0.lock().entry(name).or_default() += 1;
    }

    /// Returns the numbers.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(name, number)| (*name, *number)).collect()
    }
}
