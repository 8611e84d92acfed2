//! Handles: the names by which accounts sign in.
use super::limits::{MAX_HANDLE_CHARS, MIN_HANDLE_CHARS};
use crate::error::{Error, Result};

/// Names that would pass for the site itself or its staff. Dashes, underscores and digits at the end
/// do not make another name of them.
const RESERVED: [&str; 34] = [
    "abuse",
    "account",
    "admin",
    "administrator",
    "anonymous",
    "api",
    "bot",
    "contact",
    "deleted",
    "editor",
    "everyone",
    "guest",
    "help",
    "info",
    "maju",
    "majuadmin",
    "majuteam",
    "mod",
    "moderation",
    "moderator",
    "nobody",
    "null",
    "official",
    "operator",
    "owner",
    "postmaster",
    "privacy",
    "root",
    "security",
    "staff",
    "support",
    "system",
    "team",
    "webmaster",
];

/// Checks the shape of a handle: 3 to 32 of a-z, 0-9, `_` and `-`. No two of them look alike, so
/// that no confusable handle exists.
///
/// # Errors
/// `bad_frame` with the field `handle`.
pub fn check_shape(handle: &str) -> Result<()> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (MIN_HANDLE_CHARS..=MAX_HANDLE_CHARS).contains(&handle.len()) && handle.bytes().all(is_allowed) {
        return Ok(());
    }
    let why = format!("A handle has {MIN_HANDLE_CHARS} to {MAX_HANDLE_CHARS} of a-z, 0-9, _ and -.");
    Err(Error::bad_field("handle", why))
}

/// Checks a handle that somebody chooses: its shape, and that it is not reserved.
///
/// # Errors
/// `bad_frame` or `conflict`, each with the field `handle`.
pub(super) fn check_choice(handle: &str) -> Result<()> {
    check_shape(handle)?;
    let letters: String = handle.chars().filter(|c| !matches!(c, '_' | '-')).collect();
    let bare = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    if RESERVED.contains(&bare) || RESERVED.contains(&letters.as_str()) {
        return Err(Error::Taken { field: "handle", why: "This handle is reserved. Choose another one." });
    }
    Ok(())
}

/// Returns what somebody typed as a handle the way it is stored: keyboards of phones begin with a
/// capital letter and add a space.
pub(super) fn typed(handle: &str) -> String {
    handle.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{RESERVED, check_choice, check_shape, typed};

    #[test]
    fn a_handle_has_three_to_thirty_two_plain_characters() {
        for good in ["abc", "some_body-1", "000", "---", "a".repeat(32).as_str()] {
            assert!(check_shape(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "a".repeat(33).as_str(), "Abc", "a b", "a.b", "ab\n", "김철수", "аbc", "ab\0"] {
            assert_eq!(check_shape(bad).unwrap_err().field(), Some("handle"), "{bad}");
        }
        assert_eq!(typed(" Some_Body "), "some_body");
    }

    #[test]
    fn a_name_of_the_site_or_its_staff_cannot_be_chosen() {
        assert!(RESERVED.is_sorted());
        for reserved in ["admin", "a-d-m-i-n", "admin_1", "maju2026", "-system-", "moderator", "root"] {
            let refused = check_choice(reserved).unwrap_err();
            assert_eq!((refused.code(), refused.field()), ("conflict", Some("handle")), "{reserved}");
        }
        for free in ["administer", "majority", "modern", "system32x", "2026"] {
            assert!(check_choice(free).is_ok(), "{free}");
        }
    }
}
