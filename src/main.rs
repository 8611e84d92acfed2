//! Maju: an anonymous chat server in one binary.
mod accounts;
mod app;
mod cli;
mod cms;
mod config;
mod connection_url;
mod db;
mod error;
mod faults;
mod gateway;
mod http;
mod ids;
mod locale;
mod matching;
mod moderation;
#[cfg(test)]
mod process_tests;
mod ready;
mod realtime;
mod rooms;
mod router;
mod serve;
mod settings_file;
mod spa;
mod tasks;
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
    let outcome = match cli::parse().command {
        Command::Serve(args) => prepared(&args, |config| block_on(serve::serve(config))),
        Command::Migrate(args) => prepared(&args, |config| block_on(serve::migrate(config))),
        Command::Config(args) => {
            let print = |config: Config| std::io::stdout().write_all(config.describe().as_bytes());
            Config::read(&args).and_then(|config| print(config).map_err(|why| why.to_string()))
        }
    };
    ended(outcome)
}

/// Says why a command failed, and gives the log its last moment.
fn ended(outcome: Result<(), String>) -> ExitCode {
    if let Err(why) = &outcome {
        // A log line may be filtered or JSON; the person at the terminal always reads this.
        for line in why.lines() {
            telemetry::say(&format!("maju: {line}"));
        }
    }
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Logs and settings first.
fn prepared(args: &ServeArgs, run: impl FnOnce(Config) -> Result<(), String>) -> Result<(), String> {
    let config = Config::read(args)?;
    if config.database_url.is_none() {
        db::private::without_pg_variables()?;
    }
    telemetry::init(config.log_json, config.log_filter.as_deref());
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    run(config)
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(work)
}
