//! `cargo xtask bench`: measures the optimised build on this machine, with bare servers beside it
//! in the same run. The ratios are what is kept (docs/BENCHMARKS.md).
mod figures;
mod http;
mod landing;
mod layouts;
mod pairs;
mod people;
mod server;
mod sockets;
mod startup;

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;

use crate::Result;
use crate::process::{WorkFolder, cargo, run_cargo, target};
use figures::{Phase, median, spread};
use people::People;
use server::Server;

/// How often a scenario is repeated.
const REPEATS: usize = 3;
/// How often Maju and a bare server are measured, one after the other.
const TURNS: usize = 5;
/// Lines of a failed program's output that are shown.
const SHOWN_LINES: usize = 8;
/// Visitors and public rooms that the scenarios use.
const VISITORS: usize = 4_000;
const ROOMS: usize = 2_000;

#[derive(Args)]
pub struct Options {
    /// What to measure; everything if nothing is named.
    scenarios: Vec<Scenario>,
    /// Sockets of `idle`.
    #[arg(long, env = "IDLE", hide_env = true, default_value_t = 10_000)]
    idle: usize,
    /// Sockets of `storm`.
    #[arg(long, env = "STORM", hide_env = true, default_value_t = 10_000)]
    storm: usize,
    /// Seconds of `slow`.
    #[arg(long, env = "SLOW_SECS", hide_env = true, default_value_t = 60)]
    slow_secs: u64,
    /// Measure what was built before.
    #[arg(long)]
    no_build: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Starts and stops, idle memory, the landing page.
    Startup,
    /// The pairing rule alone, in memory.
    Pairing,
    /// The landing page, beside a bare handler that returns the same bytes.
    Landing,
    /// Memory of joined sockets that do nothing.
    Idle,
    /// Persisted messages between two people, beside a bare server that writes to the same
    /// Postgres.
    Pairs,
    /// Messages while others leave other rooms.
    Leaves,
    /// One message to 1,000 sockets, beside a bare server that persists nothing.
    Fanout,
    /// Matches end to end.
    Match,
    /// Every socket is cut and reconnects at once.
    Storm,
    /// Sockets that do not read, beside others that do.
    Slow,
    /// Two nodes with Redis, where messages cross from one to the other.
    Nodes,
}

/// Measures what is asked for and prints the figures.
///
/// # Errors
/// If a build or a program fails, or a figure shows that something was lost.
pub fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        build(options)?;
    }
    if options.wants(Scenario::Startup) {
        startup::measure(&target().join("release/maju"))?;
    }
    let bench = Bench { work: WorkFolder::new("maju-load-")?, programs: target().join("release") };
    if options.wants(Scenario::Pairing) {
        bench.pairing()?;
    }
    if options.scenarios.iter().any(|one| !matches!(one, Scenario::Startup | Scenario::Pairing))
        || options.scenarios.is_empty()
    {
        measure_server(&bench, options)?;
    }
    Ok(())
}

impl Options {
    fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }
}

fn build(options: &Options) -> Result<()> {
    // The server by itself: what other packages ask of its dependencies is not in what is shipped.
    run_cargo(&mut cargo(&["build", "--locked", "--release"]), "the build failed")?;
    if options.scenarios == [Scenario::Startup] {
        return Ok(());
    }
    run_cargo(&mut cargo(&["build", "--locked", "--release", "--package", "sim"]), "the build of the load failed")
}

/// Runs the scenarios that need a server, all on the same one.
fn measure_server(bench: &Bench, options: &Options) -> Result<()> {
    let server = Server::start(bench, &[])?;
    if options.wants(Scenario::Landing) {
        bench.landing(&server)?;
    }
    if options.scenarios == [Scenario::Landing] {
        return Ok(());
    }
    let people = People::make(bench, &server, VISITORS, ROOMS)?;
    let setup = Setup { bench, server: &server, people: &people };
    // Idle sockets first: what other loads have left would be counted as free.
    if options.wants(Scenario::Idle) {
        setup.idle(options.idle)?;
    }
    if options.wants(Scenario::Pairs) {
        setup.pairs()?;
    }
    if options.wants(Scenario::Leaves) {
        setup.leaves()?;
    }
    if options.wants(Scenario::Fanout) {
        setup.fanout()?;
    }
    if options.wants(Scenario::Match) {
        setup.matches()?;
    }
    if options.wants(Scenario::Storm) {
        setup.storm(options.storm)?;
    }
    if options.wants(Scenario::Slow) {
        setup.slow(options.slow_secs)?;
    }
    if options.wants(Scenario::Nodes) {
        setup.nodes()?;
    }
    Ok(())
}

/// Where the programs are, and a folder for what they write.
struct Bench {
    work: WorkFolder,
    programs: PathBuf,
}

/// A server to measure, with visitors and rooms.
struct Setup<'a> {
    bench: &'a Bench,
    server: &'a Server,
    people: &'a People,
}

/// The arguments of a program, as `name=value`; the last value of a name counts.
type Settings = Vec<(&'static str, String)>;

/// Returns settings from pairs of names and values.
fn settings<const N: usize>(pairs: [(&'static str, &dyn ToString); N]) -> Settings {
    pairs.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

impl Bench {
    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Runs a program to its end and returns the JSON lines that it printed.
    fn lines<T: DeserializeOwned>(&self, name: &str, args: &[String]) -> Result<Vec<T>> {
        let answer = Command::new(self.program(name)).args(args).env("RUST_BACKTRACE", "0").output();
        let answer = answer.map_err(|why| format!("{name} does not start: {why}"))?;
        if !answer.status.success() {
            let output = String::from_utf8_lossy(&answer.stderr);
            let first: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).take(SHOWN_LINES).collect();
            return Err(format!("{name} {} failed: {}", args.join(" "), first.join("\n  ")));
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        let parse = |line: &str| serde_json::from_str(line).map_err(|why| format!("{name} printed {line}: {why}"));
        text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// Runs a scenario of the load generator.
    fn load<T: DeserializeOwned>(&self, scenario: &str, parts: &[&Settings]) -> Result<Vec<T>> {
        let pairs = parts.iter().flat_map(|part| part.iter()).map(|(name, value)| format!("{name}={value}"));
        self.lines("load", &[scenario.to_owned()].into_iter().chain(pairs).collect::<Vec<_>>())
    }

    /// Runs a scenario that yields one line.
    fn load_one<T: DeserializeOwned>(&self, scenario: &str, parts: &[&Settings]) -> Result<T> {
        self.load(scenario, parts)?.pop().ok_or_else(|| format!("load {scenario} printed nothing"))
    }

    fn pairing(&self) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Round {
            crowd: String,
            people: f64,
            pairs: f64,
            shared: f64,
            ms: f64,
            pairs_s: f64,
        }
        for Round { crowd, people, pairs, shared, ms, pairs_s } in self.lines("pairing", &[])? {
            println!(
                "pairing in memory, {people} wait, {crowd}: {pairs} pairs ({shared} share an interest) in {ms} ms: {pairs_s} pairs/s"
            );
        }
        Ok(())
    }
}

impl Setup<'_> {
    /// Returns how the load generator reaches the server.
    fn own(&self) -> Settings {
        settings([
            ("driver", &"maju"),
            ("arg", &self.people.file.display()),
            ("addr", &self.server.address()),
            ("pids", &self.server.id()),
            ("label", &"maju"),
        ])
    }

    /// Returns how tokio-postgres reaches the server's Postgres.
    fn postgres(&self) -> String {
        format!("host={} user=maju dbname=maju", self.server.socket_folder.display())
    }
}

/// Phases of Maju, and of a bare server, measured one after the other: a machine that becomes
/// slower does so for both, and each ratio is one of neighbours.
struct Turns(Vec<[Vec<Phase>; 2]>);

impl Turns {
    fn measure(bench: &Bench, scenario: &str, own: &[&Settings], bare: &[&Settings]) -> Result<Self> {
        let turn = |_| Ok([bench.load(scenario, own)?, bench.load(scenario, bare)?]);
        (0..TURNS).map(turn).collect::<Result<_>>().map(Self)
    }

    fn own(&self) -> Vec<&Phase> {
        self.0.iter().flat_map(|[own, _]| own).collect()
    }

    fn bare(&self) -> Vec<&Phase> {
        self.0.iter().flat_map(|[_, bare]| bare).collect()
    }

    /// Returns the median ratio of a figure, and its range.
    fn ratio(&self, figure: impl Fn(&[&Phase]) -> f64) -> String {
        let of = |phases: &[Phase]| figure(&phases.iter().collect::<Vec<_>>());
        spread(self.0.iter().map(|[own, bare]| of(own) / of(bare)))
    }
}

/// Returns the median of a figure over the phases of a mode.
fn of(phases: &[&Phase], mode: &str, figure: impl Fn(&Phase) -> f64) -> f64 {
    median(phases.iter().filter(|phase| phase.mode == mode).map(|phase| figure(phase)))
}
