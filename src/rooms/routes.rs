//! Rooms over HTTP: list, create, read, post.
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::delivery::{self, EntriesPage, Window};
use super::limits::{DEFAULT_PAGE_ITEMS, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_SEARCH_CHARS, MAX_SLUG_BYTES};
use super::membership::{self, Membership, add_member, hidden_up_to};
use super::model::{ChatRoom, NewRoom, RoomEvent, RoomKind, RoomView};
use super::{Post, store};
use crate::accounts::Visitor;
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Problem, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, ClientIp, Json, Key, Path, Query, deserialize_integer};
use crate::ids::Seq;
use crate::text;

/// The routes under `/rooms`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(show))
        .routes(routes!(messages, post))
        .routes(routes!(log))
}

/// A page of items.
#[derive(Serialize, utoipa::ToSchema)]
struct Page<T> {
    items: Vec<T>,
    /// Where the next page begins: pass it as `cursor` (or as `before` or `after`). Null at the
    /// end.
    next: Option<String>,
}

/// A room in a list.
#[derive(Serialize, utoipa::ToSchema)]
struct Listed {
    #[serde(flatten)]
    room: RoomView,
    members_online: usize,
}

fn listed(app: &App, room: &ChatRoom) -> Listed {
    Listed { room: room.into(), members_online: super::online(app, room) }
}

/// Describes the parameter `limit`. The attributes `minimum` and `maximum` take no constant.
enum PageSize {}

impl PartialSchema for PageSize {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1))
            .maximum(Some(MAX_PAGE_ITEMS))
            .default(Some(DEFAULT_PAGE_ITEMS.into()))
            .into()
    }
}

impl ToSchema for PageSize {}

/// Describes the parameter `q`, as [`PageSize`] describes `limit`.
enum SearchWords {}

impl PartialSchema for SearchWords {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_SEARCH_CHARS)).into()
    }
}

impl ToSchema for SearchWords {}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Words in the title or topic.
    #[param(value_type = SearchWords, inline, required = false)]
    q: Option<String>,
    /// `new` (default) or `name`.
    #[param(pattern = "^(new|name)$", nullable = false)]
    sort: Option<String>,
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<Uuid>,
    /// The most items of the page.
    #[param(value_type = PageSize, inline, required = false)]
    limit: Option<i64>,
}

/// Public rooms, and the private ones you are in.
#[utoipa::path(get, path = "/rooms", params(ListQuery), responses((status = 200, body = Page<Listed>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 422, body = Problem)))]
async fn list(State(app): State<App>, who: Visitor, Query(query): Query<ListQuery>) -> Result<Json<Page<Listed>>> {
    let limit = page_size(query.limit)?;
    let by_name = match query.sort.as_deref() {
        None | Some("new") => false,
        Some("name") => true,
        Some(_) => return Err(Error::bad_field("sort", "Sort by 'new' or 'name'.")),
    };
    let search = query.q.as_deref().map(search).transpose()?.flatten();
    let rooms = store::listed(&app.db, who.id, search.as_deref(), by_name, query.cursor, limit + 1).await?;
    let more = rooms.len() as i64 > limit;
    let shown = &rooms[..rooms.len() - usize::from(more)];
    let next = shown.last().filter(|_| more).map(|room| room.public_id.to_string());
    Ok(Json(Page { items: shown.iter().map(|room| listed(&app, room)).collect(), next }))
}

/// Creates a room. You are its owner and first member.
#[utoipa::path(post, path = "/rooms", request_body = NewRoom,
    responses((status = 201, body = RoomView), (status = 400, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem)))]
async fn make(State(app): State<App>, who: Visitor, Json(new): Json<NewRoom>) -> Result<(StatusCode, Json<RoomView>)> {
    app.limits.take(Bucket::Rooms, Key::Visitor(who.id))?;
    who.require_rules()?;
    let new = new.checked()?;
    let mut tx = app.db.begin().await?;
    // 48 random bits: short enough to say aloud, too many to guess.
    let slug = format!("{:012x}", rand::random::<u64>() >> 16);
    let (_, room) = store::create_room(&mut tx, &new, &slug, who.id).await?;
    let access = membership::access_in(&mut tx, room, who.id).await?.ok_or(Error::NotFound)?;
    add_member(&mut tx, &who, &access.room, "owner").await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json((&access.room).into())))
}

/// One room: a public one, or one you are in.
#[utoipa::path(get, path = "/rooms/{room}", params(("room" = String, Path, description = "id or slug")),
    responses((status = 200, body = Listed), (status = 404, body = Problem)))]
async fn show(State(app): State<App>, who: Visitor, Path(room): Path<String>) -> Result<Json<Listed>> {
    let id = named(&app, &room).await?;
    let mut connection = app.db.acquire().await?;
    let access = membership::access_in(&mut connection, id, who.id).await?.ok_or(Error::NotFound)?;
    let member = access.member.is_some_and(|member| !member.left || member.sender.slot.is_some());
    if !member && access.room.kind != RoomKind::Public {
        return Err(Error::NotFound);
    }
    Ok(Json(listed(&app, &access.room)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MessagesQuery {
    /// Entries older than this seq, newest page first.
    #[param(nullable = false)]
    before: Option<i64>,
    /// Entries newer than this seq.
    #[param(nullable = false)]
    after: Option<i64>,
    /// The most items of the page.
    #[param(value_type = PageSize, inline, required = false)]
    limit: Option<i64>,
}

/// Messages as they are now, newest last. For members only.
#[utoipa::path(get, path = "/rooms/{room}/messages", params(("room" = String, Path), MessagesQuery),
    responses((status = 200, body = Page<RoomEvent>), (status = 404, body = Problem)))]
async fn messages(
    State(app): State<App>,
    who: Visitor,
    Path(room): Path<String>,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<Page<RoomEvent>>> {
    let membership = super::membership(&app, &who, named(&app, &room).await?).await?;
    // From `after` upwards when it is given; else the newest below `before`.
    page(&app, &membership, query.before, query.after, query.limit, query.after.is_none()).await
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// Entries after this seq; the newest page unless given.
    #[param(nullable = false)]
    after: Option<i64>,
    /// The most items of the page.
    #[param(value_type = PageSize, inline, required = false)]
    limit: Option<i64>,
}

/// Every entry in order, as the socket would replay it. For members only.
#[utoipa::path(get, path = "/rooms/{room}/log", params(("room" = String, Path), LogQuery),
    responses((status = 200, body = Page<RoomEvent>), (status = 404, body = Problem)))]
async fn log(
    State(app): State<App>,
    who: Visitor,
    Path(room): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Page<RoomEvent>>> {
    let membership = super::membership(&app, &who, named(&app, &room).await?).await?;
    page(&app, &membership, None, query.after, query.limit, query.after.is_none()).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    client_id: Uuid,
    #[schema(value_type = Object)]
    payload: Map<String, Value>,
    #[serde(default, deserialize_with = "deserialize_integer")]
    reply_to: Option<i64>,
}

/// The number and time of an entry.
#[derive(Serialize, utoipa::ToSchema)]
struct PostedView {
    seq: i64,
    at: String,
}

/// Posts a message: 201, or 200 with the first answer on a repeat.
#[utoipa::path(post, path = "/rooms/{room}/messages", params(("room" = String, Path)), request_body = NewMessage,
    responses((status = 201, body = PostedView), (status = 200, body = PostedView), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem)))]
async fn post(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Path(room): Path<String>,
    Json(new): Json<NewMessage>,
) -> Result<Response> {
    app.limits.take(Bucket::Entries, Key::Visitor(who.id))?;
    let prefix = app.accounts.prefix_hash(address.prefix());
    let requested_at = Instant::now();
    let post =
        Post { client_id: new.client_id, payload: new.payload, reply_to: new.reply_to.map(Seq), prefix, requested_at };
    let room = named(&app, &room).await?;
    let posted = super::post_and_wait(&app, &who, room, post).await?;
    let status = if posted.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(PostedView { seq: posted.seq.0, at: format_timestamp(posted.at) })).into_response())
}

async fn page(
    app: &App,
    membership: &Membership,
    before: Option<i64>,
    after: Option<i64>,
    limit: Option<i64>,
    newest: bool,
) -> Result<Json<Page<RoomEvent>>> {
    let limit = page_size(limit)?;
    let hidden = hidden_up_to(membership);
    let (after, before) = (after.map_or(Seq::ZERO, Seq).max(hidden), before.map_or(Seq::MAX, Seq));
    let bytes = if faults::on(Fault::PageBytesNotCounted) { i64::MAX } else { MAX_PAGE_BYTES };
    let window = Window { after, before, limit, bytes, newest };
    let EntriesPage { entries, has_more } = delivery::entries(&app.db, &membership.room, window).await?;
    let edge = if newest { entries.first() } else { entries.last() };
    let next = edge.filter(|_| has_more).map(|entry| entry.seq.0.to_string());
    Ok(Json(Page { items: entries.into_iter().map(RoomEvent::Message).collect(), next }))
}

fn page_size(limit: Option<i64>) -> Result<i64> {
    match limit {
        None => Ok(DEFAULT_PAGE_ITEMS),
        Some(limit @ 1..=MAX_PAGE_ITEMS) => Ok(limit),
        Some(_) => Err(Error::bad_field("limit", format!("A page has 1 to {MAX_PAGE_ITEMS} items."))),
    }
}

/// Returns the public id of the room in a path, which is an id or a slug. Postgres is asked only
/// about what can be a slug.
///
/// # Errors
/// `not_found`, `unavailable`.
async fn named(app: &App, room: &str) -> Result<Uuid> {
    let is_slug = (1..=MAX_SLUG_BYTES).contains(&room.len())
        && room.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        || faults::on(Fault::SlugNotChecked);
    match Uuid::try_parse(room) {
        Ok(id) => Ok(id),
        Err(_) if is_slug => store::by_slug(&app.db, room).await?.ok_or(Error::NotFound),
        Err(_) => Err(Error::NotFound),
    }
}

/// Returns the pattern of a search: `None` if it has no words.
///
/// # Errors
/// `too_long`, `bad_frame`.
fn search(words: &str) -> Result<Option<String>> {
    let words = text::tidy(words);
    if words.chars().count() > MAX_SEARCH_CHARS {
        return Err(Error::TooLong { limit: MAX_SEARCH_CHARS, field: Some("q") });
    }
    if words.chars().any(char::is_control) {
        return Err(Error::bad_field("q", "Control characters cannot be searched for."));
    }
    Ok(Some(words).filter(|words| !words.is_empty()).map(|words| like(&words)))
}

/// Returns a pattern that finds the words literally: `%`, `_` and `\` stand for themselves.
fn like(words: &str) -> String {
    let escaped = words.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}
