//! Checks texts that other people read: they need a visible character, and none that hides or
//! reorders the rest.
use std::borrow::Cow;
use std::fmt;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::faults::{self, Fault};

/// Why a text is refused. Its `Display` text is for the person who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// No character is visible.
    Invisible,
    /// This character is not allowed there.
    Forbidden(char),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invisible => write!(f, "This text needs at least one visible character."),
            Self::Forbidden(c) => {
                write!(f, "The character U+{:04X} cannot be used here. Remove it and try again.", u32::from(*c))
            }
        }
    }
}

/// Returns a text in NFC, without leading and trailing white space.
pub fn tidy(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    // Most texts are in NFC already, and the quick check is certain when it answers `Yes`. White
    // space never composes with another character.
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.into(),
        IsNormalized::No | IsNormalized::Maybe => text.nfc().collect::<String>().trim().to_owned().into(),
    }
}

/// Checks a text of several lines, such as a message or a note.
///
/// It needs a visible character. It can have no control characters except newline and tab, and no
/// bidi overrides or isolates.
///
/// # Errors
/// The first flaw.
pub fn check_lines(text: &str) -> Result<(), Flaw> {
    if let Some(bad) = text.chars().find(|&c| is_control(c)) {
        return Err(Flaw::Forbidden(bad));
    }
    check_visible(text)
}

/// Checks a text of one line that identifies something: a name, a title, a topic, an interest.
///
/// In addition to the rules of [`check_lines`], it can have no line breaks or tabs, and no
/// character that could make it look like another text: no bidi marks, fillers or invisible
/// characters. Joiners are allowed between visible characters, a variation selector after one, and
/// tags after a black flag, because scripts and emoji need them there.
///
/// # Errors
/// The first flaw.
pub fn check_line(text: &str) -> Result<(), Flaw> {
    let mut before = Before::Nothing;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        before = match c {
            '\u{200c}' | '\u{200d}' if before.is_visible() && chars.peek().copied().is_some_and(is_joined) => {
                Before::Nothing
            }
            '\u{e0020}'..='\u{e007f}' if before == Before::Flag => Before::Flag,
            _ if is_variation_selector(c) && matches!(before, Before::Visible | Before::Flag) => Before::Marked,
            _ if c.is_control() || is_control(c) || is_hidden(c) => return Err(Flaw::Forbidden(c)),
            '\u{1f3f4}' => Before::Flag,
            _ if is_visible(c) => Before::Visible,
            _ if is_mark(c) && before.is_visible() => Before::Marked,
            _ => Before::Nothing,
        };
    }
    check_visible(text)
}

/// Returns `true` if a character is visible on its own: it is not a space, a control character, a
/// mark that needs a base, or a filler.
///
/// Unassigned code points count as visible in the ranges where emoji are added each year, because a
/// client can be newer than this table.
pub fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    match c.general_category() {
        GeneralCategory::Unassigned => matches!(c, '\u{1f000}'..='\u{1faff}'),
        _ => match c.general_category_group() {
            GeneralCategoryGroup::Mark | GeneralCategoryGroup::Separator | GeneralCategoryGroup::Other => false,
            _ => !is_filler(c),
        },
    }
}

fn check_visible(text: &str) -> Result<(), Flaw> {
    let has_visible = text.chars().any(is_visible) || faults::on(Fault::InvisibleTextAccepted);
    if has_visible { Ok(()) } else { Err(Flaw::Invisible) }
}

/// What precedes a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Visible,
    /// A visible character with a mark or a variation selector.
    Marked,
    /// A black flag, which tags turn into a region's flag, with its tags so far.
    Flag,
}

impl Before {
    fn is_visible(self) -> bool {
        self != Self::Nothing
    }
}

/// Returns `true` for control characters except newline and tab, and for characters that override
/// or isolate a direction.
fn is_control(c: char) -> bool {
    if faults::on(Fault::ControlCharactersAccepted) {
        return false;
    }
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns `true` if a character can follow a joiner. Bengali has a joiner before a mark.
fn is_joined(c: char) -> bool {
    is_visible(c) || (is_mark(c) && !is_hidden(c))
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

/// Returns `true` for letters and symbols that show nothing: Hangul fillers, the Braille blank, a
/// musical null notehead, Egyptian blanks. Their general category does not tell.
fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}'
    )
}

/// Returns `true` for invisible characters (Default_Ignorable_Code_Point and the separators of
/// lines) and fillers.
fn is_hidden(c: char) -> bool {
    match c.general_category() {
        // Number signs and similar characters are visible before the characters they belong to
        // (Prepended_Concatenation_Mark).
        GeneralCategory::Format => !matches!(
            c,
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
        ),
        GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => true,
        _ => {
            is_filler(c)
                || is_variation_selector(c)
                || matches!(
                    c,
                    '\u{34f}' | '\u{17b4}' | '\u{17b5}' | '\u{2065}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}'
                )
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Flaw, check_line, check_lines, is_visible, tidy};

    /// Texts without a visible character. Each is refused wherever somebody else would read it.
    pub(crate) const INVISIBLE: [&str; 34] = [
        "\u{200b}",
        "\u{200b}\u{200b}\u{200b}",
        "\u{3164}",
        "\u{115f}",
        "\u{1160}",
        "\u{115f}\u{1160}",
        "\u{ffa0}",
        "\u{2800}",
        "\u{2800} \u{2800}",
        "\u{ad}",
        "\u{34f}",
        "\u{61c}",
        "\u{180e}",
        "\u{17b4}",
        "\u{200c}",
        "\u{200d}",
        "\u{200e}",
        "\u{200f}",
        "\u{2060}",
        "\u{2062}",
        "\u{206a}",
        "\u{feff}",
        "\u{fe0f}",
        "\u{fe00}",
        "\u{180b}",
        "\u{e0100}",
        "\u{e0041}\u{e0042}",
        "\u{301}\u{302}",
        "\u{20dd}",
        "\u{903}",
        "\u{e000}\u{f8ff}",
        "\u{1d159}",
        "\u{13441}",
        "\u{378}\u{fff0}",
    ];

    /// Texts that need a joiner, a variation selector or tags.
    pub(crate) const JOINED: [&str; 9] = [
        "👩‍💻",
        "🏳️‍🌈",
        "👁️‍🗨️",
        "می‌خواهم",
        "ක්‍රි",
        "র‍্যাম",
        "❤️‍🔥 films",
        "1️⃣ 葛\u{e0100}城",
        "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    ];

    #[test]
    fn a_text_without_a_visible_character_is_refused() {
        for text in INVISIBLE {
            assert_eq!(check_lines(text), Err(Flaw::Invisible), "{}", text.escape_unicode());
            assert!(check_line(text).is_err(), "{}", text.escape_unicode());
            for visible in ["a", "가", "😀", "🫩", "\u{1faff}", "ا", "9", ".", "　가"] {
                assert_eq!(check_lines(&format!("{text}{visible}")), Ok(()), "{}", text.escape_unicode());
            }
        }
        for text in ["", " ", "\u{a0}\u{3000}", "\n\t"] {
            assert_eq!(check_lines(text), Err(Flaw::Invisible));
        }
        assert_eq!(check_lines("a\u{202e}b"), Err(Flaw::Forbidden('\u{202e}')));
        assert_eq!(
            Flaw::Forbidden('\u{b}').to_string(),
            "The character U+000B cannot be used here. Remove it and try again."
        );
    }

    #[test]
    fn joiners_and_selectors_stand_where_scripts_and_emoji_need_them() {
        for text in JOINED {
            assert_eq!(check_lines(text), Ok(()), "{text}");
            assert_eq!(check_line(text), Ok(()), "{text}");
        }
        for (text, bad) in [
            ("a\u{200d}", '\u{200d}'),
            ("\u{200c}a", '\u{200c}'),
            ("a \u{200d}b", '\u{200d}'),
            ("a\u{200d}\u{200d}b", '\u{200d}'),
            ("a\u{200d} b", '\u{200d}'),
            (" \u{fe0f}a", '\u{fe0f}'),
            ("a\u{fe0f}\u{fe0f}", '\u{fe0f}'),
            ("a\u{e0067}", '\u{e0067}'),
            ("a\u{200b}b", '\u{200b}'),
            ("a\u{3164}b", '\u{3164}'),
            ("a\u{200e}b", '\u{200e}'),
            ("a\u{2067}b", '\u{2067}'),
            ("a\u{2028}b", '\u{2028}'),
            ("a\u{ad}b", '\u{ad}'),
            ("a\u{34f}b", '\u{34f}'),
            ("a\nb", '\n'),
            ("a\tb", '\t'),
        ] {
            assert_eq!(check_line(text), Err(Flaw::Forbidden(bad)), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn common_characters_are_visible() {
        for c in "a1.,~가ㄱあ漢אбงக၁🇰🏻😀♥①€…—«".chars() {
            assert!(is_visible(c), "{c}");
        }
        assert_eq!(tidy("  \u{1100}\u{1161} "), "가");
    }
}
