//! All SQL of images, and no rules.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{AltText, Format, Image, OwnerKind, Size, Variant};
use super::process::{Encoded, Prepared};
use crate::ids::AccountId;

/// The bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces of one statement: 4 MiB.
const MAX_STATEMENT_PIECES: usize = 16;

/// An image that was inserted, or found by its pixels.
pub(super) struct Inserted {
    pub(super) id: i64,
    pub(super) public_id: Uuid,
    /// `false` if the picture was there already. It is not deleted any more then.
    pub(super) is_new: bool,
}

/// Inserts an image without its variants, or finds the one with the same pixels.
///
/// # Errors
/// Those of the database.
pub(super) async fn insert_image(
    tx: &mut PgConnection,
    owner: OwnerKind,
    prepared: &Prepared,
    alt: &AltText,
    uploader: Option<AccountId>,
) -> sqlx::Result<Inserted> {
    let alt = serde_json::to_value(alt).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
    sqlx::query_as!(
        Inserted,
        r#"INSERT INTO media_image (owner_kind, pixels_hash, width, height, alt, uploaded_by)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT ON CONSTRAINT media_image_pixels_key DO UPDATE SET deleted_at = NULL
           RETURNING id, public_id, (xmax = 0) AS "is_new!""#,
        owner.as_str(),
        prepared.pixels_hash,
        i32::try_from(prepared.width).unwrap_or(i32::MAX),
        i32::try_from(prepared.height).unwrap_or(i32::MAX),
        alt,
        uploader.map(|id| id.0)
    )
    .fetch_one(tx)
    .await
}

/// Inserts a variant with its pieces.
///
/// # Errors
/// Those of the database.
pub(super) async fn insert_variant(
    tx: &mut PgConnection,
    image: i64,
    variant: &Encoded,
    hash: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO media_variant (image_id, name, width, height, media_type, bytes, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        image,
        variant.size.name(),
        i32::try_from(variant.width).unwrap_or(i32::MAX),
        i32::try_from(variant.height).unwrap_or(i32::MAX),
        variant.format.media_type(),
        i32::try_from(variant.bytes.len()).unwrap_or(i32::MAX),
        hash
    )
    .execute(&mut *tx)
    .await?;
    let pieces: Vec<(i32, Vec<u8>)> = (0..).zip(variant.bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec)).collect();
    for some in pieces.chunks(MAX_STATEMENT_PIECES) {
        let (numbers, data): (Vec<i32>, Vec<Vec<u8>>) = some.iter().cloned().unzip();
        sqlx::query!(
            "INSERT INTO media_piece (image_id, variant, number, data)
             SELECT $1, $2, number, data FROM UNNEST($3::int[], $4::bytea[]) AS t(number, data)",
            image,
            variant.size.name(),
            &numbers,
            &data
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Where the bytes of a variant are, and what they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) image: i64,
    pub(super) format: Format,
    pub(super) bytes: u64,
    /// SHA-256.
    pub(super) hash: Vec<u8>,
}

/// Finds a variant of an image that is not deleted. `None` if there is none.
///
/// # Errors
/// Those of the database.
pub(super) async fn find_variant(db: &PgPool, image: Uuid, size: Size) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT v.image_id, v.media_type, v.bytes, v.hash
         FROM media_image i JOIN media_variant v ON v.image_id = i.id
         WHERE i.public_id = $1 AND i.deleted_at IS NULL AND v.name = $2",
        image,
        size.name()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        let bytes = u64::try_from(row.bytes).ok()?;
        Some(Stored { image: row.image_id, format: Format::parse(&row.media_type)?, bytes, hash: row.hash })
    }))
}

/// Reads the bytes of a variant. Empty if it is gone.
///
/// # Errors
/// Those of the database.
pub(super) async fn read_pieces(db: &PgPool, image: i64, size: Size) -> sqlx::Result<Vec<u8>> {
    let pieces = sqlx::query_scalar!(
        "SELECT data FROM media_piece WHERE image_id = $1 AND variant = $2 ORDER BY number",
        image,
        size.name()
    );
    Ok(pieces.fetch_all(db).await?.concat())
}

/// What a list of images shows.
#[derive(Clone, Copy)]
pub(super) struct Filter<'a> {
    /// Text that a description has. Empty for all.
    pub(super) search: &'a str,
    /// Whether to list deleted images instead.
    pub(super) deleted: bool,
    /// Only this image.
    pub(super) only: Option<Uuid>,
}

/// Reads images, the newest first, and how many there are in all.
///
/// # Errors
/// Those of the database.
pub(super) async fn images(
    db: &PgPool,
    owner: OwnerKind,
    filter: Filter<'_>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<(Vec<Image>, i64)> {
    let rows = sqlx::query!(
        r#"WITH listed AS (
               SELECT id, public_id, width, height, alt, created_at, deleted_at, count(*) OVER () AS total
               FROM media_image
               WHERE owner_kind = $1 AND ($4::uuid IS NULL OR public_id = $4)
                 AND ($4::uuid IS NOT NULL OR (deleted_at IS NOT NULL) = $3)
                 AND ($2 = '' OR EXISTS (SELECT FROM jsonb_each_text(alt) t WHERE strpos(lower(t.value), lower($2)) > 0))
               ORDER BY id DESC OFFSET $5 LIMIT $6)
           SELECT l.public_id, l.width, l.height, l.alt, l.created_at, l.deleted_at, l.total AS "total!",
                  v.name, v.width AS variant_width, v.height AS variant_height, v.media_type, v.bytes
           FROM listed l JOIN media_variant v ON v.image_id = l.id
           ORDER BY l.id DESC, array_position(ARRAY['480', '960', '1600', 'thumb', 'social'], v.name)"#,
        owner.as_str(),
        filter.search,
        filter.deleted,
        filter.only,
        offset,
        limit
    )
    .fetch_all(db)
    .await?;
    let (mut images, mut total) = (Vec::<Image>::new(), 0);
    let pixels = |value: i32| u32::try_from(value).unwrap_or_default();
    for row in rows {
        total = row.total;
        if images.last().is_none_or(|image| image.id != row.public_id) {
            images.push(Image {
                id: row.public_id,
                width: pixels(row.width),
                height: pixels(row.height),
                alt: serde_json::from_value(row.alt).unwrap_or_default(),
                created_at: row.created_at,
                deleted_at: row.deleted_at,
                variants: Vec::new(),
            });
        }
        let (Some(size), Some(format)) = (Size::parse(&row.name), Format::parse(&row.media_type)) else { continue };
        let (width, height) = (pixels(row.variant_width), pixels(row.variant_height));
        let variant = Variant { size, width, height, format, bytes: pixels(row.bytes) };
        if let Some(image) = images.last_mut() {
            image.variants.push(variant);
        }
    }
    Ok((images, total))
}

/// Changes the texts of an image. Returns `false` if there is no such image.
///
/// # Errors
/// Those of the database.
pub(super) async fn set_alt(tx: &mut PgConnection, image: Uuid, alt: &AltText) -> sqlx::Result<bool> {
    let alt = serde_json::to_value(alt).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
    let changed = sqlx::query!("UPDATE media_image SET alt = $2 WHERE public_id = $1", image, alt).execute(tx).await?;
    Ok(changed.rows_affected() > 0)
}

/// Marks an image as deleted, or takes the mark away. Returns `false` if that changes nothing.
///
/// # Errors
/// Those of the database.
pub(super) async fn set_deleted(tx: &mut PgConnection, image: Uuid, deleted: bool) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE media_image SET deleted_at = CASE WHEN $2 THEN now() END
         WHERE public_id = $1 AND (deleted_at IS NULL) = $2",
        image,
        deleted
    );
    Ok(changed.execute(tx).await?.rows_affected() > 0)
}

/// Deletes the rows of images that were marked before a time, at most `limit`. Returns how many.
///
/// # Errors
/// Those of the database.
pub(super) async fn sweep(db: &PgPool, before: OffsetDateTime, limit: i64) -> sqlx::Result<u64> {
    let swept = sqlx::query!(
        "DELETE FROM media_image WHERE id IN (SELECT id FROM media_image WHERE deleted_at < $1 ORDER BY id LIMIT $2)",
        before,
        limit
    );
    Ok(swept.execute(db).await?.rows_affected())
}

/// Returns the image of the social cards, `None` for the one that is built in.
///
/// # Errors
/// Those of the database.
pub(super) async fn social_image(db: &mut PgConnection) -> sqlx::Result<Option<Uuid>> {
    let value = sqlx::query_scalar!("SELECT value FROM site_setting WHERE key = 'social_image'");
    let value = value.fetch_optional(db).await?;
    Ok(value.and_then(|value| value.as_str()?.parse().ok()))
}

/// Chooses the image of the social cards, if it is not deleted. `None` chooses the one that is built
/// in. Returns `false` if there is no such image.
///
/// # Errors
/// Those of the database.
pub(super) async fn set_social_image(tx: &mut PgConnection, image: Option<Uuid>) -> sqlx::Result<bool> {
    let Some(image) = image else {
        sqlx::query!("DELETE FROM site_setting WHERE key = 'social_image'").execute(tx).await?;
        return Ok(true);
    };
    let chosen = sqlx::query!(
        "INSERT INTO site_setting (key, value)
         SELECT 'social_image', to_jsonb(public_id::text) FROM media_image
         WHERE public_id = $1 AND deleted_at IS NULL FOR UPDATE
         ON CONFLICT ON CONSTRAINT site_setting_pk DO UPDATE SET value = excluded.value, updated_at = now()",
        image
    );
    Ok(chosen.execute(tx).await?.rows_affected() > 0)
}
