//! A section in all languages: what the editor opens.
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::fields::{self, SectionKind};
use super::values::{Values, flatten, read};
use crate::admin::desk::Desk;
use crate::cms::{self, Editor, Page, PageSection, Section, SectionState};
use crate::error::{Error, Result};
use crate::locale::{Locale, SectionStrings};

/// Sections that are translations of each other.
pub(super) struct Group {
    pub(super) page: Page,
    pub(super) id: Uuid,
    pub(super) kind: &'static SectionKind,
    /// In the order of [`Locale::ALL`]; not every language has one.
    pub(super) sections: Vec<Section>,
}

impl Group {
    /// Reads the sections of a group of a page.
    ///
    /// # Errors
    /// `not_found` if there is none, `unavailable`.
    pub(super) async fn open(desk: &Desk, page: &str, id: Uuid) -> Result<Self> {
        let page = page_of(page)?;
        let all = cms::sections(&desk.app, Some(page), None).await?;
        let sections: Vec<Section> = all.into_iter().filter(|section| section.group == id).collect();
        Self::of(page, id, sections).ok_or(Error::NotFound)
    }

    /// Puts sections in the order of the languages. `None` if there are none.
    pub(super) fn of(page: Page, id: Uuid, mut sections: Vec<Section>) -> Option<Self> {
        sections.sort_by_key(|section| Locale::ALL.iter().position(|locale| *locale == section.locale));
        let kind = fields::kind(sections.first()?.kind.as_str())?;
        Some(Self { page, id, kind, sections })
    }

    /// Returns the section in a language. `None` if it is not translated.
    pub(super) fn section(&self, locale: Locale) -> Option<&Section> {
        self.sections.iter().find(|section| section.locale == locale)
    }

    /// Returns the path of the editor.
    pub(super) fn path(&self) -> String {
        format!("/admin/pages/{}/{}", self.page.name(), self.id)
    }

    /// Returns the drafts as the fields of the form.
    pub(super) fn drafts(&self) -> Values {
        self.values(|section| Some(&section.content))
    }

    /// Returns what is published as the fields of the form.
    pub(super) fn published(&self) -> Values {
        self.values(|section| section.published.as_ref())
    }

    fn values(&self, content: impl Fn(&Section) -> Option<&PageSection>) -> Values {
        let mut values = Values::new();
        for section in &self.sections {
            if let Some(content) = content(section) {
                flatten(self.kind.fields, &content.content(), section.locale.tag(), &mut values);
            }
        }
        values
    }

    /// Returns a content as its form would send it, so that contents can be compared.
    pub(super) fn normal(&self, content: &PageSection) -> Value {
        let mut values = Values::new();
        flatten(self.kind.fields, &content.content(), "ko", &mut values);
        read(self.kind.fields, &values, "ko").0
    }

    /// Returns the state that matters most.
    pub(super) fn state(&self) -> SectionState {
        let rank = |state: &SectionState| match state {
            SectionState::Scheduled => 3,
            SectionState::Changed => 2,
            SectionState::Draft => 1,
            SectionState::Published => 0,
        };
        self.sections.iter().map(|section| section.state).max_by_key(rank).unwrap_or(SectionState::Draft)
    }

    /// Returns the section that was saved last.
    pub(super) fn newest(&self) -> Option<&Section> {
        self.sections.iter().max_by_key(|section| section.saved_at)
    }
}

/// Returns a mark of a content. A page remembers it, to know later whether its reader changed it.
pub(super) fn mark(content: &Value) -> String {
    Sha256::digest(content.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the page of a name in an address.
///
/// # Errors
/// `not_found`.
pub(super) fn page_of(name: &str) -> Result<Page> {
    Page::ALL.into_iter().find(|page| page.name() == name).ok_or(Error::NotFound)
}

/// Returns the name of a page in the back-office.
pub(super) fn page_name(desk: &Desk, page: Page) -> &'static str {
    match page {
        Page::Landing => desk.t().sections.landing,
        page => page.label(desk.appearance.locale.strings()),
    }
}

/// Returns the pages above an editor: path and name.
pub(super) fn crumbs(desk: &Desk, page: Page) -> Vec<(String, String)> {
    vec![
        ("/admin/pages/landing".to_owned(), desk.t().shell.pages.to_owned()),
        (format!("/admin/pages/{}", page.name()), page_name(desk, page).to_owned()),
    ]
}

/// Returns who edits, for the verbs.
pub(super) fn editor(desk: &Desk) -> Editor<'_> {
    Editor { who: &desk.staff.visitor, prefix_hash: &desk.prefix_hash }
}

/// Returns the name of a state, and the class of its badge.
pub(super) fn state_badge(t: &SectionStrings, state: SectionState) -> (&'static str, &'static str) {
    match state {
        SectionState::Draft => (t.state_draft, "badge-draft"),
        SectionState::Published => (t.state_published, "badge-good"),
        SectionState::Changed => (t.state_changed, "badge-warn"),
        SectionState::Scheduled => (t.state_scheduled, ""),
    }
}
