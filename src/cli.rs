//! The command line: the commands and the settings. Settings come from a file, environment variables and
//! flags, each of which overrides the one before. An empty value counts as not set.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{AdminCommand, DoctorArgs};
use crate::connection_url;
use crate::settings_file::{self, File};

/// An anonymous chat server: one-to-one talks and rooms. To start it, run `maju serve`.
#[derive(Parser)]
#[command(name = "maju", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Subcommand)]
pub enum Command {
    /// Start the server, with a private Postgres unless DATABASE_URL is set.
    Serve(ServeArgs),
    /// Bring the database to this version's schema, then exit.
    Migrate(ServeArgs),
    /// Check the settings and print those in effect.
    Config(ServeArgs),
    /// Manage accounts from a shell, while the server runs or not.
    Admin {
        #[command(subcommand)]
        act: AdminCommand,
    },
    /// Check the settings, the database, the audit log, the mail server and Redis.
    Doctor(DoctorArgs),
}

impl Command {
    fn settings_mut(&mut self) -> &mut ServeArgs {
        match self {
            Self::Serve(settings) | Self::Migrate(settings) | Self::Config(settings) => settings,
            Self::Admin { act } => act.settings_mut(),
            Self::Doctor(args) => &mut args.settings,
        }
    }
}

/// The settings as given: texts, which [`crate::config::Config::read`] checks together.
#[derive(Args, Clone, Default)]
pub struct ServeArgs {
    /// A TOML file with settings, named like these flags. Variables and flags override it.
    #[arg(long, env = "MAJU_CONFIG", value_name = "FILE")]
    pub config: Option<String>,
    /// The address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "MAJU_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The folder for the private Postgres and its lock [default: ./data].
    #[arg(long, env = "MAJU_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// The site's address in a browser: scheme, host and port [default: http://localhost with the
    /// listen port].
    #[arg(long, env = "MAJU_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// A Postgres server (15 or newer) to use instead of the private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A Redis or Valkey server (7 or newer), needed if there is more than one node.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Rate limits, on or off. `off` is for load tests of a site on localhost [default: on].
    #[arg(long, env = "MAJU_LIMITS", value_name = "SWITCH")]
    pub limits: Option<String>,
    /// Use a database even if its settings can lose acknowledged messages [default: false].
    #[arg(long, env = "MAJU_UNSAFE_DATABASE", num_args = 0..=1, default_missing_value = "true", value_name = "SWITCH")]
    pub unsafe_database: Option<String>,
    /// The format of log lines, json or pretty [default: pretty on a terminal, otherwise json].
    #[arg(long, env = "MAJU_LOG", value_name = "FORMAT")]
    pub log: Option<String>,
    /// The levels of log lines to write, for example `info,maju=debug` [default: info].
    #[arg(long, env = "MAJU_LOG_FILTER", value_name = "LEVELS")]
    pub log_filter: Option<String>,
    /// The longest time for a stop in seconds, 1 to 600 [default: 25].
    #[arg(long, env = "MAJU_STOP_WITHIN", value_name = "SECONDS")]
    pub stop_within: Option<String>,
    /// The site's time zone (IANA name), in which the days of the landing page's figures begin
    /// [default: Asia/Seoul].
    #[arg(long, env = "MAJU_TIME_ZONE", value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// The name of the person or organization that runs the site, which the landing page shows.
    #[arg(long, env = "MAJU_OPERATOR", value_name = "NAME")]
    pub operator: Option<String>,
    /// The operator's mail address or page, which the pages about the site show.
    #[arg(long, env = "MAJU_CONTACT", value_name = "MAIL|URL")]
    pub contact: Option<String>,
    /// The mail server: smtps://user:password@host, or smtp:// with STARTTLS. Needs --mail-from.
    #[arg(long, env = "MAJU_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<String>,
    /// The sender of the mails, for example `Maju <no-reply@chat.example.org>`.
    #[arg(long, env = "MAJU_MAIL_FROM", value_name = "MAIL")]
    pub mail_from: Option<String>,
    /// The last day (UTC) on which password hashes of the earlier system work [default: no end].
    #[arg(long, env = "MAJU_LEGACY_PASSWORDS_UNTIL", value_name = "DATE")]
    pub legacy_passwords_until: Option<String>,
    /// The page of an outside verifier, such as a carrier or a bank. Needs a secret.
    #[arg(long, env = "MAJU_VERIFIER_URL", value_name = "URL")]
    pub verifier_url: Option<String>,
    /// The secret shared with the verifier, 32 characters or more.
    #[arg(long, env = "MAJU_VERIFIER_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub verifier_secret: Option<String>,
    /// A file with the secret shared with the verifier.
    #[arg(long, env = "MAJU_VERIFIER_SECRET_FILE", value_name = "FILE")]
    pub verifier_secret_file: Option<String>,
    /// What the verifier is asked for: age, members, staff, separated by commas [default: age].
    #[arg(long, env = "MAJU_VERIFIER_FOR", value_name = "LIST")]
    pub verifier_for: Option<String>,
    /// The networks of proxies whose X-Forwarded-For is trusted, separated by commas.
    #[arg(long, env = "MAJU_TRUSTED_PROXIES", value_name = "NETWORKS")]
    pub trusted_proxies: Vec<String>,
    /// A folder with PostgreSQL programs to use for the private Postgres.
    #[arg(long, env = "MAJU_PG_BIN", value_name = "FOLDER")]
    pub pg_bin: Option<String>,
    /// The most megabytes of images that a node caches in its data folder, 0 for none [default: 512].
    #[arg(long, env = "MAJU_MEDIA_CACHE_MB", value_name = "MEGABYTES")]
    pub media_cache_mb: Option<String>,
    /// An address and port of its own for metrics in Prometheus's format [default: none].
    #[arg(long, env = "MAJU_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<String>,
    /// Where each setting was given, by the name of the setting.
    #[arg(skip)]
    pub origins: BTreeMap<String, String>,
    /// The errors of the file and of the environment.
    #[arg(skip)]
    pub wrong: Vec<String>,
}

impl ServeArgs {
    /// Returns where a setting was given, for a person: its flag, its variable, or the line in the
    /// file.
    pub fn origin(&self, name: &str) -> String {
        self.origins.get(name).cloned().unwrap_or_else(|| format!("--{name}"))
    }
}

/// Reads the command line, the environment and the settings file. Ends the process for what only
/// clap handles: help, the version, a flag that does not exist.
pub fn parse() -> Cli {
    layered(std::env::args_os().collect(), &environment()).unwrap_or_else(|why| match why.kind() {
        // With the variables, which `layered` reads itself.
        clap::error::ErrorKind::DisplayHelp => Cli::parse_from(std::env::args_os()),
        _ => refuse(&why),
    })
}

fn environment() -> BTreeMap<String, OsString> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
}

/// Returns the settings of `maju serve` without flags, for a test program that runs the server.
#[cfg(test)]
pub(crate) fn from_environment() -> ServeArgs {
    match layered(vec!["maju".into(), "serve".into()], &environment()) {
        Ok(Cli { command: Command::Serve(args) }) => args,
        _ => panic!("the environment does not hold the settings of a server"),
    }
}

/// Returns a command with the settings of the environment, for a test program that runs it.
#[cfg(test)]
pub(crate) fn of_words(words: &[String]) -> Cli {
    let words = std::iter::once("maju".to_owned()).chain(words.iter().cloned()).map(OsString::from).collect();
    layered(words, &environment()).unwrap_or_else(|why| panic!("{why}"))
}

/// Ends the process with clap's message. URLs in it are shown without their secrets.
fn refuse(why: &clap::Error) -> ! {
    let is_url = |word: &String| word.contains("://");
    let urls: Vec<String> = std::env::args_os().filter_map(|word| word.into_string().ok()).filter(is_url).collect();
    if urls.is_empty() {
        why.exit();
    }
    let text = urls.iter().fold(why.to_string(), |text, url| text.replace(url, &connection_url::redacted(url)));
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(why.exit_code());
}

/// A setting: its id in clap, its flag and its variable.
struct Setting {
    id: String,
    name: String,
    variable: String,
}

/// Returns all settings, as the flags define them.
fn settings() -> Vec<Setting> {
    let Some(serve) = Cli::command().find_subcommand("serve").cloned() else { return Vec::new() };
    let setting = |arg: &clap::Arg| {
        Some(Setting {
            id: arg.get_id().to_string(),
            name: arg.get_long()?.to_owned(),
            variable: arg.get_env()?.to_string_lossy().into_owned(),
        })
    };
    serve.get_arguments().filter_map(setting).collect()
}

/// Parses the command, and takes each setting from the strongest source that has a value that is
/// not empty.
fn layered(words: Vec<OsString>, environment: &BTreeMap<String, OsString>) -> Result<Cli, clap::Error> {
    let matches = without_variables(Cli::command()).try_get_matches_from(&words)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let mut matches = &matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let known = settings();
    let mut wrong = misspelled(environment, &known);
    let mut given = |setting: &Setting| {
        let flag = matches.get_many::<String>(&setting.id).map(|texts| texts.cloned().collect::<Vec<_>>().join(","));
        if let Some(flag) = flag.filter(|text| !is_empty(text)) {
            return Some((flag, format!("--{}", setting.name)));
        }
        let text = match environment.get(&setting.variable)?.clone().into_string() {
            Ok(text) => text,
            Err(_) => {
                wrong.push(format!("{}: the value is not UTF-8", setting.variable));
                return None;
            }
        };
        (!is_empty(&text)).then(|| (text, setting.variable.clone()))
    };
    let mut chosen: BTreeMap<String, (String, String)> =
        known.iter().filter_map(|setting| Some((setting.name.clone(), given(setting)?))).collect();
    if let Some((path, _)) = chosen.get("config") {
        let names: Vec<&str> =
            known.iter().map(|setting| setting.name.as_str()).filter(|name| *name != "config").collect();
        let File { values, wrong: in_file } = settings_file::read(&PathBuf::from(path), &names);
        wrong.extend(in_file);
        for value in values.into_iter().filter(|value| !is_empty(&value.text)) {
            chosen.entry(value.name).or_insert((value.text, value.origin));
        }
    }
    let mut words = vec![OsString::from("maju")];
    words.extend(chosen.iter().map(|(name, (text, _))| format!("--{name}={text}").into()));
    let settings = without_variables(ServeArgs::augment_args(clap::Command::new("maju")));
    let mut args = ServeArgs::from_arg_matches(&settings.try_get_matches_from(words)?)?;
    args.origins = chosen.into_iter().map(|(name, (_, origin))| (name, origin)).collect();
    args.wrong = wrong;
    *cli.command.settings_mut() = args;
    Ok(cli)
}

/// Returns a command that reads no variables, because clap accepts an empty one as a value.
fn without_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.env(None::<&'static str>)).mut_subcommands(without_variables)
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

/// Returns errors for variables whose names differ from a setting's by a letter or two.
fn misspelled(environment: &BTreeMap<String, OsString>, known: &[Setting]) -> Vec<String> {
    let names: Vec<&str> = known.iter().map(|setting| setting.variable.as_str()).collect();
    let is_ours = |name: &str| name.starts_with("MAJU_") && !names.contains(&name);
    let wrong =
        environment.iter().filter(|(name, value)| is_ours(name) && !value.is_empty()).filter_map(|(name, _)| {
            // DATABASE_URL and REDIS_URL have no prefix, but are easily given one.
            let distance = |known: &&&str| {
                let bare = name.trim_start_matches("MAJU_");
                strsim::damerau_levenshtein(name, known).min(strsim::damerau_levenshtein(bare, known))
            };
            let near = names.iter().min_by_key(distance)?;
            let is_near = distance(&near) <= 2;
            is_near.then(|| format!("{name}: there is no such setting; did you mean {near}?"))
        });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Args as _;

    use super::{AdminCommand, Command, ServeArgs, layered};
    use crate::config::Config;
    use crate::config::limits::{
        DEFAULT_LISTEN_PORT, DEFAULT_STOP_SECS, DEFAULT_TIME_ZONE, MAX_STOP_SECS, MIN_STOP_SECS,
    };
    use crate::db::limits::MIN_POSTGRES_MAJOR;

    /// The settings of `maju config` with some flags, variables and a file.
    fn read(flags: &[&str], variables: &[(&str, &str)], file: &str) -> ServeArgs {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maju.toml");
        std::fs::write(&path, file).unwrap();
        let words = ["maju", "config"].iter().chain(flags).map(|word| (*word).into()).collect();
        let mut environment: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        if !file.is_empty() {
            environment.insert("MAJU_CONFIG".to_owned(), path.into());
        }
        let Ok(cli) = layered(words, &environment) else { panic!("{flags:?}") };
        let Command::Config(args) = cli.command else { panic!("another command") };
        args
    }

    /// Every setting with its variable and two valid values.
    const ALL: [(&str, &str, &str, &str); 24] = [
        ("listen", "MAJU_LISTEN", "127.0.0.1:1", "127.0.0.1:2"),
        ("data-dir", "MAJU_DATA_DIR", "/srv/#1/maju", "/srv/2"),
        ("public-url", "MAJU_PUBLIC_URL", "https://one.example", "https://two.example"),
        ("database-url", "DATABASE_URL", "postgres://one/d", "postgres://two/d"),
        ("redis-url", "REDIS_URL", "redis://one", "redis://two"),
        ("limits", "MAJU_LIMITS", "on", "true"),
        ("unsafe-database", "MAJU_UNSAFE_DATABASE", "true", "false"),
        ("log", "MAJU_LOG", "json", "pretty"),
        ("log-filter", "MAJU_LOG_FILTER", "info,maju=debug", "warn"),
        ("stop-within", "MAJU_STOP_WITHIN", "1", "2"),
        ("time-zone", "MAJU_TIME_ZONE", "UTC", "Asia/Tokyo"),
        ("operator", "MAJU_OPERATOR", "One", "둘 운영팀"),
        ("contact", "MAJU_CONTACT", "one@example.org", "https://two.example/contact"),
        ("smtp-url", "MAJU_SMTP_URL", "smtps://me:one@one.example", "smtp://two.example:25"),
        ("mail-from", "MAJU_MAIL_FROM", "one@example.org", "둘 <two@example.org>"),
        ("legacy-passwords-until", "MAJU_LEGACY_PASSWORDS_UNTIL", "2027-06-30", "2028-01-01"),
        ("verifier-url", "MAJU_VERIFIER_URL", "https://one.example", "https://two.example"),
        ("verifier-secret", "MAJU_VERIFIER_SECRET", "one secret", "two secrets"),
        ("verifier-secret-file", "MAJU_VERIFIER_SECRET_FILE", "/one", "/two"),
        ("verifier-for", "MAJU_VERIFIER_FOR", "age", "members, staff"),
        ("trusted-proxies", "MAJU_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.0/16", "10.1.0.0/16"),
        ("pg-bin", "MAJU_PG_BIN", "/one", "/two"),
        ("media-cache-mb", "MAJU_MEDIA_CACHE_MB", "1", "2"),
        ("metrics-listen", "MAJU_METRICS_LISTEN", "127.0.0.1:1", "127.0.0.1:2"),
    ];

    #[test]
    fn the_list_of_settings_is_complete() {
        let names: Vec<String> = super::settings().into_iter().map(|setting| setting.name).collect();
        let expected: Vec<&str> = std::iter::once("config").chain(ALL.iter().map(|setting| setting.0)).collect();
        for name in &names {
            assert!(expected.contains(&name.as_str()), "{name} is not tested here");
        }
        assert_eq!(names.len(), expected.len());
        let documents = include_str!("../docs/OPERATIONS.md");
        for setting in super::settings() {
            let row = format!("| `--{}` | `{}` |", setting.name, setting.variable);
            assert!(documents.contains(&row), "docs/OPERATIONS.md has no row {row}");
        }
    }

    #[test]
    fn the_help_text_has_the_limits_and_defaults() {
        let help = ServeArgs::augment_args(clap::Command::new("serve")).render_help().to_string();
        let stop = format!("{MIN_STOP_SECS} to {MAX_STOP_SECS} [default: {DEFAULT_STOP_SECS}]");
        let postgres = format!("({MIN_POSTGRES_MAJOR} or newer)");
        for part in [stop.as_str(), &postgres, DEFAULT_TIME_ZONE, &DEFAULT_LISTEN_PORT.to_string()] {
            assert!(help.contains(part), "{part} is not in: {help}");
        }
    }

    #[test]
    fn flags_override_variables_which_override_the_file_and_empty_values_are_ignored() {
        for (name, variable, one, two) in ALL {
            let file = format!("{name} = \"{one}\"\n");
            let flag = format!("--{name}={two}");
            let empty = format!("--{name}=");
            let chosen = |args: &ServeArgs| {
                let origin = args.origins.get(name).cloned().unwrap_or_default();
                // The file is in another folder each time.
                let origin = origin.rsplit('/').next().unwrap_or_default().to_owned();
                (Probe(args, name).to_string(), origin)
            };
            let of = |flags: &[&str], variables: &[(&str, &str)], file: &str| chosen(&read(flags, variables, file));
            let from_file = of(&[], &[], &file);
            assert!(from_file.0 == one && from_file.1.ends_with(&format!("maju.toml:1: {name}")), "{from_file:?}");
            assert_eq!(of(&[], &[(variable, "")], &file), from_file, "{variable} is empty");
            assert_eq!(of(&[&empty], &[(variable, " ")], &file).0, one, "{empty}");
            assert_eq!(of(&[], &[(variable, two)], &file), (two.to_owned(), variable.to_owned()));
            assert_eq!(of(&[&flag], &[(variable, one)], &file), (two.to_owned(), format!("--{name}")));
            assert_eq!(of(&[&empty], &[(variable, two)], &file).0, two, "{empty}");
            assert_eq!(of(&[], &[(variable, two)], &format!("{name} = \"\"\n")).0, two);
            assert_eq!(of(&[&empty], &[(variable, "")], &format!("{name} = \"\"\n")).0, "", "{name}");
        }
    }

    /// A setting's value, by its name.
    struct Probe<'a>(&'a ServeArgs, &'a str);

    impl std::fmt::Display for Probe<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let args = self.0;
            let text = match self.1 {
                "listen" => &args.listen,
                "data-dir" => &args.data_dir,
                "public-url" => &args.public_url,
                "database-url" => &args.database_url,
                "redis-url" => &args.redis_url,
                "limits" => &args.limits,
                "unsafe-database" => &args.unsafe_database,
                "log" => &args.log,
                "log-filter" => &args.log_filter,
                "stop-within" => &args.stop_within,
                "time-zone" => &args.time_zone,
                "operator" => &args.operator,
                "contact" => &args.contact,
                "smtp-url" => &args.smtp_url,
                "mail-from" => &args.mail_from,
                "legacy-passwords-until" => &args.legacy_passwords_until,
                "verifier-url" => &args.verifier_url,
                "verifier-secret" => &args.verifier_secret,
                "verifier-secret-file" => &args.verifier_secret_file,
                "verifier-for" => &args.verifier_for,
                "pg-bin" => &args.pg_bin,
                "media-cache-mb" => &args.media_cache_mb,
                "metrics-listen" => &args.metrics_listen,
                _ => return f.write_str(&args.trusted_proxies.join(",")),
            };
            f.write_str(text.as_deref().unwrap_or_default())
        }
    }

    #[test]
    fn a_command_within_a_command_has_its_own_arguments_and_all_settings() {
        let words = ["maju", "admin", "add", "min", "--role=editor", "--data-dir", "/flag", "--password-stdin"];
        let environment = [("MAJU_DATA_DIR", "/variable"), ("MAJU_LISTEN", "127.0.0.1:9"), ("MAJU_PG_BIN", " ")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        let Ok(cli) = layered(words.map(Into::into).to_vec(), &environment) else { panic!("refused") };
        let Command::Admin { act: AdminCommand::Add(args) } = cli.command else { panic!("another command") };
        assert_eq!((args.handle.as_str(), args.role.as_str(), args.password_stdin), ("min", "editor", true));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((args.settings.data_dir, args.settings.listen), (text("/flag"), text("127.0.0.1:9")));
        assert_eq!(args.settings.pg_bin, None);
        assert_eq!(args.settings.origins["data-dir"], "--data-dir");
        for wrong in
            [&["maju", "admin", "add", "min"][..], &["maju", "admin", "add", "min", "--role=king"], &["maju", "admin"]]
        {
            let words = wrong.iter().map(Into::into).collect();
            assert!(layered(words, &BTreeMap::new()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn networks_can_be_separated_in_several_ways_and_given_more_than_once() {
        let networks = |args: &ServeArgs| Config::read(args).unwrap().trusted_proxies.len();
        for text in ["10.0.0.0/8,192.168.0.0/16", "10.0.0.0/8, 192.168.0.0/16", " 10.0.0.0/8 192.168.0.0/16, "] {
            assert_eq!(networks(&read(&["--trusted-proxies", text], &[], "")), 2, "{text}");
            assert_eq!(networks(&read(&[], &[("MAJU_TRUSTED_PROXIES", text)], "")), 2, "{text}");
            assert_eq!(networks(&read(&[], &[], &format!("trusted-proxies = \"{text}\"\n"))), 2, "{text}");
        }
        assert_eq!(networks(&read(&[], &[], "trusted-proxies = [\"10.0.0.0/8\", \"::1\"]\n")), 2);
        assert_eq!(networks(&read(&["--trusted-proxies=10.0.0.0/8", "--trusted-proxies=::1"], &[], "")), 2);
    }

    #[test]
    fn all_errors_are_reported_at_once_each_with_its_place() {
        let file = "lissten = \"x\"\nstop-within = 0\n";
        let variables = [("MAJU_LOG", "loud"), ("MAJU_LISTN", "127.0.0.1:1"), ("MAJU_SERVICE_PORT", "8080")];
        let errors = Config::read(&read(&["--redis-url=nonsense", "--unsafe-database"], &variables, file)).unwrap_err();
        assert_eq!(errors.lines().count(), 5, "{errors}");
        for part in [
            "MAJU_LISTN: there is no such setting; did you mean MAJU_LISTEN?",
            "maju.toml:1: there is no setting 'lissten'; did you mean 'listen'?",
            "maju.toml:2: stop-within: '0' is not a number of seconds",
            "MAJU_LOG: 'loud' is neither json nor pretty",
            "--redis-url: is not a URL",
        ] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
        let missing = Config::read(&read(&["--config=/nowhere/maju.toml"], &[], "")).unwrap_err();
        assert!(missing.starts_with("cannot read /nowhere/maju.toml: "), "{missing}");
        let limits = Config::read(&read(&["--limits=off"], &[("MAJU_PUBLIC_URL", "https://chat.example.org")], ""));
        assert!(limits.unwrap_err().starts_with("--limits: off is only"));
    }
}
