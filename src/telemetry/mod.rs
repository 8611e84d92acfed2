//! Logs: JSON or pretty lines on standard error, dotted fields by noun, never a message's text.
mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use lines::Lines;

/// What is said when nothing else is asked for. The cookie's layer would say an error for each request that Postgres could
/// not answer, and a warning for each that comes with an old cookie; `accounts/sessions.rs` says what is ours to know.
const USUAL: &str = "info,sqlx=warn,tower_sessions=off,tower_sessions_core=off";
/// How long the end of the process waits for the reader of the log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts logging for the process. `filter` chooses levels; the settings have checked it. `None`: the usual ones.
///
/// Nobody who logs waits or fails: lines that cannot be written are dropped and counted.
pub fn init(json: bool, filter: Option<&str>) {
    let filter = filter.map_or_else(usual, EnvFilter::new);
    // The subscriber would report its own errors with `eprintln!`, which panics when nobody reads standard error any more.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(to_stderr().clone()).log_internal_errors(false);
    // A second start in one process (tests) keeps the first.
    if json {
        let _ = lines.json().flatten_event(true).try_init();
    } else {
        let _ = lines.with_target(false).compact().try_init();
    }
    std::panic::set_hook(Box::new(log_panic));
}

/// Writes a line for the person at the terminal, whatever the log's levels and format are.
pub fn say(line: &str) {
    to_stderr().put(format!("{line}\n").into_bytes());
}

/// Waits until what was logged is written, at most a second: a reader that has stopped reading does not hold up the end.
pub fn flush() {
    to_stderr().flush(LAST_LINES);
}

/// The levels by default.
pub(crate) fn usual() -> EnvFilter {
    EnvFilter::new(USUAL)
}

/// The process's lines on standard error. The thread that writes them starts with the first use.
fn to_stderr() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        Lines::start(io::stderr(), |dropped| {
            tracing::warn!(
                log.dropped = dropped,
                "log lines were dropped: nobody read them, or they could not be written"
            );
        })
    })
}

/// Logs a panic. The default hook would wait for a reader that has stopped reading.
///
/// What a panic says may quote what people wrote, so it is only shown by builds for development.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let said = if cfg!(debug_assertions) { panic.payload_as_str().unwrap_or_default() } else { "" };
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    tracing::error!(
        panic.location = location,
        panic.thread = name,
        panic.said = said,
        backtrace,
        "a panic: a fault of Maju"
    );
}
