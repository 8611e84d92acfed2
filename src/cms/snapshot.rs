//! What a node shows now, and the pages made of it: each is rendered once, when it is first asked for.
use std::sync::{Arc, OnceLock};

use time::OffsetDateTime;

use super::model::{self, PageSection, SiteStat};
use super::page;
use super::store::SectionRow;
use crate::error::{Error, Result};
use crate::locale::Locale;
use crate::spa::{HTML, Look, Tagged, Theme};

/// Everything that a page is made of, as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) sections: Vec<SectionRow>,
    pub(super) stats: Vec<SiteStat>,
    /// When the numbers were read, once they are too old to pass for current.
    pub(super) as_of: Option<OffsetDateTime>,
}

/// Contents that were parsed, with room for their pages: one a language and theme.
pub(super) struct Snapshot {
    contents: Contents,
    sections: Arc<[Vec<PageSection>; Locale::ALL.len()]>,
    pages: [OnceLock<Tagged>; Locale::ALL.len() * Theme::ALL.len()],
}

impl Snapshot {
    pub(super) fn of(contents: Contents) -> Self {
        let sections = Locale::ALL.map(|locale| parsed(&contents.sections, locale));
        Self { contents, sections: Arc::new(sections), pages: Default::default() }
    }

    /// The next snapshot. Numbers change often and sections rarely: those are read again only when they have changed.
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

    /// The page for a look. Errors: `internal` when a template fails, which its tests would have shown.
    pub(super) fn page(&self, look: Look, site: &str) -> Result<&Tagged> {
        let slot = &self.pages[look.locale as usize * Theme::ALL.len() + look.theme as usize];
        if let Some(page) = slot.get() {
            return Ok(page);
        }
        let html = page::landing(self, look, site).map_err(Error::internal)?;
        Ok(slot.get_or_init(|| Tagged::new(html, HTML).compressed()))
    }
}

/// The sections of a language. One that cannot be read is left out; with none at all, the built-in ones are shown.
fn parsed(rows: &[SectionRow], locale: Locale) -> Vec<PageSection> {
    let own = rows.iter().filter(|row| row.locale == locale.tag());
    let sections: Vec<PageSection> = own
        .filter_map(|row| match PageSection::parse(&row.kind, &row.content) {
            Ok(section) => Some(section),
            Err(cause) => {
                tracing::warn!(section.kind = row.kind, section.locale = row.locale, error.cause = %cause, "a section cannot be shown");
                None
            }
        })
        .collect();
    if sections.is_empty() { model::built_in(locale) } else { sections }
}
