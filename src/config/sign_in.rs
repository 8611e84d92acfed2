//! How people sign in: until when passwords of the earlier system work, and the outside verifier.
use std::fs;

use secrecy::SecretString;
use time::Date;
use time::macros::format_description;
use url::{Host, Url};

use super::Reader;
use super::limits::MIN_VERIFIER_SECRET_CHARS;
use crate::cli::ServeArgs;

/// The settings of sign-in.
#[derive(Clone, Default)]
pub struct SignInSettings {
    /// The last day (UTC) on which a password hash of the earlier system is accepted. `None` if they
    /// are accepted without an end.
    pub legacy_until: Option<Date>,
    /// The outside verifier. `None` if there is none.
    pub verifier: Option<Verifier>,
}

/// A service that checks people, such as a carrier or a bank.
#[derive(Clone)]
pub struct Verifier {
    /// Its page, to which a browser is sent.
    pub url: Url,
    /// The key of the signatures of requests and answers.
    pub secret: SecretString,
    /// What it is asked for.
    pub uses: Vec<VerifierUse>,
}

/// What an outside verifier is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifierUse {
    /// The age of visitors.
    Age,
    /// The sign-in of members.
    Members,
    /// The sign-in of staff.
    Staff,
}

impl VerifierUse {
    const ALL: [(&'static str, Self); 3] = [("age", Self::Age), ("members", Self::Members), ("staff", Self::Staff)];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, used)| *used == self).map_or("", |(name, _)| name)
    }
}

impl SignInSettings {
    /// Returns what the verifier is asked for. Empty without one.
    pub fn verifier_uses(&self) -> &[VerifierUse] {
        self.verifier.as_ref().map_or(&[], |verifier| &verifier.uses)
    }

    /// Checks the settings.
    pub(super) fn read(settings: &mut Reader<'_>, args: &ServeArgs) -> Self {
        let legacy_until = settings.value("legacy-passwords-until", &args.legacy_passwords_until, date);
        let url = settings.value("verifier-url", &args.verifier_url, verifier_url);
        let secret = settings.value("verifier-secret", &args.verifier_secret, secret);
        let from_file = settings.value("verifier-secret-file", &args.verifier_secret_file, secret_file);
        let uses = settings.value("verifier-for", &args.verifier_for, verifier_uses);
        let secret = secret.or(from_file);
        let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
        let verifier = match (url, secret) {
            (Some(url), Some(secret)) => {
                Some(Verifier { url, secret, uses: uses.unwrap_or_else(|| vec![VerifierUse::Age]) })
            }
            (Some(_), None) if !is_given(&args.verifier_secret) && !is_given(&args.verifier_secret_file) => {
                settings.refuse("verifier-url", "needs --verifier-secret-file (MAJU_VERIFIER_SECRET_FILE)");
                None
            }
            _ => None,
        };
        Self { legacy_until, verifier }
    }

    /// Returns the settings for the description, without secrets.
    pub(super) fn describe(&self) -> [(&'static str, Result<String, &'static str>); 4] {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let uses: Vec<&str> = self.verifier_uses().iter().map(|used| used.as_str()).collect();
        let verifier = self.verifier.as_ref().ok_or("there is no outside verifier");
        [
            ("legacy-passwords-until", self.legacy_until.map(|date| quoted(&date.to_string())).ok_or("no end")),
            ("verifier-url", verifier.map(|verifier| quoted(verifier.url.as_str()))),
            ("verifier-secret", verifier.map(|_| quoted("…"))),
            ("verifier-for", verifier.map(|_| quoted(&uses.join(", ")))),
        ]
    }
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map_err(|_| format!("'{text}' is not a date like 2027-06-30"))
}

/// Checks the verifier's URL. It may have a query, and no name or password.
fn verifier_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "it is not a URL".to_owned())?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it must have no name, password or fragment".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err("it must begin with https://".to_owned()),
    }
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.chars().count() < MIN_VERIFIER_SECRET_CHARS {
        return Err(format!("it has fewer than {MIN_VERIFIER_SECRET_CHARS} characters"));
    }
    Ok(text.into())
}

fn secret_file(path: &str) -> Result<SecretString, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("cannot read {path}: {why}"))?;
    secret(text.trim()).map_err(|why| format!("{path}: {why}"))
}

fn verifier_uses(text: &str) -> Result<Vec<VerifierUse>, String> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let mut uses = Vec::new();
    for word in words {
        let Some((_, used)) = VerifierUse::ALL.iter().find(|(name, _)| *name == word) else {
            return Err(format!("'{word}' is not one of age, members and staff"));
        };
        if !uses.contains(used) {
            uses.push(*used);
        }
    }
    Ok(uses)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::VerifierUse;
    use crate::cli::ServeArgs;
    use crate::config::Config;

    const SECRET: &str = "a secret of thirty-two characters";

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_verifier_needs_https_and_a_long_secret() {
        let args = |url: &str, secret: &str| ServeArgs {
            verifier_url: text(url),
            verifier_secret: text(secret),
            verifier_for: text("staff, age"),
            ..ServeArgs::default()
        };
        let config = Config::read(&args("https://verify.example/check?site=maju", SECRET)).unwrap();
        let verifier = config.sign_in.verifier.as_ref().unwrap();
        assert_eq!(verifier.uses, [VerifierUse::Staff, VerifierUse::Age]);
        assert!(!config.describe().contains(SECRET) && config.describe().contains("verifier-secret = \"…\""));
        assert!(Config::read(&args("http://127.0.0.1:9/check", SECRET)).is_ok());
        for (url, secret) in [
            ("http://verify.example", SECRET),
            ("https://u:p@verify.example", SECRET),
            ("javascript:alert(1)", SECRET),
            ("https://verify.example", "short"),
            ("https://verify.example", ""),
        ] {
            let refused = Config::read(&args(url, secret)).unwrap_err();
            assert!(refused.starts_with("--verifier-") && !refused.contains("u:p"), "{refused}");
        }
    }

    #[test]
    fn a_secret_can_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let with = |path: &str| ServeArgs {
            verifier_url: text("https://verify.example"),
            verifier_secret_file: text(path),
            ..ServeArgs::default()
        };
        let config = Config::read(&with(path.to_str().unwrap())).unwrap();
        let verifier = config.sign_in.verifier.unwrap();
        assert_eq!((verifier.secret.expose_secret(), verifier.uses), (SECRET, vec![VerifierUse::Age]));
        assert!(Config::read(&with("/nowhere/secret")).unwrap_err().starts_with("--verifier-secret-file: cannot read"));
    }

    #[test]
    fn the_end_of_the_earlier_passwords_is_a_date() {
        let with = |date: &str| Config::read(&ServeArgs { legacy_passwords_until: text(date), ..ServeArgs::default() });
        assert_eq!(with("2027-06-30").unwrap().sign_in.legacy_until, Some(time::macros::date!(2027 - 06 - 30)));
        for bad in ["soon", "2027-02-30", "30.6.2027", "2027-06-30T00:00"] {
            assert!(with(bad).unwrap_err().contains("--legacy-passwords-until"), "{bad}");
        }
    }
}
