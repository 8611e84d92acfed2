//! Two people saved the same section: both texts side by side, and what stays is chosen field by
//! field. Nothing is overwritten before.
use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::Value;
use uuid::Uuid;

use super::diff::{Unit, take, units};
use super::group::{Group, crumbs, editor, mark};
use super::times::Zone;
use super::values::{Values, flatten, read};
use crate::accounts::{Form, Role};
use crate::admin::desk::{Area, Desk};
use crate::cms::{self, Change};
use crate::error::{Error, Result};
use crate::locale::{AdminStrings, Locale};

/// The two texts in one language.
struct Side {
    tag: &'static str,
    language: &'static str,
    by: String,
    lead: String,
    units: Vec<Unit>,
}

#[derive(Template)]
#[template(path = "admin/sections/conflict.html")]
struct Conflict<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    /// What the reader wrote, in all languages, and the versions that are compared here.
    hidden: Vec<(String, String)>,
    sides: Vec<Side>,
    /// Who saved first.
    by: String,
}

/// Shows both texts of the languages that two people saved.
///
/// # Errors
/// `not_found`, `unavailable`.
pub(super) async fn respond(
    desk: &Desk,
    page: &str,
    id: Uuid,
    values: &Values,
    conflicts: &[Locale],
) -> Result<Response> {
    // What is stored now: the languages without a conflict are saved already.
    let group = Group::open(desk, page, id).await?;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let t = &desk.t().sections;
    let mut hidden: Vec<(String, String)> = values
        .iter()
        .filter(|(name, _)| !["version.", "base.", "pick."].iter().any(|start| name.starts_with(start)))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    let mut sides = Vec::new();
    for section in &group.sections {
        let tag = section.locale.tag();
        hidden.push((format!("version.{tag}"), section.version.to_string()));
        if !conflicts.contains(&section.locale) {
            continue;
        }
        let mine = read(group.kind.fields, values, tag).0;
        let theirs = group.normal(&section.content);
        sides.push(Side {
            tag,
            language: section.locale.strings().language_name,
            by: section.saved_by.clone(),
            lead: (t.conflict_lead)(&section.saved_by, &zone.text(section.saved_at)),
            units: units(group.kind.fields, &mine, &theirs, desk.appearance.locale),
        });
    }
    let by = sides.first().map(|side| side.by.clone()).unwrap_or_default();
    let view = Conflict { t: desk.t(), token: desk.token(), path: group.path(), hidden, sides, by };
    let mut above = crumbs(desk, group.page);
    above.push((group.path(), group.kind.label.text(desk.appearance.locale).to_owned()));
    desk.respond(StatusCode::CONFLICT, Area::Pages, &above, t.conflict_heading, &view).await
}

/// Saves what was chosen.
pub(super) async fn resolve(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(values): Form<Values>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    let chosen = values.get("take").map(String::as_str).unwrap_or_default();
    let mut again = Vec::new();
    let mut kept = values.clone();
    for section in &group.sections {
        let tag = section.locale.tag();
        if !values.contains_key(&format!("conflict.{tag}")) {
            continue;
        }
        let theirs = group.normal(&section.content);
        let mine = read(group.kind.fields, &values, tag).0;
        let merged = merged(&group, mine, &theirs, &values, tag, chosen, desk.appearance.locale);
        let version = values.get(&format!("version.{tag}")).and_then(|version| version.parse().ok()).unwrap_or(0);
        if version == section.version && mark(&merged) == mark(&theirs) {
            continue;
        }
        let change = Change { content: Some(merged.clone()), visible: None };
        match cms::save_section(&desk.app, editor(&desk), section.id, version, change).await {
            Ok(_) => {}
            Err(Error::Outdated { .. }) => {
                // Somebody saved once more: what was chosen here is mine now.
                kept.retain(|name, _| !name.starts_with(&format!("{tag}.")));
                flatten(group.kind.fields, &merged, tag, &mut kept);
                again.push(section.locale);
            }
            Err(other) => return Err(other),
        }
    }
    if again.is_empty() {
        return Ok(Redirect::to(&group.path()).into_response());
    }
    respond(&desk, &page, id, &kept, &again).await
}

/// Returns the content that was chosen from two.
fn merged(
    group: &Group,
    mine: Value,
    theirs: &Value,
    values: &Values,
    tag: &str,
    chosen: &str,
    locale: Locale,
) -> Value {
    match chosen {
        "mine" => mine,
        "theirs" => theirs.clone(),
        _ => {
            let mut merged = mine.clone();
            for unit in units(group.kind.fields, &mine, theirs, locale) {
                if values.get(&format!("pick.{tag}.{}", unit.path)).is_some_and(|pick| pick == "theirs") {
                    take(&unit.path, theirs, &mut merged);
                }
            }
            merged
        }
    }
}
