//! The back-office over REST: the samples of the dashboard, people, sessions, the audit log.
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::audit_api;
use super::dashboard::{RANGES, USUAL_RANGE};
use super::measure::series;
use super::people::{MAX_WORDS, search_of};
use crate::accounts::people::{self, By, ListedPerson, LiveSession};
use crate::accounts::{Role, Staff};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Problem, Result};
use crate::http::{ClientIp, Json, Path, Query};
use crate::locale::Locale;
use crate::samples;

/// The rows of a page, if the request names no number, and at most.
const USUAL_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;
/// The series of one request at most.
const MAX_SERIES: usize = 20;
/// The longest time that a range can be moved back, in seconds: what is kept.
const MAX_BEFORE_SECS: i64 = 90 * 86_400;

/// Returns the routes below `/admin`.
pub fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read_samples))
        .routes(routes!(list_people))
        .routes(routes!(one_person))
        .routes(routes!(end_person_sessions))
        .routes(routes!(set_role))
        .routes(routes!(reset))
        .routes(routes!(list_sessions))
        .routes(routes!(end_session))
        .merge(audit_api::router())
}

/// A member of staff who calls a route that acts.
struct Actor(By);

impl FromRequestParts<App> for Actor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let staff = Staff::from_request_parts(parts, app).await?;
        let prefix = ClientIp::from_request_parts(parts, app).await?.prefix();
        let prefix_hash = app.accounts.prefix_hash(prefix);
        Ok(Self(By { visitor: staff.visitor, account: staff.account, prefix_hash }))
    }
}

impl Actor {
    fn require(self, role: Role) -> Result<By> {
        let own = self.0.account.role;
        if own == role || own == Role::Admin { Ok(self.0) } else { Err(Error::NotFound) }
    }
}

/// Returns the number of rows that a request asks for.
fn limit_of(asked: Option<i64>) -> Result<i64> {
    match asked {
        None => Ok(USUAL_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::bad_field("limit", "A page has 1 to 100 items.")),
    }
}

#[derive(Deserialize)]
struct SamplesAsked {
    #[serde(default)]
    series: String,
    #[serde(default)]
    range: String,
    #[serde(default)]
    before: Option<i64>,
}

/// A range of series.
#[derive(Serialize, utoipa::ToSchema)]
struct SampleRange {
    /// When it was read.
    read_at: String,
    from: String,
    until: String,
    /// The seconds between two points.
    step_s: i64,
    items: Vec<SampleSeries>,
}

/// A series of a range.
#[derive(Serialize, utoipa::ToSchema)]
struct SampleSeries {
    series: String,
    /// Pairs of seconds since 1970 and a value, in order. Steps without a measurement are left out.
    points: Vec<(i64, f64)>,
}

/// The measurements of the dashboard, for staff. Counts are per second. Values that nodes count are
/// added up over all nodes.
#[utoipa::path(get, path = "/admin/samples",
    params(
        ("series" = Option<String>, Query, description = "Names of series, separated by commas, at most 20. All of the dashboard's if it is empty"),
        ("range" = Option<String>, Query, description = "`15m`, `1h` (the usual one), `6h`, `24h`, `7d` or `90d`"),
        ("before" = Option<i64>, Query, description = "Seconds by which the range ends earlier than now, at most 90 days")
    ),
    responses((status = 200, body = SampleRange), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn read_samples(
    State(app): State<App>,
    _staff: Staff,
    Query(asked): Query<SamplesAsked>,
) -> Result<Json<SampleRange>> {
    let mut names: Vec<&str> = asked.series.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        names = series::ALL.to_vec();
    }
    if names.len() > MAX_SERIES {
        return Err(Error::bad_field("series", "At most 20 series can be read at once."));
    }
    let range = match asked.range.as_str() {
        "" => RANGES[USUAL_RANGE].1,
        name => {
            let found = RANGES.iter().find(|(known, _)| *known == name);
            found.ok_or_else(|| Error::bad_field("range", "There is no such range."))?.1
        }
    };
    let before = asked.before.unwrap_or_default();
    if !(0..=MAX_BEFORE_SECS).contains(&before) {
        return Err(Error::bad_field("before", "A range ends up to 90 days ago."));
    }
    let now = app.clock.now();
    let until = now - Duration::seconds(before);
    let from = until - Duration::seconds(range);
    let read = samples::read(&app.db, &names, from, until, now).await?;
    let items = names.iter().zip(read.series).map(|(name, points)| SampleSeries {
        series: (*name).to_owned(),
        points: points.into_iter().map(|point| (point.at.unix_timestamp(), point.value)).collect(),
    });
    Ok(Json(SampleRange {
        read_at: format_timestamp(now),
        from: format_timestamp(from),
        until: format_timestamp(until),
        step_s: read.step_secs,
        items: items.collect(),
    }))
}

#[derive(Deserialize)]
struct PeopleAsked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<i64>,
}

/// A person in the list for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminPerson {
    /// The public id of the visitor.
    id: Uuid,
    /// The name that others read.
    name: String,
    /// Null for a guest.
    handle: Option<String>,
    /// Null for a guest.
    role: Option<Role>,
    deactivated: bool,
    second_factor: bool,
    signed_in: bool,
    banned: bool,
    created_at: String,
    last_used_at: String,
}

/// People.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminPersonPage {
    items: Vec<AdminPerson>,
    /// Null on the last page.
    next: Option<String>,
}

fn listed(one: ListedPerson) -> AdminPerson {
    AdminPerson {
        id: one.id,
        name: one.shown_name(Locale::En),
        handle: one.handle,
        role: one.role,
        deactivated: one.is_deactivated,
        second_factor: one.has_second_factor,
        signed_in: one.is_signed_in,
        banned: one.is_banned,
        created_at: format_timestamp(one.created_at),
        last_used_at: format_timestamp(one.last_used_at),
    }
}

/// People, for moderators and administrators: accounts, or who fits the words.
#[utoipa::path(get, path = "/admin/people",
    params(
        ("q" = Option<String>, Query, description = "The beginning of a handle, an id, a whole name, or the hash of an address"),
        ("role" = Option<String>, Query, description = "`member`, `moderator`, `editor`, `admin` or `guest`"),
        ("sort" = Option<String>, Query, description = "`handle` (the usual one), `newest` or `active`"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, description = "1 to 100, usually 50")
    ),
    responses((status = 200, body = AdminPersonPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list_people(
    State(app): State<App>,
    staff: Staff,
    Query(asked): Query<PeopleAsked>,
) -> Result<Json<AdminPersonPage>> {
    staff.require(Role::Moderator)?;
    if asked.q.chars().count() > MAX_WORDS {
        return Err(Error::TooLong { limit: MAX_WORDS, field: Some("q") });
    }
    let search = search_of(&asked.q, &asked.role, &asked.sort, asked.cursor.as_deref());
    let (found, next) = people::search(&app, &search, limit_of(asked.limit)?).await?;
    Ok(Json(AdminPersonPage { items: found.into_iter().map(listed).collect(), next }))
}

/// A person for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminPersonDetail {
    id: Uuid,
    name: String,
    created_at: String,
    last_used_at: String,
    /// Null for a guest.
    account: Option<AdminAccount>,
    sessions: Vec<AdminOwnSession>,
    sanctions: Vec<AdminSanction>,
}

/// An account for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminAccount {
    id: Uuid,
    handle: String,
    role: Role,
    deactivated: bool,
    password: bool,
    second_factor: bool,
    created_at: String,
    /// Null unless its owner asked for its deletion.
    delete_after: Option<String>,
}

/// A session of a person, for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminOwnSession {
    id: Uuid,
    device: Option<String>,
    signed_in_at: String,
    last_used_at: String,
    /// Null while it is live.
    ended_at: Option<String>,
    /// Null while it is live.
    reason: Option<&'static str>,
}

/// A sanction against a person, for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminSanction {
    id: Uuid,
    /// `mute` or `ban`.
    kind: String,
    in_room: bool,
    reason: String,
    created_at: String,
    until: Option<String>,
    lifted_at: Option<String>,
    in_force: bool,
}

/// A person by the id of the visitor or of the account, for moderators and administrators.
#[utoipa::path(get, path = "/admin/people/{id}", params(("id" = Uuid, Path)),
    responses((status = 200, body = AdminPersonDetail), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn one_person(State(app): State<App>, staff: Staff, Path(id): Path<Uuid>) -> Result<Json<AdminPersonDetail>> {
    staff.require(Role::Moderator)?;
    let person = people::find(&app, id).await?;
    let sessions = people::sessions_of(&app, &person).await?;
    let sanctions = crate::moderation::sanctions_of(&app, person.visitor).await?;
    Ok(Json(AdminPersonDetail {
        id: person.id,
        name: person.shown_name(Locale::En),
        created_at: format_timestamp(person.created_at),
        last_used_at: format_timestamp(person.last_used_at),
        account: person.account.as_ref().map(|account| AdminAccount {
            id: account.public_id,
            handle: account.handle.clone(),
            role: account.role,
            deactivated: account.is_deactivated,
            password: account.has_password,
            second_factor: account.has_second_factor,
            created_at: format_timestamp(account.created_at),
            delete_after: account.delete_after.map(format_timestamp),
        }),
        sessions: (sessions.into_iter())
            .map(|one| AdminOwnSession {
                id: one.id,
                device: one.device,
                signed_in_at: format_timestamp(one.signed_in_at),
                last_used_at: format_timestamp(one.last_used_at),
                ended_at: one.ended_at.map(format_timestamp),
                reason: one.reason.map(|reason| reason.as_str()),
            })
            .collect(),
        sanctions: (sanctions.into_iter())
            .map(|one| AdminSanction {
                id: one.id,
                kind: one.kind,
                in_room: one.in_room,
                reason: one.reason,
                created_at: format_timestamp(one.created_at),
                until: one.until.map(format_timestamp),
                lifted_at: one.lifted_at.map(format_timestamp),
                in_force: one.in_force,
            })
            .collect(),
    }))
}

/// Ends the sessions of a person at once. Those of staff are ended by administrators only.
#[utoipa::path(delete, path = "/admin/people/{id}/sessions", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn end_person_sessions(State(app): State<App>, actor: Actor, Path(id): Path<Uuid>) -> Result<StatusCode> {
    let by = actor.require(Role::Moderator)?;
    let person = people::find(&app, id).await?;
    people::end_sessions(&app, &by, &person).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::ToSchema)]
struct NewRole {
    role: Role,
}

/// Gives an account another role, for administrators. Its sessions end. The last administrator
/// stays one: `conflict`.
#[utoipa::path(post, path = "/admin/people/{id}/role", params(("id" = Uuid, Path)), request_body = NewRole,
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn set_role(
    State(app): State<App>,
    actor: Actor,
    Path(id): Path<Uuid>,
    Json(NewRole { role }): Json<NewRole>,
) -> Result<StatusCode> {
    let by = actor.require(Role::Admin)?;
    let person = people::find(&app, id).await?;
    people::set_role(&app, &by, &person, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::ToSchema)]
struct NewReset {
    /// Whether the second factor, the recovery codes and the PIN are removed too.
    #[serde(default)]
    second_factor: bool,
}

/// The link with which the owner of an account sets another password.
#[derive(Serialize, utoipa::ToSchema)]
struct ResetLink {
    /// Works once. It is not stored and cannot be read again.
    link: String,
}

/// Takes the password of an account away, for administrators, and returns a link that sets another.
#[utoipa::path(post, path = "/admin/people/{id}/reset", params(("id" = Uuid, Path)), request_body = NewReset,
    responses((status = 200, body = ResetLink), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn reset(
    State(app): State<App>,
    actor: Actor,
    Path(id): Path<Uuid>,
    Json(asked): Json<NewReset>,
) -> Result<Json<ResetLink>> {
    let by = actor.require(Role::Admin)?;
    let person = people::find(&app, id).await?;
    let link = people::reset(&app, &by, &person, asked.second_factor).await?;
    Ok(Json(ResetLink { link: link.expose_secret().to_owned() }))
}

#[derive(Deserialize)]
struct PageAsked {
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<i64>,
}

/// A session that is signed in, for staff.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminSession {
    id: Uuid,
    /// The public id of the visitor.
    person: Uuid,
    handle: String,
    role: Role,
    device: Option<String>,
    signed_in_at: String,
    last_used_at: String,
}

/// The sessions that are signed in, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct AdminSessionPage {
    items: Vec<AdminSession>,
    /// Null on the last page.
    next: Option<String>,
}

/// The sessions of all accounts that are signed in, for moderators and administrators.
#[utoipa::path(get, path = "/admin/sessions",
    params(
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, description = "1 to 100, usually 50")
    ),
    responses((status = 200, body = AdminSessionPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list_sessions(
    State(app): State<App>,
    staff: Staff,
    Query(asked): Query<PageAsked>,
) -> Result<Json<AdminSessionPage>> {
    staff.require(Role::Moderator)?;
    let cursor = asked.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    let (found, next) = people::live_sessions(&app, cursor, limit_of(asked.limit)?).await?;
    let item = |one: LiveSession| AdminSession {
        id: one.id,
        person: one.person,
        handle: one.handle,
        role: one.role,
        device: one.device,
        signed_in_at: format_timestamp(one.signed_in_at),
        last_used_at: format_timestamp(one.last_used_at),
    };
    Ok(Json(AdminSessionPage { items: found.into_iter().map(item).collect(), next }))
}

/// Ends a session that is signed in. A person has one at a time.
#[utoipa::path(delete, path = "/admin/sessions/{id}", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn end_session(State(app): State<App>, actor: Actor, Path(id): Path<Uuid>) -> Result<StatusCode> {
    let by = actor.require(Role::Moderator)?;
    let person = people::owner_of_session(&app, id).await?;
    people::end_sessions(&app, &by, &person).await?;
    Ok(StatusCode::NO_CONTENT)
}
