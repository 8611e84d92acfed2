//! Visitor: types and rules, no I/O.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use ts_rs::TS;
use uuid::Uuid;

use super::Alias;
use crate::config::Site;
use crate::db::jsonb;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::locale::Locale;
use crate::text;

/// The rules in force. A new version asks everybody again before the next `seek`.
pub const RULES: &str = "2026-11";
/// Characters of a chosen name at most.
const NAME: usize = 24;
/// Bytes of the settings at most, as Postgres prints them.
const SETTINGS: usize = 4_096;

/// Returns the name of a site's cookie. A browser sends a host's cookies to all its ports, so a site that may share its host
/// with another service names its own in the cookie: neither takes the other's visitors away.
pub(super) fn cookie_name(site: &Site, service: Uuid) -> String {
    let prefix = if site.loopback { "maju" } else { "__Host-maju" };
    if site.default_port {
        return prefix.to_owned();
    }
    format!("{prefix}-{:08x}", service.as_fields().0)
}

/// Somebody who came. Never sent as it is: `id` is for the inside only.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub id: i64,
    pub public_id: Uuid,
    pub alias: Alias,
    /// A name the visitor chose for named rooms; None shows the alias.
    pub name: Option<String>,
    pub locale: Locale,
    pub settings: Map<String, Value>,
    /// The version of the rules that was accepted, with the age gate.
    pub rules_accepted: Option<String>,
    /// What keeps this visitor from coming at all, when it was read.
    pub ban: Option<Ban>,
}

/// A ban in force everywhere.
#[derive(Clone, Debug)]
pub struct Ban {
    /// Its end, and how far that is away by the database's clock; None: until it is lifted.
    pub until: Option<OffsetDateTime>,
    pub after: Option<Duration>,
    /// What the visitor is told.
    pub reason: String,
}

/// A visitor as it is shown to itself.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
#[ts(rename = "Visitor")]
pub struct VisitorView {
    pub id: Uuid,
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    /// Null when the name was chosen.
    pub animal: Option<String>,
    pub locale: Locale,
    #[schema(value_type = Object)]
    #[ts(type = "{ [name: string]: unknown }")]
    pub settings: Map<String, Value>,
    /// Accounts come later; null is a guest.
    #[schema(value_type = Option<Object>)]
    #[ts(type = "null")]
    pub account: Option<Value>,
}

impl From<Visitor> for VisitorView {
    fn from(visitor: Visitor) -> Self {
        Self {
            id: visitor.public_id,
            name: visitor.display_name(),
            color: visitor.alias.color,
            animal: visitor.name.is_none().then_some(visitor.alias.animal),
            locale: visitor.locale,
            settings: visitor.settings,
            account: None,
        }
    }
}

impl Visitor {
    /// The visitor's own name: the chosen one, else the alias in the visitor's language.
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.alias.in_words(self.locale))
    }

    /// Whoever is banned may look at the landing page and at itself, and do nothing else. Errors: `banned`.
    pub fn admitted(self) -> Result<Self> {
        match self.ban {
            Some(Ban { after, .. }) => Err(Error::Banned { after }),
            None => Ok(self),
        }
    }

    /// Whether this visitor is adult and has accepted the current rules, as far as it was read.
    pub fn has_accepted_rules(&self) -> bool {
        self.rules_accepted.as_deref() == Some(RULES)
    }

    /// The age gate, before everything by which one gets to strangers. Errors: `age_gate`.
    pub fn require_rules(&self) -> Result<()> {
        if self.has_accepted_rules() || faults::on(Fault::AgeGateOpen) { Ok(()) } else { Err(Error::AgeGate) }
    }
}

/// What `PATCH /me` may change.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// 1 to 24 characters; null goes back to the alias.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    pub locale: Option<Locale>,
    /// Settings of the page, 4 KiB of JSON at most; replaces what was there.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// The version of the rules that is accepted; needs `adult`.
    pub rules: Option<String>,
    /// The age gate: true, 18 or older.
    pub adult: Option<bool>,
}

/// Tells a null from an absent field.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(value).map(Some)
}

impl Change {
    /// Checks the change. Errors: `bad_frame` with the field, `too_long`, `conflict` for rules that are not current.
    pub fn checked(mut self) -> Result<Self> {
        if let Some(Some(name)) = &self.name {
            let tidy = text::tidy(name);
            if tidy.chars().count() > NAME {
                return Err(Error::TooLong { limit: NAME, field: Some("name") });
            }
            text::check_line(&tidy).map_err(|flaw| Error::bad_field("name", flaw.to_string()))?;
            self.name = Some(Some(tidy.into_owned()));
        }
        if let Some(settings) = &self.settings {
            // As it is stored: a number may be printed with 309 digits.
            if jsonb::object_len(settings) > SETTINGS {
                return Err(Error::TooLarge { limit: SETTINGS, field: Some("settings") });
            }
            if jsonb::object_has_nul(settings) {
                return Err(Error::bad_field("settings", "The character U+0000 cannot be stored."));
            }
        }
        match (self.rules.as_deref(), self.adult) {
            (None, None) => {}
            (Some(RULES), Some(true)) => {}
            (Some(_), Some(true)) => return Err(Error::Conflict("The rules have changed. Read the current version.")),
            (Some(_), _) => {
                return Err(Error::bad_field("adult", "Maju is for adults: confirm that you are 18 or older."));
            }
            (None, Some(_)) => return Err(Error::bad_field("rules", "Say which version of the rules is accepted.")),
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Change, cookie_name};
    use crate::config::Site;

    #[test]
    fn services_that_share_a_host_name_do_not_share_a_cookie() {
        let name = |url: &str, service| cookie_name(&Site::parse(url).unwrap(), Uuid::from_u128(service));
        let (one, two) = (1 << 96, 2 << 96);
        assert_eq!(name("https://chat.example.org", one), "__Host-maju");
        assert_eq!(name("https://chat.example.org:8443", one), "__Host-maju-00000001");
        assert_eq!(name("http://localhost:8080", one), name("http://localhost:8081", one), "nodes of one service do");
        assert_ne!(name("http://localhost:8080", one), name("http://localhost:8081", two));
    }

    #[test]
    fn changes_are_checked() {
        let change = |json: &str| serde_json::from_str::<Change>(json).unwrap().checked();
        assert_eq!(change(r#"{"name":"  마주 "}"#).unwrap().name, Some(Some("마주".to_owned())));
        assert_eq!(change(r#"{"name":null}"#).unwrap().name, Some(None));
        assert!(change("{}").unwrap().name.is_none());
        for (json, code) in [
            (r#"{"name":""}"#, "bad_frame"),
            (r#"{"name":"a\u202eb"}"#, "bad_frame"),
            (r#"{"name":"aaaaaaaaaaaaaaaaaaaaaaaaa"}"#, "too_long"),
            (r#"{"rules":"2026-11"}"#, "bad_frame"),
            (r#"{"rules":"2026-11","adult":false}"#, "bad_frame"),
            (r#"{"rules":"1999","adult":true}"#, "conflict"),
            (r#"{"adult":true}"#, "bad_frame"),
            (r#"{"settings":{"a":"\u0000"}}"#, "bad_frame"),
            (r#"{"settings":{"\u0000":1}}"#, "bad_frame"),
        ] {
            assert_eq!(change(json).unwrap_err().code(), code, "{json}");
        }
        assert!(serde_json::from_str::<Change>(r#"{"role":"admin"}"#).is_err());
        change(r#"{"settings":{"a":"a backslash \\u0000"}}"#).unwrap();
        // As they are stored: 309 digits each.
        let numbers = |count: usize| format!(r#"{{"settings":{{"a":[{}]}}}}"#, vec!["1e308"; count].join(","));
        assert!(change(&numbers(13)).is_ok());
        assert_eq!(change(&numbers(14)).unwrap_err().code(), "too_long");
    }
}
