//! The sessions that are signed in now, of all accounts.
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::desk::{Area, Desk, role_name};
use super::format::Times;
use super::people::PAGE_ROWS;
use crate::accounts::Role;
use crate::accounts::people;
use crate::error::Result;
use crate::http::Query;
use crate::locale::{AdminStrings, PeopleStrings};

/// What is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    cursor: Option<String>,
}

struct Row {
    id: Uuid,
    person: Uuid,
    handle: String,
    role: &'static str,
    device: String,
    signed_in: String,
    used: String,
    of: String,
    may_end: bool,
}

#[derive(Template)]
#[template(path = "admin/sessions.html")]
struct List {
    t: &'static AdminStrings,
    p: &'static PeopleStrings,
    lead: String,
    rows: Vec<Row>,
    next: Option<String>,
    is_first: bool,
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let (t, locale) = (desk.t(), desk.appearance.locale);
    let p = &t.people;
    let cursor = asked.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    let (found, next) = people::live_sessions(&desk.app, cursor, PAGE_ROWS).await?;
    let count = people::count_live_sessions(&desk.app.db).await?;
    let (times, now) = (Times::of(&desk.app, locale).await, desk.app.clock.now());
    let is_admin = desk.staff.account.role == Role::Admin;
    let row = |one: people::LiveSession| Row {
        id: one.id,
        person: one.person,
        role: role_name(&t.shell, one.role),
        device: one.device.unwrap_or_else(|| p.unknown_device.to_owned()),
        signed_in: times.ago(now, one.signed_in_at),
        used: times.ago(now, one.last_used_at),
        of: (p.end_of)(&one.handle),
        may_end: is_admin || !one.role.is_staff(),
        handle: one.handle,
    };
    let page = List {
        t,
        p,
        lead: (p.live_lead)(&super::format::number(count as f64, 0)),
        rows: found.into_iter().map(row).collect(),
        next: next.map(|cursor| format!("/admin/sessions?cursor={cursor}")),
        is_first: cursor.is_none(),
    };
    desk.respond(StatusCode::OK, Area::Sessions, &[], t.shell.sessions, &page).await
}
