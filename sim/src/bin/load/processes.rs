//! CPU and memory of process trees, read from /proc.
use std::collections::HashMap;
use std::fs;

/// The fields of `/proc/<pid>/stat` after the name, which can contain spaces.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Returns the processes and all that descend from them.
fn tree(roots: &[i32]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = roots.to_vec();
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).into_iter().flatten());
        at += 1;
    }
    found
}

/// Returns the seconds of CPU of process trees, with those of their children that have ended: the
/// processes of Postgres come and go.
pub fn cpu_seconds(roots: &[i32]) -> f64 {
    let ticks = |pid: &i32| -> Option<f64> {
        let fields = stat(*pid)?;
        fields.get(11..=14)?.iter().map(|ticks| ticks.parse::<f64>().ok()).sum()
    };
    tree(roots).iter().filter_map(ticks).sum::<f64>() / 100.0
}

/// Returns the memory of process trees in KiB, with their shares of what they share.
pub fn proportional_kib(roots: &[i32]) -> f64 {
    tree(roots).iter().filter_map(|pid| own_proportional_kib(*pid)).sum()
}

/// Returns the memory of one process in KiB, with its share of what it shares.
pub fn own_proportional_kib(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().trim_end_matches(" kB").parse().ok())
}
