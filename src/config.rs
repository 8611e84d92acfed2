//! Settings: defaults < file < environment < flags, checked at the start with the name of what is wrong.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;

use crate::cli::ServeArgs;

/// The checked settings of one node. Durations are wall-clock; sizes are bytes.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub site: Site,
    /// None: the private Postgres under the data folder.
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
    /// False lifts the rate limits (load tests on a loopback site only).
    pub limits: bool,
    /// Accept a database that may lose what it acknowledged (fsync, full_page_writes or synchronous_commit off).
    pub unsafe_database: bool,
    pub log_json: bool,
    /// How long a stop may take before the process leaves anyway.
    pub stop_within: Duration,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
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
    /// Reads a public URL. Errors: a sentence naming what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| format!("'{url}' is not a URL"))?;
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

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address. Errors: a sentence naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                (address, Some(bits.parse::<u32>().map_err(|_| format!("'{text}' is not a network"))?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("'{text}' is not a network"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(format!("'{text}' has more than {width} bits"));
        }
        let kept = bits + (128 - width);
        let mask = if kept == 0 { 0 } else { u128::MAX << (128 - kept) };
        Ok(Self { base: as_v6(address) & mask, mask })
    }

    /// Whether an address lies in the network; an IPv4 address mapped into IPv6 counts as itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        as_v6(address) & self.mask == self.base
    }
}

fn as_v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Config {
    /// Checks what the flags, the environment and the file said. Errors: every wrong setting by name, one a line.
    pub fn read(args: &ServeArgs) -> Result<Self, String> {
        let mut wrong = Vec::new();
        let listen = args.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        // An empty variable is as good as none.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let url = given(&args.public_url).unwrap_or_else(|| format!("http://localhost:{}", listen.port()));
        let site = Site::parse(&url).map_err(|why| wrong.push(format!("--public-url (MAJU_PUBLIC_URL): {why}")));
        let mut trusted_proxies = Vec::new();
        for text in args.trusted_proxies.iter().filter(|text| !text.is_empty()) {
            match Network::parse(text) {
                Ok(network) => trusted_proxies.push(network),
                Err(why) => wrong.push(format!("--trusted-proxies (MAJU_TRUSTED_PROXIES): {why}")),
            }
        }
        let limits = args.limits.is_none_or(|switch| switch.is_on());
        if let Ok(site) = &site
            && !limits
            && !site.loopback
        {
            wrong.push("--limits off (MAJU_LIMITS): only where the public URL is a loopback one".to_owned());
        }
        let (database_url, redis_url) = (given(&args.database_url), given(&args.redis_url));
        if let Some(url) = &database_url
            && !(url.starts_with("postgres://") || url.starts_with("postgresql://"))
        {
            wrong.push("--database-url (DATABASE_URL): must begin with postgres://".to_owned());
        }
        if !(1..=600).contains(&args.stop_within) {
            wrong.push("--stop-within (MAJU_STOP_WITHIN): 1 to 600 seconds".to_owned());
        }
        match site {
            Ok(site) if wrong.is_empty() => Ok(Self {
                listen,
                data_dir: args.data_dir.clone().unwrap_or_else(|| PathBuf::from("data")),
                site,
                database_url,
                redis_url,
                limits,
                unsafe_database: args.unsafe_database,
                log_json: args.log_json(),
                stop_within: Duration::from_secs(args.stop_within),
                trusted_proxies,
            }),
            _ => Err(wrong.join("\n")),
        }
    }

    /// Every setting in force, one `name = value` a line, without secrets.
    pub fn describe(&self) -> String {
        let lines = [
            ("listen", self.listen.to_string()),
            ("data-dir", self.data_dir.display().to_string()),
            ("public-url", self.site.url.clone()),
            ("database-url", self.database_url.as_deref().map_or("(private Postgres)".to_owned(), without_password)),
            ("redis-url", self.redis_url.as_deref().map_or("(none: one node)".to_owned(), without_password)),
            ("limits", if self.limits { "on" } else { "off" }.to_owned()),
            ("unsafe-database", self.unsafe_database.to_string()),
            ("log", if self.log_json { "json" } else { "pretty" }.to_owned()),
            ("stop-within", format!("{} s", self.stop_within.as_secs())),
            ("trusted-proxies", format!("{} networks", self.trusted_proxies.len())),
        ];
        lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
    }
}

/// A connection URL with its password left out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "(set)".to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}:…@{host}", user.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Network, Site};
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

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let mut args = ServeArgs::none();
        args.public_url = Some(String::new());
        args.database_url = Some(String::new());
        args.redis_url = Some(String::new());
        args.trusted_proxies = vec![String::new()];
        let config = Config::read(&args).unwrap();
        assert_eq!((config.database_url, config.redis_url, config.trusted_proxies), (None, None, vec![]));
        assert_eq!(config.site.url, "http://localhost:8080");
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(
            network.contains("10.1.200.3".parse().unwrap()) && network.contains("::ffff:10.1.0.1".parse().unwrap())
        );
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(Network::parse("fd00::/8").unwrap().contains("fd12::1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        for bad in ["10.0.0.0/33", "x", "::/129"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
