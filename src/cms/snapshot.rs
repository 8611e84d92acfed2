//! What a node shows now, and the pages rendered from it: each once, when it is first requested.
use std::sync::{Arc, OnceLock};

use time::OffsetDateTime;

use super::model::{self, PageSection, SiteStat};
use super::page;
use super::store::SectionRow;
use crate::error::{Error, Result};
use crate::http::{Appearance, CachedBody, HTML, Theme};
use crate::locale::Locale;
use crate::matching::PopularTopic;

/// Everything that the page is made of, as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) sections: Vec<SectionRow>,
    pub(super) stats: Vec<SiteStat>,
    /// What people talk about now, the most popular first. Empty if they are few.
    pub(super) topics: Vec<PopularTopic>,
    /// When the stats were read, if they are stale. `None` while they are fresh.
    pub(super) as_of: Option<OffsetDateTime>,
}

/// Parsed contents, with room for their pages: one per language and theme.
pub(super) struct Snapshot {
    contents: Contents,
    sections: Arc<[Vec<PageSection>; Locale::ALL.len()]>,
    pages: [OnceLock<CachedBody>; Locale::ALL.len() * Theme::ALL.len()],
}

impl Snapshot {
    /// Parses contents.
    pub(super) fn of(contents: Contents) -> Self {
        let sections = Locale::ALL.map(|locale| parse_sections(&contents.sections, locale));
        Self { contents, sections: Arc::new(sections), pages: Default::default() }
    }

    /// Returns the next snapshot. Stats change often and sections rarely: sections are parsed again
    /// only if they have changed.
    pub(super) fn followed_by(&self, contents: Contents) -> Self {
        if contents.sections != self.contents.sections {
            return Self::of(contents);
        }
        Self { contents, sections: self.sections.clone(), pages: Default::default() }
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(super) fn sections(&self, locale: Locale) -> &[PageSection] {
        &self.sections[locale as usize]
    }

    /// Returns the page in an appearance, and renders it the first time.
    ///
    /// # Errors
    /// `internal` if a template fails; its tests would fail as well.
    pub(super) fn page(&self, appearance: Appearance, site: &str) -> Result<&CachedBody> {
        let slot = &self.pages[appearance.locale as usize * Theme::ALL.len() + appearance.theme as usize];
        if let Some(page) = slot.get() {
            return Ok(page);
        }
        let html = page::landing(self, appearance, site).map_err(Error::internal)?;
        Ok(slot.get_or_init(|| CachedBody::new(html, HTML).compressed()))
    }
}

/// Parses the sections of a language. A section that cannot be parsed is left out; if none is left,
/// the built-in sections are shown.
fn parse_sections(rows: &[SectionRow], locale: Locale) -> Vec<PageSection> {
    let own = rows.iter().filter(|row| row.locale == locale.tag());
    let sections: Vec<PageSection> = own
        .filter_map(|row| match PageSection::parse(&row.kind, &row.content) {
            Ok(section) => Some(section),
            Err(cause) => {
                tracing::warn!(
                    section.kind = row.kind,
                    section.locale = row.locale,
                    error.cause = %cause,
                    "a section of the landing page cannot be parsed and is left out"
                );
                None
            }
        })
        .collect();
    if sections.is_empty() { model::built_in(locale) } else { sections }
}
