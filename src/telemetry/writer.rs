//! Writes log lines from a separate thread, so that threads that log do not wait for the reader of
//! the log and do not fail with it.
//!
//! `tracing-appender` does nearly the same. But when the process ends it prints to standard output,
//! which blocks if the reader has stopped reading and panics if there is none, and it does not
//! count lines that could not be written.
use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait to be written. Further lines are dropped and counted.
const MAX_QUEUED_LINES: usize = 4_096;
/// The most bytes that wait to be written.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// The delay before a full queue, or an output that accepts nothing at the moment, is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(10);

thread_local! {
    /// On the writing thread: what it logs itself, which bypasses the queue. `None` on all other
    /// threads.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// A queue of log lines, with a thread that writes them. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogWriter {
    queue: SyncSender<Item>,
    counts: Arc<Counts>,
}

enum Item {
    Line(Vec<u8>),
    /// Answered once everything before it has been written or dropped.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Counts {
    /// The bytes that wait to be written.
    queued_bytes: AtomicUsize,
    /// The lines dropped since that was last reported.
    dropped: AtomicU64,
}

impl LogWriter {
    /// Starts the thread that writes to `output`. After lines were dropped it calls `report` with
    /// their number, as soon as it can write again; what `report` logs is written at once.
    pub(super) fn start(output: impl Write + Send + 'static, report: impl Fn(u64) + Send + 'static) -> Self {
        let (queue, items) = sync_channel(MAX_QUEUED_LINES);
        let counts = Arc::new(Counts::default());
        let writer = Writer { output, report, counts: counts.clone() };
        // Without the thread the queue is closed and all lines are dropped. The server works
        // nevertheless.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(items));
        Self { queue, counts }
    }

    /// Queues a line. Never blocks and never fails.
    pub(super) fn put(&self, line: Vec<u8>) {
        let length = line.len();
        let is_queued = self.counts.queued_bytes.fetch_add(length, Ordering::Relaxed) + length <= MAX_QUEUED_BYTES
            && self.queue.try_send(Item::Line(line)).is_ok();
        if !is_queued {
            self.counts.queued_bytes.fetch_sub(length, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits at most `timeout` until all lines queued before have been written or dropped.
    pub(super) fn flush(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let (done, flushed) = sync_channel(1);
        let mut item = Item::Flush(done);
        loop {
            item = match self.queue.try_send(item) {
                Ok(()) => break,
                Err(TrySendError::Full(item)) if Instant::now() < until => item,
                Err(_) => return,
            };
            thread::sleep(RETRY_DELAY);
        }
        let _ = flushed.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Accepts one line. The subscriber writes each line with one call.
pub(super) struct Line<'a>(&'a LogWriter);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_own = OWN.with_borrow_mut(|own| own.as_mut().map(|own| own.extend_from_slice(line)).is_some());
        if !is_own {
            self.0.put(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer<W, S> {
    output: W,
    report: S,
    counts: Arc<Counts>,
}

impl<W: Write, S: Fn(u64)> Writer<W, S> {
    /// Writes lines until all handles have been dropped.
    fn run(mut self, items: Receiver<Item>) {
        OWN.set(Some(Vec::new()));
        for item in items {
            match item {
                Item::Line(line) => {
                    self.counts.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    match self.write(&line) {
                        Ok(()) => self.report_dropped(),
                        Err(_) => {
                            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                Item::Flush(done) => {
                    let _ = done.try_send(()); // Fails if the caller has stopped waiting.
                }
            }
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        (self.report)(dropped);
        let report = OWN.replace(Some(Vec::new())).unwrap_or_default();
        if self.write(&report).is_err() {
            self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// Writes a whole line. Blocks while the reader does not read.
    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the pipe or terminal has made it non-blocking.
                Err(why) if why.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
    use std::time::{Duration, Instant};

    use tracing_subscriber::fmt::MakeWriter as _;

    use super::{LogWriter, MAX_QUEUED_BYTES, MAX_QUEUED_LINES, OWN};

    /// Returns a writer to a pipe, which reports the number of dropped lines.
    fn lines() -> (LogWriter, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let report = |dropped| OWN.with_borrow_mut(|own| writeln!(own.as_mut().unwrap(), "dropped {dropped}").unwrap());
        (LogWriter::start(writer, report), reader)
    }

    /// Reads lines up to the first report of dropped lines. Returns the number of lines before it
    /// and the number in it.
    fn read(reader: PipeReader) -> (usize, usize) {
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap).enumerate();
        let report = lines.find_map(|(count, line)| Some((count, line.strip_prefix("dropped ")?.parse().unwrap())));
        report.expect("a report of dropped lines")
    }

    #[test]
    fn all_lines_are_written_in_order_before_a_flush_returns() {
        let (lines, reader) = lines();
        for nth in 0..100 {
            writeln!(lines.make_writer(), "{nth}").unwrap();
        }
        lines.flush(Duration::from_secs(20));
        drop(lines);
        let read: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        assert_eq!(read, (0..100).map(|nth| nth.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn logging_without_a_reader_does_not_fail() {
        let (lines, reader) = lines();
        drop(reader);
        for _ in 0..3 * MAX_QUEUED_LINES {
            lines.make_writer().write_all(b"nobody reads this\n").unwrap();
        }
        lines.flush(Duration::from_secs(20));
        assert!(lines.counts.dropped.load(super::Ordering::Relaxed) > 0);
        assert_eq!(lines.counts.queued_bytes.load(super::Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_pauses_blocks_nobody_and_later_gets_the_number_of_dropped_lines() {
        let (lines, reader) = lines();
        let began = Instant::now();
        let all = 10 * MAX_QUEUED_LINES;
        for _ in 0..all {
            lines.put(b"a line of a log that nobody reads at the moment, and a pipe that is full of them\n".to_vec());
        }
        lines.flush(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // The first report comes after the line that was being written. Lines dropped later are
        // reported later.
        let (before, dropped) = read(reader);
        assert!(before > 0 && dropped > 0 && before + dropped <= all, "{before} {dropped}");
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_too() {
        let (lines, _reader) = lines();
        for _ in 0..100 {
            lines.put(vec![b'x'; MAX_QUEUED_BYTES / 10]);
        }
        assert!(lines.counts.queued_bytes.load(super::Ordering::Relaxed) <= MAX_QUEUED_BYTES);
        assert!(lines.counts.dropped.load(super::Ordering::Relaxed) >= 80);
    }
}
