//! The editor of a section: its form in all languages, its preview, its schedule and its history.
use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::form::{Form, Part, id_of, sentence};
use super::group::{Group, crumbs, mark, state_badge};
use super::history::{self, History};
use super::times::{Zone, machine_readable};
use super::values::{Problem, Values, read};
use super::{list, presence, preview};
use crate::accounts::Role;
use crate::admin::desk::{Area, Desk};
use crate::cms::{Section, SectionState};
use crate::error::Result;
use crate::locale::{AdminStrings, Locale};

/// The widths of the previews, in pixels.
const WIDTHS: [u32; 3] = [320, 768, 1280];

/// What an address of the editor asks for.
#[derive(Default, Deserialize)]
pub(super) struct View {
    /// A list that gets one more, empty item.
    add: Option<String>,
    /// The `id` of the field that has the focus.
    at: Option<String>,
    /// An entry of the history: the section's id and the version.
    pub(super) entry: Option<String>,
    /// `published`: the entry is compared with what is published, instead of the draft.
    pub(super) against: Option<String>,
    /// The language of the preview.
    look: Option<String>,
}

/// A section of the page, as a link.
struct Sibling {
    path: String,
    name: &'static str,
    words: String,
    state: &'static str,
    badge: &'static str,
    is_current: bool,
}

/// Where the section stands in one language.
struct Standing {
    tag: &'static str,
    language: &'static str,
    state: &'static str,
    badge: &'static str,
    line: String,
    /// What is scheduled.
    due: Vec<(String, String)>,
}

/// A problem in the summary above the form.
struct Listed {
    id: String,
    label: String,
    text: String,
}

/// A language without a text of its own, and one to start from.
struct Untranslated {
    tag: &'static str,
    language: &'static str,
    from: &'static str,
    from_language: &'static str,
}

#[derive(Template)]
#[template(path = "admin/sections/editor.html")]
struct Editor<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    name: &'static str,
    about: &'static str,
    page_path: String,
    path: String,
    standings: Vec<Standing>,
    saved: String,
    saved_at: String,
    others: String,
    siblings: Vec<Sibling>,
    hidden: Vec<(String, String)>,
    parts: Vec<Part>,
    focus: String,
    problems: Vec<Listed>,
    untranslated: Vec<Untranslated>,
    is_published: bool,
    is_scheduled: bool,
    preview: String,
    share: String,
    look: Locale,
    widths: [u32; 3],
    history: History,
}

impl Editor<'_> {
    /// Returns the words of the button that copies from a language.
    fn copy_words(&self, tag: &str) -> String {
        let language = Locale::of_tag(tag).map_or("", |locale| locale.strings().language_name);
        (self.t.sections.copy_from)(language)
    }
}

/// Shows the editor.
pub(super) async fn page(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Query(view): Query<View>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    let values = group.drafts();
    respond(&desk, &group, &values, &BTreeMap::new(), view).await
}

/// Shows the editor with what was entered, and what is wrong with it.
///
/// # Errors
/// `unavailable`.
pub(super) async fn respond(
    desk: &Desk,
    group: &Group,
    values: &Values,
    problems: &BTreeMap<String, Problem>,
    view: View,
) -> Result<Response> {
    let t = desk.t();
    let locale = desk.appearance.locale;
    let zone = Zone::of(&desk.app, locale).await?;
    let others = presence::seen(desk, group.id).await?;
    let published = group.published();
    let form = Form { values, published: &published, problems, added: view.add.as_deref(), locale };
    let focus = view.at.clone().or_else(|| form.first_added()).unwrap_or_default();
    let look = view.look.as_deref().and_then(Locale::of_tag).unwrap_or(locale);
    let preview = preview::path(&desk.app, group.page).await?;
    let newest = group.newest();
    let editor = Editor {
        t,
        token: desk.token(),
        name: group.kind.label.text(locale),
        about: group.kind.about.text(locale),
        page_path: format!("/admin/pages/{}", group.page.name()),
        path: group.path(),
        standings: standings(desk, group, &zone),
        saved: newest.map(|section| saved_line(desk, &zone, section)).unwrap_or_default(),
        saved_at: newest.map(|section| machine_readable(section.saved_at)).unwrap_or_default(),
        others: if others.is_empty() { String::new() } else { (t.sections.also_here)(&others) },
        siblings: siblings(desk, group).await?,
        hidden: hidden(group, values),
        parts: form.parts(group.kind),
        focus,
        problems: listed(desk, group, problems),
        untranslated: untranslated(group),
        is_published: group.sections.iter().any(|section| section.published.is_some()),
        is_scheduled: group.sections.iter().any(|one| one.publish_at.is_some() || one.unpublish_at.is_some()),
        share: format!("{}{preview}?locale={}", desk.app.config.site.url, look.tag()),
        preview,
        look,
        widths: WIDTHS,
        history: history::of(desk, group, &zone, &view).await?,
    };
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    desk.respond(status, Area::Pages, &crumbs(desk, group.page), editor.name, &editor).await
}

/// Returns the sentence about the last save: with a name if it was somebody else's.
pub(super) fn saved_line(desk: &Desk, zone: &Zone, section: &Section) -> String {
    let (t, time) = (&desk.t().sections, zone.text(section.saved_at));
    if section.saved_by == desk.staff.account.handle {
        (t.saved)(&time)
    } else {
        (t.saved_by)(&time, &section.saved_by)
    }
}

fn standings(desk: &Desk, group: &Group, zone: &Zone) -> Vec<Standing> {
    let t = &desk.t().sections;
    let standing = |section: &Section| {
        let (state, badge) = state_badge(t, section.state);
        let due = |at: Option<time::OffsetDateTime>, sentence: fn(&str) -> String| {
            at.map(|at| (sentence(&zone.text(at)), machine_readable(at)))
        };
        let line = match (section.state, section.published_version) {
            (SectionState::Changed, Some(version)) => (t.newer_draft)(version),
            (SectionState::Draft, _) => t.not_published.to_owned(),
            _ => String::new(),
        };
        let due = [due(section.publish_at, t.publishes_at), due(section.unpublish_at, t.unpublishes_at)];
        Standing {
            tag: section.locale.tag(),
            language: section.locale.strings().language_name,
            state,
            badge,
            line,
            due: due.into_iter().flatten().collect(),
        }
    };
    group.sections.iter().map(standing).collect()
}

async fn siblings(desk: &Desk, group: &Group) -> Result<Vec<Sibling>> {
    let sibling = |other: &Group| {
        let (state, badge) = state_badge(&desk.t().sections, other.state());
        let own = other.section(desk.appearance.locale).or_else(|| other.sections.first());
        Sibling {
            path: other.path(),
            name: other.kind.label.text(desk.appearance.locale),
            words: own.map(list::first_words).unwrap_or_default(),
            state,
            badge,
            is_current: other.id == group.id,
        }
    };
    Ok(list::groups(desk, group.page).await?.iter().map(sibling).collect())
}

/// Returns the hidden fields: for each language the version that the reader sees, and a mark of its
/// content. After a refusal they stay as they were sent.
fn hidden(group: &Group, values: &Values) -> Vec<(String, String)> {
    let mut hidden = Vec::new();
    for section in &group.sections {
        let tag = section.locale.tag();
        let (version, base) = (format!("version.{tag}"), format!("base.{tag}"));
        let sent = |name: &str| values.get(name).cloned();
        hidden.push((version.clone(), sent(&version).unwrap_or_else(|| section.version.to_string())));
        hidden.push((base.clone(), sent(&base).unwrap_or_else(|| mark(&group.normal(&section.content)))));
    }
    hidden
}

fn listed(desk: &Desk, group: &Group, problems: &BTreeMap<String, Problem>) -> Vec<Listed> {
    let listed = |(name, problem): (&String, &Problem)| {
        let (tag, path) = name.split_once('.').unwrap_or(("", name));
        let language = Locale::of_tag(tag).map(|locale| locale.strings().language_name);
        let label = history::label_of(group.kind.fields, path, desk.appearance.locale);
        Listed {
            id: id_of(tag, path),
            label: language.map_or_else(|| label.clone(), |language| format!("{language} · {label}")),
            text: sentence(&desk.t().sections, *problem),
        }
    };
    problems.iter().map(listed).collect()
}

fn untranslated(group: &Group) -> Vec<Untranslated> {
    let Some(first) = group.sections.first().map(|section| section.locale) else { return Vec::new() };
    let missing = Locale::ALL.into_iter().filter(|locale| group.section(*locale).is_none());
    let start = |locale: Locale| Untranslated {
        tag: locale.tag(),
        language: locale.strings().language_name,
        from: first.tag(),
        from_language: first.strings().language_name,
    };
    missing.map(start).collect()
}

/// Reads what was entered in each language.
pub(super) fn contents(group: &Group, values: &Values) -> Vec<(Locale, serde_json::Value, BTreeMap<String, Problem>)> {
    let content = |locale: Locale| {
        let (content, problems) = read(group.kind.fields, values, locale.tag());
        (locale, content, problems)
    };
    Locale::ALL.map(content).into()
}
