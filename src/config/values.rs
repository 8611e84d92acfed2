//! Settings that are read from a text: what each may be, and what is wrong with it otherwise.
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::limits::{DEFAULT_TIME_ZONE, MAX_MEDIA_CACHE_MB, MAX_STOP_SECS, MAX_TIME_ZONE_BYTES, MIN_STOP_SECS};

pub(super) fn media_cache_mb(text: &str) -> Result<u64, String> {
    let megabytes = text.parse().ok().filter(|megabytes| *megabytes <= MAX_MEDIA_CACHE_MB);
    megabytes.ok_or_else(|| format!("'{text}' is not a number of megabytes from 0 to {MAX_MEDIA_CACHE_MB}"))
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither on nor off")),
    }
}

pub(super) fn log_format(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Ok(true),
        "pretty" => Ok(false),
        _ => Err(format!("'{text}' is neither json nor pretty")),
    }
}

/// Checks an IANA name: `UTC`, `Asia/Seoul`, `America/Argentina/Ushuaia`, `Etc/GMT+9`. Postgres
/// accepts other texts too ("KST-9", "+09"), and reads some of them with the opposite sign.
pub(super) fn time_zone(name: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    if name.len() <= MAX_TIME_ZONE_BYTES && name.split('/').all(is_word) {
        return Ok(name.to_owned());
    }
    Err(format!("'{name}' is not an IANA name like {DEFAULT_TIME_ZONE}"))
}

/// Returns `true` if log lines do not go to a terminal. They are JSON then.
pub(super) fn is_not_a_terminal() -> bool {
    !std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Checks the levels for tracing's filter, which would read a word that is not a level as the name
/// of a module.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 12] = ["off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5"];
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in directives.iter().filter(|directive| !directive.contains(['[', ']', '{', '}'])) {
        let level = directive.rsplit('=').next().unwrap_or_default();
        if !is_level(level) {
            return Err(format!(
                "'{directive}' names no level: write off, error, warn, info, debug or trace, or module=level"
            ));
        }
    }
    let filter = directives.join(",");
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(why) => Err(format!("'{text}' is not a list of levels: {why}")),
    }
}

pub(super) fn stop_within(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_STOP_SECS..=MAX_STOP_SECS).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("'{text}' is not a number of seconds from {MIN_STOP_SECS} to {MAX_STOP_SECS}"))
}

/// Checks that a path can be the data folder, if the private Postgres needs one. It need not exist
/// yet.
pub(super) fn data_dir(text: &str, private: bool) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    if private && folder.exists() && !folder.is_dir() {
        return Err(format!("{text} is a file and not a folder"));
    }
    Ok(folder)
}

pub(super) fn pg_bin(text: &str) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    match ["postgres", "initdb"].iter().find(|program| !folder.join(program).is_file()) {
        Some(missing) => Err(format!("{text} has no program {missing}: name the folder of PostgreSQL's programs")),
        None => Ok(folder),
    }
}
