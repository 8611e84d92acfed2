//! `shared_buffers` and `max_wal_size` for this machine or container. They are upper limits: memory
//! and disk that are not needed are not taken.
//!
//! With the default `shared_buffers` of 128 MB the indexes of a million entries do not fit: a
//! message then costs 18 µs of CPU rather than 15, and rooms accept a tenth fewer messages.
//!
//! With the default `max_wal_size` of 1 GB a busy node starts a checkpoint every 25 seconds, after
//! which entries write whole pages: 27,600 entries a second in such seconds, 38,000 otherwise. The
//! price is the recovery after a crash: to replay a gigabyte of log takes 7 seconds.
use std::fs;
use std::path::Path;

use rustix::fs::statvfs;

const MIB: u64 = 1024 * 1024;
/// `shared_buffers` is the memory divided by this.
const MEMORY_DIVISOR: u64 = 8;
/// The bounds of `shared_buffers`: Postgres's default, and a size above which no gain was measured.
const MIN_SHARED_BUFFERS_MIB: u64 = 128;
const MAX_SHARED_BUFFERS_MIB: u64 = 1024;
/// `max_wal_size` is the free disk space divided by this.
const DISK_DIVISOR: u64 = 16;
/// The bounds of `max_wal_size`: Postgres's default, and a recovery of half a minute.
const MIN_WAL_SIZE_MIB: u64 = 1024;
const MAX_WAL_SIZE_MIB: u64 = 4096;
/// If `/dev/shm` has less free space, Postgres does not use it.
const MIN_FREE_SHM_MIB: u64 = 32;

/// Returns `shared_buffers` in MiB: 1/8 of the memory, between 128 MiB and 1 GiB.
pub(super) fn shared_buffers_mib() -> u64 {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    shared_buffers_for(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"))
}

/// Returns `max_wal_size` in MiB for the disk of a folder: 1/16 of the free space, between 1 and 4
/// GiB. About half of it is written between two checkpoints.
pub(super) fn max_wal_size_mib(folder: &Path) -> u64 {
    let disk = statvfs(folder).ok();
    wal_size_for(disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Returns `dynamic_shared_memory_type`, or `None` to keep the default, files in `/dev/shm`.
///
/// Containers can have little space there, and a query would fail midway. `sysv` has only the
/// kernel's limits, and Postgres needs one such segment in any case.
pub(super) fn dynamic_shared_memory_type() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let free = statvfs("/dev/shm").map_or(0, |shm| shm.f_bavail.saturating_mul(shm.f_frsize));
    (free < MIN_FREE_SHM_MIB * MIB).then_some("sysv")
}

/// Returns `max_wal_size` in MiB for a number of free bytes. `None` if the number is not known.
fn wal_size_for(free: Option<u64>) -> u64 {
    free.map_or(MIN_WAL_SIZE_MIB, |bytes| (bytes / MIB / DISK_DIVISOR).clamp(MIN_WAL_SIZE_MIB, MAX_WAL_SIZE_MIB))
}

/// Returns `shared_buffers` in MiB for the contents of `/proc/meminfo` (a total in KiB) and of the
/// cgroup's memory limit (bytes, or `max`). Both can be missing.
fn shared_buffers_for(meminfo: &str, limit: &str) -> u64 {
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let machine = total.map(|kib: u64| kib / 1024);
    let container = limit.trim().parse().ok().map(|bytes: u64| bytes / MIB);
    let memory = machine.into_iter().chain(container).min();
    memory.map_or(MIN_SHARED_BUFFERS_MIB, |mib| {
        (mib / MEMORY_DIVISOR).clamp(MIN_SHARED_BUFFERS_MIB, MAX_SHARED_BUFFERS_MIB)
    })
}

#[cfg(test)]
mod tests {
    use super::{max_wal_size_mib, shared_buffers_for, wal_size_for};

    #[test]
    fn shared_buffers_is_an_eighth_of_the_memory_within_bounds() {
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
            assert_eq!(shared_buffers_for(&meminfo, limit), buffers, "{meminfo} {limit}");
        }
    }

    #[test]
    fn max_wal_size_is_a_sixteenth_of_the_free_disk_within_bounds() {
        let gib = 1024 * 1024 * 1024;
        for (free, log) in [(None, 1024), (Some(0), 1024), (Some(32 * gib), 2048), (Some(1 << 50), 4096)] {
            assert_eq!(wal_size_for(free), log, "{free:?}");
        }
        assert_eq!(max_wal_size_mib("/nowhere".as_ref()), 1024);
    }
}
