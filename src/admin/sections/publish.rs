//! Publishing: what changes, why, and when; taking down; schedules.
use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::Value;
use uuid::Uuid;

use super::diff::{Change, changes};
use super::group::{Group, crumbs, editor};
use super::history::{form_path, label_of};
use super::times::{Zone, instant};
use super::values::Values;
use crate::accounts::{Form, Role};
use crate::admin::desk::{Area, Desk};
use crate::admin::note::Note;
use crate::cms::{self, Section};
use crate::error::{Error, Result};
use crate::locale::AdminStrings;

/// What is published in one language.
struct Language {
    tag: &'static str,
    language: &'static str,
    version: i64,
    is_first: bool,
    is_chosen: bool,
    changes: Vec<Change>,
}

/// What was entered in the form.
#[derive(Default)]
struct Entered {
    note: String,
    is_later: bool,
    date: String,
    clock: String,
    /// The same in milliseconds since 1970, for the script. Empty after a refusal.
    utc: String,
}

impl Entered {
    fn of(values: &Values) -> Self {
        let text = |name: &str| values.get(name).cloned().unwrap_or_default();
        Self {
            note: text("note"),
            is_later: text("when") == "later",
            date: text("date"),
            clock: text("time"),
            utc: text("utc"),
        }
    }
}

impl Entered {
    /// Suggests tomorrow, at this time.
    fn suggest(&mut self, zone: &Zone, now: time::OffsetDateTime) {
        let at = now + time::Duration::DAY;
        (self.date, self.clock) = zone.fields(at);
        self.utc = (at.unix_timestamp() * 1_000).to_string();
    }
}

#[derive(Template)]
#[template(path = "admin/sections/publish.html")]
struct PublishPage<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    title: String,
    languages: Vec<Language>,
    entered: Entered,
    zone: String,
    problem: Option<String>,
}

/// Shows what would be published, in each language.
pub(super) async fn page(desk: Desk, Path((page, id)): Path<(String, Uuid)>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    respond(&desk, &group, None, None).await
}

/// Shows the page. `values` are what was sent, `problem` says why it was refused.
async fn respond(desk: &Desk, group: &Group, values: Option<&Values>, problem: Option<String>) -> Result<Response> {
    let t = desk.t();
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let language = |section: &Section| {
        let tag = section.locale.tag();
        let before = section.published.as_ref().map_or(Value::Null, cms::PageSection::content);
        let found = changes(group.kind.fields, &before, &section.content.content(), desk.appearance.locale);
        Language {
            tag,
            language: section.locale.strings().language_name,
            version: section.version,
            is_first: section.published.is_none(),
            is_chosen: values.is_none_or(|values| values.contains_key(&format!("publish.{tag}"))),
            changes: found,
        }
    };
    let languages: Vec<Language> = group.sections.iter().map(language).collect();
    let mut entered = values.map(Entered::of).unwrap_or_default();
    if entered.date.is_empty() {
        entered.suggest(&zone, desk.app.clock.now());
    }
    let view = PublishPage {
        t,
        token: desk.token(),
        path: group.path(),
        title: (t.sections.publish_heading)(group.kind.label.text(desk.appearance.locale)),
        languages,
        entered,
        zone: (t.sections.zone)(zone.name()),
        problem,
    };
    let status = if view.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = view.title.clone();
    desk.respond(status, Area::Pages, &above(desk, group), &title, &view).await
}

fn above(desk: &Desk, group: &Group) -> Vec<(String, String)> {
    let mut above = crumbs(desk, group.page);
    above.push((group.path(), group.kind.label.text(desk.appearance.locale).to_owned()));
    above
}

/// Publishes the chosen languages, now or at a time.
pub(super) async fn publish(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(values): Form<Values>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    let t = &desk.t().sections;
    let chosen: Vec<&Section> = group
        .sections
        .iter()
        .filter(|section| values.contains_key(&format!("publish.{}", section.locale.tag())))
        .collect();
    if chosen.is_empty() {
        return respond(&desk, &group, Some(&values), Some(t.no_language.to_owned())).await;
    }
    let at = match due(&desk, &values).await? {
        Due::Now => None,
        Due::At(at) => Some(at),
        Due::Wrong => return respond(&desk, &group, Some(&values), Some(t.bad_time.to_owned())).await,
    };
    let note = values.get("note").map(|note| note.trim()).filter(|note| !note.is_empty());
    for section in chosen {
        let tag = section.locale.tag();
        let version = values.get(&format!("version.{tag}")).and_then(|version| version.parse().ok()).unwrap_or(0);
        match cms::publish_section(&desk.app, editor(&desk), section.id, version, note, at).await {
            Ok(_) => {}
            Err(why) => {
                let problem = refusal(&desk, &group, section, why)?;
                let group = Group::open(&desk, &page, id).await?;
                return respond(&desk, &group, Some(&values), Some(problem)).await;
            }
        }
    }
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let said = at.map_or_else(|| t.publish_done.to_owned(), |at| (t.publish_scheduled)(&zone.text(at)));
    Note::said(said).leave(&desk.session).await?;
    Ok(Redirect::to(&group.path()).into_response())
}

/// Returns a refusal as a sentence, or the error if it is no refusal of what was entered.
fn refusal(desk: &Desk, group: &Group, section: &Section, why: Error) -> Result<String> {
    let t = &desk.t().sections;
    match why {
        Error::Outdated { .. } => Ok(t.outdated.to_owned()),
        Error::BadPayload { why, field: Some("content") } => {
            let path = form_path(why.split(": ").next().unwrap_or_default());
            let field = label_of(group.kind.fields, &path, desk.appearance.locale);
            Ok((t.incomplete)(&format!("{} · {field}", section.locale.strings().language_name)))
        }
        Error::TooLong { limit, .. } => Ok((t.too_long)(limit)),
        Error::BadFrame { field: Some("at"), .. } => Ok(t.bad_time.to_owned()),
        other => Err(other),
    }
}

/// When something takes effect.
enum Due {
    Now,
    At(time::OffsetDateTime),
    Wrong,
}

async fn due(desk: &Desk, values: &Values) -> Result<Due> {
    let text = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
    if text("when") != "later" {
        return Ok(Due::Now);
    }
    let at = instant(&desk.app, text("date"), text("time"), text("utc")).await?;
    Ok(at.filter(|at| *at > desk.app.clock.now()).map_or(Due::Wrong, Due::At))
}

#[derive(Template)]
#[template(path = "admin/sections/unpublish.html")]
struct UnpublishPage<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    title: String,
    entered: Entered,
    zone: String,
    problem: Option<String>,
}

/// Asks before a section is taken down, in all languages.
pub(super) async fn unpublish_page(desk: Desk, Path((page, id)): Path<(String, Uuid)>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    respond_unpublish(&desk, &group, Entered::default(), None).await
}

async fn respond_unpublish(
    desk: &Desk,
    group: &Group,
    mut entered: Entered,
    problem: Option<String>,
) -> Result<Response> {
    let t = desk.t();
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    if entered.date.is_empty() {
        entered.suggest(&zone, desk.app.clock.now());
    }
    let view = UnpublishPage {
        t,
        token: desk.token(),
        path: group.path(),
        title: (t.sections.unpublish_heading)(group.kind.label.text(desk.appearance.locale)),
        entered,
        zone: (t.sections.zone)(zone.name()),
        problem,
    };
    let status = if view.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = view.title.clone();
    desk.respond(status, Area::Pages, &above(desk, group), &title, &view).await
}

/// Takes a section down in all languages, now or at a time.
pub(super) async fn unpublish(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(values): Form<Values>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    let t = &desk.t().sections;
    let at = match due(&desk, &values).await? {
        Due::Now => None,
        Due::At(at) => Some(at),
        Due::Wrong => {
            return respond_unpublish(&desk, &group, Entered::of(&values), Some(t.bad_time.to_owned())).await;
        }
    };
    for section in group.sections.iter().filter(|section| section.published.is_some()) {
        cms::unpublish_section(&desk.app, editor(&desk), section.id, at).await?;
    }
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let said = at.map_or_else(|| t.unpublished.to_owned(), |at| (t.unpublishes_at)(&zone.text(at)));
    Note::said(said).leave(&desk.session).await?;
    Ok(Redirect::to(&group.path()).into_response())
}

/// Cancels what is scheduled, in all languages.
pub(super) async fn cancel(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(_): Form<Values>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    for section in group.sections.iter().filter(|one| one.publish_at.is_some() || one.unpublish_at.is_some()) {
        cms::cancel_schedule(&desk.app, editor(&desk), section.id).await?;
    }
    Note::said(desk.t().sections.canceled).leave(&desk.session).await?;
    Ok(Redirect::to(&group.path()).into_response())
}
