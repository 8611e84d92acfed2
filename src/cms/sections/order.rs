//! The order of the sections of a page in a language.
use std::collections::HashSet;

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Editor, store};
use crate::app::App;
use crate::cms::announce;
use crate::cms::model::Page;
use crate::error::{Error, Result};
use crate::ids::SectionId;
use crate::locale::Locale;

/// Puts the sections of a page in a language in order. It takes effect at once.
///
/// # Errors
/// `conflict` if `ids` are not all sections of that page and language, each once: somebody has added
/// or deleted one meanwhile; `session_ended`, `unavailable`.
pub async fn order_sections(app: &App, by: Editor<'_>, page: Page, locale: Locale, ids: &[SectionId]) -> Result<()> {
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    let old: Vec<SectionId> =
        store::order(&mut tx, page.name(), locale.tag()).await?.into_iter().map(|(id, ..)| id).collect();
    let (named, present): (HashSet<&SectionId>, HashSet<&SectionId>) = (ids.iter().collect(), old.iter().collect());
    if named != present || ids.len() != old.len() {
        return Err(Error::Conflict("The sections of this page have changed. Load the list again, then order it."));
    }
    if old == ids {
        return Ok(());
    }
    store::set_order(&mut tx, ids).await?;
    store::raise_content(&mut tx).await?;
    let numbers: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let detail = json!({"page": page.name(), "locale": locale.tag(), "ids": numbers});
    by.record(&mut tx, "section.ordered", page.name(), detail).await?;
    tx.commit().await?;
    announce(app);
    Ok(())
}

/// Returns before which of the sections in `order` a translation belongs: before the first one whose
/// group follows its own group in another language. `None`
/// for the end.
pub(super) async fn place_of_translation(
    tx: &mut PgConnection,
    page: Page,
    group: Uuid,
    order: &[(SectionId, Uuid, i32)],
) -> Result<Option<usize>> {
    for locale in Locale::ALL {
        let others = store::order(tx, page.name(), locale.tag()).await?;
        let Some(at) = others.iter().position(|(_, other, _)| *other == group) else { continue };
        let following: HashSet<Uuid> = others[at + 1..].iter().map(|(_, other, _)| *other).collect();
        return Ok(order.iter().position(|(_, own, _)| following.contains(own)));
    }
    Ok(None)
}
