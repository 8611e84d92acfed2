//! What staff do to an account: each act has a page that asks first and works without JavaScript.
use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use uuid::Uuid;

use super::desk::{Area, Desk, role_name};
use super::note::{Note, Undo};
use super::people::{above, title};
use crate::accounts::people::{self, Person};
use crate::accounts::staff::SHELL_LINK_HOURS;
use crate::accounts::{Form, Role};
use crate::error::{Error, Result};
use crate::http::{Path, Query};
use crate::locale::AdminStrings;

/// A page that asks before an act.
#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct Confirm<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    title: &'static str,
    text: String,
    /// What else happens.
    effects: Vec<&'static str>,
    action: String,
    fields: Vec<(&'static str, &'static str)>,
    /// A choice that goes with the act: its name and its text.
    option: Option<(&'static str, &'static str)>,
    button: &'static str,
    cancel: String,
}

#[derive(Template)]
#[template(path = "admin/link.html")]
struct LinkPage<'a> {
    t: &'static AdminStrings,
    text: String,
    link: &'a str,
    back: String,
}

/// The form of an act without fields.
#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    #[serde(default)]
    role: String,
}

#[derive(Deserialize)]
pub(super) struct ResetForm {
    #[serde(default)]
    second_factor: Option<String>,
}

fn path_of(person: &Person) -> String {
    format!("/admin/people/{}", person.id)
}

/// Returns the handle of a person with an account.
fn handle_of(person: &Person) -> Result<&str> {
    person.account.as_ref().map(|account| account.handle.as_str()).ok_or(Error::NotFound)
}

async fn respond(desk: &Desk, area: Area, person: &Person, page: &Confirm<'_>) -> Result<Response> {
    let mut crumbs = above(desk).to_vec();
    crumbs.push((path_of(person), title(desk, person)));
    desk.respond(StatusCode::OK, area, &crumbs, page.title, page).await
}

/// Leads to a page that says what was done.
async fn done(desk: &Desk, path: &str, note: Note) -> Result<Response> {
    note.leave(&desk.session).await?;
    Ok(Redirect::to(path).into_response())
}

pub(super) async fn ask_end(desk: Desk, Path(id): Path<Uuid>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let person = people::find(&desk.app, id).await?;
    end_page(&desk, Area::People, &person, format!("{}/end-sessions", path_of(&person)), path_of(&person)).await
}

pub(super) async fn end(desk: Desk, Path(id): Path<Uuid>, Form(Nothing {}): Form<Nothing>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let person = people::find(&desk.app, id).await?;
    end_and_return(&desk, &person, &path_of(&person)).await
}

/// Asks before one session of the list of sessions is ended. A person has one live session.
pub(super) async fn ask_end_session(desk: Desk, Path(session): Path<Uuid>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let person = people::owner_of_session(&desk.app, session).await?;
    end_page(&desk, Area::Sessions, &person, format!("/admin/sessions/{session}/end"), "/admin/sessions".to_owned())
        .await
}

pub(super) async fn end_session(
    desk: Desk,
    Path(session): Path<Uuid>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let person = people::owner_of_session(&desk.app, session).await?;
    end_and_return(&desk, &person, "/admin/sessions").await
}

async fn end_page(desk: &Desk, area: Area, person: &Person, action: String, cancel: String) -> Result<Response> {
    let t = desk.t();
    let page = Confirm {
        t,
        token: desk.token(),
        title: t.people.end_title,
        text: (t.people.end_text)(handle_of(person)?),
        effects: Vec::new(),
        action,
        fields: Vec::new(),
        option: None,
        button: t.people.end_all,
        cancel,
    };
    respond(desk, area, person, &page).await
}

async fn end_and_return(desk: &Desk, person: &Person, path: &str) -> Result<Response> {
    let p = &desk.t().people;
    let text = match people::end_sessions(&desk.app, &desk.by(), person).await {
        Ok(()) => (p.end_done)(handle_of(person)?),
        Err(Error::Forbidden(_)) => p.only_admin.to_owned(),
        Err(why) => return Err(why),
    };
    // Whoever ends their own session has none to leave a note in.
    if person.visitor == desk.staff.visitor.id {
        return Ok(Redirect::to("/signin").into_response());
    }
    done(desk, path, Note::said(text)).await
}

pub(super) async fn ask_role(desk: Desk, Path(id): Path<Uuid>, Query(asked): Query<RoleForm>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let person = people::find(&desk.app, id).await?;
    let account = person.account.as_ref().ok_or(Error::NotFound)?;
    let Some(role) = Role::of_str(&asked.role) else { return Ok(Redirect::to(&path_of(&person)).into_response()) };
    let mut effects = vec![t.people.role_staff_sees[role as usize], t.people.role_ends];
    if role.is_staff() {
        effects.push(t.people.role_factor);
    }
    let names = [account.role, role].map(|role| role_name(&t.shell, role));
    let page = Confirm {
        t,
        token: desk.token(),
        title: t.people.role_title,
        text: (t.people.role_text)(&account.handle, names[0], names[1]),
        effects,
        action: format!("{}/role", path_of(&person)),
        fields: vec![("role", role.as_str())],
        option: None,
        button: t.people.role_confirm,
        cancel: path_of(&person),
    };
    respond(&desk, Area::People, &person, &page).await
}

pub(super) async fn change_role(desk: Desk, Path(id): Path<Uuid>, Form(form): Form<RoleForm>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let person = people::find(&desk.app, id).await?;
    let account = person.account.as_ref().ok_or(Error::NotFound)?;
    let role = Role::of_str(&form.role).ok_or_else(|| Error::bad_field("role", "There is no such role."))?;
    let path = path_of(&person);
    let note = match people::set_role(&desk.app, &desk.by(), &person, role).await {
        Ok(()) => {
            let undo = Undo {
                path: format!("{path}/role"),
                fields: vec![("role".to_owned(), account.role.as_str().to_owned())],
            };
            let text = (t.people.role_done)(&account.handle, role_name(&t.shell, role));
            Note { text, undo: Some(undo) }
        }
        Err(Error::Conflict(_)) if account.role == role => Note::said(t.people.same_role),
        Err(Error::Conflict(_)) => Note::said(t.people.last_admin),
        Err(why) => return Err(why),
    };
    if person.visitor == desk.staff.visitor.id && note.undo.is_some() {
        return Ok(Redirect::to("/signin").into_response());
    }
    done(&desk, &path, note).await
}

pub(super) async fn ask_reset(desk: Desk, Path(id): Path<Uuid>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let person = people::find(&desk.app, id).await?;
    let page = Confirm {
        t,
        token: desk.token(),
        title: t.people.reset_title,
        text: (t.people.reset_text)(handle_of(&person)?),
        effects: Vec::new(),
        action: format!("{}/reset", path_of(&person)),
        fields: Vec::new(),
        option: Some(("second_factor", t.people.reset_factor)),
        button: t.people.reset_confirm,
        cancel: path_of(&person),
    };
    respond(&desk, Area::People, &person, &page).await
}

/// Shows the link on the answer itself, so that it is stored nowhere.
pub(super) async fn reset(desk: Desk, Path(id): Path<Uuid>, Form(form): Form<ResetForm>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let person = people::find(&desk.app, id).await?;
    let link = people::reset(&desk.app, &desk.by(), &person, form.second_factor.is_some()).await?;
    let page = LinkPage {
        t,
        text: (t.people.reset_done)(handle_of(&person)?, SHELL_LINK_HOURS),
        link: link.expose_secret(),
        back: path_of(&person),
    };
    let mut crumbs = above(&desk).to_vec();
    crumbs.push((path_of(&person), title(&desk, &person)));
    let mut response = desk.respond(StatusCode::OK, Area::People, &crumbs, t.people.reset_done_title, &page).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
