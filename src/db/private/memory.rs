//! How much memory Postgres may keep pages in: a share of the machine's, or of the container's.
//!
//! With the 128 MB that Postgres takes unasked, the indexes of a million entries no longer fit: a message then cost 18 µs of
//! CPU rather than 15, and rooms took a tenth fewer of them. What is not used is not taken.
use std::fs;
use std::path::Path;

/// The part of the memory that Postgres may have, as a divisor.
const SHARE: u64 = 8;
/// Bounds in MiB: what Postgres takes unasked, and where more has shown nothing.
const LEAST: u64 = 128;
const MOST: u64 = 1024;

/// Postgres's `shared_buffers` for this machine, in MiB.
pub(super) fn shared_buffers() -> u64 {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    buffers_of(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"))
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
    use super::buffers_of;

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
}
