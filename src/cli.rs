//! The commands: serve, migrate, config.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Anonymous one-to-one talks and rooms. `maju serve` alone is enough.
#[derive(Parser)]
#[command(name = "maju", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Start the server (and its private Postgres, unless DATABASE_URL is set).
    Serve(ServeArgs),
    /// Bring the database to this version's schema, and stop.
    Migrate(ServeArgs),
    /// Check the settings and print those in force.
    Config(ServeArgs),
}

/// The settings, as flags and variables. A `--config` file holds the same names, `name = value` a line.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// A file of settings: `name = value` a line, `#` begins a comment. Flags and variables win over it.
    #[arg(long, env = "MAJU_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "MAJU_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the private Postgres and the lock live [default: ./data].
    #[arg(long, env = "MAJU_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// What people type: scheme, host and port [default: http://localhost and the listen port].
    #[arg(long, env = "MAJU_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A Postgres 15 or newer of yours, instead of the private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// A Redis or Valkey (7 or newer) that carries wake-ups between nodes.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Rate limits: `off` is for load tests on a loopback site.
    #[arg(long, env = "MAJU_LIMITS")]
    pub limits: Option<Switch>,
    /// Accept a database that may lose what it acknowledged.
    #[arg(long, env = "MAJU_UNSAFE_DATABASE", num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub unsafe_database: bool,
    /// How log lines look [default: pretty on a terminal, else json].
    #[arg(long, env = "MAJU_LOG")]
    pub log: Option<LogFormat>,
    /// Seconds a stop may take.
    #[arg(long, env = "MAJU_STOP_WITHIN", default_value_t = 25)]
    pub stop_within: u64,
    /// Networks whose X-Forwarded-For is believed, comma-separated.
    #[arg(long, env = "MAJU_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    /// True for on.
    pub fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    Json,
    Pretty,
}

impl ServeArgs {
    /// Whether log lines are JSON: as asked, else when nobody reads them on a terminal.
    pub fn log_json(&self) -> bool {
        match self.log {
            Some(format) => matches!(format, LogFormat::Json),
            None => !std::io::IsTerminal::is_terminal(&std::io::stderr()),
        }
    }

    /// The settings a test or an empty command line gives.
    #[cfg(test)]
    pub fn none() -> Self {
        #[derive(Parser)]
        struct Bare {
            #[command(flatten)]
            args: ServeArgs,
        }
        Bare::parse_from(["maju"]).args
    }
}

/// The command line with the settings of its `--config` file put before the flags, so that flags and variables win.
///
/// Errors: a file that cannot be read, or a line in it that is no setting.
pub fn parse() -> Result<Cli, String> {
    let cli = Cli::parse();
    let (Command::Serve(args) | Command::Migrate(args) | Command::Config(args)) = &cli.command;
    let Some(path) = &args.config else { return Ok(cli) };
    let text = std::fs::read_to_string(path).map_err(|why| format!("--config {}: {why}", path.display()))?;
    let given: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let mut words = given[..2.min(given.len())].to_vec();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("{}:{}: a line is `name = value`", path.display(), number + 1))?;
        let flag = format!("--{}", name.trim());
        if flag == "--config" || is_set_elsewhere(&flag, &given) {
            continue;
        }
        words.push(format!("{flag}={}", value.trim().trim_matches('"')).into());
    }
    words.extend(given.into_iter().skip(2));
    Cli::try_parse_from(words).map_err(|why| format!("{}: {why}", path.display()))
}

/// Whether a flag of the file is also on the command line or in the environment.
fn is_set_elsewhere(flag: &str, given: &[std::ffi::OsString]) -> bool {
    let by_flag = given
        .iter()
        .filter_map(|word| word.to_str())
        .any(|word| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')));
    let variable = match flag {
        "--database-url" => "DATABASE_URL".to_owned(),
        "--redis-url" => "REDIS_URL".to_owned(),
        other => format!("MAJU_{}", other.trim_start_matches('-').replace('-', "_").to_ascii_uppercase()),
    };
    by_flag || std::env::var_os(variable).is_some()
}
