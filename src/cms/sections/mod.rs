//! Sections: add, save, publish, restore, order, delete. Editors save drafts; visitors see what was
//! published. Order and visibility take effect at once.
mod content;
mod deletion;
mod model;
mod order;
mod publishing;
mod routes;
mod schedule;
mod store;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::kind::Kind;
use super::limits::MAX_SECTIONS_PER_PAGE;
use super::model::Page;
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::error::{Error, Result};
use crate::ids::SectionId;
use crate::locale::Locale;

pub(super) use content::parse_content;
pub(super) use deletion::run as run_sweep;
pub use deletion::{delete_section, deleted_sections, restore_deleted};
pub use model::{Change, NewSection, Section, SectionVersion, State, VersionKind};
pub use order::order_sections;
pub use publishing::{
    cancel_schedule, publish_rules, publish_section, restore_section, section_versions, unpublish_section,
};
pub(super) use routes::router;
pub(super) use schedule::run as run_schedule;
pub(super) use store::raise_content;
use store::{Filter, NewRow, SectionRow};

/// Who edits. Whether the role may is the caller's to check (`accounts::Staff::require`).
#[derive(Clone, Copy)]
pub struct Editor<'a> {
    pub who: &'a Visitor,
    /// The keyed hash of the editor's address prefix, for the audit log.
    pub prefix_hash: &'a [u8],
}

impl Editor<'_> {
    /// Begins a transaction in which the editor's session cannot end.
    ///
    /// # Errors
    /// `session_ended`, `banned`, `unavailable`.
    pub(super) async fn begin(&self, app: &App) -> Result<Transaction<'static, Postgres>> {
        let mut tx = app.db.begin().await?;
        accounts::require_session(&mut tx, self.who).await?;
        Ok(tx)
    }

    /// Returns the editor's handle.
    pub(super) fn handle(&self) -> Result<&str> {
        self.who.account.as_ref().map(|account| account.handle.as_str()).ok_or(Error::SignInNeeded)
    }

    /// Adds an entry to the audit log: the last statement before the commit.
    pub(super) async fn record(
        &self,
        tx: &mut PgConnection,
        action: &'static str,
        subject: &str,
        detail: Value,
    ) -> Result<()> {
        let account = self.who.account.as_ref().ok_or(Error::SignInNeeded)?;
        let actor = Actor::Account { id: account.public_id, handle: &account.handle };
        let act = Act { actor, action, subject, detail, prefix_hash: Some(self.prefix_hash) };
        audit::record(tx, act).await.map_err(Error::from)
    }
}

/// Returns sections with their drafts: of all pages or one, in all languages or one, in order.
///
/// # Errors
/// `unavailable`.
pub async fn sections(app: &App, page: Option<Page>, locale: Option<Locale>) -> Result<Vec<Section>> {
    let mut db = app.db.acquire().await?;
    let filter = Filter { page: page.map(Page::name), locale: locale.map(Locale::tag), ..Filter::default() };
    Ok(store::list(&mut db, filter).await?.into_iter().filter_map(readable).collect())
}

/// Returns a section with its draft.
///
/// # Errors
/// `not_found`, also for a deleted one, `unavailable`.
pub async fn section(app: &App, id: SectionId) -> Result<Section> {
    let mut db = app.db.acquire().await?;
    read(&mut db, id).await
}

/// Returns a section that is not deleted.
async fn read(db: &mut PgConnection, id: SectionId) -> Result<Section> {
    let row = store::list(db, Filter { id: Some(id), ..Filter::default() }).await?.into_iter().next();
    parsed(row.ok_or(Error::NotFound)?)
}

/// Locks a section that is not deleted, and reads it.
async fn locked(tx: &mut PgConnection, id: SectionId) -> Result<Section> {
    store::lock(tx, id).await?;
    read(tx, id).await
}

/// Parses a row.
///
/// # Errors
/// `internal` if it was not written by this version.
fn parsed(row: SectionRow) -> Result<Section> {
    let unknown = || Error::internal(format!("section {} is of another version", row.id.0));
    let page = Page::of_str(&row.page).ok_or_else(unknown)?;
    let kind = Kind::of_str(&row.kind).ok_or_else(unknown)?;
    let locale = Locale::of_tag(&row.locale).filter(|locale| locale.tag() == row.locale).ok_or_else(unknown)?;
    let parse = |content: &Value| content::parse_content(kind, content).map_err(|why| Error::internal(why.to_string()));
    let published = row.published.as_ref().map(parse).transpose()?;
    Ok(Section {
        id: row.id,
        group: row.group_id,
        page,
        kind,
        locale,
        position: row.position.unwrap_or(0),
        visible: row.visible,
        state: model::state(row.published.as_ref(), &row.draft, row.publish_at.is_some()),
        version: row.version,
        published_version: row.published_version,
        content: parse(&row.draft)?,
        published,
        saved_by: row.saved_by,
        saved_at: row.saved_at,
        publish_at: row.publish_at,
        publish_version: row.publish_version,
        unpublish_at: row.unpublish_at,
        deleted_at: row.deleted_at,
    })
}

/// Parses a row of a list. One that cannot be read is left out, and logged.
fn readable(row: SectionRow) -> Option<Section> {
    let id = row.id;
    let section = parsed(row);
    section
        .inspect_err(|_| tracing::warn!(section.id = id.0, "a section cannot be read and is left out of the list"))
        .ok()
}

/// Adds a section as a draft.
///
/// # Errors
/// `bad_frame` with the field `kind` or `group`, `bad_payload` or `too_long` with the field
/// `content`, `conflict` if the group has this language already or the page is full,
/// `session_ended`, `unavailable`.
pub async fn add_section(app: &App, by: Editor<'_>, new: NewSection) -> Result<Section> {
    let NewSection { page, kind, locale, group, content, position } = new;
    if !kind.is_on(page) {
        return Err(Error::bad_field("kind", "This page does not show sections of this kind."));
    }
    let draft = content::normalized(content.unwrap_or_else(|| kind.template()));
    let section = content::checked(kind, &draft)?;
    let draft = section.content();
    let mut tx = by.begin(app).await?;
    store::lock_content(&mut tx).await?;
    let in_order = store::order(&mut tx, page.name(), locale.tag()).await?;
    if in_order.len() >= MAX_SECTIONS_PER_PAGE {
        return Err(Error::Conflict("This page is full. Delete a section first."));
    }
    if let Some(group) = group {
        require_room_in_group(&mut tx, group, page, kind, locale).await?;
    }
    let before = match (position, group) {
        (Some(position), _) => in_order.iter().position(|(.., own)| *own >= position),
        (None, Some(group)) => order::place_of_translation(&mut tx, page, group, &in_order).await?,
        (None, None) => None,
    };
    let row = NewRow {
        group: group.unwrap_or_else(Uuid::new_v4),
        page: page.name(),
        locale: locale.tag(),
        kind: kind.as_str(),
        draft: &draft,
        by: by.handle()?,
        now: app.clock.now(),
    };
    let id = store::insert(&mut tx, &row).await?;
    if let Some(at) = before {
        let mut ids: Vec<SectionId> = in_order.iter().map(|(id, ..)| *id).collect();
        ids.insert(at, id);
        store::set_order(&mut tx, &ids).await?;
    }
    let section = read(&mut tx, id).await?;
    let detail = json!({"page": page.name(), "kind": kind.as_str(), "locale": locale.tag(), "group": section.group});
    by.record(&mut tx, "section.added", &id.0.to_string(), detail).await?;
    tx.commit().await?;
    Ok(section)
}

/// Checks that a group has sections of this page and kind, and none in this language.
async fn require_room_in_group(
    tx: &mut PgConnection,
    group: Uuid,
    page: Page,
    kind: Kind,
    locale: Locale,
) -> Result<()> {
    let members = store::group(tx, group).await?;
    if !members.iter().any(|(in_page, of_kind, _)| in_page == page.name() && of_kind == kind.as_str()) {
        return Err(Error::bad_field("group", "There is no such section on this page."));
    }
    if members.iter().any(|(.., language)| language == locale.tag()) {
        return Err(Error::Conflict("This section has a translation in this language already."));
    }
    Ok(())
}

/// Saves a draft, or whether a section is visible. The draft is published by
/// [`publish_section`]; visibility takes effect at once.
///
/// # Errors
/// `conflict` with the section as it is now if `version` is not the newest, `bad_payload` or
/// `too_long` with the field `content`, `not_found`, `session_ended`, `unavailable`.
pub async fn save_section(app: &App, by: Editor<'_>, id: SectionId, version: i64, change: Change) -> Result<Section> {
    let mut tx = by.begin(app).await?;
    if change.visible.is_some() {
        store::lock_content(&mut tx).await?;
    }
    let old = locked(&mut tx, id).await?;
    require_newest(&old, version)?;
    if change.content.is_none() && change.visible.is_none_or(|visible| visible == old.visible) {
        return Ok(old);
    }
    let draft = match change.content {
        Some(content) => content::checked(old.kind, &content::normalized(content))?.content(),
        None => old.content.content(),
    };
    let visible = change.visible.unwrap_or(old.visible);
    store::save(&mut tx, id, &draft, visible, by.handle()?, app.clock.now()).await?;
    let is_public_change = visible != old.visible && old.published.is_some();
    if is_public_change {
        store::raise_content(&mut tx).await?;
    }
    let section = read(&mut tx, id).await?;
    let detail = json!({"page": old.page.name(), "kind": old.kind.as_str(), "locale": old.locale.tag(),
        "version": section.version, "visible": visible});
    let action = if visible == old.visible {
        "section.saved"
    } else if visible {
        "section.shown"
    } else {
        "section.hidden"
    };
    by.record(&mut tx, action, &id.0.to_string(), detail).await?;
    tx.commit().await?;
    if is_public_change {
        super::announce(app);
    }
    Ok(section)
}

/// Checks that an editor has seen the newest version.
///
/// # Errors
/// `conflict` with the section as it is now.
fn require_newest(section: &Section, version: i64) -> Result<()> {
    if section.version == version {
        return Ok(());
    }
    let current = serde_json::to_value(section.view()).map_err(Error::internal)?;
    Err(Error::Outdated { current: Box::new(current) })
}

/// What the audit log stores about a section.
fn audit_detail(section: &Section, more: Value) -> Value {
    let mut detail = json!({"page": section.page.name(), "kind": section.kind.as_str(), "locale": section.locale.tag(),
        "version": section.version});
    if let (Some(detail), Value::Object(more)) = (detail.as_object_mut(), more) {
        detail.extend(more);
    }
    detail
}

/// Returns a time in the future, `None` for now or the past.
///
/// # Errors
/// `bad_frame` with the field `at` if it is too far away.
fn later(app: &App, at: Option<OffsetDateTime>) -> Result<Option<OffsetDateTime>> {
    let now = app.clock.now();
    let later = at.filter(|at| *at > now);
    if later.is_some_and(|at| at - now > super::limits::MAX_SCHEDULE_AHEAD) {
        return Err(Error::bad_field("at", "Choose a time within the next year."));
    }
    Ok(later)
}

/// Returns the sections as the pages show drafts: every visible one with its draft.
pub(super) fn drafts(sections: &[Section], page: Page) -> Vec<super::arranged::Candidate> {
    let own = sections.iter().filter(|section| section.page == page && section.deleted_at.is_none());
    own.map(|section| super::arranged::Candidate {
        group: section.group,
        locale: section.locale,
        position: section.position,
        visible: section.visible,
        was_published: section.published.is_some(),
        content: Some(section.content.clone()),
    })
    .collect()
}
