//! Saves the form of a section as drafts. The same request serves the page without JavaScript and
//! the autosave of its script, which asks for JSON.
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::editor::{View, contents, respond, saved_line};
use super::form::{id_of, sentence};
use super::group::{Group, editor, mark};
use super::times::Zone;
use super::values::{Problem, SHARED, Values, copy, is_filled, item_count, remove_item, swap_items};
use super::{conflict, history};
use crate::accounts::{Form, Role};
use crate::admin::desk::Desk;
use crate::admin::note::{Note, Undo};
use crate::cms::{self, Change, NewSection, Section};
use crate::error::{Error, Result};
use crate::locale::Locale;

/// The most fields of a form.
const MAX_FIELDS: usize = 4_000;

/// What became of the drafts of a form.
#[derive(Default)]
pub(super) struct Outcome {
    /// The languages whose draft somebody else has saved since.
    pub(super) conflicts: Vec<Locale>,
    pub(super) problems: BTreeMap<String, Problem>,
}

/// Saves what was entered, and goes where the pressed button leads.
pub(super) async fn save(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    headers: HeaderMap,
    Form(mut values): Form<Values>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    if values.len() > MAX_FIELDS {
        return Err(Error::bad_frame("This form has too many fields."));
    }
    let group = Group::open(&desk, &page, id).await?;
    let action = values.remove("do").unwrap_or_default();
    let before = values.clone();
    let focus = change_items(&mut values, &action);
    let outcome = store(&desk, &group, &values).await?;
    if headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json")) {
        return answer(&desk, (&page, id), &group, &values, &outcome).await;
    }
    if !outcome.problems.is_empty() {
        return respond(&desk, &group, &values, &outcome.problems, View::default()).await;
    }
    if !outcome.conflicts.is_empty() {
        return conflict::respond(&desk, &page, id, &values, &outcome.conflicts).await;
    }
    let path = group.path();
    if action.starts_with("remove:") {
        leave_undo(&desk, &page, id, before).await?;
    }
    let to = match action.split_once(':') {
        _ if action == "publish" => format!("{path}/publish"),
        Some(("add", list)) => {
            let first = id_of(SHARED, &format!("{list}.{}", item_count(&values, list)));
            format!("{path}?add={list}&at={first}#{first}")
        }
        Some(_) => focus.map_or_else(|| path.clone(), |focus| format!("{path}?at={focus}#{focus}")),
        None => path,
    };
    Ok(Redirect::to(&to).into_response())
}

/// Applies a button of a list: `remove:steps.2`, `up:steps.2`, `copy:ko:en:title`. Returns the `id`
/// where the reader goes on.
fn change_items(values: &mut Values, action: &str) -> Option<String> {
    let (verb, rest) = action.split_once(':')?;
    if verb == "copy" {
        let mut parts = rest.splitn(3, ':');
        let (from, to, path) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
        copy(values, from, to, path);
        return (!path.is_empty()).then(|| id_of(to, path));
    }
    let (list, at) = rest.rsplit_once('.')?;
    let at: usize = at.parse().ok()?;
    let count = item_count(values, list);
    let to = match verb {
        "remove" => {
            *values = remove_item(values, list, at);
            return Some(id_of(SHARED, list));
        }
        "up" => at.checked_sub(1)?,
        "down" => (at + 1 < count).then_some(at + 1)?,
        _ => return None,
    };
    *values = swap_items(values, list, at, to);
    Some(id_of(SHARED, &format!("{list}.{to}")))
}

/// Saves the drafts of the languages that the reader changed.
///
/// # Errors
/// `session_ended`, `unavailable`.
pub(super) async fn store(desk: &Desk, group: &Group, values: &Values) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let entered = contents(group, values);
    for (locale, _, problems) in &entered {
        // A language that does not exist yet has no problems of its own.
        if group.section(*locale).is_some() || is_filled(group.kind.fields, values, locale.tag()) {
            outcome.problems.extend(problems.iter().map(|(name, problem)| (name.clone(), *problem)));
        }
    }
    if !outcome.problems.is_empty() {
        return Ok(outcome);
    }
    for (locale, content, _) in entered {
        let tag = locale.tag();
        let saved = match group.section(locale) {
            Some(section) => {
                let base = values.get(&format!("base.{tag}")).map(String::as_str).unwrap_or_default();
                if base == mark(&content) || content == group.normal(&section.content) {
                    continue;
                }
                let version = values.get(&format!("version.{tag}")).and_then(|version| version.parse().ok());
                save_one(desk, group, section, version.unwrap_or(0), base, content).await
            }
            None if is_filled(group.kind.fields, values, tag) => {
                let kind = group.sections.first().map(|section| section.kind).ok_or(Error::NotFound)?;
                let new = NewSection {
                    page: group.page,
                    kind,
                    locale,
                    group: Some(group.id),
                    content: Some(content),
                    position: None,
                };
                cms::add_section(&desk.app, editor(desk), new).await
            }
            None => continue,
        };
        match saved {
            Ok(_) => {}
            // Somebody else added this language meanwhile: the next try meets it as a conflict.
            Err(Error::Outdated { .. } | Error::Conflict(_)) => outcome.conflicts.push(locale),
            Err(Error::TooLongAt { limit, path, .. }) => {
                outcome.problems.insert(format!("{tag}.{}", history::form_path(&path)), Problem::TooLong(limit));
            }
            Err(Error::BadPayload { why, .. }) => {
                let path = why.split(": ").next().unwrap_or_default();
                outcome.problems.insert(format!("{tag}.{}", history::form_path(path)), Problem::Refused);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(outcome)
}

/// Saves one draft. A newer version with the same content, such as after the section was hidden, is
/// no conflict.
async fn save_one(
    desk: &Desk,
    group: &Group,
    section: &Section,
    version: i64,
    base: &str,
    content: Value,
) -> Result<Section> {
    let version = if mark(&group.normal(&section.content)) == base { section.version } else { version };
    let change = Change { content: Some(content), visible: None };
    cms::save_section(&desk.app, editor(desk), section.id, version, change).await
}

/// Says that an item was removed, and offers to bring it back.
async fn leave_undo(desk: &Desk, page: &str, id: Uuid, before: Values) -> Result<()> {
    let now = Group::open(desk, page, id).await?;
    let mut fields: Vec<(String, String)> =
        before.into_iter().filter(|(name, _)| !name.starts_with("version.") && !name.starts_with("base.")).collect();
    let versions =
        now.sections.iter().map(|section| (format!("version.{}", section.locale.tag()), section.version.to_string()));
    fields.extend(versions);
    let undo = Undo { path: now.path(), fields };
    Note { text: desk.t().sections.removed_item.to_owned(), undo: Some(undo) }.leave(&desk.session).await
}

/// Returns the response to the autosave. The state is in the body: an error would become a page.
async fn answer(
    desk: &Desk,
    (page, id): (&str, Uuid),
    before: &Group,
    values: &Values,
    outcome: &Outcome,
) -> Result<Response> {
    let t = &desk.t().sections;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let now = Group::open(desk, page, id).await?;
    if !outcome.problems.is_empty() {
        let problem = |(name, problem): (&String, &Problem)| {
            let (tag, path) = name.split_once('.').unwrap_or(("", name));
            (id_of(tag, path), sentence(t, *problem))
        };
        let problems: BTreeMap<String, String> = outcome.problems.iter().map(problem).collect();
        return Ok(Json(json!({ "state": "refused", "problems": problems })).into_response());
    }
    if let Some(other) = outcome.conflicts.first().and_then(|locale| now.section(*locale)) {
        let text = (t.conflict)(&other.saved_by, &zone.text(other.saved_at));
        return Ok(Json(json!({ "state": "conflict", "conflict": text })).into_response());
    }
    // A language that somebody else saved meanwhile keeps the version that the page shows: the
    // reader has not seen the newer one.
    let shown: BTreeMap<&str, String> =
        contents(&now, values).iter().map(|(locale, content, _)| (locale.tag(), mark(content))).collect();
    let seen = now.sections.iter().filter(|section| {
        shown.get(section.locale.tag()).is_some_and(|shown| *shown == mark(&now.normal(&section.content)))
    });
    let versions: BTreeMap<&str, i64> = seen.map(|section| (section.locale.tag(), section.version)).collect();
    let bases: BTreeMap<_, _> = shown.into_iter().filter(|(tag, _)| versions.contains_key(tag)).collect();
    let saved = now.newest().map(|section| saved_line(desk, &zone, section)).unwrap_or_default();
    // A language that is new needs fields that only a fresh page has.
    let is_new = now.sections.len() != before.sections.len();
    let body = json!({ "state": "saved", "saved": saved, "versions": versions, "bases": bases, "reload": is_new });
    Ok(Json(body).into_response())
}

#[cfg(test)]
mod tests {
    use super::change_items;
    use crate::admin::sections::values::Values;

    #[test]
    fn a_button_of_a_list_changes_the_fields_and_names_where_to_go_on() {
        let mut values: Values =
            [("ko.items.0.question", "a"), ("ko.items.1.question", "b")].map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(change_items(&mut values, "down:items.0").as_deref(), Some("both-items-1"));
        assert_eq!(values["ko.items.1.question"], "a");
        assert_eq!(change_items(&mut values, "down:items.1"), None, "the last one stays");
        assert_eq!(change_items(&mut values, "up:items.0"), None);
        assert_eq!(change_items(&mut values, "remove:items.0").as_deref(), Some("both-items"));
        assert_eq!(values.len(), 1);
        assert_eq!(change_items(&mut values, "copy:ko:en:items.0.question").as_deref(), Some("en-items-0-question"));
        assert_eq!(values["en.items.0.question"], "a");
        for odd in ["", "save", "remove:items", "remove:items.x", "fly:items.0"] {
            assert_eq!(change_items(&mut values, odd), None);
        }
        assert_eq!(values.len(), 2);
    }
}
