//! Logs: JSON or pretty lines on standard error, dotted fields by noun, never a message's text.
use tracing_subscriber::EnvFilter;

/// What is said when nothing else is asked for. The cookie's layer would say an error for each request that Postgres could
/// not answer, and a warning for each that comes with an old cookie; `accounts/sessions.rs` says what is ours to know.
const USUAL: &str = "info,sqlx=warn,tower_sessions=off,tower_sessions_core=off";

/// Starts logging for the process. `filter` chooses levels; the settings have checked it. `None`: the usual ones.
pub fn init(json: bool, filter: Option<&str>) {
    let filter = filter.map_or_else(usual, EnvFilter::new);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    if json {
        let _ = lines.json().flatten_event(true).try_init();
    } else {
        let _ = lines.with_target(false).compact().try_init();
    }
}

/// The levels by default.
pub(crate) fn usual() -> EnvFilter {
    EnvFilter::new(USUAL)
}
