//! What the system knows of the process: CPU, memory, open files. Empty where there is no `/proc`.
use std::fs;

/// Clock ticks of a second in `/proc`: the same on every Linux that this server runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the system knows of the process. It blocks for a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: f64,
    pub(super) open_files: f64,
    pub(super) max_files: f64,
    pub(super) threads: f64,
    /// Unix time.
    pub(super) started_at: f64,
}

/// Reads it. `None` where the system does not tell.
pub(super) fn read() -> Option<Process> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let boot = read("/proc/stat")?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as f64;
    parse(&read("/proc/self/stat")?, &read("/proc/self/status")?, &read("/proc/self/limits")?, boot, open_files)
}

fn parse(stat: &str, status: &str, limits: &str, boot: f64, open_files: f64) -> Option<Process> {
    // The name of the program, in parentheses, can hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let kib = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let max_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    Some(Process {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        resident_bytes: kib("VmRSS:")? * 1_024.0,
        open_files,
        max_files: max_files.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default(),
        threads: kib("Threads:")?,
        started_at: boot + ticks(19)? / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::{Process, parse};

    #[test]
    fn the_files_of_proc_are_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 3000 1 2 3";
        let status = "Name:\tmaju\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        let limits =
            "Limit Soft Limit Hard Limit Units\nMax open files            20000                20000     files\n";
        let read = parse(stat, status, limits, 1_000.0, 12.0).unwrap();
        assert_eq!(
            read,
            Process {
                cpu_seconds: 2.0,
                resident_bytes: 2_097_152.0,
                open_files: 12.0,
                max_files: 20_000.0,
                threads: 9.0,
                started_at: 1_030.0
            }
        );
        assert_eq!(parse("", "", "", 0.0, 0.0), None);
    }
}
