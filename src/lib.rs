//! Maju: an anonymous chat server in one binary.
//!
//! The program (`main.rs`) only calls [`run`]. Modules are private unless a program of this
//! workspace (`sim`, `xtask`) needs them.
mod accounts;
mod admin;
mod app;
mod audit;
pub mod cli;
mod clock;
mod cms;
mod commands;
mod config;
mod connection_url;
mod database;
mod db;
mod doctor;
mod error;
mod exporter;
mod faults;
mod gateway;
mod http;
mod ids;
#[cfg(test)]
mod limits_tests;
mod locale;
mod log_throttle;
mod matching;
mod media;
mod metrics;
mod moderation;
mod notify;
#[cfg(test)]
mod process_tests;
mod ready;
mod realtime;
mod rooms;
mod router;
mod samples;
mod serve;
mod settings_file;
mod shell;
mod signals;
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

pub use matching::simulation;

use cli::{Cli, Command, ServeArgs};
use commands::{AdminCommand, DoctorArgs};
use config::Config;

/// Runs a command to its end. A failure is written to standard error.
pub fn run(cli: &Cli) -> ExitCode {
    let outcome = match &cli.command {
        Command::Serve(args) => run_server(args),
        Command::Migrate(args) => with_config(args, |config| block_on(serve::migrate(config))),
        Command::Config(args) => print_config(args),
        Command::Admin { act } => run_admin(act),
        Command::Doctor(args) => run_doctor(args),
    };
    report(outcome)
}

fn run_server(args: &ServeArgs) -> Result<(), String> {
    with_config(args, |config| block_on(serve::serve(config)))
}

fn print_config(args: &ServeArgs) -> Result<(), String> {
    let description = Config::read(args)?.describe();
    std::io::stdout().write_all(description.as_bytes()).map_err(|why| why.to_string())
}

fn run_admin(act: &AdminCommand) -> Result<(), String> {
    let work = |config: Config| block_on(shell::run(config, act));
    with_quiet_config(act.settings(), work)
}

fn run_doctor(args: &DoctorArgs) -> Result<(), String> {
    // The doctor itself reports settings that are wrong.
    match Config::read(&args.settings) {
        Err(why) => doctor::report_settings(&why, args.json),
        Ok(_) => with_quiet_config(&args.settings, |config| block_on(doctor::run(config, args))),
    }
}

/// As [`with_config`], for a command of which a person reads the output: only warnings are logged,
/// and notes about the settings are left to `maju config`.
fn with_quiet_config(args: &ServeArgs, work: impl FnOnce(Config) -> Result<(), String>) -> Result<(), String> {
    let config = Config::read(args)?;
    if config.database_url.is_none() {
        db::private::without_pg_variables()?;
    }
    telemetry::init(config.log_json, Some(config.log_filter.as_deref().unwrap_or(telemetry::QUIET_FILTER)));
    work(config)
}

/// Reads the settings, starts logging and runs `work`.
fn with_config(args: &ServeArgs, work: impl FnOnce(Config) -> Result<(), String>) -> Result<(), String> {
    let config = Config::read(args)?;
    if config.database_url.is_none() {
        db::private::without_pg_variables()?;
    }
    telemetry::init(config.log_json, config.log_filter.as_deref());
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    work(config)
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(work)
}

/// Writes the error of a failed command to standard error and flushes the log.
fn report(outcome: Result<(), String>) -> ExitCode {
    if let Err(why) = &outcome {
        // A log line may be filtered or JSON; the person at the terminal always reads this.
        for line in why.lines() {
            telemetry::write_line(&format!("maju: {line}"));
        }
    }
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
