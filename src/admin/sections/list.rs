//! The sections of a page in their order: visible or hidden, moved, added, deleted and restored.
use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::fields::{KINDS, SectionKind};
use super::group::{Group, crumbs, editor, page_name, page_of, state_badge};
use super::times::Zone;
use crate::accounts::{Form, Role};
use crate::admin::desk::{Area, Desk};
use crate::admin::note::{Note, Undo};
use crate::cms::{self, Change, Kind, NewSection, Page, Section, SectionState};
use crate::error::{Error, Result};
use crate::ids::SectionId;
use crate::locale::section_fields::UNKNOWN_KIND;
use crate::locale::{AdminStrings, Locale};

/// Characters of a text that a row shows.
const EXCERPT_CHARS: usize = 70;

/// A tab: a page with its path.
struct Tab {
    path: String,
    name: &'static str,
    is_current: bool,
}

/// A row of the list: a section in all languages.
struct Row {
    group: Uuid,
    path: String,
    name: &'static str,
    about: &'static str,
    texts: Vec<RowText>,
    state: &'static str,
    badge: &'static str,
    when: String,
    is_visible: bool,
    is_first: bool,
    is_last: bool,
}

/// The first words in one language.
struct RowText {
    tag: &'static str,
    language: &'static str,
    /// `None` if there is no translation.
    words: Option<String>,
}

#[derive(Template)]
#[template(path = "admin/sections/list.html")]
struct List<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    name: &'static str,
    path: String,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    deleted: Vec<(i64, &'static str, String)>,
    changed: usize,
    missing: usize,
}

/// Reads the groups of a page in their order.
///
/// # Errors
/// `unavailable`.
pub(super) async fn groups(desk: &Desk, page: Page) -> Result<Vec<Group>> {
    let mut found: BTreeMap<Uuid, Vec<Section>> = BTreeMap::new();
    for section in cms::sections(&desk.app, Some(page), None).await? {
        found.entry(section.group).or_default().push(section);
    }
    let mut groups: Vec<Group> = found.into_iter().filter_map(|(id, sections)| Group::of(page, id, sections)).collect();
    groups.sort_by_key(|group| group.sections.first().map(|section| section.position));
    Ok(groups)
}

/// Returns the first words of a section.
pub(super) fn first_words(section: &Section) -> String {
    let content = section.content.content();
    let text = content.get("title").or_else(|| content.get("text")).and_then(|text| text.as_str()).unwrap_or_default();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= EXCERPT_CHARS {
        return words;
    }
    format!("{}…", words.chars().take(EXCERPT_CHARS).collect::<String>().trim_end())
}

fn row(desk: &Desk, zone: &Zone, group: &Group, at: usize, count: usize) -> Row {
    let t = &desk.t().sections;
    let texts = Locale::ALL.iter().map(|locale| RowText {
        tag: locale.tag(),
        language: locale.strings().language_name,
        words: group.section(*locale).map(first_words).filter(|words| !words.is_empty()),
    });
    let (state, badge) = state_badge(t, group.state());
    let due = group.sections.iter().filter_map(|section| section.publish_at).min();
    let when = match (due, group.newest()) {
        (Some(at), _) if group.state() == SectionState::Scheduled => zone.text(at),
        (_, Some(newest)) => (t.by)(&zone.text(newest.saved_at), &newest.saved_by),
        _ => String::new(),
    };
    Row {
        group: group.id,
        path: group.path(),
        name: group.kind.label.text(desk.appearance.locale),
        about: group.kind.about.text(desk.appearance.locale),
        texts: texts.collect(),
        state,
        badge,
        when,
        is_visible: group.sections.iter().any(|section| section.visible),
        is_first: at == 0,
        is_last: at + 1 == count,
    }
}

/// Shows the sections of a page.
pub(super) async fn page(desk: Desk, Path(page): Path<String>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let page = page_of(&page)?;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let groups = groups(&desk, page).await?;
    let tab = |other: Page| Tab {
        path: format!("/admin/pages/{}", other.name()),
        name: page_name(&desk, other),
        is_current: other == page,
    };
    let named = |section: &Section| super::fields::kind(section.kind.as_str()).map_or(&UNKNOWN_KIND, |kind| kind.label);
    let deleted = cms::deleted_sections(&desk.app, Some(page)).await?;
    let deleted = deleted.iter().map(|section| {
        let name = named(section).text(desk.appearance.locale);
        (section.id.0, name, format!("{} · {}", section.locale.strings().language_name, first_words(section)))
    });
    let view = List {
        t: desk.t(),
        token: desk.token(),
        name: page_name(&desk, page),
        path: format!("/admin/pages/{}", page.name()),
        tabs: Page::ALL.map(tab).into(),
        deleted: deleted.collect(),
        changed: groups.iter().filter(|group| group.state() != SectionState::Published).count(),
        missing: groups.iter().filter(|group| group.sections.len() < Locale::ALL.len()).count(),
        rows: groups.iter().enumerate().map(|(at, group)| row(&desk, &zone, group, at, groups.len())).collect(),
    };
    let pages = ("/admin/pages/landing".to_owned(), desk.t().shell.pages.to_owned());
    desk.respond(StatusCode::OK, Area::Pages, &[pages], view.name, &view).await
}

#[derive(Deserialize)]
pub(super) struct Order {
    /// One group moves `up` or `down`.
    group: Option<Uuid>,
    #[serde(rename = "move")]
    direction: Option<String>,
    /// Or all groups in their new order, separated by commas.
    groups: Option<String>,
}

/// Puts the sections of a page in another order, in all languages.
pub(super) async fn order(desk: Desk, Path(page): Path<String>, Form(wanted): Form<Order>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let page = page_of(&page)?;
    let mut groups = groups(&desk, page).await?;
    let before: Vec<String> = groups.iter().map(|group| group.id.to_string()).collect();
    let moved = match (wanted.group, wanted.direction, wanted.groups) {
        (Some(id), Some(direction), None) => {
            let at = groups.iter().position(|group| group.id == id).ok_or(Error::NotFound)?;
            let to = if direction == "up" { at.saturating_sub(1) } else { (at + 1).min(groups.len() - 1) };
            groups.swap(at, to);
            Some(id)
        }
        (moved, _, Some(list)) => {
            let place = |group: &Group| list.split(',').position(|id| id == group.id.to_string()).unwrap_or(usize::MAX);
            groups.sort_by_key(place);
            moved
        }
        _ => return Err(Error::bad_field("group", "Name a section and where it moves.")),
    };
    for locale in Locale::ALL {
        let ids: Vec<SectionId> = groups.iter().filter_map(|group| Some(group.section(locale)?.id)).collect();
        if !ids.is_empty() {
            cms::order_sections(&desk.app, editor(&desk), page, locale, &ids).await?;
        }
    }
    let path = format!("/admin/pages/{}", page.name());
    if let Some(at) = moved.and_then(|id| groups.iter().position(|group| group.id == id)) {
        let name = groups[at].kind.label.text(desk.appearance.locale);
        let undo = Undo { path: format!("{path}/order"), fields: vec![("groups".to_owned(), before.join(","))] };
        Note { text: (desk.t().sections.moved)(name, at + 1), undo: Some(undo) }.leave(&desk.session).await?;
    }
    let focus = moved.map(|id| format!("#section-{id}")).unwrap_or_default();
    Ok(Redirect::to(&format!("{path}{focus}")).into_response())
}

#[derive(Deserialize)]
pub(super) struct Visible {
    group: Uuid,
    /// `true` or `false`.
    visible: String,
}

/// Shows or hides a section in all languages.
pub(super) async fn set_visible(desk: Desk, Path(page): Path<String>, Form(wanted): Form<Visible>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, wanted.group).await?;
    let visible = wanted.visible == "true";
    for section in group.sections.iter().filter(|section| section.visible != visible) {
        let change = Change { content: None, visible: Some(visible) };
        cms::save_section(&desk.app, editor(&desk), section.id, section.version, change).await?;
    }
    Ok(Redirect::to(&format!("/admin/pages/{page}#section-{}", group.id)).into_response())
}

#[derive(Template)]
#[template(path = "admin/sections/add.html")]
struct Add<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    locale: Locale,
    kinds: Vec<&'static SectionKind>,
}

/// Shows the kinds of sections that a page can have.
pub(super) async fn kinds(desk: Desk, Path(page): Path<String>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let page = page_of(&page)?;
    let view = Add {
        t: desk.t(),
        token: desk.token(),
        path: format!("/admin/pages/{}/add", page.name()),
        locale: desk.appearance.locale,
        kinds: KINDS.iter().filter(|kind| page == Page::Landing || kind.is_for_about).collect(),
    };
    desk.respond(StatusCode::OK, Area::Pages, &crumbs(&desk, page), desk.t().sections.add_section, &view).await
}

#[derive(Deserialize)]
pub(super) struct NewKind {
    kind: String,
}

/// Adds an empty draft, first in the first language.
pub(super) async fn add(desk: Desk, Path(page): Path<String>, Form(new): Form<NewKind>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let page = page_of(&page)?;
    let kind = Kind::of_str(&new.kind).ok_or_else(|| Error::bad_field("kind", "There is no such kind of section."))?;
    let new = NewSection { page, kind, locale: Locale::default(), group: None, content: None, position: None };
    let section = cms::add_section(&desk.app, editor(&desk), new).await?;
    Ok(Redirect::to(&format!("/admin/pages/{}/{}", page.name(), section.group)).into_response())
}

/// Deletes a section in all languages. It can be restored for 30 days.
pub(super) async fn delete(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    for section in &group.sections {
        cms::delete_section(&desk.app, editor(&desk), section.id).await?;
    }
    let ids: Vec<String> = group.sections.iter().map(|section| section.id.0.to_string()).collect();
    let undo = Undo { path: format!("/admin/pages/{page}/restore"), fields: vec![("ids".to_owned(), ids.join(","))] };
    let name = group.kind.label.text(desk.appearance.locale);
    Note { text: (desk.t().sections.deleted)(name), undo: Some(undo) }.leave(&desk.session).await?;
    Ok(Redirect::to(&format!("/admin/pages/{page}")).into_response())
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
pub(super) struct Deleted {
    /// Ids of sections, separated by commas.
    ids: String,
}

/// Restores deleted sections.
pub(super) async fn restore_deleted(
    desk: Desk,
    Path(page): Path<String>,
    Form(wanted): Form<Deleted>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let page = page_of(&page)?;
    let mut name = "";
    for id in wanted.ids.split(',').take(Locale::ALL.len()).filter_map(|id| id.parse().ok()) {
        let section = cms::restore_deleted(&desk.app, editor(&desk), SectionId(id)).await?;
        name = super::fields::kind(section.kind.as_str()).map_or("", |kind| kind.label.text(desk.appearance.locale));
    }
    Note::said((desk.t().sections.restored_deleted)(name)).leave(&desk.session).await?;
    Ok(Redirect::to(&format!("/admin/pages/{}", page.name())).into_response())
}
