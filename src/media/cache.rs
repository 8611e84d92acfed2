//! The cache of images in a node's data folder: bounded, checked at each read, and emptied from the
//! image that was not used for the longest time. Its functions block.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::log_throttle::LogThrottle;

/// How long the cache is not written after a write has failed, such as on a full disk.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// The names of files that are not complete yet begin with this.
const UNFINISHED: &str = ".new-";

/// The cache of a node.
pub(super) struct DiskCache {
    folder: PathBuf,
    /// Bytes of all files. 0 switches the cache off.
    max_bytes: u64,
    index: Mutex<Index>,
}

/// The files of the cache in the order of their use.
#[derive(Default)]
struct Index {
    is_loaded: bool,
    files: HashMap<String, File>,
    /// The names by the turn of the last use.
    by_use: BTreeMap<u64, String>,
    next_turn: u64,
    total_bytes: u64,
    /// Nothing is written before this instant.
    paused_until: Option<Instant>,
}

struct File {
    bytes: u64,
    turn: u64,
}

impl Index {
    fn insert(&mut self, name: &str, bytes: u64) {
        self.remove(name);
        self.by_use.insert(self.next_turn, name.to_owned());
        self.files.insert(name.to_owned(), File { bytes, turn: self.next_turn });
        self.next_turn += 1;
        self.total_bytes += bytes;
    }

    fn remove(&mut self, name: &str) {
        if let Some(file) = self.files.remove(name) {
            self.by_use.remove(&file.turn);
            self.total_bytes -= file.bytes;
        }
    }

    /// Takes files out, those that were not used for the longest time first, until `needed` more
    /// bytes have room.
    fn make_room(&mut self, needed: u64, max_bytes: u64) -> Vec<String> {
        let mut evicted = Vec::new();
        while self.total_bytes + needed > max_bytes {
            let Some((_, name)) = self.by_use.first_key_value() else { break };
            let name = name.clone();
            self.remove(&name);
            evicted.push(name);
        }
        evicted
    }
}

impl DiskCache {
    /// Creates the cache in a folder, which is made with the first file.
    pub(super) fn new(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, max_bytes, index: Mutex::default() }
    }

    /// Returns a file if it is in the cache and has this length and SHA-256. A broken file is removed.
    /// `now` is kept as the time of its use.
    pub(super) fn read(&self, name: &str, bytes: u64, hash: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        if self.max_bytes == 0 {
            return None;
        }
        if !self.index().files.contains_key(name) {
            return None;
        }
        let path = self.folder.join(name);
        let read = fs::read(&path).ok();
        let whole = read.filter(|file| file.len() as u64 == bytes && Sha256::digest(file)[..] == *hash);
        if whole.is_none() {
            self.index().remove(name);
            let _ = fs::remove_file(&path);
            return None;
        }
        self.index().insert(name, bytes);
        // The order survives a restart. If it cannot be written, the file only counts as older.
        let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(now));
        whole
    }

    /// Adds a file. A failure is logged, and the cache pauses: images are served without it.
    pub(super) fn write(&self, name: &str, file: &[u8]) {
        let bytes = file.len() as u64;
        if bytes > self.max_bytes {
            return;
        }
        let evicted = {
            let mut index = self.index();
            if index.paused_until.is_some_and(|end| Instant::now() < end) || index.files.contains_key(name) {
                return;
            }
            index.make_room(bytes, self.max_bytes)
        };
        for name in evicted {
            let _ = fs::remove_file(self.folder.join(name));
        }
        match self.write_whole(name, file) {
            Ok(()) => self.index().insert(name, bytes),
            Err(why) => {
                self.index().paused_until = Some(Instant::now() + PAUSE_AFTER_FAILURE);
                static THROTTLE: LogThrottle = LogThrottle::new(Duration::from_secs(600));
                if THROTTLE.allow(std::time::Instant::now()).is_some() {
                    let folder = self.folder.display();
                    tracing::warn!(error.cause = %why, "images are served without their cache in {folder}");
                }
            }
        }
    }

    /// Removes a file if it is in the cache.
    pub(super) fn remove(&self, name: &str) {
        let mut index = self.index();
        if index.files.contains_key(name) {
            index.remove(name);
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// Writes a file under another name first, so that the name never has half of it.
    fn write_whole(&self, name: &str, file: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unfinished = self.folder.join(format!("{UNFINISHED}{}", Uuid::new_v4()));
        let written = fs::File::create_new(&unfinished)
            .and_then(|mut target| target.write_all(file))
            .and_then(|()| fs::rename(&unfinished, self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Returns the index, which is read from the folder when it is first used.
    fn index(&self) -> MutexGuard<'_, Index> {
        let mut index = self.index.lock();
        if !index.is_loaded {
            index.is_loaded = true;
            for (name, bytes) in found(&self.folder) {
                index.insert(&name, bytes);
            }
            for name in index.make_room(0, self.max_bytes) {
                let _ = fs::remove_file(self.folder.join(name));
            }
        }
        index
    }
}

/// Returns the files of a folder and their lengths in the order of their use. Removes what an earlier
/// process did not finish.
fn found(folder: &Path) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = item.metadata() else { continue };
        let Ok(name) = item.file_name().into_string() else { continue };
        if name.starts_with(UNFINISHED) {
            let _ = fs::remove_file(item.path());
        } else if about.is_file() {
            files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, about.len()));
        }
    }
    files.sort();
    files.into_iter().map(|(_, name, bytes)| (name, bytes)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use sha2::{Digest as _, Sha256};

    use super::DiskCache;

    const FILE: [u8; 100] = [7; 100];

    fn read(cache: &DiskCache, name: &str, second: u64) -> Option<Vec<u8>> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        cache.read(name, FILE.len() as u64, &Sha256::digest(FILE), now)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_least_recently_used_file_makes_room_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(folder.path().join("media"), 300);
        for name in ["a", "b", "c"] {
            cache.write(name, &FILE);
        }
        for (second, name) in ["b", "c", "a"].into_iter().enumerate() {
            assert_eq!(read(&cache, name, second as u64).as_deref(), Some(&FILE[..]));
        }
        cache.write("d", &FILE);
        assert_eq!(names(&folder.path().join("media")), ["a", "c", "d"]);
        fs::write(folder.path().join("media/.new-x"), FILE).unwrap();
        let restarted = DiskCache::new(folder.path().join("media"), 300);
        restarted.write("e", &FILE);
        assert_eq!(names(&folder.path().join("media")), ["a", "d", "e"], "c was used before a");
        let smaller = DiskCache::new(folder.path().join("media"), 150);
        assert!(read(&smaller, "a", 9).is_none());
        assert_eq!(names(&folder.path().join("media")).len(), 1);
    }

    #[test]
    fn a_broken_file_is_removed_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(folder.path().to_owned(), 1_000);
        let mut changed = FILE;
        changed[50] = 8;
        for broken in [&FILE[..60], &changed[..], &[]] {
            cache.write("a", &FILE);
            assert!(read(&cache, "a", 1).is_some());
            fs::write(folder.path().join("a"), broken).unwrap();
            assert!(read(&cache, "a", 2).is_none());
            assert!(names(folder.path()).is_empty());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_turns_the_cache_off() {
        let folder = tempfile::tempdir().unwrap();
        // A file where the folder would be fails for every user, unlike missing rights.
        fs::write(folder.path().join("file"), b"x").unwrap();
        let cache = DiskCache::new(folder.path().join("file/media"), 1_000);
        cache.write("a", &FILE);
        assert!(read(&cache, "a", 1).is_none());
        fs::remove_file(folder.path().join("file")).unwrap();
        cache.write("a", &FILE);
        assert!(!folder.path().join("file").exists(), "it pauses");
        let off = DiskCache::new(folder.path().join("off"), 0);
        off.write("a", &FILE);
        assert!(read(&off, "a", 1).is_none() && !folder.path().join("off").exists());
    }
}
