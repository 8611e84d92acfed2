//! The landing page as HTML: what its templates are given, and what search engines and link previews read.
use askama::Template;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::figure::Figure;
use super::model::{Art, Icon, Numbers, PageSection, Side, SiteStat, Unit};
use super::snapshot::Snapshot;
use crate::locale::Locale;
use crate::spa::{self, Entry, Look, Theme};

/// The page of a snapshot. `site` is the public address, without a slash at its end.
pub(super) fn landing(snapshot: &Snapshot, look: Look, site: &str) -> askama::Result<String> {
    let sections = snapshot.sections(look.locale);
    let words = sections.iter().find_map(|section| match section {
        PageSection::Hero(hero) => Some((flat(&hero.title), flat(&hero.lead))),
        _ => None,
    });
    let (title, lead) = words.unwrap_or_default();
    let brand = look.say("마주", "Maju");
    let page = Landing {
        look,
        entry: spa::asset("src/landing/main.ts"),
        site,
        title: if title.is_empty() { brand.to_owned() } else { format!("{brand}: {}", title.trim_end_matches('.')) },
        facts: facts(sections, look, site),
        lead,
        sections,
        stats: &snapshot.contents().stats,
        as_of: snapshot.contents().as_of,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    look: Look,
    entry: Option<&'static Entry>,
    site: &'a str,
    title: String,
    lead: String,
    /// JSON-LD, safe inside a script element.
    facts: String,
    sections: &'a [PageSection],
    stats: &'a [SiteStat],
    as_of: Option<OffsetDateTime>,
}

/// A number in its place.
struct Shown<'a> {
    stat: &'a SiteStat,
    label: &'a str,
    figure: Figure,
}

impl Landing<'_> {
    /// The numbers that are known; with none, the section is left out.
    fn shown(&self, numbers: &Numbers) -> Vec<Shown<'_>> {
        let known = self.stats.iter().filter_map(|stat| {
            let figure = Figure::of(stat, &numbers.counters, self.look.locale)?;
            Some(Shown { stat, label: stat.label.text(self.look.locale), figure })
        });
        known.collect()
    }

    /// Links to the sections of this page, with what the header calls them.
    fn links(&self) -> Vec<(&'static str, &'static str)> {
        let named = self.sections.iter().filter_map(|section| {
            let name = match section {
                PageSection::Steps(_) => self.look.say("대화 방식", "How it works"),
                PageSection::Safety(_) => self.look.say("안전", "Safety"),
                PageSection::Faq(_) => self.look.say("자주 묻는 말", "Questions"),
                _ => return None,
            };
            Some((section.anchor(), name))
        });
        named.collect()
    }

    /// The time of day of the last numbers, UTC; the page's script tells it in the reader's own zone.
    fn clock(&self, at: &OffsetDateTime) -> String {
        at.format(format_description!("[hour]:[minute]")).unwrap_or_default()
    }

    /// The same in full, for machines.
    fn instant(&self, at: &OffsetDateTime) -> String {
        at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap_or_default()
    }
}

/// One line of text from one with line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the page says, for search engines: `WebSite`, and its questions as `FAQPage` (schema.org).
fn facts(sections: &[PageSection], look: Look, site: &str) -> String {
    let address = format!("{site}{}", look.home());
    let mut graph = vec![json!({
        "@type": "WebSite",
        "@id": format!("{address}#site"),
        "name": look.say("마주", "Maju"),
        "alternateName": look.say("Maju", "마주"),
        "url": address,
        "inLanguage": look.locale.tag(),
    })];
    let questions: Vec<Value> = sections
        .iter()
        .filter_map(|section| if let PageSection::Faq(faq) = section { Some(&faq.items) } else { None })
        .flatten()
        .map(|item| {
            let answer = json!({ "@type": "Answer", "text": item.answer });
            json!({ "@type": "Question", "name": item.question, "acceptedAnswer": answer })
        })
        .collect();
    if !questions.is_empty() {
        let language = look.locale.tag();
        graph.push(json!({ "@type": "FAQPage", "inLanguage": language, "url": address, "mainEntity": questions }));
    }
    let text = json!({ "@context": "https://schema.org", "@graph": graph }).to_string();
    // Nothing in a text may end the script element: JSON reads these escapes as the same characters.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
