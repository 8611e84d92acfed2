//! Which sections a page shows in a language, and in which order: its own, and those that have no
//! translation yet. No I/O.
use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::PageSection;
use crate::locale::Locale;

/// A section that a page may show.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) group: Uuid,
    pub(super) locale: Locale,
    pub(super) position: i32,
    pub(super) visible: bool,
    /// Whether visitors have ever seen it. One that was taken back is not a missing translation.
    pub(super) was_published: bool,
    /// `None` if there is nothing to show of it.
    pub(super) content: Option<PageSection>,
}

/// A section as a page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ShownSection {
    #[serde(flatten)]
    pub section: PageSection,
    /// The language of the section if it is not the page's: its translation is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ko")]
    pub lang: Option<&'static str>,
    /// The `id` of the section in the page.
    #[serde(skip)]
    pub anchor: String,
}

impl ShownSection {
    /// Returns the attributes `id` and `lang` of the section's element.
    pub fn attributes(&self) -> String {
        format!(r#" id="{}"{}"#, self.anchor, self.lang_attribute())
    }

    /// Returns the attribute `lang`, empty if the section is in the page's language.
    pub fn lang_attribute(&self) -> String {
        self.lang.map(|lang| format!(r#" lang="{lang}""#)).unwrap_or_default()
    }

    /// Returns `true` for the first section of its kind in the page: links lead to it.
    pub fn is_first_of_kind(&self) -> bool {
        self.anchor == self.section.anchor()
    }
}

/// Returns the sections that a page shows in a language.
///
/// A section of the site's first language stands in for a translation that is missing or was never
/// published, behind the section that it follows there. One that an editor has hidden or taken back
/// is not missing.
pub(super) fn arrange(mut candidates: Vec<Candidate>, locale: Locale) -> Vec<ShownSection> {
    candidates.sort_by_key(|one| one.position);
    let (own, others): (Vec<Candidate>, Vec<Candidate>) = candidates.into_iter().partition(|one| one.locale == locale);
    let decided: HashSet<Uuid> =
        own.iter().filter(|one| !one.visible || one.was_published).map(|one| one.group).collect();
    let mut shown: Vec<(Uuid, PageSection, Option<&'static str>)> = Vec::new();
    for one in own {
        if let Some(content) = one.content.filter(|_| one.visible) {
            shown.push((one.group, content, None));
        }
    }
    let mut place = 0;
    for one in others.into_iter().filter(|one| one.locale == Locale::default()) {
        if let Some(at) = shown.iter().position(|(group, ..)| *group == one.group) {
            place = at + 1;
        } else if let Some(content) = one.content.filter(|_| one.visible && !decided.contains(&one.group)) {
            shown.insert(place, (one.group, content, Some(one.locale.tag())));
            place += 1;
        }
    }
    with_anchors(shown.into_iter().map(|(_, section, lang)| (section, lang)))
}

/// Gives each section an anchor of its own: `faq`, `faq-2`, …
pub(super) fn with_anchors(sections: impl Iterator<Item = (PageSection, Option<&'static str>)>) -> Vec<ShownSection> {
    let mut counts: HashMap<&'static str, usize> = HashMap::new();
    let shown = sections.map(|(section, lang)| {
        let first = section.anchor();
        let count = counts.entry(first).and_modify(|count| *count += 1).or_insert(1);
        let anchor = if *count == 1 { first.to_owned() } else { format!("{first}-{count}") };
        ShownSection { section, lang, anchor }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Candidate, arrange};
    use crate::cms::model::{PageSection, Prose};
    use crate::locale::Locale;

    fn candidate(group: u128, locale: Locale, position: i32, title: &str) -> Candidate {
        let prose = Prose { title: title.to_owned(), text: String::new(), lines: Vec::new() };
        let content = Some(PageSection::Markdown(prose));
        Candidate { group: Uuid::from_u128(group), locale, position, visible: true, was_published: true, content }
    }

    fn titles(candidates: Vec<Candidate>) -> Vec<(String, Option<&'static str>, String)> {
        let shown = arrange(candidates, Locale::En).into_iter();
        let titles = shown.map(|shown| match shown.section {
            PageSection::Markdown(prose) => (prose.title, shown.lang, shown.anchor),
            other => panic!("{other:?}"),
        });
        titles.collect()
    }

    #[test]
    fn a_missing_translation_stands_where_it_does_in_the_first_language() {
        let (ko, en) = (Locale::Ko, Locale::En);
        let mut candidates = vec![
            candidate(1, ko, 10, "하나"),
            candidate(2, ko, 20, "둘"),
            candidate(3, ko, 30, "셋"),
            candidate(4, ko, 40, "넷"),
            // English has another order, and no second and fourth section.
            candidate(3, en, 10, "three"),
            candidate(1, en, 20, "one"),
        ];
        let names = |found: Vec<(String, Option<&'static str>, String)>| -> Vec<String> {
            found.into_iter().map(|(title, ..)| title).collect()
        };
        assert_eq!(names(titles(candidates.clone())), ["three", "넷", "one", "둘"]);
        let found = titles(candidates.clone());
        assert_eq!(found[1], ("넷".to_owned(), Some("ko"), "more-2".to_owned()));
        assert_eq!(found[0].1, None);
        // A translation that exists as a draft is still missing; one that was taken back is not.
        candidates.push(Candidate { content: None, was_published: false, ..candidate(2, en, 30, "") });
        candidates.push(Candidate { content: None, ..candidate(4, en, 40, "") });
        assert_eq!(names(titles(candidates.clone())), ["three", "one", "둘"]);
        // What is hidden is hidden, in both roles.
        candidates[1].visible = false;
        candidates[5].visible = false;
        assert_eq!(names(titles(candidates)), ["three"]);
    }
}
