//! How much memory Postgres may keep pages in, and how much disk it may fill with its log between two checkpoints: a share of
//! the machine's, or of the container's. What is not used is not taken.
//!
//! With the 128 MB that Postgres takes unasked, the indexes of a million entries no longer fit: a message then cost 18 µs of
//! CPU rather than 15, and rooms took a tenth fewer of them.
//!
//! With the 1 GB of log that Postgres takes unasked, a node that was kept busy began a checkpoint every 25 seconds, and each
//! made the next entries write whole pages: 27,600 entries a second in such seconds, 38,000 without. Reading a gigabyte of log
//! after a crash takes 7 seconds: the price, paid by nodes that were as busy as that.
use std::fs;
use std::path::Path;

use rustix::fs::statvfs;

/// The part of the memory that Postgres may have, as a divisor.
const SHARE: u64 = 8;
/// Bounds in MiB: what Postgres takes unasked, and where more has shown nothing.
const LEAST: u64 = 128;
const MOST: u64 = 1024;
/// The same for its log, as a share of the free disk.
const LOG_SHARE: u64 = 16;
const LEAST_LOG: u64 = 1024;
const MOST_LOG: u64 = 4096;
/// Free MiB of /dev/shm below which Postgres keeps away from it.
const LEAST_SHARED: u64 = 32;

/// Postgres's `shared_buffers` for this machine, in MiB.
pub(super) fn shared_buffers() -> u64 {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    buffers_of(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"))
}

/// Postgres's `max_wal_size` for the disk of this folder, in MiB. About half of it is written between two checkpoints.
pub(super) fn max_wal_size(folder: &Path) -> u64 {
    let disk = statvfs(folder).ok();
    log_of(disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Postgres's `dynamic_shared_memory_type` where its own choice, files in /dev/shm, would fail: containers may have little of it, and
/// it would fail in the middle of a query. `sysv` has the kernel's limits only, and Postgres needs a segment of it at any rate.
pub(super) fn shared_memory() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let free = statvfs("/dev/shm").map_or(0, |shm| shm.f_bavail.saturating_mul(shm.f_frsize));
    (free < LEAST_SHARED * 1024 * 1024).then_some("sysv")
}

/// From the free bytes of the disk, where they are known.
fn log_of(free: Option<u64>) -> u64 {
    free.map_or(LEAST_LOG, |bytes| (bytes / (1024 * 1024) / LOG_SHARE).clamp(LEAST_LOG, MOST_LOG))
}

/// From the kernel's words: the total in KiB of a line, and a limit in bytes or `max`. Both may be missing.
fn buffers_of(meminfo: &str, limit: &str) -> u64 {
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let machine = total.map(|kib: u64| kib / 1024);
    let container = limit.trim().parse().ok().map(|bytes: u64| bytes / (1024 * 1024));
    let memory = machine.into_iter().chain(container).min();
    memory.map_or(LEAST, |mib| (mib / SHARE).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use super::{buffers_of, log_of, max_wal_size};

    #[test]
    fn an_eighth_within_bounds() {
        let meminfo = |kib: u64| format!("MemTotal:       {kib} kB\nMemFree: 1 kB\n");
        let gib = 1024 * 1024;
        for (meminfo, limit, buffers) in [
            (meminfo(gib / 2), "max\n", 128),
            (meminfo(4 * gib), "max\n", 512),
            (meminfo(64 * gib), "max\n", 1024),
            (meminfo(64 * gib), "2147483648\n", 256),
            (meminfo(4 * gib), "9223372036854771712\n", 512),
            (String::new(), "", 128),
            ("MemTotal: much".to_owned(), "little", 128),
        ] {
            assert_eq!(buffers_of(&meminfo, limit), buffers, "{meminfo} {limit}");
        }
    }

    #[test]
    fn a_sixteenth_of_the_free_disk_within_bounds() {
        let gib = 1024 * 1024 * 1024;
        for (free, log) in [(None, 1024), (Some(0), 1024), (Some(32 * gib), 2048), (Some(1 << 50), 4096)] {
            assert_eq!(log_of(free), log, "{free:?}");
        }
        assert_eq!(max_wal_size("/nowhere".as_ref()), 1024);
    }
}
