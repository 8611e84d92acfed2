//! People: search, and the page of a person.
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::desk::{Area, Desk, role_name};
use super::format::Times;
use crate::accounts::people::{self, ListedPerson, Person, Search, Sort};
use crate::accounts::{EndReason, Role};
use crate::error::Result;
use crate::http::{Path, Query};
use crate::locale::{AdminStrings, PeopleStrings};
use crate::moderation;

/// The people on a page.
pub(super) const PAGE_ROWS: i64 = 50;
/// The longest text that is searched for, in characters.
pub(super) const MAX_WORDS: usize = 64;

/// What is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    cursor: Option<String>,
}

/// An option of a select.
pub(super) struct Choice {
    pub value: &'static str,
    pub name: &'static str,
    pub is_chosen: bool,
}

/// A row of the list.
struct Row {
    id: Uuid,
    name: String,
    handle: String,
    role: &'static str,
    badges: Vec<(&'static str, &'static str)>,
    created: String,
    used: String,
}

#[derive(Template)]
#[template(path = "admin/people.html")]
struct List {
    t: &'static AdminStrings,
    p: &'static PeopleStrings,
    words: String,
    roles: Vec<Choice>,
    sorts: Vec<Choice>,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
}

/// Reads the filters of an address. An empty cursor is none.
pub(super) fn search_of<'a>(words: &'a str, role: &str, sort: &str, cursor: Option<&'a str>) -> Search<'a> {
    Search {
        words,
        role: Role::of_str(role),
        guests: role == "guest",
        sort: Sort::of_str(sort),
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
    }
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let (t, locale) = (desk.t(), desk.appearance.locale);
    let p = &t.people;
    let words: String = asked.q.trim().chars().take(MAX_WORDS).collect();
    let search = search_of(&words, &asked.role, &asked.sort, asked.cursor.as_deref());
    let (found, next) = people::search(&desk.app, &search, PAGE_ROWS).await?;
    let (times, now) = (Times::of(&desk.app, locale).await, desk.app.clock.now());
    let row = |one: ListedPerson| Row {
        id: one.id,
        name: one.shown_name(locale),
        role: one.role.map_or(p.guest, |role| role_name(&t.shell, role)),
        badges: badges(p, &one),
        handle: one.handle.unwrap_or_default(),
        created: times.ago(now, one.created_at),
        used: times.ago(now, one.last_used_at),
    };
    let path = |cursor: Option<&str>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &words).append_pair("role", &asked.role).append_pair("sort", search.sort.as_str());
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
        format!("/admin/people?{}", query.finish())
    };
    let page = List {
        t,
        p,
        roles: role_choices(t, &asked.role),
        sorts: [(Sort::Handle, p.sort_handle), (Sort::Newest, p.sort_newest), (Sort::Active, p.sort_active)]
            .map(|(sort, name)| Choice { value: sort.as_str(), name, is_chosen: sort == search.sort })
            .into(),
        next: next.map(|cursor| path(Some(&cursor))),
        first: search.cursor.map(|_| path(None)),
        rows: found.into_iter().map(row).collect(),
        words: words.clone(),
    };
    desk.respond(StatusCode::OK, Area::People, &[], t.shell.people, &page).await
}

fn role_choices(t: &'static AdminStrings, chosen: &str) -> Vec<Choice> {
    let own = Role::ALL.into_iter().map(|role| (role.as_str(), role_name(&t.shell, role)));
    let all = [("", t.people.everybody)].into_iter().chain(own).chain([("guest", t.people.guests)]);
    all.map(|(value, name)| Choice { value, name, is_chosen: value == chosen }).collect()
}

/// What is said about a person in a list: the class of the badge, and its text.
fn badges(p: &'static PeopleStrings, one: &ListedPerson) -> Vec<(&'static str, &'static str)> {
    let is_staff = one.role.is_some_and(Role::is_staff);
    [
        (one.is_banned, "badge-bad", p.banned),
        (one.is_deactivated, "badge-draft", p.deactivated),
        (one.is_signed_in, "badge-good", p.signed_in),
        (is_staff && one.has_second_factor, "", p.second_factor),
        (is_staff && !one.has_second_factor, "badge-warn", p.no_second_factor),
    ]
    .into_iter()
    .filter_map(|(holds, class, text)| holds.then_some((class, text)))
    .collect()
}

/// A session on a person's page.
struct SessionRow {
    device: String,
    text: String,
    is_live: bool,
}

/// A sanction on a person's page.
struct SanctionRow {
    kind: &'static str,
    place: &'static str,
    reason: String,
    since: String,
    state: String,
    in_force: bool,
}

#[derive(Template)]
#[template(path = "admin/person.html")]
struct PersonPage {
    p: &'static PeopleStrings,
    id: Uuid,
    title: String,
    name: String,
    /// Handle, public id, name of the role.
    account: Option<(String, Uuid, &'static str)>,
    facts: Vec<(&'static str, String)>,
    deletion: Option<String>,
    has_live: bool,
    may_end: bool,
    may_change: bool,
    roles: Vec<Choice>,
    sessions: Vec<SessionRow>,
    sanctions: Vec<SanctionRow>,
}

pub(super) async fn person(desk: Desk, Path(id): Path<Uuid>) -> Result<Response> {
    let desk = desk.require(Role::Moderator)?;
    let (t, locale) = (desk.t(), desk.appearance.locale);
    let p = &t.people;
    let person = people::find(&desk.app, id).await?;
    let (times, now) = (Times::of(&desk.app, locale).await, desk.app.clock.now());
    let sessions = people::sessions_of(&desk.app, &person).await?;
    let sanctions = moderation::sanctions_of(&desk.app, person.visitor).await?;
    let is_admin = desk.staff.account.role == Role::Admin;
    let own_role = person.account.as_ref().map(|account| account.role);
    let session = |one: people::PersonSession| SessionRow {
        device: one.device.unwrap_or_else(|| p.unknown_device.to_owned()),
        is_live: one.ended_at.is_none(),
        text: match one.ended_at {
            Some(ended) => (p.session_ended)(&times.ago(now, ended), reason(p, one.reason)),
            None => (p.session_line)(&times.ago(now, one.signed_in_at), &times.ago(now, one.last_used_at)),
        },
    };
    let title = title(&desk, &person);
    let page = PersonPage {
        p,
        id: person.id,
        name: person.shown_name(locale),
        account: person
            .account
            .as_ref()
            .map(|account| (account.handle.clone(), account.public_id, role_name(&t.shell, account.role))),
        facts: facts(p, &person, times, now),
        deletion: person.account.as_ref().and_then(|account| Some((p.deletion)(&times.full(account.delete_after?)))),
        has_live: sessions.iter().any(|one| one.ended_at.is_none()),
        may_end: own_role.is_some_and(|role| is_admin || !role.is_staff()),
        may_change: is_admin && own_role.is_some(),
        roles: Role::ALL
            .into_iter()
            .filter(|role| Some(*role) != own_role)
            .map(|role| Choice { value: role.as_str(), name: role_name(&t.shell, role), is_chosen: false })
            .collect(),
        sessions: sessions.into_iter().map(session).collect(),
        sanctions: sanctions.into_iter().map(|one| sanction(p, times, now, one)).collect(),
        title: title.clone(),
    };
    desk.respond(StatusCode::OK, Area::People, &above(&desk), &title, &page).await
}

/// Returns the page above a person's: path and name.
pub(super) fn above(desk: &Desk) -> [(String, String); 1] {
    [("/admin/people".to_owned(), desk.t().shell.people.to_owned())]
}

/// Returns the name of a person's page: the handle, or a guest's shown name.
pub(super) fn title(desk: &Desk, person: &Person) -> String {
    match &person.account {
        Some(account) => account.handle.clone(),
        None => person.shown_name(desk.appearance.locale),
    }
}

fn facts(
    p: &'static PeopleStrings,
    person: &Person,
    times: Times,
    now: time::OffsetDateTime,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        (p.visitor_id, person.id.to_string()),
        (p.created, times.full(person.account.as_ref().map_or(person.created_at, |account| account.created_at))),
        (p.last_used, times.ago(now, person.last_used_at)),
    ];
    if let Some(account) = &person.account {
        let has = |has: bool, yes: &str, no: &str| (if has { yes } else { no }).to_owned();
        facts.extend([
            (p.account_id, account.public_id.to_string()),
            (p.password, has(account.has_password, p.has_password, p.no_password)),
            (p.second_factor, has(account.has_second_factor, p.has_password, p.no_second_factor)),
        ]);
        if account.is_deactivated {
            facts.push((p.column_state, p.deactivated.to_owned()));
        }
    }
    facts
}

fn sanction(
    p: &'static PeopleStrings,
    times: Times,
    now: time::OffsetDateTime,
    one: moderation::PastSanction,
) -> SanctionRow {
    let state = match (one.lifted_at, one.until) {
        (Some(at), _) => (p.lifted)(&times.full(at)),
        (None, Some(_)) if !one.in_force => p.ended.to_owned(),
        (None, Some(until)) => (p.until)(&times.full(until)),
        (None, None) => p.until_lifted.to_owned(),
    };
    SanctionRow {
        kind: if one.kind == "ban" { p.ban } else { p.mute },
        place: if one.in_room { p.in_a_room } else { p.everywhere },
        reason: one.reason,
        since: times.ago(now, one.created_at),
        state,
        in_force: one.in_force,
    }
}

/// Returns why a session ended, in words.
pub(super) fn reason(p: &'static PeopleStrings, reason: Option<EndReason>) -> &'static str {
    match reason {
        Some(EndReason::SignedOut) => p.reason_signed_out,
        Some(EndReason::SignedInElsewhere) => p.reason_elsewhere,
        Some(EndReason::EndedByOwner) => p.reason_owner,
        Some(EndReason::EndedByStaff) => p.reason_staff,
        Some(EndReason::PasswordChanged) => p.reason_password,
        Some(EndReason::RoleChanged) => p.reason_role,
        Some(EndReason::Deactivated) => p.reason_deactivated,
        Some(EndReason::Deleted) => p.reason_deleted,
        Some(EndReason::Expired) | None => p.reason_expired,
    }
}
