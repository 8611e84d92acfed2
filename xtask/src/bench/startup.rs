//! Starts and stops, idle memory, sizes: one `name: value` a line.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::http::{self, Client};
use super::server::{free_port, launch, maju, still_running};
use crate::Result;
use crate::process::{Process, WorkFolder};

/// Requests for the landing page.
const REQUESTS: usize = 200;

struct Node {
    process: Process,
    port: u16,
    /// The time from its start until it was ready.
    took: Duration,
}

fn start(binary: &Path, work: &WorkFolder) -> Result<Node> {
    let port = free_port()?;
    let began = Instant::now();
    let mut command = maju(binary, port);
    command.arg("--data-dir").arg(work.path().join("data"));
    let mut process = launch(&mut command, work)?;
    while !http::is_ready(port) {
        still_running(&mut process, work)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(Node { process, port, took: began.elapsed() })
}

fn report(name: &str, value: &str) {
    println!("{name}: {value}");
}

fn report_time(name: &str, time: Duration) {
    report(name, &format!("{:.0} ms", time.as_secs_f64() * 1e3));
}

/// Measures one server after another on the same data folder.
pub fn measure(binary: &Path) -> Result<()> {
    let work = WorkFolder::new("maju-bench-")?;
    let size = fs::metadata(binary).map_err(|why| format!("{}: {why}", binary.display()))?.len();
    report("binary", &format!("{:.1} MiB", size as f64 / f64::from(1 << 20)));
    let mut node = start(binary, &work)?;
    report_time("first start to ready (unpack, make the database, migrate)", node.took);
    let began = Instant::now();
    node.process.end(Signal::TERM);
    report_time("orderly stop", began.elapsed());
    node = start(binary, &work)?;
    report_time("next start to ready", node.took);
    if let Some(kib) = resident_kib(node.process.id()) {
        report("idle memory of the server, without Postgres", &format!("{:.1} MiB", kib / 1024.0));
    }
    node.process.end(Signal::KILL);
    node = start(binary, &work)?;
    report_time("start to ready at once after kill -9", node.took);
    let times = landing_page(node.port).map_err(|why| format!("the landing page: {why}"))?;
    report(
        "landing page, one after the other",
        &format!("median {:.2} ms, 99 % {:.2} ms", times[REQUESTS / 2], times[REQUESTS * 99 / 100]),
    );
    Ok(())
}

/// Returns the memory of a process in KiB. `None` where the system does not say.
fn resident_kib(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok())
}

/// Returns the times of requests for the landing page in milliseconds, sorted.
fn landing_page(port: u16) -> std::io::Result<Vec<f64>> {
    let mut client = Client::connect(port)?;
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        client.request("GET", "/", &[("accept-encoding", "gzip, deflate")], "")?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
