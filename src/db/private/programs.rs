//! Which PostgreSQL programs to use: those that are named, those inside the binary, or those of the system.
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{self, Archive};
use super::environment;
use super::error::PrivateError;

/// The oldest major version that Maju works with.
const OLDEST: u32 = 15;

/// A folder with `postgres` and `initdb` that start on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    /// Their folder.
    pub(super) bin: PathBuf,
    /// 18 for example.
    pub(super) major: u32,
    /// 18.4 for example.
    pub(super) version: String,
}

/// Where to look, in this order.
#[derive(Clone)]
pub(super) struct Sources {
    /// `MAJU_PG_BIN`: when it is set, nothing else is tried.
    pub(super) named: Option<PathBuf>,
    /// The programs inside the binary.
    pub(super) archive: Archive,
    /// Whether to look for a Postgres on the system.
    pub(super) system: bool,
}

impl Sources {
    /// What a user has. `named` is the setting `pg-bin`.
    pub(super) fn of_a_user(named: Option<PathBuf>) -> Self {
        Self { named, archive: archive::OURS, system: true }
    }

    /// What a user has whose only setting may be `MAJU_PG_BIN`.
    #[cfg(test)]
    pub(super) fn real() -> Self {
        let named = std::env::var_os("MAJU_PG_BIN").filter(|value| !value.is_empty());
        Self::of_a_user(named.map(PathBuf::from))
    }
}

/// The first programs that work. Unpacks those of the binary below `home` when it is their turn.
pub(super) fn find(sources: &Sources, home: &Path) -> Result<Programs, PrivateError> {
    if let Some(bin) = &sources.named {
        return try_folder(bin).map_err(|problem| PrivateError::NamedPrograms { bin: bin.clone(), problem });
    }
    let mut tried = Vec::new();
    if sources.archive.bytes.is_empty() {
        tried.push("this binary carries none for this platform".to_owned());
    } else {
        let bin = archive::unpack(sources.archive, home)?;
        match try_folder(&bin) {
            Ok(programs) => return Ok(programs),
            // Another C library, or a disk that forbids programs: the system's own may still do.
            Err(problem) => tried.push(format!("the programs of this binary do not start here: {problem}")),
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

/// Asks the programs of a folder for their version.
fn try_folder(bin: &Path) -> Result<Programs, String> {
    // Postgres runs with / as its folder.
    let bin = fs::canonicalize(bin).map_err(|error| error.to_string())?;
    let mut version = String::new();
    for program in ["initdb", "postgres"] {
        // As they will run: with variables of ours they might start here and not there.
        let answer = environment::command(&bin.join(program)).arg("--version").output();
        let answer = answer.map_err(|error| format!("{program}: {error}"))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            return Err(format!("{program}: {}", said.lines().next_back().unwrap_or("failed").trim()));
        }
        version = String::from_utf8_lossy(&answer.stdout).into_owned();
    }
    let (major, version) = parse_version(&version).ok_or_else(|| format!("unknown version {:?}", version.trim()))?;
    if major < OLDEST {
        return Err(format!("PostgreSQL {version} is older than {OLDEST}"));
    }
    Ok(Programs { bin, major, version })
}

/// `postgres (PostgreSQL) 18.4 (Debian 18.4-1)` is 18 and `18.4`; `17devel` is 17.
pub(super) fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.split(") ").nth(1)?.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

/// Folders of the system that may hold a Postgres: what `pg_config` names, then the newest first.
fn system_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut pg_config = environment::command(Path::new("pg_config"));
    // The user's own PATH: it may be anywhere.
    pg_config.arg("--bindir").envs(env::var_os("PATH").map(|path| ("PATH", path)));
    if let Ok(answer) = pg_config.output() {
        let bin = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if answer.status.success() && !bin.is_empty() {
            folders.push(PathBuf::from(bin));
        }
    }
    // Debian; Red Hat; Homebrew on Apple's processors and on Intel's.
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

/// `<parent>/<prefix><major>/bin`, newest first.
pub(super) fn versions_in(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = items
        .flatten()
        .filter_map(|item| {
            let major = item.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, item.path().join("bin")))
        })
        .filter(|(major, _)| *major >= OLDEST)
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, bin)| bin).collect()
}
