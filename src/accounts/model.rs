//! Visitors: types and rules, no I/O.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use ts_rs::TS;
use utoipa::openapi::schema::{self, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use super::limits::{MAX_NAME_CHARS, MAX_SETTINGS_BYTES, MIN_AGE_YEARS};
use super::rules::RulesInForce;
use super::{Alias, SessionTimes, SessionView};
use crate::config::Site;
use crate::db::jsonb;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{AccountId, SessionEpoch, VisitorId};
use crate::locale::Locale;
use crate::text;

/// The first edition of the rules. After a change, each visitor has to accept them again before the
/// next `seek` ([`super::put_rules_in_force`]).
pub const RULES_VERSION: &str = "2026-11";

/// Returns the name of a site's cookie.
///
/// A browser sends a host's cookies to all ports of the host. A site on another than the default
/// port can share its host with another service, so its cookie's name contains the id of its
/// service: neither service overwrites the other's sessions.
pub(super) fn cookie_name(site: &Site, service: Uuid) -> String {
    let prefix = if site.loopback { "maju" } else { "__Host-maju" };
    if site.default_port {
        return prefix.to_owned();
    }
    format!("{prefix}-{:08x}", service.as_fields().0)
}

/// A visitor as it is stored. It is never sent as it is: clients do not see `id`.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub id: VisitorId,
    pub public_id: Uuid,
    pub alias: Alias,
    /// The name that the visitor chose for named rooms. `None` if the alias is shown.
    pub name: Option<String>,
    pub locale: Locale,
    pub settings: Map<String, Value>,
    /// The version of the rules that the visitor accepted, together with the age gate.
    pub rules_accepted: Option<String>,
    /// The edition of the rules in force on the node that read the visitor.
    pub rules: RulesInForce,
    /// The ban that was in force when the visitor was read.
    pub ban: Option<Ban>,
    /// The visitor's account, as the session it was read for saw it. `None` for a guest.
    pub account: Option<Account>,
    /// When the session ends that the visitor was read for. `None` for a guest.
    pub session: Option<SessionTimes>,
}

/// The account of a visitor who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub public_id: Uuid,
    pub handle: String,
    pub role: Role,
    /// The epoch of the session. Every write compares it with the account's in its transaction.
    pub epoch: SessionEpoch,
}

/// What an account may do. An admin may do all that editors and moderators may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    Moderator,
    Editor,
    Admin,
}

impl Role {
    /// All roles, the one with the fewest rights first.
    pub const ALL: [Self; 4] = [Self::Member, Self::Moderator, Self::Editor, Self::Admin];

    /// Returns the role's name, as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// Returns the role of this name. `None` if there is none.
    pub fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Returns `true` for everybody but members. Staff need a second factor.
    pub fn is_staff(self) -> bool {
        self != Self::Member
    }
}

/// An account as it is sent to its owner.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
#[ts(rename = "Account")]
#[schema(as = Account)]
pub struct AccountView {
    pub id: Uuid,
    pub handle: String,
    pub role: Role,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self { id: account.public_id, handle: account.handle, role: account.role }
    }
}

/// A ban in force everywhere.
#[derive(Clone, Debug)]
pub struct Ban {
    /// Its end. `None` if it holds until it is lifted.
    pub until: Option<OffsetDateTime>,
    /// The time from the read to its end, by the database's clock. `None` if it has no end.
    pub ends_in: Option<Duration>,
    /// The reason that the visitor reads.
    pub reason: String,
}

/// A visitor as it is sent to itself.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
#[ts(rename = "Visitor")]
pub struct VisitorView {
    pub id: Uuid,
    pub name: String,
    #[ts(type = "Color")]
    pub color: String,
    /// Null if the visitor chose the name.
    pub animal: Option<String>,
    pub locale: Locale,
    #[schema(value_type = Object)]
    #[ts(type = "{ [name: string]: unknown }")]
    pub settings: Map<String, Value>,
    /// Null for a guest.
    pub account: Option<AccountView>,
    /// When the session ends. Null for a guest.
    pub session: Option<SessionView>,
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
            account: visitor.account.map(AccountView::from),
            session: visitor.session.map(SessionView::from),
        }
    }
}

impl Visitor {
    /// Returns the epoch of the session that the visitor was read for. `None` for a guest.
    pub fn session_epoch(&self) -> Option<SessionEpoch> {
        self.account.as_ref().map(|account| account.epoch)
    }

    /// Returns the chosen name, or the alias in the visitor's language if there is none.
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.alias.in_words(self.locale))
    }

    /// Returns the visitor unless it is banned. A banned visitor can read the landing page and
    /// `GET /me`, nothing else.
    ///
    /// # Errors
    /// `banned`.
    pub fn require_not_banned(self) -> Result<Self> {
        match self.ban {
            Some(Ban { ends_in, .. }) => Err(Error::Banned { after: ends_in }),
            None => Ok(self),
        }
    }

    /// Returns `true` if the visitor had passed the age gate when it was read, and accepted the rules
    /// that are in force now.
    pub fn has_accepted_rules(&self) -> bool {
        self.rules_accepted.as_deref().is_some_and(|accepted| self.rules.is(accepted))
    }

    /// Checks the age gate. It stands before every action that reaches strangers.
    ///
    /// # Errors
    /// `age_gate`.
    pub fn require_rules(&self) -> Result<()> {
        if self.has_accepted_rules() || faults::on(Fault::AgeGateOpen) { Ok(()) } else { Err(Error::AgeGate) }
    }
}

/// What `PATCH /me` can change. A field that is absent stays as it is.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// A chosen name. Null goes back to the alias.
    #[serde(default)]
    #[schema(value_type = Option<String>, schema_with = name_schema)]
    pub name: NameChange,
    pub locale: Option<Locale>,
    /// Settings of the page. They replace all earlier ones.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// The version of the rules that the visitor accepts. Needs `adult`.
    pub rules: Option<String>,
    /// The age gate: `true` confirms the minimum age.
    pub adult: Option<bool>,
}

/// Returns the schema of [`Change::name`]. The attribute `max_length` takes no constant.
fn name_schema() -> schema::Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("A chosen name. Null goes back to the alias."))
        .min_length(Some(1))
        .max_length(Some(MAX_NAME_CHARS))
        .build()
}

/// A change of the chosen name.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum NameChange {
    /// The field is absent.
    #[default]
    Keep,
    /// The field is null.
    UseAlias,
    Set(String),
}

impl<'de> Deserialize<'de> for NameChange {
    fn deserialize<D: serde::Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(value)?.map_or(Self::UseAlias, Self::Set))
    }
}

impl Change {
    /// Returns the change with a normalised name if every field is valid. `rules` is the edition in
    /// force.
    ///
    /// # Errors
    /// `bad_frame` with the field, `too_long`, `conflict` if the accepted rules are not the current
    /// ones.
    pub fn checked(mut self, rules: &str) -> Result<Self> {
        if let NameChange::Set(name) = &self.name {
            let tidy = text::tidy(name);
            if tidy.chars().count() > MAX_NAME_CHARS {
                return Err(Error::TooLong { limit: MAX_NAME_CHARS, field: Some("name") });
            }
            text::check_line(&tidy).map_err(|flaw| Error::bad_field("name", flaw.to_string()))?;
            if super::names::is_of_staff(&tidy) {
                return Err(Error::bad_field("name", "This name would pass for the staff. Choose another one."));
            }
            self.name = NameChange::Set(tidy.into_owned());
        }
        if let Some(settings) = &self.settings {
            // The limit holds for the stored form: Postgres prints a number with up to 309 digits.
            if jsonb::object_len(settings) > MAX_SETTINGS_BYTES {
                return Err(Error::TooLarge { limit: MAX_SETTINGS_BYTES, field: Some("settings") });
            }
            if jsonb::object_has_nul(settings) {
                return Err(Error::bad_field("settings", "The character U+0000 cannot be stored."));
            }
        }
        match (self.rules.as_deref(), self.adult) {
            (None, None) => {}
            (Some(version), Some(true)) if version == rules => {}
            (Some(_), Some(true)) => return Err(Error::Conflict("The rules have changed. Read the current version.")),
            (Some(_), _) => {
                let why = format!("Maju is for adults. Confirm that you are {MIN_AGE_YEARS} or older.");
                return Err(Error::bad_field("adult", why));
            }
            (None, Some(_)) => return Err(Error::bad_field("rules", "Name the version of the rules that you accept.")),
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Change, NameChange, RULES_VERSION, cookie_name};
    use crate::config::Site;

    #[test]
    fn services_that_share_a_host_name_do_not_share_a_cookie() {
        let name = |url: &str, service| cookie_name(&Site::parse(url).unwrap(), Uuid::from_u128(service));
        let (one, two) = (1 << 96, 2 << 96);
        assert_eq!(name("https://chat.example.org", one), "__Host-maju");
        assert_eq!(name("https://chat.example.org:8443", one), "__Host-maju-00000001");
        assert_eq!(
            name("http://localhost:8080", one),
            name("http://localhost:8081", one),
            "nodes of one service share it"
        );
        assert_ne!(name("http://localhost:8080", one), name("http://localhost:8081", two));
    }

    #[test]
    fn invalid_changes_are_refused_with_their_code() {
        let change = |json: &str| serde_json::from_str::<Change>(json).unwrap().checked(RULES_VERSION);
        assert_eq!(change(r#"{"name":"  마주 "}"#).unwrap().name, NameChange::Set("마주".to_owned()));
        assert_eq!(change(r#"{"name":null}"#).unwrap().name, NameChange::UseAlias);
        assert_eq!(change("{}").unwrap().name, NameChange::Keep);
        for (json, code) in [
            (r#"{"name":""}"#, "bad_frame"),
            (r#"{"name":"a\u202eb"}"#, "bad_frame"),
            (r#"{"name":"관리자"}"#, "bad_frame"),
            (r#"{"name":"Ａdmin 2"}"#, "bad_frame"),
            (r#"{"name":"마주 운영자"}"#, "bad_frame"),
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
        // Postgres prints each of these numbers with 309 digits.
        let numbers = |count: usize| format!(r#"{{"settings":{{"a":[{}]}}}}"#, vec!["1e308"; count].join(","));
        assert!(change(&numbers(13)).is_ok());
        assert_eq!(change(&numbers(14)).unwrap_err().code(), "too_long");
    }
}
