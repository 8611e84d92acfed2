//! What a node shows now, and the pages rendered from it: each once, when it is first requested.
use std::sync::{Arc, OnceLock};

use time::OffsetDateTime;

use super::model::{self, Page, PageSection, SiteStat};
use super::page;
use super::store::SectionRow;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{Appearance, CachedBody, HTML, Theme};
use crate::locale::Locale;
use crate::matching::PopularTopic;

/// Everything that the pages are made of, as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) sections: Vec<SectionRow>,
    pub(super) stats: Vec<SiteStat>,
    /// What people talk about now, the most popular first. Empty if they are few.
    pub(super) topics: Vec<PopularTopic>,
    /// When the stats were read, if they are stale. `None` while they are fresh.
    pub(super) as_of: Option<OffsetDateTime>,
}

/// The same page in each language and theme, rendered or not yet.
type Rendered = [[OnceLock<CachedBody>; Theme::ALL.len()]; Locale::ALL.len()];

/// Parsed contents, with room for their pages.
pub(super) struct Snapshot {
    contents: Contents,
    parsed: Arc<Parsed>,
    landing: Rendered,
}

/// What depends on the sections and not on the stats.
struct Parsed {
    /// By page, then language.
    sections: [[Vec<PageSection>; Locale::ALL.len()]; Page::ALL.len()],
    /// The pages about the site. The place of the landing page stays empty.
    about: [Rendered; Page::ALL.len()],
}

impl Snapshot {
    /// Parses contents.
    pub(super) fn of(contents: Contents) -> Self {
        let sections = Page::ALL.map(|page| Locale::ALL.map(|locale| parse_sections(&contents.sections, page, locale)));
        let parsed = Parsed { sections, about: Default::default() };
        Self { contents, parsed: Arc::new(parsed), landing: Default::default() }
    }

    /// Returns the next snapshot. Stats change often and sections rarely: sections are parsed and
    /// the pages about the site rendered again only if sections have changed.
    pub(super) fn followed_by(&self, contents: Contents) -> Self {
        if contents.sections != self.contents.sections {
            return Self::of(contents);
        }
        Self { contents, parsed: self.parsed.clone(), landing: Default::default() }
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(super) fn sections(&self, page: Page, locale: Locale) -> &[PageSection] {
        &self.parsed.sections[page as usize][locale as usize]
    }

    /// Returns a page in an appearance, and renders it the first time.
    ///
    /// # Errors
    /// `internal` if a template fails; its tests would fail as well.
    pub(super) fn page(&self, page: Page, appearance: Appearance, config: &Config) -> Result<&CachedBody> {
        let rendered = if page == Page::Landing { &self.landing } else { &self.parsed.about[page as usize] };
        let slot = &rendered[appearance.locale as usize][appearance.theme as usize];
        if let Some(body) = slot.get() {
            return Ok(body);
        }
        let html = page::render(self, page, appearance, config).map_err(Error::internal)?;
        Ok(slot.get_or_init(|| CachedBody::new(html, HTML).compressed()))
    }
}

/// Parses the sections of a page in a language. A section that cannot be parsed is left out; if
/// none is left, the built-in sections are shown.
fn parse_sections(rows: &[SectionRow], page: Page, locale: Locale) -> Vec<PageSection> {
    let own = rows.iter().filter(|row| row.page == page.name() && row.locale == locale.tag());
    let sections: Vec<PageSection> = own
        .filter_map(|row| match PageSection::parse(&row.kind, &row.content) {
            Ok(section) => Some(section),
            Err(cause) => {
                tracing::warn!(
                    section.page = row.page,
                    section.kind = row.kind,
                    section.locale = row.locale,
                    error.cause = %cause,
                    "a section cannot be parsed and is left out"
                );
                None
            }
        })
        .collect();
    if sections.is_empty() { model::built_in(page, locale) } else { sections }
}
