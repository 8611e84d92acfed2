//! Maju: an anonymous chat server in one binary.
mod accounts;
mod app;
mod cli;
mod cms;
mod config;
mod db;
mod error;
mod faults;
mod gateway;
mod http;
mod locale;
mod matching;
mod moderation;
mod ready;
mod realtime;
mod rooms;
mod router;
mod serve;
mod spa;
mod telemetry;
#[cfg(test)]
mod testing;
mod text;
#[cfg(test)]
mod tidy;

use std::io::Write as _;
use std::process::ExitCode;

use cli::{Command, ServeArgs};
use config::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = cli::parse().and_then(|cli| match cli.command {
        Command::Serve(args) => prepared(&args, |config| block_on(serve::serve(config))),
        Command::Migrate(args) => prepared(&args, |config| block_on(serve::migrate(config))),
        Command::Config(args) => {
            let config = Config::read(&args)?;
            std::io::stdout().write_all(config.describe().as_bytes()).map_err(|why| why.to_string())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // A log line may be filtered or JSON; the person at the terminal always reads this.
            let _ = writeln!(std::io::stderr(), "maju: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Logs and settings first.
fn prepared(args: &ServeArgs, run: impl FnOnce(Config) -> Result<(), String>) -> Result<(), String> {
    let config = Config::read(args)?;
    telemetry::init(config.log_json);
    run(config)
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(work)
}
