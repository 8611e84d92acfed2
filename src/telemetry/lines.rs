//! Writes log lines from a thread of its own: the threads that log neither wait for the reader nor fail with it.
//!
//! `tracing-appender` does nearly this, but it prints to standard output while the process ends, which waits for a reader that
//! has stopped reading and panics when there is none, and it does not count lines whose writing failed.
use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines, and bytes, that wait to be written at most. Further lines are dropped and counted.
const QUEUE: usize = 4_096;
const BYTES: usize = 4 * 1024 * 1024;
/// How soon a full queue, or an output that takes nothing at the moment, is tried again.
const AGAIN: Duration = Duration::from_millis(10);

thread_local! {
    /// On the thread that writes: what it logs itself, past the queue. `None` on all others.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Where log lines are handed in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Item>,
    counts: Arc<Counts>,
}

enum Item {
    Line(Vec<u8>),
    /// Everything before it has been tried.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Counts {
    /// Bytes that wait to be written.
    waiting: AtomicUsize,
    /// Lines dropped since that was last said.
    dropped: AtomicU64,
}

impl Lines {
    /// Starts the thread that writes to `output`. After lines were dropped, and as soon as it can write again, it calls `say`
    /// with their number; what that logs is written at once.
    pub(super) fn start(output: impl Write + Send + 'static, say: impl Fn(u64) + Send + 'static) -> Self {
        let (queue, items) = sync_channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let writer = Writer { output, say, counts: counts.clone() };
        // Without the thread the queue is closed, and every line is dropped: no reason not to serve.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(items));
        Self { queue, counts }
    }

    /// Hands a line in. Never waits and never fails.
    pub(super) fn put(&self, line: Vec<u8>) {
        let length = line.len();
        let is_kept = self.counts.waiting.fetch_add(length, Ordering::Relaxed) + length <= BYTES
            && self.queue.try_send(Item::Line(line)).is_ok();
        if !is_kept {
            self.counts.waiting.fetch_sub(length, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was handed in before has been tried, at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let (done, told) = sync_channel(1);
        let mut item = Item::Flush(done);
        loop {
            item = match self.queue.try_send(item) {
                Ok(()) => break,
                Err(TrySendError::Full(item)) if Instant::now() < until => item,
                Err(_) => return,
            };
            thread::sleep(AGAIN);
        }
        let _ = told.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one line: the subscriber writes each with one call.
pub(super) struct Line<'a>(&'a Lines);

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
    say: S,
    counts: Arc<Counts>,
}

impl<W: Write, S: Fn(u64)> Writer<W, S> {
    /// Runs as long as there is somebody who may log.
    fn run(mut self, items: Receiver<Item>) {
        OWN.set(Some(Vec::new()));
        for item in items {
            match item {
                Item::Line(line) => {
                    self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    match self.write(&line) {
                        Ok(()) => self.say_what_was_dropped(),
                        Err(_) => {
                            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                Item::Flush(done) => {
                    let _ = done.try_send(()); // Nobody may wait for it any more.
                }
            }
        }
    }

    fn say_what_was_dropped(&mut self) {
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        (self.say)(dropped);
        let said = OWN.replace(Some(Vec::new())).unwrap_or_default();
        if self.write(&said).is_err() {
            self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// Writes all of a line. Waits for a reader: that is what the thread is for.
    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                // Another process has made the pipe or terminal that we share non-blocking.
                Err(why) if why.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
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

    use super::{BYTES, Lines, OWN, QUEUE};

    /// A queue over a pipe, which writes the number of dropped lines.
    fn lines() -> (Lines, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let say = |dropped| OWN.with_borrow_mut(|own| writeln!(own.as_mut().unwrap(), "dropped {dropped}").unwrap());
        (Lines::start(writer, say), reader)
    }

    /// Reads lines until one says how many were dropped. Returns their number and that.
    fn read(reader: PipeReader) -> (usize, usize) {
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap).enumerate();
        let said = lines.find_map(|(count, line)| Some((count, line.strip_prefix("dropped ")?.parse().unwrap())));
        said.expect("it says what was dropped")
    }

    #[test]
    fn lines_are_written_in_order_and_all_of_them_before_a_flush_returns() {
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
    fn a_reader_that_has_gone_is_no_failure() {
        let (lines, reader) = lines();
        drop(reader);
        for _ in 0..3 * QUEUE {
            lines.make_writer().write_all(b"nobody reads this\n").unwrap();
        }
        lines.flush(Duration::from_secs(20));
        assert!(lines.counts.dropped.load(super::Ordering::Relaxed) > 0);
        assert_eq!(lines.counts.waiting.load(super::Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_pauses_holds_up_nobody_and_hears_later_how_many_lines_it_missed() {
        let (lines, reader) = lines();
        let began = Instant::now();
        let all = 10 * QUEUE;
        for _ in 0..all {
            lines.put(b"a line of a log that nobody reads at the moment, and a pipe that is full of them\n".to_vec());
        }
        lines.flush(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // The first words about it come after the line that was in hand; what was dropped later is said later.
        let (before, dropped) = read(reader);
        assert!(before > 0 && dropped > 0 && before + dropped <= all, "{before} {dropped}");
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_too() {
        let (lines, _reader) = lines();
        for _ in 0..100 {
            lines.put(vec![b'x'; BYTES / 10]);
        }
        assert!(lines.counts.waiting.load(super::Ordering::Relaxed) <= BYTES);
        assert!(lines.counts.dropped.load(super::Ordering::Relaxed) >= 80);
    }
}
