//! Deletion of sections: recoverable for 30 days.
use std::time::Duration;

use serde_json::json;

use super::model::Section;
use super::store::Filter;
use super::{Editor, audit_detail, locked, parsed, read, readable, require_room_in_group, store};
use crate::app::App;
use crate::cms::announce;
use crate::cms::limits::{DELETED_SECTION_LIFETIME, MAX_SECTIONS_PER_PAGE};
use crate::cms::model::Page;
use crate::db;
use crate::error::{Error, Result};
use crate::ids::SectionId;

/// How often sections are swept that were deleted long ago.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long a sweep can take.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Sections that one sweep deletes at most.
const MAX_SWEEP_ROWS: i64 = 500;

/// Deletes a section. It leaves the page at once, its schedules end, and it can be restored for
/// [`DELETED_SECTION_LIFETIME`].
///
/// # Errors
/// `not_found`, `session_ended`, `unavailable`.
pub async fn delete_section(app: &App, by: Editor<'_>, id: SectionId) -> Result<()> {
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    let old = locked(&mut tx, id).await?;
    store::clear_schedules(&mut tx, id).await?;
    store::mark_deleted(&mut tx, id, app.clock.now()).await?;
    let is_public_change = old.published.is_some();
    if is_public_change {
        store::raise_content(&mut tx).await?;
    }
    let detail = audit_detail(&old, json!({"group": old.group}));
    by.record(&mut tx, "section.deleted", &id.0.to_string(), detail).await?;
    tx.commit().await?;
    if is_public_change {
        announce(app);
    }
    Ok(())
}

/// Returns the deleted sections of all pages or one that can be restored.
///
/// # Errors
/// `unavailable`.
pub async fn deleted_sections(app: &App, page: Option<Page>) -> Result<Vec<Section>> {
    let mut db = app.db.acquire().await?;
    let filter = Filter { page: page.map(Page::name), deleted: true, ..Filter::default() };
    let rows = store::list(&mut db, filter).await?;
    let since = app.clock.now() - DELETED_SECTION_LIFETIME;
    Ok(rows.into_iter().filter(|row| row.deleted_at >= Some(since)).filter_map(readable).collect())
}

/// Brings a deleted section back, at the end of its page. What visitors saw of it, they see again.
///
/// # Errors
/// `not_found` if it is not deleted or its time is over, `conflict` if the group has this language
/// again or the page is full, `session_ended`, `unavailable`.
pub async fn restore_deleted(app: &App, by: Editor<'_>, id: SectionId) -> Result<Section> {
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    store::lock(&mut tx, id).await?;
    let row = store::list(&mut tx, Filter { id: Some(id), deleted: true, ..Filter::default() }).await?.pop();
    let old = parsed(row.ok_or(Error::NotFound)?)?;
    if old.deleted_at < Some(app.clock.now() - DELETED_SECTION_LIFETIME) {
        return Err(Error::NotFound);
    }
    if store::order(&mut tx, old.page.name(), old.locale.tag()).await?.len() >= MAX_SECTIONS_PER_PAGE {
        return Err(Error::Conflict("This page is full. Delete a section first."));
    }
    if !store::group(&mut tx, old.group).await?.is_empty() {
        require_room_in_group(&mut tx, old.group, old.page, old.kind, old.locale).await?;
    }
    store::unmark_deleted(&mut tx, id).await?;
    let is_public_change = old.published.is_some();
    if is_public_change {
        store::raise_content(&mut tx).await?;
    }
    let section = read(&mut tx, id).await?;
    by.record(&mut tx, "section.undeleted", &id.0.to_string(), audit_detail(&section, json!({}))).await?;
    tx.commit().await?;
    if is_public_change {
        announce(app);
    }
    Ok(section)
}

/// Starts the task that deletes sections for good when their time is over.
pub(in crate::cms) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("cms.sweep", SWEEP_INTERVAL, move || sweep(node.clone()));
}

async fn sweep(node: App) {
    let before = node.clock.now() - DELETED_SECTION_LIFETIME;
    match db::with_timeout(SWEEP_TIMEOUT, store::sweep(&node.db, before, MAX_SWEEP_ROWS)).await {
        Ok(0) => {}
        Ok(swept) => tracing::info!(sections.swept = swept, "deleted sections whose time was over"),
        Err(why) => tracing::warn!(error.cause = %why, "deleted sections were not swept, retrying in an hour"),
    }
}
