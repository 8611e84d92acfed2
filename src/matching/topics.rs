//! The suggested topics, and what two interests are compared by.
//!
//! An interest stays the string that a visitor chose or typed. What is compared is its topic: the
//! id of a suggested topic if the interest is one of its names in any language, else the interest
//! itself without the differences that people do not mean.
//!
//! To add a language: a name for each topic below. The compiler names the rows that lack one.
use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::locale::Locale;

/// A suggested topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Topic {
    /// Never changes and never has another meaning. It names the topic too.
    pub id: &'static str,
    /// A name in each language, in the order of [`Locale::ALL`].
    names: [&'static str; Locale::ALL.len()],
    /// Other words for it, in any language.
    also: &'static [&'static str],
}

impl Topic {
    /// Returns the name in a language.
    pub(super) fn name(&self, locale: Locale) -> &'static str {
        self.names[locale as usize]
    }

    /// Returns all its names but the one in a language.
    pub(super) fn other_names(&self, locale: Locale) -> impl Iterator<Item = &'static str> {
        let others = self.names.iter().enumerate().filter(move |(at, _)| *at != locale as usize);
        others.map(|(_, name)| *name).chain(self.also.iter().copied())
    }

    fn all_names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().chain(self.also).copied().chain([self.id])
    }
}

/// The suggested topics, in the order in which they are shown.
pub(super) static TOPICS: [Topic; 40] = [
    topic("film", ["영화", "Films"], &["movie", "movies", "cinema"]),
    topic("music", ["음악", "Music"], &["노래", "songs"]),
    topic("cats", ["고양이", "Cats"], &["cat", "냥이"]),
    topic("travel", ["여행", "Travel"], &["traveling", "travelling", "trips"]),
    topic("cooking", ["요리", "Cooking"], &["cook"]),
    topic("games", ["게임", "Games"], &["game", "gaming", "video games", "비디오 게임"]),
    topic("books", ["책", "Books"], &["book", "reading", "독서"]),
    topic("walking", ["산책", "Long walks"], &["walk", "walks", "걷기"]),
    topic("dogs", ["강아지", "Dogs"], &["dog", "개", "반려견"]),
    topic("jazz", ["재즈", "Jazz"], &[]),
    topic("hiking", ["등산", "Hiking"], &["hike", "하이킹"]),
    topic("coffee", ["커피", "Coffee"], &[]),
    topic("series", ["드라마", "TV series"], &["tv", "tv shows", "drama", "dramas", "k-drama"]),
    topic("photography", ["사진", "Photography"], &["photo", "photos"]),
    topic("sport", ["운동", "Sport"], &["sports", "exercise", "workout"]),
    topic("drawing", ["그림", "Drawing"], &["draw", "painting", "그림 그리기"]),
    topic("plants", ["식물", "Plants"], &["plant", "houseplants"]),
    topic("baseball", ["야구", "Baseball"], &[]),
    topic("football", ["축구", "Football"], &["soccer"]),
    topic("comics", ["만화", "Comics"], &["comic", "manga", "webtoon", "webtoons", "웹툰"]),
    topic("studying", ["공부", "Studying"], &["study"]),
    topic("programming", ["개발", "Programming"], &["coding", "코딩", "프로그래밍"]),
    topic("newjob", ["이직", "Changing jobs"], &["changing job"]),
    topic("rain", ["비 오는 날", "Rainy days"], &["rainy day", "비"]),
    topic("ramen", ["늦은 밤 라면", "Late-night ramen"], &["라면"]),
    topic("knitting", ["뜨개질", "Knitting"], &["뜨개", "crochet"]),
    topic("camping", ["캠핑", "Camping"], &["camp"]),
    topic("dancing", ["춤", "Dancing"], &["dance", "댄스"]),
    topic("space", ["우주", "Space"], &["astronomy", "천문"]),
    topic("writing", ["글쓰기", "Writing"], &["write"]),
    topic("running", ["달리기", "Running"], &["run", "jogging", "러닝", "조깅"]),
    topic("cycling", ["자전거", "Cycling"], &["bike", "bikes", "라이딩"]),
    topic("baking", ["베이킹", "Baking"], &["bread", "빵"]),
    topic("anime", ["애니", "Anime"], &["animation", "애니메이션"]),
    topic("concerts", ["공연", "Concerts"], &["concert", "콘서트"]),
    topic("boardgames", ["보드게임", "Board games"], &["board game"]),
    topic("languages", ["외국어", "Languages"], &["언어", "language learning"]),
    topic("swimming", ["수영", "Swimming"], &["swim"]),
    topic("sea", ["바다", "The sea"], &["ocean", "beach"]),
    topic("history", ["역사", "History"], &[]),
];

const fn topic(id: &'static str, names: [&'static str; Locale::ALL.len()], also: &'static [&'static str]) -> Topic {
    Topic { id, names, also }
}

/// The ids of the suggested topics by the folded form of each of their names.
static BY_NAME: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let names = TOPICS.iter().flat_map(|topic| topic.all_names().map(|name| (fold(name), topic.id)));
    names.collect()
});

/// Returns what an interest is compared by: the id of the suggested topic that it names, else its
/// folded form.
pub(super) fn topic_of(interest: &str) -> String {
    let folded = fold(interest);
    match BY_NAME.get(&folded) {
        Some(id) => (*id).to_owned(),
        None => folded,
    }
}

/// Returns a text in the form that is compared: compatible forms (NFKC), upper and lower case,
/// spaces, dashes, middle dots and variation selectors make no difference.
///
/// The client does the same (`web/src/matching/topics.svelte.ts`).
fn fold(text: &str) -> String {
    // By way of upper case, because some letters have only that in common: ς and σ, ß and ss.
    let upper = text.nfkc().flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    let folded: String = upper.flat_map(char::to_lowercase).collect();
    let bare: String = folded.chars().filter(|c| !is_ignored(*c)).nfkc().collect();
    if bare.is_empty() { folded } else { bare }
}

fn is_ignored(c: char) -> bool {
    // The dashes of Unicode (`Dash`), the middle dots that Korean and Japanese write, and variation
    // selectors.
    c.is_whitespace()
        || matches!(
            c,
            '-' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
                ..='\u{2015}'
                    | '\u{2053}'
                    | '\u{207b}'
                    | '\u{208b}'
                    | '\u{2212}'
                    | '\u{2e17}'
                    | '\u{2e1a}'
                    | '\u{2e3a}'
                    | '\u{2e3b}'
                    | '\u{2e40}'
                    | '\u{2e5d}'
                    | '\u{301c}'
                    | '\u{3030}'
                    | '\u{30a0}'
                    | '\u{10d6e}'
                    | '\u{10ead}'
        )
        || matches!(c, '·' | '・' | '‧' | '•')
        || matches!(c, '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
    use unicode_normalization::UnicodeNormalization as _;

    use super::{TOPICS, fold, topic_of};
    use crate::locale::Locale;
    use crate::matching::limits::MAX_INTEREST_CHARS;
    use crate::matching::model::Seek;

    #[test]
    fn every_topic_has_names_of_its_own_in_each_language() {
        let mut owners: HashMap<String, &str> = HashMap::new();
        for topic in &TOPICS {
            assert!(topic.id.chars().all(|c| c.is_ascii_lowercase()), "{}", topic.id);
            for locale in Locale::ALL {
                assert!(topic.name(locale).chars().count() <= MAX_INTEREST_CHARS, "{}", topic.id);
                let korean = topic.name(locale).chars().any(|c| ('가'..='힣').contains(&c));
                assert_eq!(korean, locale == Locale::Ko, "{}: the name in {}", topic.id, locale.tag());
                assert!(topic.other_names(locale).all(|name| name != topic.name(locale)), "{}", topic.id);
            }
            for name in topic.all_names() {
                let known = owners.insert(fold(name), topic.id);
                assert!(known.is_none_or(|known| known == topic.id), "{name} names {known:?} and {}", topic.id);
                assert_eq!(topic_of(name), topic.id);
                // What is suggested can be sought.
                Seek::new(vec![name.to_owned()], Vec::new(), false).unwrap();
            }
        }
    }

    #[test]
    fn a_name_in_any_language_and_spelling_is_its_topic() {
        let decomposed: String = "음악".nfd().collect();
        for (one, other) in [
            ("음악", "Music"),
            ("음악", " ＭＵＳＩＣ"),
            ("비오는날", "rainy-days"),
            ("비 오는 날", "Rainy Day"),
            ("보드 게임", "boardgames"),
            (decomposed.as_str(), "songs"),
            ("우쿨렐레", "우쿨렐레 "),
            ("Rock ’n’ Roll", "rock’n’roll"),
            ("straße", "STRAẞE"),
            ("ΟΔΟΣ", "οδος"),
            ("❤\u{fe0f}", "❤"),
            ("영화·연극", "영화 연극"),
        ] {
            assert_eq!(topic_of(one), topic_of(other), "{one} and {other}");
        }
        for (one, other) in
            [("음악", "영화"), ("C++", "C"), ("C#", "C"), ("café", "cafe"), ("-", "·"), ("music", "musical")]
        {
            assert_ne!(topic_of(one), topic_of(other), "{one} and {other}");
        }
    }

    // The same words as in `web/src/matching/topics.test.ts`.
    #[test]
    fn the_folded_form_is_what_the_client_makes() {
        for (text, folded) in [
            ("Rock-N-Roll", "rocknroll"),
            ("rock n’ roll", "rockn’roll"),
            ("영화·드라마", "영화드라마"),
            ("STRASSE", "strasse"),
            ("straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδοσ"),
            ("❤\u{fe0f}", "❤"),
            ("C++", "c++"),
            ("-", "-"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{1,12}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
            prop_assert_eq!(topic_of(&topic_of(&text)), topic_of(&text));
        }
    }
}
