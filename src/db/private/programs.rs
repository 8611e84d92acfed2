//! Which PostgreSQL programs to use: those that a setting names, those inside the binary, or those
//! of the system.
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{self, Archive};
use super::environment;
use super::error::PrivateError;
use crate::db::limits::MIN_POSTGRES_MAJOR;

/// PostgreSQL programs that work on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    /// The folder of `postgres` and `initdb`.
    pub(super) bin: PathBuf,
    /// For example 18.
    pub(super) major: u32,
    /// For example `18.4`.
    pub(super) version: String,
}

/// Where to search for programs, in this order.
#[derive(Clone)]
pub(super) struct Sources {
    /// The folder that `MAJU_PG_BIN` names. If it is set, nothing else is tried.
    pub(super) named: Option<PathBuf>,
    /// The programs inside the binary.
    pub(super) archive: Archive,
    /// Whether to search the system.
    pub(super) system: bool,
}

impl Sources {
    /// Returns the sources for a user. `named` is the setting `pg-bin`.
    pub(super) fn for_user(named: Option<PathBuf>) -> Self {
        Self { named, archive: archive::OURS, system: true }
    }

    /// Returns the sources for a user, with `MAJU_PG_BIN` from the environment.
    #[cfg(test)]
    pub(super) fn from_environment() -> Self {
        let named = std::env::var_os("MAJU_PG_BIN").filter(|value| !value.is_empty());
        Self::for_user(named.map(PathBuf::from))
    }
}

/// Returns the first programs that work. Unpacks those of the binary below `postgres_dir` before it
/// tries them.
///
/// # Errors
/// Returns an error if no programs work, or if they cannot be unpacked.
pub(super) fn find(sources: &Sources, postgres_dir: &Path) -> Result<Programs, PrivateError> {
    if let Some(bin) = &sources.named {
        return try_folder(bin).map_err(|problem| PrivateError::NamedPrograms { bin: bin.clone(), problem });
    }
    let mut tried = Vec::new();
    if sources.archive.bytes.is_empty() {
        tried.push("this binary has none for this platform".to_owned());
    } else {
        let bin = archive::unpack(sources.archive, postgres_dir)?;
        match try_folder(&bin) {
            Ok(programs) => return Ok(programs),
            // Another C library, or a disk on which programs cannot run: those of the system can
            // work.
            Err(problem) => tried.push(format!("the programs of this binary do not work here: {problem}")),
        }
    }
    let mut folders = if sources.system { system_folders() } else { Vec::new() };
    folders.retain(|bin| bin.join("postgres").exists());
    for bin in &folders {
        match try_folder(bin) {
            Ok(programs) => return Ok(programs),
            Err(problem) => tried.push(format!("{}: {problem}", bin.display())),
        }
    }
    if folders.is_empty() {
        tried.push("none on the system".to_owned());
    }
    Err(PrivateError::NoPrograms { tried: tried.join("; ") })
}

/// Runs the programs of a folder to get their version.
///
/// # Errors
/// Returns a phrase that says why they cannot be used.
fn try_folder(bin: &Path) -> Result<Programs, String> {
    // Absolute, because Postgres runs in the folder /.
    let bin = fs::canonicalize(bin).map_err(|error| error.to_string())?;
    let mut version = String::new();
    for program in ["initdb", "postgres"] {
        // In the environment in which they will run: with other variables the result could differ.
        let answer = environment::command(&bin.join(program)).arg("--version").output();
        let answer = answer.map_err(|error| format!("{program}: {error}"))?;
        if !answer.status.success() {
            let message = String::from_utf8_lossy(&answer.stderr);
            return Err(format!("{program}: {}", message.lines().next_back().unwrap_or("failed").trim()));
        }
        version = String::from_utf8_lossy(&answer.stdout).into_owned();
    }
    let (major, version) = parse_version(&version).ok_or_else(|| format!("unknown version {:?}", version.trim()))?;
    if major < MIN_POSTGRES_MAJOR {
        return Err(format!("PostgreSQL {version} is older than {MIN_POSTGRES_MAJOR}"));
    }
    Ok(Programs { bin, major, version })
}

/// Parses a version: `postgres (PostgreSQL) 18.4 (Debian 18.4-1)` is 18 and `18.4`, `17devel` is
/// 17.
pub(super) fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.split(") ").nth(1)?.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

/// Returns the folders of the system that can hold programs: the one that `pg_config` names, then
/// the newest first.
fn system_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut pg_config = environment::command(Path::new("pg_config"));
    // With the user's PATH, because it can be anywhere.
    pg_config.arg("--bindir").envs(env::var_os("PATH").map(|path| ("PATH", path)));
    if let Ok(answer) = pg_config.output() {
        let bin = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if answer.status.success() && !bin.is_empty() {
            folders.push(PathBuf::from(bin));
        }
    }
    // Debian; Red Hat; Homebrew on Apple and on Intel processors.
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        folders.extend(versions_in(Path::new(parent), prefix));
    }
    folders.extend(["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    folders
}

/// Returns the folders `<parent>/<prefix><major>/bin`, newest first.
pub(super) fn versions_in(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = items
        .flatten()
        .filter_map(|item| {
            let major = item.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, item.path().join("bin")))
        })
        .filter(|(major, _)| *major >= MIN_POSTGRES_MAJOR)
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, bin)| bin).collect()
}
