//! People for staff: types and rules, no I/O.
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::{Alias, EndReason, Role};
use crate::error::{Error, Result};
use crate::ids::{AccountId, VisitorId};
use crate::locale::Locale;

/// What a list of people is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Handle,
    /// The newest account or guest first.
    Newest,
    /// Who was active last first.
    Active,
}

impl Sort {
    /// All orders.
    pub const ALL: [Self; 3] = [Self::Handle, Self::Newest, Self::Active];

    /// Returns the order's name in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Newest => "newest",
            Self::Active => "active",
        }
    }

    /// Returns the order of this name, the usual one if there is none.
    pub fn of_str(name: &str) -> Self {
        Self::ALL.into_iter().find(|sort| sort.as_str() == name).unwrap_or_default()
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Search<'a> {
    /// Empty for all accounts.
    pub words: &'a str,
    /// Only people of this role. `None` for everybody.
    pub role: Option<Role>,
    /// Only people without an account.
    pub guests: bool,
    pub sort: Sort,
    pub cursor: Option<&'a str>,
}

/// A person in a list.
#[derive(Clone, Debug)]
pub struct ListedPerson {
    /// The public id of the visitor.
    pub id: Uuid,
    pub alias: Alias,
    /// The name that the person chose.
    pub name: Option<String>,
    /// `None` for a guest.
    pub handle: Option<String>,
    pub role: Option<Role>,
    pub is_deactivated: bool,
    pub has_second_factor: bool,
    pub is_signed_in: bool,
    pub is_banned: bool,
    pub created_at: OffsetDateTime,
    pub last_used_at: OffsetDateTime,
}

impl ListedPerson {
    /// Returns the name that others read.
    pub fn shown_name(&self, locale: Locale) -> String {
        self.name.clone().unwrap_or_else(|| self.alias.in_words(locale))
    }
}

/// A person as staff see them.
#[derive(Clone, Debug)]
pub struct Person {
    pub visitor: VisitorId,
    /// The public id of the visitor.
    pub id: Uuid,
    pub alias: Alias,
    pub name: Option<String>,
    pub created_at: OffsetDateTime,
    pub last_used_at: OffsetDateTime,
    /// `None` for a guest.
    pub account: Option<PersonAccount>,
}

impl Person {
    /// Returns the name that others read.
    pub fn shown_name(&self, locale: Locale) -> String {
        self.name.clone().unwrap_or_else(|| self.alias.in_words(locale))
    }
}

/// The account of a person.
#[derive(Clone, Debug)]
pub struct PersonAccount {
    pub id: AccountId,
    pub public_id: Uuid,
    pub handle: String,
    pub role: Role,
    pub is_deactivated: bool,
    pub has_password: bool,
    pub has_second_factor: bool,
    pub created_at: OffsetDateTime,
    /// When it will be deleted because its owner asked for it.
    pub delete_after: Option<OffsetDateTime>,
}

/// A session of one person.
#[derive(Clone, Debug)]
pub struct PersonSession {
    pub id: Uuid,
    /// The browser and the system in a few words.
    pub device: Option<String>,
    pub signed_in_at: OffsetDateTime,
    pub last_used_at: OffsetDateTime,
    /// `None` while it is live.
    pub ended_at: Option<OffsetDateTime>,
    /// `None` while it is live.
    pub reason: Option<EndReason>,
}

/// A live session of any account.
#[derive(Clone, Debug)]
pub struct LiveSession {
    pub id: Uuid,
    /// The public id of the visitor.
    pub person: Uuid,
    pub handle: String,
    pub role: Role,
    pub device: Option<String>,
    pub signed_in_at: OffsetDateTime,
    pub last_used_at: OffsetDateTime,
}

/// The place in a list after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The text or the microseconds that the list is ordered by.
    pub key: String,
    pub id: Uuid,
}

impl Cursor {
    pub(super) fn of(person: &ListedPerson, sort: Sort) -> Self {
        match sort {
            Sort::Handle => Self { key: person.handle.clone().unwrap_or_else(|| "~".to_owned()), id: person.id },
            Sort::Newest => Self::at(person.created_at, person.id),
            Sort::Active => Self::at(person.last_used_at, person.id),
        }
    }

    pub(super) fn at(at: OffsetDateTime, id: Uuid) -> Self {
        Self { key: (at.unix_timestamp_nanos() / 1_000).to_string(), id }
    }

    /// Returns the time of a cursor. `None` if the list is not ordered by time.
    pub(super) fn time(&self) -> Option<OffsetDateTime> {
        let micros: i128 = self.key.parse().ok()?;
        OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1_000)?).ok()
    }

    pub(super) fn to_text(&self) -> String {
        format!("{}.{}", self.key, self.id)
    }

    /// # Errors
    /// `bad_frame`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::bad_field("cursor", "This is not the cursor of a list.");
        let (key, id) = text.rsplit_once('.').ok_or_else(wrong)?;
        Ok(Self { key: key.to_owned(), id: id.parse().map_err(|_| wrong())? })
    }
}

/// Shortens a list that was read with one row too many, and returns the cursor of the next page.
pub(super) fn split_page<T>(found: &mut Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or_default();
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(cursor)
}

/// Returns the alias that words name, in any language.
pub(super) fn alias_of(words: &str) -> Option<Alias> {
    let words = words.trim().to_lowercase();
    Locale::ALL.into_iter().find_map(|locale| {
        let strings = locale.strings();
        let pairs = strings.colors.iter().flat_map(|color| strings.animals.iter().map(move |animal| (color, animal)));
        pairs
            .map(|(color, animal)| Alias { color: color.0.to_owned(), animal: animal.0.to_owned() })
            .find(|alias| alias.in_words(locale).to_lowercase() == words)
    })
}

/// Returns the bytes of a hash of an address prefix, as the audit log shows it.
pub(super) fn prefix_hash_of(words: &str) -> Option<Vec<u8>> {
    let words = words.trim();
    if words.len() != 32 || !words.is_ascii() {
        return None;
    }
    (0..16).map(|at| u8::from_str_radix(&words[2 * at..2 * at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Cursor, alias_of, prefix_hash_of};

    #[test]
    fn words_name_an_alias_in_any_language_or_a_hash() {
        for words in ["초록 수달", "green otter", " Green Otter "] {
            let alias = alias_of(words).unwrap();
            assert_eq!((alias.color.as_str(), alias.animal.as_str()), ("pine", "otter"), "{words}");
        }
        assert_eq!(alias_of("초록"), None);
        assert_eq!(prefix_hash_of(&"0f".repeat(16)), Some(vec![15; 16]));
        for other in ["", "0f", &"zz".repeat(16), "한글한글한글한글한글한글한글한글"] {
            assert_eq!(prefix_hash_of(other), None);
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor { key: "min.a".to_owned(), id: Uuid::from_u128(7) };
        assert_eq!(Cursor::parse(&cursor.to_text()).unwrap(), cursor);
        assert!(Cursor::parse("x").is_err() && Cursor::parse("").is_err());
        assert_eq!(cursor.time(), None);
    }
}
