//! The PostgreSQL programs inside the binary (packed by build.rs), and unpacking them once per version.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::PrivateError;

/// A packed set of programs. Empty when npm has none for the platform the binary was built for.
#[derive(Clone, Copy)]
pub(super) struct Archive {
    /// A tar, compressed with zstd.
    pub(super) bytes: &'static [u8],
    /// The version of the npm package, 18.4.0 for example.
    pub(super) version: &'static str,
    /// Of the contents, as 16 hexadecimal digits.
    pub(super) hash: &'static str,
}

/// What this binary carries.
#[cfg(feature = "bundled-postgres")]
pub(super) const OURS: Archive = Archive {
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/postgres.tar.zst")),
    version: env!("MAJU_PG_ARCHIVE_VERSION"),
    hash: env!("MAJU_PG_ARCHIVE_HASH"),
};

/// What this binary carries: nothing, it was built without `bundled-postgres`.
#[cfg(not(feature = "bundled-postgres"))]
pub(super) const OURS: Archive = Archive { bytes: &[], version: "", hash: "" };

/// Where the programs of all versions are.
const FOLDER: &str = "pg-programs";
/// How the name of a folder begins that is still being filled.
const UNFINISHED: &str = ".unpacking-";
/// The sizes and paths of the files, in each folder.
const LIST: &str = "files.txt";

/// Unpacks into `<home>/pg-programs/<version>-<hash>/` unless that is done already, and returns its `bin` folder.
///
/// A folder of that name is whole: it is filled under another name and renamed. What a loss of power took from it nevertheless is found
/// by the sizes, and it is filled again: bringing all of it to the disk would hold up the first start for seconds on a busy machine.
pub(super) fn unpack(archive: Archive, home: &Path) -> Result<PathBuf, PrivateError> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let all = home.join(FOLDER);
    let done = all.join(format!("{}-{}", archive.version, archive.hash));
    let failed = |problem| PrivateError::at(&all, "unpacking PostgreSQL", problem);
    if is_whole(&done) {
        return Ok(done.join("bin"));
    }
    remove(&done);
    fs::create_dir_all(&all).map_err(failed)?;
    open_to_all(&all).map_err(failed)?;
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let filling = all.join(format!("{UNFINISHED}{}-{turn}", std::process::id()));
    let outcome = fill(archive, &filling).and_then(|()| fs::rename(&filling, &done));
    if let Err(problem) = outcome {
        // Give the space back, above all when there was too little of it.
        remove(&filling);
        if !is_whole(&done) {
            return Err(failed(problem));
        }
        // Another starter was faster: its folder is as good as ours.
    }
    Ok(done.join("bin"))
}

/// Removes what was left half unpacked, and the programs of versions other than the one whose `bin` folder is given. For the owner of
/// the data folder only, while no Postgres runs.
pub(super) fn keep_only(bin: &Path, home: &Path) {
    let all = home.join(FOLDER);
    if !bin.starts_with(&all) {
        return; // The system's programs are in use.
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
        fs::remove_dir_all(folder)?; // Ours, of an earlier life with the same process id.
    }
    fs::create_dir(folder)?;
    open_to_all(folder)?;
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::new(archive.bytes)?);
    tar.set_preserve_mtime(false);
    tar.set_preserve_permissions(true); // The modes of the archive, whatever our umask.
    let mut list = String::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            list += &format!("{} {}\n", entry.size(), entry.path()?.display());
        }
        entry.unpack_in(folder)?;
    }
    fs::write(folder.join(LIST), list)
}

/// Whether every file of the list has its size.
fn is_whole(folder: &Path) -> bool {
    let list = fs::read_to_string(folder.join(LIST)).unwrap_or_default();
    let fits = |line: &str| {
        let Some((size, path)) = line.split_once(' ') else { return false };
        fs::metadata(folder.join(path)).is_ok_and(|found| size.parse() == Ok(found.len()))
    };
    !list.is_empty() && list.lines().all(fits)
}

/// Postgres may run as another user than we do.
fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove programs that are no longer needed");
        }
        _ => {}
    }
}
