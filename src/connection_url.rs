//! The URLs of Postgres, Redis and the mail server: how they are checked, and how they are shown without their
//! secrets.
use std::str::FromStr as _;

use lettre::Tokio1Executor;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, AsyncSmtpTransportBuilder, SUBMISSION_PORT, SUBMISSIONS_PORT};
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Shown in place of a secret.
const HIDDEN: &str = "…";
/// The schemes of a Redis or Valkey URL: one server, a cluster, or a group with sentinels.
const REDIS_SCHEMES: [&str; 12] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis-cluster",
    "rediss-cluster",
    "valkey-cluster",
    "valkeys-cluster",
    "redis-sentinel",
    "rediss-sentinel",
    "valkey-sentinel",
    "valkeys-sentinel",
];
/// The query parameters of a Postgres URL: those that sqlx reads.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
/// The query parameters of a Redis URL: those that fred reads.
const REDIS_PARAMETERS: [&str; 2] = ["node", "sentinelServiceName"];
/// Parameters whose values are not shown: free text, and paths of keys.
const PRIVATE_PARAMETERS: [&str; 4] = ["options", "password", "ssl-key", "sslkey"];
/// The longest name of a parameter that is shown.
const MAX_SHOWN_NAME_BYTES: usize = 40;

/// The options of a valid URL.
pub struct Checked<T> {
    pub options: T,
    /// The names of parameters without effect. Their values can be secret.
    pub ignored: Vec<String>,
}

/// Parses a Postgres URL.
///
/// # Errors
/// Returns a phrase that names the problem and quotes nothing from the URL.
pub fn postgres(text: &str) -> Result<Checked<PgConnectOptions>, String> {
    let mut url = parse(text, "postgres://user:password@host:5432/database")?;
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return Err("must begin with postgres://".to_owned());
    }
    // sqlx logs an unknown parameter with its value, which can be a password.
    let ignored = drop_unknown(&mut url, &POSTGRES_PARAMETERS);
    let options = PgConnectOptions::from_str(url.as_str()).map_err(|why| match why {
        sqlx::Error::Configuration(why) => format!("has a parameter that cannot be read: {why}"),
        _ => "cannot be read".to_owned(),
    })?;
    // sqlx keeps the brackets of an IPv6 address, and then looks up a host of that name.
    let bare = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    let options = bare.map_or_else(|| options.clone(), |host| options.clone().host(&host));
    Ok(Checked { options, ignored })
}

/// Parses a Redis or Valkey URL.
///
/// # Errors
/// Returns a phrase that names the problem and quotes nothing from the URL.
pub fn redis(text: &str) -> Result<Checked<fred::types::config::Config>, String> {
    let mut url = parse(text, "redis://host:6379")?;
    if !REDIS_SCHEMES.contains(&url.scheme()) {
        return Err("must begin with redis://, or with rediss:// for TLS, or redis-cluster:// for a cluster".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".to_owned());
    }
    let ignored = drop_unknown(&mut url, &REDIS_PARAMETERS);
    let path = url.path().trim_start_matches('/');
    if !path.is_empty() && path.parse::<u8>().is_err() {
        return Err("has a path that is not a database number (0 to 255)".to_owned());
    }
    let options = fred::types::config::Config::from_url(url.as_str()).map_err(|why| why.details().to_owned())?;
    Ok(Checked { options, ignored })
}

/// Parses the URL of a mail server. With `smtps://` the connection begins with TLS; with `smtp://` it
/// must be upgraded by STARTTLS, unless the host is a loopback one.
///
/// # Errors
/// Returns a phrase that names the problem and quotes nothing from the URL.
pub fn smtp(text: &str) -> Result<Checked<AsyncSmtpTransportBuilder>, String> {
    let mut url = parse(text, "smtps://user:password@host:465")?;
    let is_tls = match url.scheme() {
        "smtps" => true,
        "smtp" => false,
        _ => return Err("must begin with smtps://, or with smtp:// for STARTTLS".to_owned()),
    };
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase()).unwrap_or_default();
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    if !["", "/"].contains(&url.path()) {
        return Err(format!("has a path, which means nothing here{ENCODE}"));
    }
    let ignored = drop_unknown(&mut url, &[]);
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let tls = || TlsParameters::new(host.clone()).map_err(|_| "has a host that no certificate can name".to_owned());
    let (tls, port) = match (is_tls, is_loopback) {
        (true, _) => (Tls::Wrapper(tls()?), SUBMISSIONS_PORT),
        (false, false) => (Tls::Required(tls()?), SUBMISSION_PORT),
        (false, true) => (Tls::None, SUBMISSION_PORT),
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str());
    let builder = builder.port(url.port().unwrap_or(port)).tls(tls);
    let builder = match (url.username(), url.password()) {
        ("", None) => builder,
        ("", Some(_)) | (_, None) => return Err("needs a user and a password, or neither".to_owned()),
        (user, Some(password)) => builder.credentials(Credentials::new(decoded(user)?, decoded(password)?)),
    };
    Ok(Checked { options: builder, ignored })
}

/// Returns a part of a URL without its percent encoding.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("has a percent sign that encodes no character{ENCODE}, and % as %25");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = others;
            continue;
        }
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &others[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Returns a URL without its secrets. Passwords, the values of unknown parameters and everything
/// that can be a part of a password are replaced by `…`. A text that is not a URL is not shown at
/// all.
pub fn redacted(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return HIDDEN.to_owned() };
    if is_misread(&url) {
        return format!("{}://{HIDDEN}", url.scheme());
    }
    let mut shown = format!("{}://", url.scheme());
    // In old Redis URLs the password is in the place of the user name.
    let only_a_password = url.password().is_none() && REDIS_SCHEMES.contains(&url.scheme());
    match url.username() {
        "" => {}
        _ if only_a_password => shown.push_str(HIDDEN),
        name => shown.push_str(name),
    }
    if url.password().is_some() {
        shown.push(':');
        shown.push_str(HIDDEN);
    }
    if url.has_authority() && (!url.username().is_empty() || url.password().is_some()) {
        shown.push('@');
    }
    shown.push_str(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        shown.push_str(&format!(":{port}"));
    }
    shown.push_str(url.path());
    let parameters: Vec<String> = url.query_pairs().map(|(name, value)| parameter(&name, &value)).collect();
    if !parameters.is_empty() {
        shown.push('?');
        shown.push_str(&parameters.join("&"));
    }
    if url.fragment().is_some() {
        shown.push('#');
        shown.push_str(HIDDEN);
    }
    shown
}

/// Returns a query parameter, with its value if that is not a secret.
fn parameter(name: &str, value: &str) -> String {
    let name = plain_name(name);
    let known = |known: &[&str]| known.contains(&name) && !PRIVATE_PARAMETERS.contains(&name);
    let value = if known(&POSTGRES_PARAMETERS) || known(&REDIS_PARAMETERS) { value } else { HIDDEN };
    // Encoded again, as in a URL.
    let mut written = url::form_urlencoded::Serializer::new(String::new());
    if value == HIDDEN {
        return format!("{name}={HIDDEN}");
    }
    written.append_pair(name, value).finish()
}

/// Returns a parameter's name, or `…` if it can be a part of a password.
fn plain_name(name: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.[]".contains(c);
    if name.len() <= MAX_SHOWN_NAME_BYTES && name.chars().all(is_plain) { name } else { HIDDEN }
}

fn parse(text: &str, example: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|why| format!("is not a URL like {example} ({why}){ENCODE}"))?;
    if is_misread(&url) || url.fragment().is_some() {
        return Err(format!("is not a URL like {example}{ENCODE}"));
    }
    Ok(url)
}

/// Advice for the usual reason why a URL is not valid.
const ENCODE: &str = ". In a password write @ as %40, / as %2F, ? as %3F, # as %23 and : as %3A";

/// Returns `true` if an `@` is in an unusual place. A password with `/`, `?` or `#` in it is then
/// split, and what looks like the host is a part of it.
fn is_misread(url: &Url) -> bool {
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    let known = |name: &str| POSTGRES_PARAMETERS.contains(&name) || REDIS_PARAMETERS.contains(&name);
    url.path().contains('@')
        || url.fragment().is_some_and(|text| text.contains('@'))
        || url
            .query_pairs()
            .any(|(name, value)| name.contains('@') || (value.contains('@') && !known(&name) && !looks_secret(&name)))
}

/// Returns `true` if the name of a parameter indicates a secret.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "key"].iter().any(|ending| name.ends_with(ending))
}

/// Removes the parameters that are not known, and returns their names.
fn drop_unknown(url: &mut Url, known: &[&str]) -> Vec<String> {
    let is_known = |name: &str| known.contains(&name) || (name.starts_with("options[") && known.contains(&"options"));
    let (kept, unknown): (Vec<_>, Vec<_>) = url.query_pairs().into_owned().partition(|(name, _)| is_known(name));
    if unknown.is_empty() {
        return Vec::new();
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    unknown.iter().map(|(name, _)| plain_name(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{postgres, redacted, redis, smtp};

    #[test]
    fn an_ipv6_address_is_a_host_without_its_brackets() {
        let host = |url: &str| super::postgres(url).unwrap().options.get_host().to_owned();
        assert_eq!(host("postgres://maju:secret@[::1]:5433/maju"), "::1");
        assert_eq!(host("postgres://db.example.org/maju"), "db.example.org");
    }

    #[test]
    fn no_part_of_a_url_shows_a_secret_or_a_wrong_host() {
        for (given, expected) in [
            ("postgres://maju:hush@db:5433/maju", "postgres://maju:…@db:5433/maju"),
            ("postgres://maju:hu%40sh@db/maju", "postgres://maju:…@db/maju"),
            ("postgres://maju:hu@sh@db/maju", "postgres://maju:…@db/maju"),
            ("postgres://maju@db/maju", "postgres://maju@db/maju"),
            ("postgres://:hush@db/maju", "postgres://:…@db/maju"),
            ("postgres://db/maju?user=maju&password=hush", "postgres://db/maju?user=maju&password=…"),
            ("postgres://db/maju?password=hu@sh", "postgres://db/maju?password=…"),
            (
                "postgres://m:hush@db/maju?password=hu@sh&sslmode=require",
                "postgres://m:…@db/maju?password=…&sslmode=require",
            ),
            ("postgres://db/maju?sslkey=/k&sslpassword=hush", "postgres://db/maju?sslkey=…&sslpassword=…"),
            ("postgres://db/maju?PassWord=hush&x=hush", "postgres://db/maju?PassWord=…&x=…"),
            ("postgres://db/maju?options=-c%20a.b%3Dhush", "postgres://db/maju?options=…"),
            ("postgres://db/maju?options[a.secret]=hush", "postgres://db/maju?options[a.secret]=…"),
            ("postgres:///maju?host=/run/pg", "postgres:///maju?host=%2Frun%2Fpg"),
            ("postgres://[::1]:5432/maju", "postgres://[::1]:5432/maju"),
            ("postgres://db/maju#hush", "postgres://db/maju#…"),
            // A password that is not encoded is split at the wrong place, so nothing after the
            // scheme is shown.
            ("postgres://maju:5/hush@db/maju", "postgres://…"),
            ("postgres://maju:5?hush@db/maju", "postgres://…"),
            ("postgres://maju:5?hush&hush@db/maju", "postgres://…"),
            ("postgres://maju:5?hush=hush@db/maju", "postgres://…"),
            ("postgres://maju:5#hush@db/maju", "postgres://…"),
            ("postgres://maju:hush/hush@db/maju", "…"),
            ("redis://:hush@r:6379/1", "redis://:…@r:6379/1"),
            ("redis://hush@r:6379", "redis://…@r:6379"),
            (
                "rediss-sentinel://u:hush@r:26379?sentinelServiceName=m&sentinelPassword=hush",
                "rediss-sentinel://u:…@r:26379?sentinelServiceName=m&sentinelPassword=…",
            ),
            ("redis-cluster://r:1?node=s:2&token=hush", "redis-cluster://r:1?node=s%3A2&token=…"),
            ("smtps://me%40example.org:hush@mail.example.org:465", "smtps://me%40example.org:…@mail.example.org:465"),
            ("smtp://me:hu@sh@mail.example.org", "smtp://me:…@mail.example.org"),
            ("smtp://me:5/hush@mail.example.org", "smtp://…"),
            ("hush", "…"),
        ] {
            assert_eq!(redacted(given), expected, "{given}");
            assert!(!redacted(given).contains("hu"), "{given}");
        }
    }

    #[test]
    fn a_refused_url_is_explained_without_being_quoted() {
        for (given, part) in [
            ("nonsense", "is not a URL"),
            ("http://user:hush@host/", "must begin with postgres://"),
            ("postgres://maju:5/hush@db/maju", "%2F"),
            ("postgres://maju:hush/hush@db/maju", "%2F"),
            ("postgres://maju@db/maju?sslmode=odd", "ssl_mode"),
            ("postgres://maju@db/maju?port=hush", "invalid digit"),
            ("postgres://maju@db/maju#hush", "%23"),
        ] {
            let Err(why) = postgres(given) else { panic!("{given} is accepted") };
            assert!(why.contains(part) && !why.contains("hush"), "{given}: {why}");
        }
        for (given, part) in [
            ("nonsense", "is not a URL"),
            ("http://host", "must begin with redis://"),
            ("redis://", "host"),
            ("redis:host", "host"),
            ("redis://:hush@host/hush", "database number"),
            ("redis://host:99999", "port"),
            ("redis+unix:///run/redis", "must begin with redis://"),
            ("redis-sentinel://host:26379", "sentinel"),
        ] {
            let Err(why) = redis(given) else { panic!("{given} is accepted") };
            assert!(why.contains(part) && !why.contains("hush"), "{given}: {why}");
        }
        for (given, part) in [
            ("nonsense", "is not a URL"),
            ("https://me:hush@host", "must begin with smtps://"),
            ("smtp://", "host"),
            ("smtp://hush@host", "a user and a password"),
            ("smtp://:hush@host", "a user and a password"),
            ("smtp://me:5/hush@host", "%2F"),
            ("smtp://me:hush%zz@host", "%25"),
            ("smtp://me:hush%ff@host", "%25"),
            ("smtp://me:hush@host/path", "path"),
            ("smtp://host:99999", "port"),
        ] {
            let Err(why) = smtp(given) else { panic!("{given} is accepted") };
            assert!(why.contains(part) && !why.contains("hush"), "{given}: {why}");
        }
        for fine in
            ["smtp://localhost", "smtps://me:hush@mail.example.org", "smtp://mail.example.org:25", "smtp://[::1]:25"]
        {
            assert!(smtp(fine).unwrap().ignored.is_empty(), "{fine}");
        }
        assert_eq!(smtp("smtp://localhost?tls=none").unwrap().ignored, ["tls"]);
    }

    #[test]
    fn parameters_that_mean_nothing_are_named_and_never_reach_a_log() {
        let url = "postgres://u:p@db:5433/maju?connect_timeout=3&sslpassword=hush&sslmode=require&options[a.b]=c";
        let checked = postgres(url).unwrap();
        assert_eq!(checked.ignored, ["connect_timeout", "sslpassword"]);
        assert_eq!((checked.options.get_host(), checked.options.get_port()), ("db", 5433));
        assert_eq!(checked.options.get_options(), Some("-c a.b=c"));
        assert!(matches!(checked.options.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
        assert_eq!(redis("redis://host?sentinelPassword=hush").unwrap().ignored, ["sentinelPassword"]);
        for fine in ["redis://h", "rediss://u:p@h:1/3", "valkey://h", "redis-cluster://h:1?node=i:2"] {
            assert!(redis(fine).unwrap().ignored.is_empty(), "{fine}");
        }
    }
}
