//! Logs: JSON or pretty lines on standard error, with dotted fields by noun, never with a message's
//! text.
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use writer::LogWriter;

/// The default levels. tower_sessions is off because it logs an error for each request that
/// Postgres could not answer, and a warning for each old cookie; `accounts/sessions.rs` logs what
/// matters.
const DEFAULT_FILTER: &str = "info,sqlx=warn,tower_sessions=off,tower_sessions_core=off";
/// The levels for a command of which a person reads the output.
pub const QUIET_FILTER: &str = "warn,tower_sessions=off,tower_sessions_core=off";
/// How long the process waits at its end until the log is written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging for the process. `filter` selects the levels, and has been checked with the
/// settings; `None` for the default.
///
/// Logging never blocks and never fails: lines that cannot be written are dropped and counted.
pub fn init(json: bool, filter: Option<&str>) {
    let filter = filter.map_or_else(default_filter, EnvFilter::new);
    // The subscriber would report its own errors with `eprintln!`, which panics if standard error
    // is closed.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr().clone()).log_internal_errors(false);
    // A second call in one process (in tests) changes nothing.
    if json {
        let _ = lines.json().flatten_event(true).try_init();
    } else {
        let _ = lines.with_target(false).compact().try_init();
    }
    std::panic::set_hook(Box::new(log_panic));
}

/// Writes a line for a person, whatever the levels and format of the log are.
pub fn write_line(line: &str) {
    stderr().put(format!("{line}\n").into_bytes());
}

/// Waits until the log is written, at most a second: a reader that has stopped reading does not
/// delay the end of the process.
pub fn flush() {
    stderr().flush(FLUSH_TIMEOUT);
}

/// Returns the filter for the default levels.
pub(crate) fn default_filter() -> EnvFilter {
    EnvFilter::new(DEFAULT_FILTER)
}

/// Returns the process's writer to standard error. Its thread starts with the first use.
fn stderr() -> &'static LogWriter {
    static WRITER: OnceLock<LogWriter> = OnceLock::new();
    WRITER.get_or_init(|| {
        LogWriter::start(io::stderr(), |dropped| {
            tracing::warn!(
                log.dropped = dropped,
                "log: lines were dropped, because they were not read or could not be written"
            );
        })
    })
}

/// Logs a panic. The default hook would block if the reader of standard error has stopped reading.
///
/// The text of a panic can quote what users wrote, so only development builds log it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let message = if cfg!(debug_assertions) { panic.payload_as_str().unwrap_or_default() } else { "" };
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    tracing::error!(
        panic.location = location,
        panic.thread = name,
        panic.message = message,
        backtrace,
        "panic: this is a bug in Maju"
    );
}
