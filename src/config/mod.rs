//! The settings of a node, checked at the start. Flags override environment variables, which
//! override the file, which overrides the defaults.
mod contact;
pub mod limits;
mod listening;
mod mail;
mod network;
mod sign_in;
mod site;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::ServeArgs;
use crate::connection_url::{self, Checked};

use limits::{DEFAULT_LISTEN_PORT, DEFAULT_MEDIA_CACHE_MB, DEFAULT_STOP_SECS, DEFAULT_TIME_ZONE};

use listening::listen;
use values::{
    data_dir, is_not_a_terminal, log_filter, log_format, media_cache_mb, pg_bin, stop_within, switch, time_zone,
};

pub use contact::Contact;
pub use network::Network;
pub use sign_in::{SignInSettings, Verifier, VerifierUse};
pub use site::Site;

/// The checked settings of a node.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub site: Site,
    /// The URL of a Postgres server. `None` selects the private Postgres in the data folder.
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
    /// Whether rate limits apply. `false` is for load tests of a loopback site only.
    pub limits: bool,
    /// Whether to use a database that can lose acknowledged messages, because `fsync`,
    /// `full_page_writes` or `synchronous_commit` is off.
    pub unsafe_database: bool,
    pub log_json: bool,
    /// The levels of log lines to write. `None` for the default.
    pub log_filter: Option<String>,
    /// How long a stop can take until the process ends anyway.
    pub stop_within: Duration,
    /// The site's time zone, an IANA name. The start checks that the database knows it.
    pub time_zone: String,
    /// The name of the person or organization that runs the site. `None` if the landing page says
    /// the host instead.
    pub operator: Option<String>,
    /// How people reach the operator. `None` if the pages say that there is no address.
    pub contact: Option<Contact>,
    /// The URL of the mail server. `None` if the site sends no mail. With it there is a `mail_from`.
    pub smtp_url: Option<String>,
    /// The sender of the mails: an address, or a name and an address in angle brackets.
    pub mail_from: Option<String>,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// The networks of proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<Network>,
    /// The folder of PostgreSQL programs for the private Postgres. `None` for those of the binary.
    pub pg_bin: Option<PathBuf>,
    /// The bytes of images that the node caches in its data folder. 0 for none.
    pub media_cache_bytes: u64,
    /// Where the node answers with its metrics. `None` if it does not.
    pub metrics_listen: Option<SocketAddr>,
    /// Warnings for the operator about settings that work.
    pub notes: Vec<String>,
    /// Where each setting was given, by its name. A setting that was not given has no entry.
    pub origins: BTreeMap<String, String>,
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Returns all problems, one per line, each with the place where the setting was given.
    pub fn read(args: &ServeArgs) -> Result<Self, String> {
        let mut settings = Reader { args, wrong: args.wrong.clone(), notes: Vec::new() };
        let default_listen = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_LISTEN_PORT));
        let listen = settings.value("listen", &args.listen, listen).unwrap_or(default_listen);
        let site = match settings.value("public-url", &args.public_url, Site::parse) {
            Some(site) => site,
            None => Site::parse(&format!("http://localhost:{}", listen.port()))?,
        };
        let limits = settings.value("limits", &args.limits, switch).unwrap_or(true);
        if !limits && !site.loopback {
            settings.refuse("limits", "off is only allowed if the public URL is on localhost");
        }
        let trusted_proxies = settings.networks(&args.trusted_proxies);
        let database_url = settings.url("database-url", &args.database_url, connection_url::postgres);
        let redis_url = settings.url("redis-url", &args.redis_url, connection_url::redis);
        let smtp_url = settings.url("smtp-url", &args.smtp_url, connection_url::smtp);
        let mail_from = settings.value("mail-from", &args.mail_from, mail::sender);
        settings.check_mail(&smtp_url, &mail_from);
        let metrics_listen = settings.metrics_listen();
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
            log_json: settings.value("log", &args.log, log_format).unwrap_or_else(is_not_a_terminal),
            log_filter: settings.value("log-filter", &args.log_filter, log_filter),
            stop_within: settings
                .value("stop-within", &args.stop_within, stop_within)
                .unwrap_or(Duration::from_secs(DEFAULT_STOP_SECS)),
            time_zone: settings
                .value("time-zone", &args.time_zone, time_zone)
                .unwrap_or_else(|| DEFAULT_TIME_ZONE.to_owned()),
            operator: settings.value("operator", &args.operator, contact::operator),
            contact: settings.value("contact", &args.contact, Contact::parse),
            smtp_url,
            mail_from,
            sign_in: SignInSettings::read(&mut settings, args),
            trusted_proxies,
            pg_bin: settings.value("pg-bin", &args.pg_bin, pg_bin),
            media_cache_bytes: settings
                .value("media-cache-mb", &args.media_cache_mb, media_cache_mb)
                .unwrap_or(DEFAULT_MEDIA_CACHE_MB)
                * 1024
                * 1024,
            metrics_listen,
            notes: settings.notes,
            origins: args.origins.clone(),
        };
        if settings.wrong.is_empty() { Ok(config) } else { Err(settings.wrong.join("\n")) }
    }

    /// Returns all settings in the format of the settings file, without secrets.
    pub fn describe(&self) -> String {
        let line = |(name, value): (&str, Result<String, &str>)| match value {
            Ok(value) => format!("{name} = {value}\n"),
            Err(instead) => format!("# {name} is not set: {instead}\n"),
        };
        let notes = self.notes.iter().map(|note| format!("# {note}\n"));
        self.entries().into_iter().map(line).chain(notes).collect()
    }

    /// Returns the settings of a node to which none was given, as [`Config::entries`] does.
    pub fn usual_entries() -> Vec<(&'static str, Result<String, &'static str>)> {
        Self::read(&ServeArgs::default()).map(|usual| usual.entries()).unwrap_or_default()
    }

    /// Returns the name and the value of each setting as the settings file has it, without secrets.
    /// The error of one that is not set says what holds instead.
    pub fn entries(&self) -> Vec<(&'static str, Result<String, &'static str>)> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let path = |path: &Path| quoted(&path.display().to_string());
        let url = |url: &str| quoted(&connection_url::redacted(url));
        let networks: Vec<String> = self.trusted_proxies.iter().map(|network| quoted(&network.to_string())).collect();
        let mut lines = vec![
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
            ("operator", self.operator.as_deref().map(quoted).ok_or("the landing page names the host")),
            ("contact", self.contact.as_ref().map(|contact| quoted(contact.text())).ok_or("the pages say so")),
            ("smtp-url", self.smtp_url.as_deref().map(url).ok_or("no mail is sent")),
            ("mail-from", self.mail_from.as_deref().map(quoted).ok_or("no mail is sent")),
            ("trusted-proxies", Ok(format!("[{}]", networks.join(", ")))),
            ("pg-bin", self.pg_bin.as_deref().map(path).ok_or("the programs of this binary, or of the system")),
            ("media-cache-mb", Ok((self.media_cache_bytes / (1024 * 1024)).to_string())),
            ("metrics-listen", self.metrics_listen.map(|at| quoted(&at.to_string())).ok_or("no metrics")),
        ];
        lines.extend(self.sign_in.describe());
        lines
    }
}

/// Shows no secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// The settings while they are checked, with the problems found so far.
struct Reader<'a> {
    args: &'a ServeArgs,
    wrong: Vec<String>,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn refuse(&mut self, name: &str, why: &str) {
        self.wrong.push(format!("{}: {why}", self.args.origin(name)));
    }

    /// Returns a setting's value. `None` if it is empty, not set, or wrong.
    fn value<T>(&mut self, name: &str, text: &Option<String>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        read(text).map_err(|why| self.refuse(name, &why)).ok()
    }

    /// Returns a connection's URL, as it was given. `None` if it is not set, or wrong.
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

    /// Refuses a mail server without a sender, and notes a sender without a mail server.
    fn check_mail(&mut self, smtp_url: &Option<String>, mail_from: &Option<String>) {
        let has_sender = self.args.mail_from.as_deref().is_some_and(|text| !text.trim().is_empty());
        if smtp_url.is_some() && !has_sender {
            self.refuse("smtp-url", "needs --mail-from (MAJU_MAIL_FROM), the sender of the mails");
        }
        if mail_from.is_some() && smtp_url.is_none() {
            let origin = self.args.origin("mail-from");
            self.notes.push(format!("{origin}: has no effect without --smtp-url (MAJU_SMTP_URL): no mail is sent"));
        }
    }

    /// Returns the networks of lists that are separated by commas or spaces. Each wrong network is
    /// reported.
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

    /// Returns the error of the default settings with one change. Empty if there is none.
    fn refusal(change: impl FnOnce(&mut ServeArgs)) -> String {
        let mut args = ServeArgs::default();
        change(&mut args);
        Config::read(&args).map(|_| String::new()).unwrap_or_else(|why| why)
    }

    #[test]
    fn an_empty_setting_counts_as_not_set() {
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
            contact: nothing(),
            smtp_url: nothing(),
            mail_from: nothing(),
            trusted_proxies: vec![" ,".to_owned()],
            pg_bin: nothing(),
            media_cache_mb: nothing(),
            metrics_listen: nothing(),
            ..ServeArgs::default()
        };
        let (empty, none) = (Config::read(&args).unwrap(), Config::read(&ServeArgs::default()).unwrap());
        assert_eq!(empty.describe(), none.describe());
    }

    #[test]
    fn a_mail_server_needs_a_sender() {
        let text = |text: &str| Some(text.to_owned());
        let url = text("smtps://mail.example.org");
        assert!(refusal(|args| args.smtp_url = url.clone()).starts_with("--smtp-url: needs --mail-from"));
        let both = ServeArgs { smtp_url: url, mail_from: text("no-reply@example.org"), ..ServeArgs::default() };
        assert!(Config::read(&both).unwrap().notes.is_empty());
        let sender = ServeArgs { mail_from: text("no-reply@example.org"), ..ServeArgs::default() };
        assert!(Config::read(&sender).unwrap().notes[0].contains("no effect without --smtp-url"));
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
    fn all_wrong_settings_are_reported_at_once() {
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
            contact: text("the operator"),
            smtp_url: text("mail.example.org"),
            mail_from: text("no sender"),
            trusted_proxies: vec!["a/8, 10.0.0.0/33".to_owned()],
            pg_bin: text("/dev"),
            media_cache_mb: text("-1"),
            metrics_listen: text("9090"),
            wrong: vec!["maju.toml:1: wrong".to_owned()],
            ..ServeArgs::default()
        };
        let errors = Config::read(&args).unwrap_err();
        let expected = [
            "maju.toml:1: wrong",
            "--listen: 'localhost' is not an address and a port",
            "--public-url: 'http://chat.example.org' must begin with https://",
            "--limits: 'none' is neither on nor off",
            "--trusted-proxies: 'a/8' is not a network",
            "--trusted-proxies: '10.0.0.0/33' has more than 32 bits",
            "--redis-url: is not a URL",
            "--smtp-url: is not a URL",
            "--mail-from: 'no sender' is not a mail address",
            "--metrics-listen: '9090' is not an address and a port",
            "--data-dir: /dev/null is a file",
            "--unsafe-database: 'perhaps'",
            "--log: 'colourful'",
            "--log-filter: 'maju=debgu' names no level",
            "--stop-within: 'soon'",
            "--contact: 'the operator' is neither a mail address nor a URL",
            "--pg-bin: /dev has no program postgres",
            "--media-cache-mb: '-1' is not a number of megabytes",
        ];
        assert_eq!(errors.lines().count(), expected.len(), "{errors}");
        for (line, start) in errors.lines().zip(expected) {
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
    fn the_description_is_a_settings_file_without_secrets() {
        let args = ServeArgs {
            database_url: Some("postgres://u:hush@db/maju?sslpassword=hush&password=hu@sh".to_owned()),
            redis_url: Some("redis-sentinel://:hush@r:1?sentinelServiceName=m&sentinelPassword=hush".to_owned()),
            data_dir: Some("/srv/\"#1\"".to_owned()),
            smtp_url: Some("smtps://me:hush@mail.example.org".to_owned()),
            mail_from: Some("마주 <no-reply@example.org>".to_owned()),
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
        assert_eq!(text("smtp-url"), "smtps://me:…@mail.example.org");
        assert_eq!(text("mail-from"), "마주 <no-reply@example.org>");
        assert_eq!(text("data-dir"), "/srv/\"#1\"");
        assert!(printed.contains("trusted-proxies = [\"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.7/32\"]"), "{printed}");
    }
}
