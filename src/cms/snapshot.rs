//! What a node shows now, and the pages rendered from it: each once, when it is first requested.
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use time::OffsetDateTime;

use super::arranged::{Candidate, ShownSection, arrange, with_anchors};
use super::banners::Banner;
use super::insights::Insights;
use super::kind::Kind;
use super::model::{self, Page};
use super::page;
use super::routes::Stats;
use super::sections::parse_content;
use super::stats::SiteStat;
use super::store::{PublicRoom, PublicRow};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{Appearance, CachedBody, HTML, Theme};
use crate::locale::Locale;
use crate::matching::PopularTopic;

/// Everything that the pages are made of, as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// The version of the sections. 0 before they were read.
    pub(super) version: i64,
    pub(super) sections: Vec<PublicRow>,
    pub(super) stats: Vec<SiteStat>,
    /// What people talk about now, the most popular first. Empty if they are few.
    pub(super) topics: Vec<PopularTopic>,
    /// The public rooms, the liveliest first.
    pub(super) rooms: Vec<PublicRoom>,
    /// The service's own numbers, for charts.
    pub(super) insights: Insights,
    /// The banners that are shown now.
    pub(super) banners: Vec<Banner>,
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
    /// The event that tells open pages the stats.
    stats: OnceLock<Bytes>,
}

/// What depends on the sections and not on the stats.
struct Parsed {
    /// By page, then language.
    sections: [[Vec<ShownSection>; Locale::ALL.len()]; Page::ALL.len()],
    /// The hash of what each page shows, by page, then language.
    versions: [[OnceLock<u64>; Locale::ALL.len()]; Page::ALL.len()],
    /// The pages about the site. The place of the landing page stays empty.
    about: [Rendered; Page::ALL.len()],
}

impl Snapshot {
    /// Parses contents.
    pub(super) fn of(contents: Contents) -> Self {
        let sections = Page::ALL.map(|page| {
            let candidates = candidates(&contents.sections, page);
            Locale::ALL.map(|locale| shown_sections(candidates.clone(), page, locale))
        });
        let parsed = Parsed { sections, versions: Default::default(), about: Default::default() };
        Self { contents, parsed: Arc::new(parsed), landing: Default::default(), stats: OnceLock::new() }
    }

    /// Returns the next snapshot. Stats change often and sections rarely: sections are parsed and
    /// the pages about the site rendered again only if sections have changed.
    pub(super) fn followed_by(&self, contents: Contents) -> Self {
        if contents.sections != self.contents.sections || contents.banners != self.contents.banners {
            return Self::of(contents);
        }
        Self { contents, parsed: self.parsed.clone(), landing: Default::default(), stats: OnceLock::new() }
    }

    /// Returns a snapshot that shows other sections on one page, for previews.
    pub(super) fn with_candidates(&self, page: Page, candidates: Vec<Candidate>) -> Self {
        let mut sections = self.parsed.sections.clone();
        sections[page as usize] = Locale::ALL.map(|locale| shown_sections(candidates.clone(), page, locale));
        let parsed = Parsed { sections, versions: Default::default(), about: Default::default() };
        let contents = self.contents.clone();
        Self { contents, parsed: Arc::new(parsed), landing: Default::default(), stats: OnceLock::new() }
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(super) fn sections(&self, page: Page, locale: Locale) -> &[ShownSection] {
        &self.parsed.sections[page as usize][locale as usize]
    }

    /// Returns the version of a page in a language: it is another one if an editor has changed what
    /// the page shows. Values of stats do not matter.
    pub(super) fn page_version(&self, page: Page, locale: Locale) -> u64 {
        let sections = self.parsed.versions[page as usize][locale as usize].get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            for shown in self.sections(page, locale) {
                shown.anchor.hash(&mut hasher);
                shown.lang.hash(&mut hasher);
                shown.section.content().to_string().hash(&mut hasher);
            }
            for banner in &self.contents.banners {
                banner.key().hash(&mut hasher);
            }
            hasher.finish()
        });
        if page != Page::Landing {
            return *sections;
        }
        let mut hasher = DefaultHasher::new();
        sections.hash(&mut hasher);
        for stat in &self.contents.stats {
            (&stat.key, stat.label.text(locale), stat.unit.as_str(), stat.value.is_some()).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns the event that tells open pages the stats.
    pub(super) fn stats_event(&self) -> Bytes {
        let event = self.stats.get_or_init(|| {
            let json = serde_json::to_string(&Stats::of(&self.contents)).unwrap_or_default();
            format!("event: stats\ndata: {json}\n\n").into()
        });
        event.clone()
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

/// Parses the sections of a page in all languages. One that cannot be parsed has no content.
fn candidates(rows: &[PublicRow], page: Page) -> Vec<Candidate> {
    let own = rows.iter().filter(|row| row.page == page.name());
    let candidates = own.filter_map(|row| {
        let locale = Locale::ALL.into_iter().find(|locale| locale.tag() == row.locale)?;
        Some(Candidate {
            group: row.group_id,
            locale,
            position: row.position,
            visible: row.visible,
            was_published: row.was_published,
            content: row.content.as_ref().and_then(|content| {
                let kind = Kind::of_str(&row.kind)?;
                let parsed = parse_content(kind, content);
                let parsed = parsed.inspect_err(|cause| {
                    tracing::warn!(
                        section.page = row.page,
                        section.kind = row.kind,
                        section.locale = row.locale,
                        error.cause = %cause,
                        "a section cannot be parsed and is left out"
                    );
                });
                parsed.ok()
            }),
        })
    });
    candidates.collect()
}

/// Returns what a page shows in a language; the built-in sections if that would be nothing.
fn shown_sections(candidates: Vec<Candidate>, page: Page, locale: Locale) -> Vec<ShownSection> {
    let shown = arrange(candidates, locale);
    if !shown.is_empty() {
        return shown;
    }
    with_anchors(model::built_in(page, locale).into_iter().map(|section| (section, None)))
}
