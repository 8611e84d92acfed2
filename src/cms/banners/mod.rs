//! Banners: announcements and warnings above the pages, with a start and an end.
mod model;
mod routes;
mod store;

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;

pub use model::{Banner, BannerChange, Place, Tone};
pub(super) use routes::{public_router, router};

use super::announce;
use super::limits::MAX_BANNERS;
use super::sections::{Editor, raise_content};
use crate::app::App;
use crate::error::{Error, Result};

/// Returns all banners, those that started last first, those to come and those that have ended too.
///
/// # Errors
/// `unavailable`.
pub async fn banners(app: &App) -> Result<Vec<Banner>> {
    let mut db = app.db.acquire().await?;
    Ok(store::list(&mut db, None).await?)
}

/// Returns a banner.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn banner(app: &App, id: i64) -> Result<Banner> {
    banners(app).await?.into_iter().find(|banner| banner.id == id).ok_or(Error::NotFound)
}

/// Reads the banners that are shown at a time.
///
/// # Errors
/// The database's.
pub(super) async fn read_current(db: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<Vec<Banner>> {
    store::list(db, Some(now)).await
}

/// Saves a banner: a new one, or the one with an id. With `version`, only if it is the newest one.
/// It is shown from its start until its end.
///
/// # Errors
/// `bad_frame` or `too_long` with the field, `conflict` with the banner as it is now if `version` is
/// old, or if there are too many, `not_found`, `session_ended`, `unavailable`.
pub async fn save_banner(
    app: &App,
    by: Editor<'_>,
    id: Option<i64>,
    version: Option<i64>,
    change: BannerChange,
) -> Result<Banner> {
    let BannerChange { text, tone, places, starts_at, ends_at } = change.checked()?;
    let now = app.clock.now();
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?; // locks it: such changes follow each other
    let all = store::list(&mut tx, None).await?;
    let old = match id {
        Some(id) => Some(all.iter().find(|banner| banner.id == id).ok_or(Error::NotFound)?),
        None => None,
    };
    if old.is_none() && i64::try_from(all.len()).is_ok_and(|count| count >= MAX_BANNERS) {
        return Err(Error::Conflict("There are too many banners. Delete one first."));
    }
    if let Some(old) = old.filter(|old| version.is_some_and(|version| version != old.version)) {
        let current = serde_json::to_value(routes::BannerView::from(old.clone())).map_err(Error::internal)?;
        return Err(Error::Outdated { current: Box::new(current) });
    }
    let starts_at = starts_at.or(old.map(|old| old.starts_at)).unwrap_or(now);
    if ends_at.is_some_and(|end| end <= starts_at) {
        return Err(Error::bad_field("ends_at", "Choose an end after the start."));
    }
    let mut banner = Banner {
        id: old.map_or(0, |old| old.id),
        text,
        tone,
        places,
        starts_at,
        ends_at,
        version: old.map_or(1, |old| old.version + 1),
        updated_by: by.handle()?.to_owned(),
        updated_at: now,
    };
    let text = serde_json::to_value(&banner.text).map_err(Error::internal)?;
    let action = if old.is_some() {
        store::update(&mut tx, &banner, &text).await?;
        "banner.saved"
    } else {
        banner.id = store::insert(&mut tx, &banner, &text).await?;
        "banner.added"
    };
    by.record(&mut tx, action, &banner.id.to_string(), json!({"text": text, "tone": tone})).await?;
    tx.commit().await?;
    announce(app);
    Ok(banner)
}

/// Deletes a banner and returns it. Saving it as a new one takes that back.
///
/// # Errors
/// `not_found`, `session_ended`, `unavailable`.
pub async fn delete_banner(app: &App, by: Editor<'_>, id: i64) -> Result<Banner> {
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?;
    let banner = store::list(&mut tx, None).await?.into_iter().find(|banner| banner.id == id);
    let banner = banner.ok_or(Error::NotFound)?;
    store::delete(&mut tx, id).await?;
    by.record(&mut tx, "banner.deleted", &id.to_string(), json!({"text": banner.text})).await?;
    tx.commit().await?;
    announce(app);
    Ok(banner)
}
