//! Aliases: a colour and an animal, in Korean and English.
use rand::Rng;
use rand::seq::IndexedRandom as _;
use unicode_normalization::UnicodeNormalization as _;

use super::Locale;

/// The keys of the colours, which the client knows as well. `src/locale` has their names.
const COLORS: [&str; 8] = ["pine", "persimmon", "plum", "indigo", "ochre", "sky", "moss", "rose"];

/// The keys of the animals. `src/locale` has their names.
const ANIMALS: [&str; 24] = [
    "otter", "fox", "owl", "whale", "deer", "hare", "bear", "cat", "crane", "tiger", "badger", "heron", "lynx", "seal",
    "wren", "koala", "panda", "swan", "turtle", "finch", "dolphin", "hedgehog", "squirrel", "magpie",
];

/// What the staff is called, in lower case and without spaces.
const STAFF_TITLES: [&str; 14] = [
    "admin",
    "administrator",
    "moderator",
    "official",
    "operator",
    "staff",
    "관리자",
    "매니저",
    "운영자",
    "운영진",
    "운영팀",
    "중재자",
    "편집자",
    "공식",
];

/// Returns `true` if a name that somebody chose would pass for the staff: one of its titles, also
/// with the brand before it, or with digits and signs around it.
pub(super) fn is_of_staff(name: &str) -> bool {
    let letters: String = name.nfkc().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    let bare = ["maju", "마주"].iter().find_map(|brand| letters.strip_prefix(brand)).unwrap_or(&letters);
    let bare = bare.strip_suffix('님').unwrap_or(bare);
    STAFF_TITLES.contains(&bare)
}

/// Returns the keys of the colours.
#[cfg(test)]
pub fn colors() -> impl Iterator<Item = &'static str> {
    COLORS.into_iter()
}

/// A generated name: keys of a colour and an animal, shown in the reader's language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub color: String,
    pub animal: String,
}

impl Alias {
    /// Draws a random alias.
    pub fn random(rng: &mut impl Rng) -> Self {
        let color = *COLORS.choose(rng).unwrap_or(&COLORS[0]);
        let animal = *ANIMALS.choose(rng).unwrap_or(&ANIMALS[0]);
        Self { color: color.to_owned(), animal: animal.to_owned() }
    }

    /// Draws two aliases that differ in colour and in animal, for the two sides of a talk.
    pub fn random_pair(rng: &mut impl Rng) -> (Self, Self) {
        let colors: Vec<_> = COLORS.sample(rng, 2).map(|color| (*color).to_owned()).collect();
        let animals: Vec<_> = ANIMALS.sample(rng, 2).map(|animal| (*animal).to_owned()).collect();
        let side = |n: usize| Self { color: colors[n].clone(), animal: animals[n].clone() };
        (side(0), side(1))
    }

    /// Returns the name in words: 초록 수달, Green Otter.
    pub fn in_words(&self, locale: Locale) -> String {
        let strings = locale.strings();
        format!("{} {}", name(&strings.colors, &self.color), name(&strings.animals, &self.animal))
    }
}

/// Returns the name of a key; the first name if the key is unknown.
fn name(names: &[(&'static str, &'static str)], key: &str) -> &'static str {
    names.iter().find(|(known, _)| *known == key).unwrap_or(&names[0]).1
}

#[cfg(test)]
mod tests {
    use super::{ANIMALS, Alias, COLORS, Locale};

    #[test]
    fn every_key_has_a_name_of_its_own_in_every_language() {
        for locale in Locale::ALL {
            let strings = locale.strings();
            for (keys, names) in [(&COLORS[..], &strings.colors[..]), (&ANIMALS[..], &strings.animals[..])] {
                assert!(names.iter().map(|name| name.0).eq(keys.iter().copied()), "{locale:?}");
                for column in
                    [|name: &(&'static str, &'static str)| name.0, |name: &(&'static str, &'static str)| name.1]
                {
                    let mut words: Vec<_> = names.iter().map(column).collect();
                    words.sort_unstable();
                    words.dedup();
                    assert_eq!(words.len(), keys.len(), "{locale:?}");
                }
            }
        }
        let alias = Alias { color: "pine".into(), animal: "otter".into() };
        assert_eq!(
            (alias.in_words(Locale::Ko), alias.in_words(Locale::En)),
            ("초록 수달".into(), "Green Otter".into())
        );
    }

    #[test]
    fn the_two_sides_of_a_talk_differ_in_colour_and_animal() {
        for _ in 0..500 {
            let (a, b) = Alias::random_pair(&mut rand::rng());
            assert!(a.color != b.color && a.animal != b.animal);
        }
    }
}
