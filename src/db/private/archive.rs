//! The PostgreSQL programs inside the binary, packed by build.rs and unpacked once per version.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::PrivateError;

/// A packed set of programs. Empty if npm has none for the platform of the binary.
#[derive(Clone, Copy)]
pub(super) struct Archive {
    /// A tar archive, compressed with zstd.
    pub(super) bytes: &'static [u8],
    /// The version of the npm package, for example `18.4.0`.
    pub(super) version: &'static str,
    /// The hash of the contents: 16 hexadecimal digits.
    pub(super) hash: &'static str,
}

/// The programs in this binary.
#[cfg(feature = "bundled-postgres")]
pub(super) const OURS: Archive = Archive {
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/postgres.tar.zst")),
    version: env!("MAJU_PG_ARCHIVE_VERSION"),
    hash: env!("MAJU_PG_ARCHIVE_HASH"),
};

/// No programs: this binary was built without `bundled-postgres`.
#[cfg(not(feature = "bundled-postgres"))]
pub(super) const OURS: Archive = Archive { bytes: &[], version: "", hash: "" };

/// The folder with the programs of all versions.
const FOLDER: &str = "pg-programs";
/// The start of the name of a folder that is not complete yet.
const UNFINISHED_PREFIX: &str = ".unpacking-";
/// The file in each folder that lists the sizes and paths of all others.
const FILE_LIST: &str = "files.txt";

/// Unpacks the programs into `<postgres_dir>/pg-programs/<version>-<hash>/` unless they are there,
/// and returns their `bin` folder.
///
/// The folder is filled under another name and renamed once it is complete. If a power failure
/// damages it nevertheless, the sizes of its files show it, and it is unpacked again. To sync all
/// files to the disk would delay the first start by seconds on a busy machine.
///
/// # Errors
/// Returns an error if the files cannot be written.
pub(super) fn unpack(archive: Archive, postgres_dir: &Path) -> Result<PathBuf, PrivateError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let all = postgres_dir.join(FOLDER);
    let done = all.join(format!("{}-{}", archive.version, archive.hash));
    let failed = |problem| PrivateError::at(&all, "unpacking PostgreSQL", problem);
    if is_complete(&done) {
        return Ok(done.join("bin"));
    }
    remove(&done);
    fs::create_dir_all(&all).map_err(failed)?;
    make_public(&all).map_err(failed)?;
    let nth = COUNT.fetch_add(1, Ordering::Relaxed);
    let filling = all.join(format!("{UNFINISHED_PREFIX}{}-{nth}", std::process::id()));
    let outcome = fill(archive, &filling).and_then(|()| fs::rename(&filling, &done));
    if let Err(problem) = outcome {
        // Free the space: it can be the lack of it that failed.
        remove(&filling);
        if !is_complete(&done) {
            return Err(failed(problem));
        }
        // Another process was faster, and its folder is as good.
    }
    Ok(done.join("bin"))
}

/// Removes incomplete folders and the programs of all versions but that of the given `bin` folder.
/// For the owner of the data folder only, while no Postgres runs.
pub(super) fn remove_other_versions(bin: &Path, postgres_dir: &Path) {
    let all = postgres_dir.join(FOLDER);
    if !bin.starts_with(&all) {
        return; // The programs of the system are in use.
    }
    let Ok(items) = fs::read_dir(all) else { return };
    for item in items.flatten() {
        if !bin.starts_with(item.path()) {
            remove(&item.path());
        }
    }
}

fn fill(archive: Archive, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?; // Left by an earlier process with the same id.
    }
    fs::create_dir(folder)?;
    make_public(folder)?;
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::new(archive.bytes)?);
    tar.set_preserve_mtime(false);
    tar.set_preserve_permissions(true); // The modes of the archive, whatever the umask.
    let mut list = String::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            list += &format!("{} {}\n", entry.size(), entry.path()?.display());
        }
        entry.unpack_in(folder)?;
    }
    fs::write(folder.join(FILE_LIST), list)
}

/// Returns `true` if every file of the list has its size.
fn is_complete(folder: &Path) -> bool {
    let list = fs::read_to_string(folder.join(FILE_LIST)).unwrap_or_default();
    let has_size = |line: &str| {
        let Some((size, path)) = line.split_once(' ') else { return false };
        fs::metadata(folder.join(path)).is_ok_and(|found| size.parse() == Ok(found.len()))
    };
    !list.is_empty() && list.lines().all(has_size)
}

/// Lets every user enter a folder: Postgres can run as another user than this process.
fn make_public(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "private Postgres: cannot remove programs that are no longer needed");
        }
        _ => {}
    }
}
