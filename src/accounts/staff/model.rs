//! What is imported: the rules for each row, no I/O.
use std::collections::HashMap;

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use unicode_normalization::UnicodeNormalization as _;

use crate::accounts::limits::MAX_EMAIL_CHARS;
use crate::accounts::model::Role;
use crate::accounts::{handle, passwords};

/// The most memory that a hash of another system may ask for, in KiB, and the most passes.
const MAX_HASH_MEMORY_KIB: u32 = 256 * 1024;
const MAX_HASH_PASSES: u32 = 16;

/// An account as a file describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub handle: String,
    /// Empty if there is none.
    pub email: String,
    /// A hash; empty if nobody can sign in with a password.
    pub password: String,
    pub role: Option<Role>,
    pub is_deactivated: bool,
}

/// An account that can be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Where the file has it: `line 3`, or `entry 2 (pk 17)`.
    pub place: String,
    pub handle: String,
    pub email: Option<String>,
    pub password: Option<String>,
    pub role: Role,
    pub is_deactivated: bool,
}

/// What a file holds: rows that can be imported, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) rows: Vec<Row>,
    /// Each begins with its place in the file.
    pub problems: Vec<String>,
    /// Handles that had to be changed: the old one and the new one.
    pub renamed: Vec<(String, String)>,
    /// Entries that are not about people.
    pub skipped: usize,
    places: HashMap<String, String>,
}

impl Plan {
    /// Returns how many rows can be imported.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row of the file, or what is wrong with it.
    pub(super) fn add(&mut self, place: String, given: Given) {
        match self.checked(&place, &given) {
            Ok(row) => {
                if row.handle != given.handle {
                    self.renamed.push((given.handle, row.handle.clone()));
                }
                self.places.insert(row.handle.clone(), place);
                self.rows.push(row);
            }
            Err(why) => self.problems.push(format!("{place}: {why}")),
        }
    }

    fn checked(&self, place: &str, given: &Given) -> Result<Row, String> {
        let role = given.role.unwrap_or(Role::Member);
        let handle = normalized(&given.handle);
        let allowed = if role.is_staff() { handle::check_shape(&handle) } else { handle::check_choice(&handle) };
        if let Err(why) = allowed {
            return Err(format!("the handle '{}' cannot be used: {why}", given.handle.escape_debug()));
        }
        if let Some(other) = self.places.get(&handle) {
            return Err(format!("the handle '{}' is the same as that of {other}, '{handle}'", given.handle));
        }
        Ok(Row {
            place: place.to_owned(),
            handle,
            email: email(&given.email)?,
            password: password(&given.password)?,
            role,
            is_deactivated: given.is_deactivated,
        })
    }
}

/// Returns a name of another system as a handle: without accents of width, in small letters, with
/// `_` in place of what separates words. It is not valid in every case.
pub(super) fn normalized(name: &str) -> String {
    let plain = name.trim().nfkc().flat_map(char::to_lowercase);
    plain.map(|c| if matches!(c, '.' | '@' | '+' | ' ') { '_' } else { c }).collect()
}

fn email(given: &str) -> Result<Option<String>, String> {
    let given = given.trim();
    if given.is_empty() {
        return Ok(None);
    }
    if given.chars().count() > MAX_EMAIL_CHARS || given.parse::<lettre::Address>().is_err() {
        return Err("the mail address is not valid".to_owned());
    }
    Ok(Some(given.to_owned()))
}

/// Checks a hash of another system. The reason of a refusal quotes only the name of its algorithm.
fn password(given: &str) -> Result<Option<String>, String> {
    // Django marks an account without a password by `!` and random characters.
    if given.is_empty() || given.starts_with('!') {
        return Ok(None);
    }
    // Django writes the name of the algorithm before the standard form.
    let hash = given.strip_prefix("argon2$").map_or_else(|| given.to_owned(), |rest| format!("${rest}"));
    if hash.starts_with("$argon2id$") {
        let params = PasswordHash::new(&hash).ok().and_then(|hash| Params::try_from(&hash).ok());
        let fits = |params: &Params| params.m_cost() <= MAX_HASH_MEMORY_KIB && params.t_cost() <= MAX_HASH_PASSES;
        return match params {
            Some(params) if fits(&params) => Ok(Some(hash)),
            Some(_) => Err("the password hash asks for too much memory or time".to_owned()),
            None => Err("the password hash is damaged".to_owned()),
        };
    }
    if passwords::is_legacy(&hash) {
        return if passwords::is_usable_legacy(&hash) {
            Ok(Some(hash))
        } else {
            Err("the password hash is damaged, or has too many iterations".to_owned())
        };
    }
    let name = hash.trim_start_matches('$').split('$').next().unwrap_or_default();
    let is_name = |name: &str| name.len() <= 24 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = if hash.contains('$') && is_name(name) { name } else { "an unknown algorithm" };
    Err(format!("the password hash is of {name}: only pbkdf2_sha256 and argon2id can be read"))
}

#[cfg(test)]
mod tests {
    use super::{Given, Plan, Role, normalized, password};

    const LEGACY: &str = "pbkdf2_sha256$600000$seasalt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const ARGON2: &str =
        "$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn names_of_other_systems_become_handles() {
        for (name, handle) in [
            ("min", "min"),
            (" Min.Su ", "min_su"),
            ("MIN@example.org", "min_example_org"),
            ("ＭＩＮ＿su", "min_su"),
            ("a b+c", "a_b_c"),
        ] {
            assert_eq!(normalized(name), handle, "{name}");
        }
    }

    #[test]
    fn hashes_that_can_be_compared_are_taken_as_they_are_and_others_are_named() {
        for good in [LEGACY, ARGON2] {
            assert_eq!(password(good), Ok(Some(good.to_owned())));
        }
        assert_eq!(password(&format!("argon2{ARGON2}")), Ok(Some(ARGON2.to_owned())));
        for none in ["", "!", "!abcdef"] {
            assert_eq!(password(none), Ok(None));
        }
        for (bad, part) in [
            ("bcrypt_sha256$$2b$12$hush", "bcrypt_sha256"),
            ("$2b$12$hush", "of 2b"),
            ("md5$hush$hush", "of md5"),
            ("hush", "an unknown algorithm"),
            ("pbkdf2_sha256$600000$hush", "damaged"),
            ("pbkdf2_sha256$99999999$s$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "too many iterations"),
            ("$argon2id$hush", "damaged"),
            (&ARGON2.replace("m=102400", "m=4000000"), "too much memory"),
        ] {
            let why = password(bad).unwrap_err();
            assert!(why.contains(part) && !why.contains("hush"), "{bad}: {why}");
        }
    }

    #[test]
    fn each_bad_row_is_reported_with_its_place() {
        let mut plan = Plan::default();
        let given = |handle: &str, email: &str, role| Given {
            handle: handle.to_owned(),
            email: email.to_owned(),
            role,
            ..Given::default()
        };
        for (line, row) in [
            given("min", "min@example.org", None),
            given("Min", "", None),
            given("ab", "", None),
            given("김철수", "", None),
            given("admin", "", None),
            given("admin", "", Some(Role::Admin)),
            given("jia", "not an address", None),
            given("J.I.A", "", None),
        ]
        .into_iter()
        .enumerate()
        {
            plan.add(format!("line {}", line + 2), row);
        }
        let handles: Vec<&str> = plan.rows.iter().map(|row| row.handle.as_str()).collect();
        assert_eq!(handles, ["min", "admin", "j_i_a"]);
        assert_eq!(plan.renamed, [("J.I.A".to_owned(), "j_i_a".to_owned())]);
        let places: Vec<&str> = plan.problems.iter().map(|why| why.split(':').next().unwrap()).collect();
        assert_eq!(places, ["line 3", "line 4", "line 5", "line 6", "line 8"]);
        assert!(plan.problems[0].contains("line 2"), "{}", plan.problems[0]);
    }
}
