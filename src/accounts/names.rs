//! Aliases: a colour and an animal, in Korean and English.
use rand::Rng;
use rand::seq::IndexedRandom as _;

use super::Locale;

/// The colours: key, Korean, English. The keys are the design tokens of the page.
const COLORS: [(&str, &str, &str); 8] = [
    ("pine", "초록", "Green"),
    ("persimmon", "주황", "Orange"),
    ("plum", "자두", "Plum"),
    ("indigo", "남색", "Indigo"),
    ("ochre", "황토", "Ochre"),
    ("sky", "하늘", "Sky"),
    ("moss", "이끼", "Moss"),
    ("rose", "장미", "Rose"),
];

/// The animals: key, Korean, English. None of them is an insult in either language.
const ANIMALS: [(&str, &str, &str); 24] = [
    ("otter", "수달", "Otter"),
    ("fox", "여우", "Fox"),
    ("owl", "부엉이", "Owl"),
    ("whale", "고래", "Whale"),
    ("deer", "사슴", "Deer"),
    ("hare", "토끼", "Hare"),
    ("bear", "곰", "Bear"),
    ("cat", "고양이", "Cat"),
    ("crane", "두루미", "Crane"),
    ("tiger", "호랑이", "Tiger"),
    ("badger", "오소리", "Badger"),
    ("heron", "왜가리", "Heron"),
    ("lynx", "스라소니", "Lynx"),
    ("seal", "물범", "Seal"),
    ("wren", "굴뚝새", "Wren"),
    ("koala", "코알라", "Koala"),
    ("panda", "판다", "Panda"),
    ("swan", "고니", "Swan"),
    ("turtle", "거북", "Turtle"),
    ("finch", "방울새", "Finch"),
    ("dolphin", "돌고래", "Dolphin"),
    ("hedgehog", "고슴도치", "Hedgehog"),
    ("squirrel", "다람쥐", "Squirrel"),
    ("magpie", "까치", "Magpie"),
];

/// Returns the keys of the colours.
#[cfg(test)]
pub fn colors() -> impl Iterator<Item = &'static str> {
    COLORS.iter().map(|color| color.0)
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
        let color = COLORS.choose(rng).unwrap_or(&COLORS[0]).0;
        let animal = ANIMALS.choose(rng).unwrap_or(&ANIMALS[0]).0;
        Self { color: color.to_owned(), animal: animal.to_owned() }
    }

    /// Draws two aliases that differ in colour and in animal, for the two sides of a talk.
    pub fn random_pair(rng: &mut impl Rng) -> (Self, Self) {
        let colors: Vec<_> = COLORS.sample(rng, 2).map(|color| color.0.to_owned()).collect();
        let animals: Vec<_> = ANIMALS.sample(rng, 2).map(|animal| animal.0.to_owned()).collect();
        let side = |n: usize| Self { color: colors[n].clone(), animal: animals[n].clone() };
        (side(0), side(1))
    }

    /// Returns the name in words: 초록 수달, Green Otter.
    pub fn in_words(&self, locale: Locale) -> String {
        let words = |table: &[(&'static str, &'static str, &'static str)], key: &str| {
            let entry = table.iter().find(|entry| entry.0 == key).unwrap_or(&table[0]);
            if locale == Locale::Ko { entry.1 } else { entry.2 }
        };
        format!("{} {}", words(&COLORS, &self.color), words(&ANIMALS, &self.animal))
    }
}

#[cfg(test)]
mod tests {
    use super::{ANIMALS, Alias, COLORS, Locale};

    #[test]
    fn every_name_is_unique_in_both_languages() {
        type Entry = (&'static str, &'static str, &'static str);
        for table in [&COLORS[..], &ANIMALS[..]] {
            for column in [|e: &Entry| e.0, |e: &Entry| e.1, |e: &Entry| e.2] {
                let mut words: Vec<_> = table.iter().map(column).collect();
                words.sort_unstable();
                words.dedup();
                assert_eq!(words.len(), table.len());
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
