//! What is scheduled: publishes and takes back when it is due, exactly once whatever the number of
//! nodes.
use std::time::Duration;

use serde_json::json;

use super::store::{self, NewVersion};
use super::{audit_detail, read};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::cms::announce;
use crate::db;
use crate::error::Result;
use crate::ids::SectionId;

/// How often each node looks for what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Publishes of one look at most; the rest follows a second later.
const MAX_PER_LOOK: usize = 100;

/// Starts the task that does what is due.
pub(in crate::cms) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("cms.schedule", LOOK_INTERVAL, move || look(node.clone()));
}

async fn look(node: App) {
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, do_what_is_due(&node)).await {
        tracing::warn!(error.cause = ?why, "scheduled sections were not published, retrying in a second");
    }
}

pub(super) async fn do_what_is_due(app: &App) -> Result<()> {
    if !store::is_due(&app.db, app.clock.now()).await? {
        return Ok(());
    }
    for _ in 0..MAX_PER_LOOK {
        // Publishes first: a section whose time is over already is shown for no moment longer.
        if !(publish_next(app).await? || unpublish_next(app).await?) {
            break;
        }
    }
    Ok(())
}

/// Publishes one section that is due. Returns `false` if there is none, or another node has it.
async fn publish_next(app: &App) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    store::lock_content(&mut tx).await?;
    let now = app.clock.now();
    let Some(due) = store::due_publish(&mut tx, now).await? else { return Ok(false) };
    let entry = NewVersion {
        section: due.id,
        version: due.version,
        kind: "published",
        content: &due.content,
        note: due.note.as_deref(),
        by: &due.by,
        at: now,
    };
    store::add_version(&mut tx, &entry).await?;
    store::set_published(&mut tx, due.id, due.version).await?;
    store::raise_content(&mut tx).await?;
    let more = json!({"published": due.version, "note": due.note, "scheduled_by": due.by});
    record(&mut tx, "section.published", due.id, more).await?;
    tx.commit().await?;
    announce(app);
    Ok(true)
}

/// Takes back one section that is due. Returns `false` if there is none, or another node has it.
async fn unpublish_next(app: &App) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    store::lock_content(&mut tx).await?;
    let Some(id) = store::due_unpublish(&mut tx, app.clock.now()).await? else { return Ok(false) };
    store::clear_published(&mut tx, id).await?;
    store::raise_content(&mut tx).await?;
    record(&mut tx, "section.unpublished", id, json!({})).await?;
    tx.commit().await?;
    announce(app);
    Ok(true)
}

async fn record(
    tx: &mut sqlx::PgConnection,
    action: &'static str,
    id: SectionId,
    more: serde_json::Value,
) -> Result<()> {
    let detail = audit_detail(&read(tx, id).await?, more);
    let act = Act { actor: Actor::System, action, subject: &id.0.to_string(), detail, prefix_hash: None };
    Ok(audit::record(tx, act).await?)
}
