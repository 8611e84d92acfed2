//! The pages as HTML: landing, the pages about the site, 404; and the structured data for search
//! engines.
use std::collections::HashMap;
use std::sync::LazyLock;

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::arranged::ShownSection;
use super::banners::{Place, Tone};
use super::facts::{InsightsSection, Operator, RoomsSection};
use super::formatted_stat::{FormattedStat, group_digits};
use super::insights::{BarChart, Insights};
use super::model::{Art, Icon, Intro, Page, PageSection, ScreenRow, Side, StatsSection};
use super::snapshot::Snapshot;
use super::stats::{SiteStat, Unit};
use super::store::PublicRoom;
use crate::config::{Config, Contact};
use crate::http::assets::{self, Entry};
use crate::http::{Appearance, CachedBody, HTML, Theme};
use crate::locale::{Locale, Strings};
use crate::matching::PopularTopic;

/// The entry of the build whose script and styles all pages link.
const ENTRY: &str = "src/landing/main.ts";

/// The addresses that a page names: its own, and those it links.
struct Addresses {
    own: String,
    /// This page in each language, as `hreflang` and path.
    alternates: Vec<(&'static str, String)>,
    /// This page in the other languages.
    translations: Vec<Translation>,
    /// The pages about the site: path, name, and whether it is this page.
    about: Vec<(String, &'static str, bool)>,
}

/// A page in another language.
struct Translation {
    tag: &'static str,
    /// The name of the language in itself.
    name: &'static str,
    path: String,
}

impl Addresses {
    fn of(page: Page, locale: Locale) -> Self {
        let translation = |other: Locale| {
            let strings = other.strings();
            Translation { tag: strings.tag, name: strings.language_name, path: page.path(other) }
        };
        let about = |other: Page| (other.path(locale), other.label(locale.strings()), other == page);
        Self {
            own: page.path(locale),
            alternates: page.alternates(),
            translations: locale.others().map(translation).collect(),
            about: Page::ABOUT.map(about).into(),
        }
    }
}

/// Renders a page of a snapshot.
pub(super) fn render(
    snapshot: &Snapshot,
    page: Page,
    appearance: Appearance,
    config: &Config,
) -> askama::Result<String> {
    match page {
        Page::Landing => landing(snapshot, appearance, config),
        _ => about(snapshot, page, appearance, config),
    }
}

/// Renders a page about the site.
fn about(snapshot: &Snapshot, page: Page, appearance: Appearance, config: &Config) -> askama::Result<String> {
    let sections = snapshot.sections(page, appearance.locale);
    let intro = sections.iter().find_map(|shown| match &shown.section {
        PageSection::Intro(intro) => Some(intro),
        _ => None,
    });
    let strings = appearance.locale.strings();
    let heading = intro.map_or(page.label(strings), |intro| intro.title.as_str());
    let about = About {
        appearance,
        strings,
        entry: assets::entry(ENTRY),
        site: &config.site.url,
        addresses: Addresses::of(page, appearance.locale),
        title: format!("{} · {}", single_line(heading), strings.brand),
        heading,
        intro,
        sections,
        page_name: page.name(),
        version: snapshot.page_version(page, appearance.locale),
        banners: shown_banners(snapshot, appearance.locale),
        contact: config.contact.as_ref(),
    };
    about.render()
}

#[derive(Template)]
#[template(path = "about.html")]
struct About<'a> {
    appearance: Appearance,
    strings: &'static Strings,
    entry: Option<&'static Entry>,
    site: &'a str,
    addresses: Addresses,
    title: String,
    heading: &'a str,
    intro: Option<&'a Intro>,
    page_name: &'static str,
    version: u64,
    banners: Vec<ShownBanner<'a>>,
    sections: &'a [ShownSection],
    contact: Option<&'a Contact>,
}

impl About<'_> {
    /// Returns the anchors for the header: this page has none.
    fn links(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// Renders the landing page.
fn landing(snapshot: &Snapshot, appearance: Appearance, config: &Config) -> askama::Result<String> {
    let site = &config.site.url;
    let sections = snapshot.sections(Page::Landing, appearance.locale);
    let hero = sections.iter().find_map(|shown| match &shown.section {
        PageSection::Hero(hero) => Some((single_line(&hero.title), single_line(&hero.lead))),
        _ => None,
    });
    let (title, lead) = hero.unwrap_or_default();
    let strings = appearance.locale.strings();
    let brand = strings.brand;
    let page = Landing {
        appearance,
        strings,
        entry: assets::entry(ENTRY),
        site,
        addresses: Addresses::of(Page::Landing, appearance.locale),
        title: if title.is_empty() { brand.to_owned() } else { format!("{brand}: {}", title.trim_end_matches('.')) },
        structured_data: structured_data(sections, appearance, site),
        lead,
        sections,
        contact: config.contact.as_ref(),
        stats: &snapshot.contents().stats,
        version: snapshot.page_version(Page::Landing, appearance.locale),
        banners: shown_banners(snapshot, appearance.locale),
        topics: &snapshot.contents().topics,
        rooms: &snapshot.contents().rooms,
        insights: &snapshot.contents().insights,
        operator: config.operator.as_deref(),
        privacy_path: Page::Privacy.path(appearance.locale),
        contact_path: Page::Contact.path(appearance.locale),
        host: site.split_once("://").map_or(site.as_str(), |(_, host)| host),
        as_of: snapshot.contents().as_of,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    appearance: Appearance,
    strings: &'static Strings,
    entry: Option<&'static Entry>,
    site: &'a str,
    addresses: Addresses,
    title: String,
    lead: String,
    /// JSON-LD, escaped for a script element.
    structured_data: String,
    sections: &'a [ShownSection],
    contact: Option<&'a Contact>,
    stats: &'a [SiteStat],
    version: u64,
    banners: Vec<ShownBanner<'a>>,
    topics: &'a [PopularTopic],
    rooms: &'a [PublicRoom],
    insights: &'a Insights,
    /// The name that the operator has set.
    operator: Option<&'a str>,
    host: &'a str,
    privacy_path: String,
    contact_path: String,
    as_of: Option<OffsetDateTime>,
}

/// A stat with what the page shows of it.
struct ShownStat<'a> {
    stat: &'a SiteStat,
    label: &'a str,
    formatted: FormattedStat,
}

impl Landing<'_> {
    /// Returns the stats that are known. If there are none, the section is left out.
    fn known_stats(&self, section: &StatsSection) -> Vec<ShownStat<'_>> {
        let known = self.stats.iter().filter_map(|stat| {
            let formatted = FormattedStat::of(stat, &section.counters, self.appearance.locale)?;
            Some(ShownStat { stat, label: stat.label.text(self.appearance.locale), formatted })
        });
        known.collect()
    }

    /// Returns the popular topics, and how many people chose each.
    fn popular(&self) -> Vec<(&'static str, String)> {
        self.topics.iter().map(|topic| (topic.name(self.appearance.locale), group_digits(topic.people))).collect()
    }

    /// Returns the rooms that a section shows.
    fn public_rooms(&self, section: &RoomsSection) -> &[PublicRoom] {
        &self.rooms[..self.rooms.len().min(usize::from(section.count))]
    }

    /// Returns the charts of a section that have enough data.
    fn charts(&self, section: &InsightsSection) -> Vec<BarChart> {
        let locale = self.appearance.locale;
        section.charts.iter().filter_map(|chart| self.insights.chart(*chart, locale)).collect()
    }

    /// Returns the operator's name for the section about them.
    fn operator_name(&self, section: &Operator) -> String {
        section.shown_name(self.operator, self.host)
    }

    /// Returns the anchors of the sections that the header and footer link, with their names.
    fn links(&self) -> Vec<(&'static str, &'static str)> {
        let named = self.sections.iter().filter(|shown| shown.is_first_of_kind()).filter_map(|shown| {
            let name = match &shown.section {
                PageSection::Steps(_) => self.strings.nav_steps,
                PageSection::Safety(_) => self.strings.nav_safety,
                PageSection::Faq(_) => self.strings.nav_questions,
                _ => return None,
            };
            Some((shown.section.anchor(), name))
        });
        named.collect()
    }

    /// Returns the sentence that gives the age of the stats as a time of day in UTC. The page's
    /// script replaces it with the reader's time zone.
    fn stats_as_of(&self, at: &OffsetDateTime) -> String {
        (self.strings.stats_as_of)(&at.format(format_description!("[hour]:[minute]")).unwrap_or_default())
    }

    /// Returns an instant for the `datetime` attribute.
    fn timestamp(&self, at: &OffsetDateTime) -> String {
        at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap_or_default()
    }
}

/// A banner above a page.
struct ShownBanner<'a> {
    key: String,
    text: &'a str,
    /// The language of the text if it is not the page's.
    lang: Option<&'static str>,
    is_warning: bool,
}

/// Returns the banners above the landing page and the pages about the site.
fn shown_banners(snapshot: &Snapshot, locale: Locale) -> Vec<ShownBanner<'_>> {
    let here = snapshot.contents().banners.iter().filter(|banner| banner.places.contains(&Place::Landing));
    let shown = here.map(|banner| {
        let (text, own) = banner.text_in(locale);
        let lang = (own != locale).then(|| own.tag());
        ShownBanner { key: banner.key(), text, lang, is_warning: banner.tone == Tone::Warn }
    });
    shown.collect()
}

/// Joins the lines of a text with spaces.
fn single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the page's structured data for search engines: `WebSite`, and its questions as `FAQPage`
/// (schema.org).
fn structured_data(sections: &[ShownSection], appearance: Appearance, site: &str) -> String {
    let url = format!("{site}{}", appearance.home_path());
    let other_names: Vec<&str> = appearance.locale.others().map(|locale| locale.strings().brand).collect();
    let mut graph = vec![json!({
        "@type": "WebSite",
        "@id": format!("{url}#site"),
        "name": appearance.locale.strings().brand,
        "alternateName": other_names,
        "url": url,
        "inLanguage": appearance.locale.tag(),
    })];
    let questions: Vec<Value> = sections
        .iter()
        .filter_map(|shown| if let PageSection::Faq(faq) = &shown.section { Some(&faq.items) } else { None })
        .flatten()
        .map(|item| {
            let answer = json!({ "@type": "Answer", "text": item.answer });
            json!({ "@type": "Question", "name": item.question, "acceptedAnswer": answer })
        })
        .collect();
    if !questions.is_empty() {
        let language = appearance.locale.tag();
        graph.push(json!({ "@type": "FAQPage", "inLanguage": language, "url": url, "mainEntity": questions }));
    }
    let text = json!({ "@context": "https://schema.org", "@graph": graph }).to_string();
    // No text can end the script element: JSON parsers read these escapes as the same characters.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFound {
    appearance: Appearance,
    strings: &'static Strings,
    entry: Option<&'static Entry>,
}

/// Serves 404 as a page in the site's design, for addresses that a person may have typed.
pub async fn not_found_page(request: HeaderMap) -> Response {
    static PAGES: LazyLock<HashMap<Appearance, CachedBody>> = LazyLock::new(|| {
        let rendered = Appearance::all().filter_map(|appearance| {
            let page = NotFound { appearance, strings: appearance.locale.strings(), entry: assets::entry(ENTRY) };
            let html = page.render();
            let html =
                html.inspect_err(|why| tracing::error!(error.cause = %why, "cannot render the 404 page")).ok()?;
            Some((appearance, CachedBody::new(html, HTML).compressed()))
        });
        rendered.collect()
    });
    match PAGES.get(&Appearance::of(&request)) {
        Some(page) => page.respond_with_status(StatusCode::NOT_FOUND, &request, "Cookie, Accept-Language"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
