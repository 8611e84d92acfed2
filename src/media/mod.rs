//! Media: images. An upload is checked, encoded anew in the sizes that pages need, and stored in
//! Postgres in pieces. Every node serves every image and caches what it has served on its disk.
mod cache;
pub mod limits;
mod model;
mod process;
mod routes;
mod serving;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::accounts;
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::config::Config;
use crate::db;
use crate::error::{Error, Result};

use limits::{
    DECODER_TIMEOUT, DELETED_IMAGE_KEPT, IMAGES_PER_PAGE, MAX_DECODERS, MAX_IMAGE_SEARCH_CHARS, MAX_LIST_PAGES,
};
pub use model::{AltText, Author, Format, Image, ImageUse, OwnerKind, Refusal, Size, UploadError, Variant, alt_field};
pub use routes::{api, router};
use store::Filter;
pub use upload::Upload;

/// How often images that were deleted long ago are swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// Images that one sweep deletes at most. Each has some megabytes.
const MAX_SWEEP_ROWS: i64 = 50;

/// The media state of a node.
pub struct State {
    /// Permits to decode.
    decoders: Arc<Semaphore>,
    serving: serving::Serving,
}

impl State {
    /// Creates the state. The cache is in the data folder.
    pub fn new(config: &Config) -> Self {
        Self { decoders: Arc::new(Semaphore::new(MAX_DECODERS)), serving: serving::Serving::new(config) }
    }
}

/// Where images are used. Media knows no noun that shows them, so the router hands it in.
#[derive(Clone, Copy)]
pub struct UseHooks {
    /// Returns the places that show an image.
    pub uses: for<'a> fn(&'a App, Uuid) -> BoxFuture<'a, Result<Vec<ImageUse>>>,
}

/// What became of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Deletion {
    Deleted,
    /// The image is shown in these places, and was not deleted.
    InUse(Vec<ImageUse>),
}

/// A page of the list of images.
pub struct ImagePage {
    pub images: Vec<Image>,
    /// Images on all pages.
    pub total: i64,
    /// From 1.
    pub page: i64,
    pub pages: i64,
}

/// Starts the task that deletes what was marked as deleted long ago.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("media.sweep", SWEEP_INTERVAL, move || sweep(node.clone()));
}

async fn sweep(app: App) {
    let before = app.clock.now() - DELETED_IMAGE_KEPT;
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, store::sweep(&app.db, before, MAX_SWEEP_ROWS)).await {
        tracing::debug!(error.cause = %why, "deleted images were not swept, retrying in an hour");
    }
}

/// Stores an uploaded image and returns it. The same picture is stored once: a second upload finds
/// the first one, with its texts, and restores it if it was deleted.
///
/// # Errors
/// A [`Refusal`] about the file; `session_ended`, `banned`, `unavailable`.
pub async fn store(
    app: &App,
    author: Author<'_>,
    owner: OwnerKind,
    alt: &AltText,
    file: Bytes,
) -> Result<Image, UploadError> {
    let prepared = prepare(app, file).await?;
    let hashes: Vec<Vec<u8>> =
        prepared.variants.iter().map(|variant| Sha256::digest(&variant.bytes).to_vec()).collect();
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, author.visitor).await?;
    let uploader = author.visitor.account.as_ref().map(|account| account.id);
    let inserted = store::insert_image(&mut tx, owner, &prepared, alt, uploader).await?;
    if inserted.is_new {
        for (variant, hash) in prepared.variants.iter().zip(&hashes) {
            store::insert_variant(&mut tx, inserted.id, variant, hash).await?;
        }
    }
    let detail = json!({"width": prepared.width, "height": prepared.height, "again": !inserted.is_new});
    record(&mut tx, author, "media.uploaded", inserted.public_id, detail).await?;
    tx.commit().await?;
    Ok(find(app, inserted.public_id).await?)
}

/// Decodes and encodes on a thread that may block, not many at a time.
async fn prepare(app: &App, file: Bytes) -> Result<process::Prepared, UploadError> {
    let permit = tokio::time::timeout(DECODER_TIMEOUT, app.media.decoders.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(Error::Unavailable.into()) };
    let work = move || {
        let prepared = process::prepare(&file);
        // Kept until here, also if nobody waits for the result any more.
        drop(permit);
        prepared
    };
    // A decoder that panics has met a file that it cannot read.
    Ok(tokio::task::spawn_blocking(work).await.unwrap_or(Err(Refusal::Broken))?)
}

/// Returns an image, also a deleted one.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn find(app: &App, id: Uuid) -> Result<Image> {
    let filter = Filter { search: "", deleted: false, only: Some(id) };
    let (images, _) = store::images(&app.db, OwnerKind::Site, filter, 0, 1).await?;
    images.into_iter().next().ok_or(Error::NotFound)
}

/// Returns a page of the images whose texts have `search`, the newest first.
///
/// # Errors
/// `unavailable`.
pub async fn list(app: &App, search: &str, deleted: bool, page: i64) -> Result<ImagePage> {
    let search: String = search.trim().chars().filter(|c| *c != '\0').take(MAX_IMAGE_SEARCH_CHARS).collect();
    let page = page.clamp(1, MAX_LIST_PAGES);
    let filter = Filter { search: &search, deleted, only: None };
    let offset = (page - 1) * IMAGES_PER_PAGE;
    let (images, total) = store::images(&app.db, OwnerKind::Site, filter, offset, IMAGES_PER_PAGE).await?;
    let pages = ((total + IMAGES_PER_PAGE - 1) / IMAGES_PER_PAGE).max(1);
    Ok(ImagePage { images, total, page, pages })
}

/// Changes the texts of an image.
///
/// # Errors
/// `not_found`, `session_ended`, `banned`, `unavailable`.
pub async fn set_alt(app: &App, author: Author<'_>, id: Uuid, alt: &AltText) -> Result<()> {
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, author.visitor).await?;
    if !store::set_alt(&mut tx, id, alt).await? {
        return Err(Error::NotFound);
    }
    record(&mut tx, author, "media.described", id, json!(alt)).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes an image that nothing shows. It can be restored for [`DELETED_IMAGE_KEPT`].
///
/// # Errors
/// `not_found`, `session_ended`, `banned`, `unavailable`.
pub async fn delete(app: &App, author: Author<'_>, hooks: UseHooks, id: Uuid) -> Result<Deletion> {
    let uses = uses(app, hooks, id).await?;
    if !uses.is_empty() {
        return Ok(Deletion::InUse(uses));
    }
    mark(app, author, id, true).await?;
    app.media.serving.forget(id);
    Ok(Deletion::Deleted)
}

/// Restores a deleted image.
///
/// # Errors
/// `not_found` if it is not deleted, or was swept; `session_ended`, `banned`, `unavailable`.
pub async fn restore(app: &App, author: Author<'_>, id: Uuid) -> Result<()> {
    mark(app, author, id, false).await
}

async fn mark(app: &App, author: Author<'_>, id: Uuid, deleted: bool) -> Result<()> {
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, author.visitor).await?;
    if !store::set_deleted(&mut tx, id, deleted).await? {
        return Err(Error::NotFound);
    }
    let action = if deleted { "media.deleted" } else { "media.restored" };
    record(&mut tx, author, action, id, json!({})).await?;
    tx.commit().await?;
    Ok(())
}

/// Returns the places that show an image, the social cards among them.
///
/// # Errors
/// `unavailable`.
pub async fn uses(app: &App, hooks: UseHooks, id: Uuid) -> Result<Vec<ImageUse>> {
    let mut uses = (hooks.uses)(app, id).await?;
    if social_image(app).await? == Some(id) {
        uses.push(ImageUse { place: "social".to_owned() });
    }
    Ok(uses)
}

/// Returns the image of the social cards, `None` for the one that is built in.
///
/// # Errors
/// `unavailable`.
pub async fn social_image(app: &App) -> Result<Option<Uuid>> {
    let mut connection = app.db.acquire().await?;
    Ok(store::social_image(&mut connection).await?)
}

/// Chooses the image of the social cards. `None` chooses the one that is built in. Returns the one
/// before.
///
/// # Errors
/// `not_found`, `session_ended`, `banned`, `unavailable`.
pub async fn set_social_image(app: &App, author: Author<'_>, id: Option<Uuid>) -> Result<Option<Uuid>> {
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, author.visitor).await?;
    let before = store::social_image(&mut tx).await?;
    if !store::set_social_image(&mut tx, id).await? {
        return Err(Error::NotFound);
    }
    let subject = id.or(before).unwrap_or_default();
    record(&mut tx, author, "media.social_image_chosen", subject, json!({"from": before, "to": id})).await?;
    tx.commit().await?;
    Ok(before)
}

/// Records what staff did. What others do with their images is not staff's work.
async fn record(
    tx: &mut PgConnection,
    author: Author<'_>,
    action: &'static str,
    image: Uuid,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    let Some(account) = author.visitor.account.as_ref().filter(|account| account.role.is_staff()) else {
        return Ok(());
    };
    let actor = Actor::Account { id: account.public_id, handle: &account.handle };
    let subject = image.to_string();
    let act = Act { actor, action, subject: &subject, detail, prefix_hash: Some(author.prefix_hash) };
    audit::record(tx, act).await
}
