//! What visitors see of a section: publish, unpublish, schedules, history, restore.
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{Section, SectionVersion, VersionKind};
use super::store::NewVersion;
use super::{Editor, audit_detail, content, later, locked, read, require_newest, store};
use crate::accounts;
use crate::app::App;
use crate::cms::announce;
use crate::cms::limits::MAX_NOTE_CHARS;
use crate::cms::model::Page;
use crate::error::{Error, Result};
use crate::ids::SectionId;
use crate::text;

/// Publishes the draft of a section, or schedules it: a time in the past means now. What is
/// scheduled is the draft as it is now; later saves do not change it. A publish replaces a schedule.
///
/// # Errors
/// `conflict` with the section as it is now if `version` is not the newest, `bad_payload` with the
/// field `content` if a text is missing, `too_long` with the field `note`, `bad_frame` with the field
/// `at` or `note`, `not_found`, `session_ended`, `unavailable`.
pub async fn publish_section(
    app: &App,
    by: Editor<'_>,
    id: SectionId,
    version: i64,
    note: Option<&str>,
    at: Option<OffsetDateTime>,
) -> Result<Section> {
    publish(app, by, id, version, note, at, false).await
}

/// Publishes the draft of a section of the page `rules` as a new edition: each visitor has to accept
/// the rules again before the next talk. All nodes ask for it within a second.
///
/// # Errors
/// As [`publish_section`], and `bad_frame` with the field `accept_again` for another page.
pub async fn publish_rules(
    app: &App,
    by: Editor<'_>,
    id: SectionId,
    version: i64,
    note: Option<&str>,
) -> Result<Section> {
    publish(app, by, id, version, note, None, true).await
}

async fn publish(
    app: &App,
    by: Editor<'_>,
    id: SectionId,
    version: i64,
    note: Option<&str>,
    at: Option<OffsetDateTime>,
    accept_again: bool,
) -> Result<Section> {
    let note = checked_note(note)?;
    let at = later(app, at)?;
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    let old = locked(&mut tx, id).await?;
    require_newest(&old, version)?;
    let draft = old.content.content();
    content::require_complete(&draft)?;
    if accept_again && old.page != Page::Rules {
        return Err(Error::bad_field("accept_again", "Only the rules are accepted."));
    }
    let action = if let Some(at) = at {
        store::schedule_publish(&mut tx, id, at, note.as_deref(), by.handle()?).await?;
        "section.publish_scheduled"
    } else {
        let (kind, now) = ("published", app.clock.now());
        let (note, by) = (note.as_deref(), by.handle()?);
        let entry = NewVersion { section: id, version, kind, content: &draft, note, by, at: now };
        store::add_version(&mut tx, &entry).await?;
        store::set_published(&mut tx, id, version).await?;
        store::raise_content(&mut tx).await?;
        "section.published"
    };
    let edition = if accept_again { Some(next_edition(app, &mut tx).await?) } else { None };
    let section = read(&mut tx, id).await?;
    let at = at.map(crate::clock::format_timestamp);
    let detail = audit_detail(&section, json!({"note": note, "at": at, "accept_again": edition}));
    by.record(&mut tx, action, &id.0.to_string(), detail).await?;
    tx.commit().await?;
    if at.is_none() {
        announce(app);
    }
    Ok(section)
}

/// Puts a new edition of the rules in force, and returns its name: the day, and a number for the
/// second one of a day.
async fn next_edition(app: &App, tx: &mut PgConnection) -> Result<String> {
    let old = accounts::rules_edition(tx).await?;
    let day = app.clock.now().date().to_string();
    let edition = match old.strip_prefix(&day) {
        None => day,
        Some(rest) => format!("{day}.{}", rest.trim_start_matches('.').parse::<u32>().unwrap_or(1) + 1),
    };
    accounts::put_rules_in_force(tx, &edition).await?;
    Ok(edition)
}

/// Returns a note of a publish as it is stored. An empty one is none.
fn checked_note(note: Option<&str>) -> Result<Option<String>> {
    let Some(note) = note.map(text::tidy).filter(|note| !note.is_empty()) else { return Ok(None) };
    if note.chars().count() > MAX_NOTE_CHARS {
        return Err(Error::TooLong { limit: MAX_NOTE_CHARS, field: Some("note") });
    }
    text::check_lines(&note).map_err(|flaw| Error::bad_field("note", flaw.to_string()))?;
    Ok(Some(note.into_owned()))
}

/// Takes a section back from visitors, or schedules that. Its draft and history stay, and so does a
/// scheduled publish.
///
/// # Errors
/// `conflict` if visitors do not see it and will not, `bad_frame` with the field `at`, `not_found`,
/// `session_ended`, `unavailable`.
pub async fn unpublish_section(
    app: &App,
    by: Editor<'_>,
    id: SectionId,
    at: Option<OffsetDateTime>,
) -> Result<Section> {
    let at = later(app, at)?;
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    let old = locked(&mut tx, id).await?;
    if old.published.is_none() && (at.is_none() || old.publish_at.is_none()) {
        return Err(Error::Conflict("Visitors do not see this section."));
    }
    let action = if let Some(at) = at {
        store::schedule_unpublish(&mut tx, id, at, by.handle()?).await?;
        "section.unpublish_scheduled"
    } else {
        store::clear_published(&mut tx, id).await?;
        store::raise_content(&mut tx).await?;
        "section.unpublished"
    };
    let section = read(&mut tx, id).await?;
    let detail = audit_detail(&section, json!({"at": at.map(crate::clock::format_timestamp)}));
    by.record(&mut tx, action, &id.0.to_string(), detail).await?;
    tx.commit().await?;
    if at.is_none() {
        announce(app);
    }
    Ok(section)
}

/// Ends the schedules of a section. Nothing happens if there are none.
///
/// # Errors
/// `not_found`, `session_ended`, `unavailable`.
pub async fn cancel_schedule(app: &App, by: Editor<'_>, id: SectionId) -> Result<Section> {
    let mut tx = by.begin(app).await?;
    let old = locked(&mut tx, id).await?;
    if old.publish_at.is_none() && old.unpublish_at.is_none() {
        return Ok(old);
    }
    store::clear_schedules(&mut tx, id).await?;
    let section = read(&mut tx, id).await?;
    by.record(&mut tx, "section.schedule_cancelled", &id.0.to_string(), audit_detail(&section, json!({}))).await?;
    tx.commit().await?;
    Ok(section)
}

/// Makes an earlier version the draft. The draft that it replaces is kept in the history, unless it
/// is there already. Visitors see no change.
///
/// # Errors
/// `not_found`, also for a version that the history does not have, `bad_payload` if this version of
/// the server cannot read it, `session_ended`, `unavailable`.
pub async fn restore_section(app: &App, by: Editor<'_>, id: SectionId, version: i64) -> Result<Section> {
    let mut tx = by.begin(app).await?;
    let old = locked(&mut tx, id).await?;
    let draft = old.content.content();
    if old.version == version {
        return Ok(old);
    }
    let restored = store::version(&mut tx, id, version).await?.ok_or(Error::NotFound)?;
    let restored = content::parse_content(old.kind, &restored)?.content();
    if store::version(&mut tx, id, old.version).await?.is_none() {
        let (by, at) = (old.saved_by.as_str(), old.saved_at);
        let kept = NewVersion { section: id, version: old.version, kind: "kept", content: &draft, note: None, by, at };
        store::add_version(&mut tx, &kept).await?;
    }
    store::save(&mut tx, id, &restored, old.visible, by.handle()?, app.clock.now()).await?;
    let section = read(&mut tx, id).await?;
    let detail = audit_detail(&section, json!({"restored": version}));
    by.record(&mut tx, "section.restored", &id.0.to_string(), detail).await?;
    tx.commit().await?;
    Ok(section)
}

/// Returns the history of a section, newest first: the draft if it is not in it yet, then what was
/// published and the drafts that a restore replaced, at most
/// [`crate::cms::limits::MAX_VERSIONS_SHOWN`].
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn section_versions(app: &App, id: SectionId) -> Result<Vec<SectionVersion>> {
    let mut db = app.db.acquire().await?;
    let section = read(&mut db, id).await?;
    let rows = store::versions(&mut db, id).await?;
    let stored = rows.into_iter().filter_map(|row| {
        let kind = if row.kind == "kept" { VersionKind::Kept } else { VersionKind::Published };
        let content = content::parse_content(section.kind, &row.content).ok()?;
        Some(SectionVersion { version: row.version, kind, content, note: row.note, by: row.by, at: row.at })
    });
    let mut versions: Vec<SectionVersion> = stored.collect();
    if !versions.iter().any(|one| one.version == section.version) {
        let draft = SectionVersion {
            version: section.version,
            kind: VersionKind::Draft,
            content: section.content,
            note: None,
            by: section.saved_by,
            at: section.saved_at,
        };
        versions.insert(0, draft);
    }
    Ok(versions)
}
