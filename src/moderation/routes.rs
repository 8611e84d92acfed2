//! Moderation over HTTP: the people whom a visitor blocked.
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Blocked;
use crate::accounts::{Alias, Visitor};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Problem, Result};
use crate::http::{Json, Path};
use crate::locale::Locale;

/// Returns the routes `/me/blocks`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(blocks)).routes(routes!(take_back))
}

/// Somebody whom you blocked.
#[derive(Serialize, utoipa::ToSchema)]
struct ListedBlock {
    id: Uuid,
    /// The name that you read in the talk or room. Null if it is not known any more.
    name: Option<String>,
    color: Option<String>,
    /// Null if the person had chosen the name.
    animal: Option<String>,
    at: String,
}

/// The people whom you blocked, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct BlockPage {
    items: Vec<ListedBlock>,
    /// Always null: the list has one page.
    next: Option<String>,
}

impl ListedBlock {
    fn new(blocked: Blocked, locale: Locale) -> Self {
        let Blocked { id, color, animal, name, at } = blocked;
        // A made-up name is shown in the reader's language.
        let alias = color.clone().zip(animal.clone()).map(|(color, animal)| Alias { color, animal });
        let name = alias.map(|alias| alias.in_words(locale)).or(name);
        Self { id, name, color, animal, at: format_timestamp(at) }
    }
}

/// The people whom you blocked.
#[utoipa::path(get, path = "/me/blocks",
    responses((status = 200, body = BlockPage), (status = 401, body = Problem)))]
async fn blocks(State(app): State<App>, who: Visitor) -> Result<Json<BlockPage>> {
    let blocked = super::blocked_by(&app, who.id).await?.into_iter();
    Ok(Json(BlockPage { items: blocked.map(|one| ListedBlock::new(one, who.locale)).collect(), next: None }))
}

/// Takes back a block. You can meet the person again, unless they blocked you.
#[utoipa::path(delete, path = "/me/blocks/{id}", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn take_back(State(app): State<App>, who: Visitor, Path(id): Path<Uuid>) -> Result<StatusCode> {
    super::unblock_listed(&app, &who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
