//! All SQL of banners.
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{Banner, Place, Tone};
use crate::cms::limits::MAX_BANNERS;

struct BannerRow {
    id: i64,
    text: Value,
    tone: String,
    places: Vec<String>,
    starts_at: OffsetDateTime,
    ends_at: Option<OffsetDateTime>,
    version: i64,
    updated_by: String,
    updated_at: OffsetDateTime,
}

impl BannerRow {
    fn parsed(self) -> Option<Banner> {
        let places = Place::ALL.into_iter().filter(|place| self.places.iter().any(|name| name == place.as_str()));
        Some(Banner {
            id: self.id,
            text: serde_json::from_value(self.text).ok()?,
            tone: if self.tone == "warn" { Tone::Warn } else { Tone::Info },
            places: places.collect(),
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            version: self.version,
            updated_by: self.updated_by,
            updated_at: self.updated_at,
        })
    }
}

/// Reads the banners, those that started last first, at most [`MAX_BANNERS`]: all, or those that are
/// shown at a time.
///
/// # Errors
/// The database's.
pub(super) async fn list(db: &mut PgConnection, shown_at: Option<OffsetDateTime>) -> sqlx::Result<Vec<Banner>> {
    let rows = sqlx::query_as!(
        BannerRow,
        "SELECT id, text, tone, places, starts_at, ends_at, version, updated_by, updated_at FROM site_banner
         WHERE $1::timestamptz IS NULL OR (starts_at <= $1 AND (ends_at IS NULL OR ends_at > $1))
         ORDER BY starts_at DESC, id DESC LIMIT $2",
        shown_at,
        MAX_BANNERS
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().filter_map(BannerRow::parsed).collect())
}

/// Adds a banner. Returns its id.
///
/// # Errors
/// The database's.
pub(super) async fn insert(tx: &mut PgConnection, banner: &Banner, text: &Value) -> sqlx::Result<i64> {
    let places = names(banner);
    sqlx::query_scalar!(
        "INSERT INTO site_banner (text, tone, places, starts_at, ends_at, updated_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        text,
        banner.tone.as_str(),
        &places,
        banner.starts_at,
        banner.ends_at,
        banner.updated_by,
        banner.updated_at
    )
    .fetch_one(tx)
    .await
}

/// Stores another state of a banner.
///
/// # Errors
/// The database's.
pub(super) async fn update(tx: &mut PgConnection, banner: &Banner, text: &Value) -> sqlx::Result<()> {
    let places = names(banner);
    sqlx::query!(
        "UPDATE site_banner SET text = $2, tone = $3, places = $4, starts_at = $5, ends_at = $6, version = $7,
             updated_by = $8, updated_at = $9 WHERE id = $1",
        banner.id,
        text,
        banner.tone.as_str(),
        &places,
        banner.starts_at,
        banner.ends_at,
        banner.version,
        banner.updated_by,
        banner.updated_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn names(banner: &Banner) -> Vec<String> {
    banner.places.iter().map(|place| place.as_str().to_owned()).collect()
}

/// Deletes a banner.
///
/// # Errors
/// The database's.
pub(super) async fn delete(tx: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM site_banner WHERE id = $1", id).execute(tx).await?;
    Ok(())
}
