//! Settings: defaults < file < environment < flags, checked at the start with the name of what is wrong.
mod network;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::connection_url::{self, Checked};

pub use network::Network;

/// The site's first language is Korean.
const TIME_ZONE: &str = "Asia/Seoul";
/// How long a stop may take unless it is set.
const STOP_WITHIN: Duration = Duration::from_secs(25);

/// The checked settings of one node. Durations are wall-clock; sizes are bytes.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub site: Site,
    /// `None` selects the private Postgres under the data folder.
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
    /// False lifts the rate limits (load tests on a loopback site only).
    pub limits: bool,
    /// Accept a database that may lose what it acknowledged (fsync, full_page_writes or synchronous_commit off).
    pub unsafe_database: bool,
    pub log_json: bool,
    /// Which log lines are written; `None` for the usual ones.
    pub log_filter: Option<String>,
    /// How long a stop may take before the process leaves anyway.
    pub stop_within: Duration,
    /// The site's time zone, an IANA name. The database knows the names, and is asked at the start.
    pub time_zone: String,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The folder of other PostgreSQL programs for the private Postgres.
    pub pg_bin: Option<PathBuf>,
    /// What the operator should know of the settings, though they work.
    pub notes: Vec<String>,
}

/// Where the site is: its public address and the origins that may talk to it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Scheme, host and port, without a slash at the end.
    pub url: String,
    pub secure: bool,
    pub loopback: bool,
    /// Whether the port is the scheme's own, so that no other site has the same host name.
    pub default_port: bool,
    origins: Vec<String>,
}

impl Site {
    /// Reads a public URL. Errors: a sentence naming what is wrong with it, which quotes no password.
    pub fn parse(given: &str) -> Result<Self, String> {
        let url = if given.contains(['@', '?']) { connection_url::shown(given) } else { given.to_owned() };
        let uri: Uri = given.trim_end_matches('/').parse().map_err(|_| format!("'{url}' is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("'{url}' needs a scheme and a host, like https://chat.example.org"));
        };
        if authority.as_str().contains('@') || uri.path().len() > 1 || uri.query().is_some() {
            return Err(format!("'{url}' may hold a scheme, a host and a port only"));
        }
        let host = authority.host().to_ascii_lowercase();
        let loopback = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        let secure = match scheme {
            "https" => true,
            "http" if loopback => false,
            "http" => return Err(format!("'{url}' must be https: plain http is for localhost only")),
            other => return Err(format!("'{other}' is neither http nor https")),
        };
        let default_port = if secure { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default_port);
        let suffix = if port == default_port { String::new() } else { format!(":{port}") };
        let origins = if loopback {
            // One site: a browser may be pointed at any of the three names.
            ["localhost", "127.0.0.1", "[::1]"].iter().map(|name| format!("{scheme}://{name}{suffix}")).collect()
        } else {
            vec![format!("{scheme}://{host}{suffix}")]
        };
        let default_port = port == default_port;
        Ok(Self { url: format!("{scheme}://{host}{suffix}"), secure, loopback, default_port, origins })
    }

    /// Whether a browser's `Origin` is this site's own, compared exactly.
    pub fn is_own_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

impl Config {
    /// Checks what the flags, the environment and the file said.
    ///
    /// # Errors
    /// Everything that is wrong, each line with the place where it was given.
    pub fn read(args: &ServeArgs) -> Result<Self, String> {
        let mut settings = Reading { args, wrong: args.wrong.clone(), notes: Vec::new() };
        let default_listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let listen = settings.value("listen", &args.listen, listen).unwrap_or(default_listen);
        let site = match settings.value("public-url", &args.public_url, Site::parse) {
            Some(site) => site,
            None => Site::parse(&format!("http://localhost:{}", listen.port()))?,
        };
        let limits = settings.value("limits", &args.limits, switch).unwrap_or(true);
        if !limits && !site.loopback {
            settings.refuse("limits", "off is for sites whose public URL is a loopback one");
        }
        let trusted_proxies = settings.networks(&args.trusted_proxies);
        let database_url = settings.url("database-url", &args.database_url, connection_url::postgres);
        let redis_url = settings.url("redis-url", &args.redis_url, connection_url::redis);
        let private = database_url.is_none();
        let data_dir = settings.value("data-dir", &args.data_dir, |text| data_dir(text, private));
        let config = Self {
            listen,
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("data")),
            site,
            database_url,
            redis_url,
            limits,
            unsafe_database: settings.value("unsafe-database", &args.unsafe_database, switch).unwrap_or(false),
            log_json: settings.value("log", &args.log, log_format).unwrap_or_else(nobody_reads_along),
            log_filter: settings.value("log-filter", &args.log_filter, log_filter),
            stop_within: settings.value("stop-within", &args.stop_within, stop_within).unwrap_or(STOP_WITHIN),
            time_zone: settings.value("time-zone", &args.time_zone, time_zone).unwrap_or_else(|| TIME_ZONE.to_owned()),
            trusted_proxies,
            pg_bin: settings.value("pg-bin", &args.pg_bin, pg_bin),
            notes: settings.notes,
        };
        if settings.wrong.is_empty() { Ok(config) } else { Err(settings.wrong.join("\n")) }
    }

    /// Every setting in force, as a settings file would hold it, without secrets.
    pub fn describe(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let path = |path: &Path| quoted(&path.display().to_string());
        let url = |url: &str| quoted(&connection_url::shown(url));
        let networks: Vec<String> = self.trusted_proxies.iter().map(|network| quoted(&network.to_string())).collect();
        let lines = [
            ("listen", Ok(quoted(&self.listen.to_string()))),
            ("data-dir", Ok(path(&self.data_dir))),
            ("public-url", Ok(quoted(&self.site.url))),
            ("database-url", self.database_url.as_deref().map(url).ok_or("the private Postgres")),
            ("redis-url", self.redis_url.as_deref().map(url).ok_or("one node")),
            ("limits", Ok(quoted(if self.limits { "on" } else { "off" }))),
            ("unsafe-database", Ok(self.unsafe_database.to_string())),
            ("log", Ok(quoted(if self.log_json { "json" } else { "pretty" }))),
            ("log-filter", self.log_filter.as_deref().map(quoted).ok_or("info")),
            ("stop-within", Ok(self.stop_within.as_secs().to_string())),
            ("time-zone", Ok(quoted(&self.time_zone))),
            ("trusted-proxies", Ok(format!("[{}]", networks.join(", ")))),
            ("pg-bin", self.pg_bin.as_deref().map(path).ok_or("the programs of this binary, or of the system")),
        ];
        let line = |(name, value): &(&str, Result<String, &str>)| match value {
            Ok(value) => format!("{name} = {value}\n"),
            Err(instead) => format!("# {name} is not set: {instead}\n"),
        };
        let notes = self.notes.iter().map(|note| format!("# {note}\n"));
        lines.iter().map(line).chain(notes).collect()
    }
}

/// Without secrets, wherever it is printed.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// The settings while they are checked, and what was found wrong so far.
struct Reading<'a> {
    args: &'a ServeArgs,
    wrong: Vec<String>,
    notes: Vec<String>,
}

impl Reading<'_> {
    fn refuse(&mut self, name: &str, why: &str) {
        self.wrong.push(format!("{}: {why}", self.args.origin(name)));
    }

    /// A setting's value; `None` if it is not set, or wrong. What is empty is not set.
    fn value<T>(&mut self, name: &str, text: &Option<String>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        read(text).map_err(|why| self.refuse(name, &why)).ok()
    }

    /// A connection's URL, as it was given.
    fn url<T>(
        &mut self,
        name: &str,
        text: &Option<String>,
        read: impl Fn(&str) -> Result<Checked<T>, String>,
    ) -> Option<String> {
        let checked = self.value(name, text, |text| Ok((read(text)?, text.to_owned())));
        let (Checked { ignored, .. }, url) = checked?;
        if !ignored.is_empty() {
            let origin = self.args.origin(name);
            self.notes.push(format!("{origin}: these parameters have no effect here: {}", ignored.join(", ")));
        }
        Some(url)
    }

    /// Networks, separated by commas or spaces. Each wrong one is named.
    fn networks(&mut self, texts: &[String]) -> Vec<Network> {
        let mut networks = Vec::new();
        let separate = |text: &'_ str| text.split(|c: char| c == ',' || c.is_whitespace()).map(str::to_owned).collect();
        for text in texts.iter().flat_map(|text| -> Vec<String> { separate(text) }).filter(|text| !text.is_empty()) {
            match Network::parse(&text) {
                Ok(network) => networks.push(network),
                Err(why) => self.refuse("trusted-proxies", &why),
            }
        }
        networks
    }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is not an address and a port, like 127.0.0.1:8080 or [::]:8080"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither on nor off")),
    }
}

fn log_format(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Ok(true),
        "pretty" => Ok(false),
        _ => Err(format!("'{text}' is neither json nor pretty")),
    }
}

/// An IANA name: `UTC`, `Asia/Seoul`, `America/Argentina/Ushuaia`, `Etc/GMT+9`. Postgres takes much else for a time zone ("KST-9",
/// "+09"), and reads some of it the wrong way round.
fn time_zone(name: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    if name.len() <= 64 && name.split('/').all(is_word) {
        return Ok(name.to_owned());
    }
    Err(format!("'{name}' is not an IANA name like Asia/Seoul"))
}

/// Log lines are JSON unless somebody reads them on a terminal.
fn nobody_reads_along() -> bool {
    !std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Levels as tracing's filter reads them. A single word that is no level would be taken for the name of a module.
fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 12] = ["off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5"];
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in directives.iter().filter(|directive| !directive.contains(['[', ']', '{', '}'])) {
        let level = directive.rsplit('=').next().unwrap_or_default();
        if !is_level(level) {
            return Err(format!(
                "'{directive}' names no level: write off, error, warn, info, debug or trace, or module=level"
            ));
        }
    }
    let filter = directives.join(",");
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(why) => Err(format!("'{text}' is not a list of levels: {why}")),
    }
}

fn stop_within(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("'{text}' is not a number of seconds from 1 to 600"))
}

/// A folder that may hold the private Postgres, where there is one. It need not exist yet.
fn data_dir(text: &str, private: bool) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    if private && folder.exists() && !folder.is_dir() {
        return Err(format!("{text} is a file and not a folder"));
    }
    Ok(folder)
}

fn pg_bin(text: &str) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    match ["postgres", "initdb"].iter().find(|program| !folder.join(program).is_file()) {
        Some(missing) => {
            Err(format!("{text} holds no {missing}: name the folder of PostgreSQL's programs, 15 or newer"))
        }
        None => Ok(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Site};
    use crate::cli::ServeArgs;

    #[test]
    fn a_loopback_site_has_three_names() {
        let site = Site::parse("http://localhost:8080").unwrap();
        for own in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(site.is_own_origin(own), "{own}");
        }
        for other in
            ["http://localhost", "https://localhost:8080", "http://localhost:8081", "null", "http://localhost:8080/"]
        {
            assert!(!site.is_own_origin(other), "{other}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(Site::parse("http://chat.example.org").unwrap_err().contains("https"));
        let site = Site::parse("https://Chat.Example.org:443/").unwrap();
        assert!(site.is_own_origin("https://chat.example.org") && site.secure);
        for bad in ["chat.example.org", "ftp://x", "https://u@x", "https://x/path", ""] {
            assert!(Site::parse(bad).is_err(), "{bad}");
        }
    }

    /// What is wrong with settings, of which one is changed.
    fn refusal(change: impl FnOnce(&mut ServeArgs)) -> String {
        let mut args = ServeArgs::default();
        change(&mut args);
        Config::read(&args).map(|_| String::new()).unwrap_or_else(|why| why)
    }

    #[test]
    fn an_empty_setting_is_as_good_as_none() {
        let nothing = || Some(" ".to_owned());
        let args = ServeArgs {
            listen: nothing(),
            data_dir: nothing(),
            public_url: nothing(),
            database_url: nothing(),
            redis_url: nothing(),
            limits: nothing(),
            unsafe_database: nothing(),
            log: nothing(),
            log_filter: nothing(),
            stop_within: nothing(),
            time_zone: nothing(),
            trusted_proxies: vec![" ,".to_owned()],
            pg_bin: nothing(),
            ..ServeArgs::default()
        };
        let (empty, none) = (Config::read(&args).unwrap(), Config::read(&ServeArgs::default()).unwrap());
        assert_eq!(empty.describe(), none.describe());
    }

    #[test]
    fn the_time_zone_is_an_iana_name() {
        let with = |name: &str| Config::read(&ServeArgs { time_zone: Some(name.to_owned()), ..ServeArgs::default() });
        assert_eq!(Config::read(&ServeArgs::default()).unwrap().time_zone, "Asia/Seoul");
        for good in ["UTC", "Asia/Tokyo", "America/Argentina/Ushuaia", "Etc/GMT+9"] {
            assert_eq!(with(good).unwrap().time_zone, good);
        }
        for bad in ["+09", "Asia/", "/etc/localtime", "../x", "Asia/Seoul'", "Asia Seoul", "서울"] {
            assert!(with(bad).unwrap_err().contains("--time-zone"), "{bad}");
        }
    }

    #[test]
    fn every_wrong_setting_is_named_in_one_go() {
        let text = |text: &str| Some(text.to_owned());
        let args = ServeArgs {
            listen: text("localhost"),
            data_dir: text("/dev/null"),
            public_url: text("http://chat.example.org"),
            redis_url: text("nonsense"),
            limits: text("none"),
            unsafe_database: text("perhaps"),
            log: text("colourful"),
            log_filter: text("maju=debgu"),
            stop_within: text("soon"),
            trusted_proxies: vec!["a/8, 10.0.0.0/33".to_owned()],
            pg_bin: text("/dev"),
            wrong: vec!["maju.toml:1: wrong".to_owned()],
            ..ServeArgs::default()
        };
        let said = Config::read(&args).unwrap_err();
        let expected = [
            "maju.toml:1: wrong",
            "--listen: 'localhost' is not an address and a port",
            "--public-url: 'http://chat.example.org' must be https",
            "--limits: 'none' is neither on nor off",
            "--trusted-proxies: 'a/8' is not a network",
            "--trusted-proxies: '10.0.0.0/33' has more than 32 bits",
            "--redis-url: is not a URL",
            "--data-dir: /dev/null is a file",
            "--unsafe-database: 'perhaps'",
            "--log: 'colourful'",
            "--log-filter: 'maju=debgu' names no level",
            "--stop-within: 'soon'",
            "--pg-bin: /dev holds no postgres",
        ];
        assert_eq!(said.lines().count(), expected.len(), "{said}");
        for (line, start) in said.lines().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
        for wrong in ["debgu", "maju=", "info,maju", "=debug[", "maju=debug,,"] {
            assert_ne!(refusal(|args| args.log_filter = Some(wrong.to_owned())), "", "{wrong}");
        }
        for right in ["debug", "WARN", "info, maju=debug,sqlx=off", "maju[request]=trace", "info,hyper=3"] {
            assert_eq!(refusal(|args| args.log_filter = Some(right.to_owned())), "", "{right}");
        }
        let password = refusal(|args| args.public_url = text("https://u:hush@chat.example.org"));
        assert!(password.contains("u:…@chat.example.org") && !password.contains("hush"), "{password}");
    }

    #[test]
    fn what_is_printed_is_a_settings_file_without_secrets() {
        let args = ServeArgs {
            database_url: Some("postgres://u:hush@db/maju?sslpassword=hush&password=hu@sh".to_owned()),
            redis_url: Some("redis-sentinel://:hush@r:1?sentinelServiceName=m&sentinelPassword=hush".to_owned()),
            data_dir: Some("/srv/\"#1\"".to_owned()),
            trusted_proxies: vec!["10.0.0.0/8 fd00::/8".to_owned(), "192.0.2.7".to_owned()],
            ..ServeArgs::default()
        };
        let config = Config::read(&args).unwrap();
        let printed = config.describe();
        assert!(!printed.contains("hu") && !format!("{config:?}").contains("hu"), "{printed}");
        assert!(
            printed.contains("effect here: sslpassword") && printed.contains("here: sentinelPassword"),
            "{printed}"
        );
        let table = toml::de::DeTable::parse(&printed).unwrap();
        let text = |name: &str| table.get_ref().get(name).unwrap().get_ref().as_str().unwrap().to_owned();
        assert_eq!(text("database-url"), "postgres://u:…@db/maju?sslpassword=…&password=…");
        assert_eq!(text("data-dir"), "/srv/\"#1\"");
        assert!(printed.contains("trusted-proxies = [\"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.7/32\"]"), "{printed}");
    }
}
