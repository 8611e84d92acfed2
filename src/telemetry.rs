//! Logs: JSON or pretty lines on standard error, dotted fields by noun, never a message's text.
use tracing_subscriber::EnvFilter;

/// Starts logging for the process. `MAJU_LOG_FILTER` chooses levels (`info` by default).
pub fn init(json: bool) {
    let filter = EnvFilter::try_from_env("MAJU_LOG_FILTER").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    if json {
        let _ = lines.json().flatten_event(true).try_init();
    } else {
        let _ = lines.with_target(false).compact().try_init();
    }
}
