//! The repository's own commands. `cargo xtask --help` lists them.
#![expect(clippy::print_stdout, reason = "what a command of the terminal has to show")]
mod bench;
mod faults;
mod generate;
mod postgres;
mod process;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A failure, as it is shown to the person at the terminal.
type Result<T> = std::result::Result<T, String>;

/// Commands for work on Maju.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rewrite the generated files: .sqlx and the TypeScript of the wire.
    ///
    /// A Postgres that lives only for this command checks every query against this version's
    /// schema. Then the tests that compare the TypeScript write it instead.
    Gen {
        /// Write nothing; fail if .sqlx differs. (The tests check the TypeScript.)
        #[arg(long)]
        check: bool,
    },
    /// Plant mistakes in the server, one after another, and check that a test fails for each.
    Faults(faults::Options),
    /// Measure the optimised build, with bare servers beside it in the same run.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let (name, outcome) = match Cli::parse().command {
        Command::Gen { check } => ("gen", generate::run(check)),
        Command::Faults(options) => ("faults", faults::run(&options)),
        Command::Bench(options) => ("bench", bench::run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the folder of the repository.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}
