//! Sections as editors see them: draft, published content, schedule, history. No I/O.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::format_timestamp;
use crate::cms::kind::Kind;
use crate::cms::model::{Page, PageSection};
use crate::ids::SectionId;
use crate::locale::Locale;

/// Where a section stands. It is computed from its versions and never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SectionState)]
pub enum State {
    /// Visitors do not see it.
    Draft,
    /// Visitors see what the draft says.
    Published,
    /// Visitors see an earlier content than the draft's.
    Changed,
    /// A content will be published later.
    Scheduled,
}

/// A section of a page in one language.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub id: SectionId,
    /// Sections of one group are translations of each other.
    pub group: Uuid,
    pub page: Page,
    pub kind: Kind,
    pub locale: Locale,
    /// Orders the sections of a page in a language; the numbers have gaps. 0 for a deleted one.
    pub position: i32,
    pub visible: bool,
    pub state: State,
    /// Rises with each save.
    pub version: i64,
    /// The version that visitors see. `None` if they see none.
    pub published_version: Option<i64>,
    /// The draft.
    pub content: PageSection,
    /// What visitors see. `None` if they see none.
    pub published: Option<PageSection>,
    /// The handle of who saved the draft.
    pub saved_by: String,
    pub saved_at: OffsetDateTime,
    /// When a content will be published. `None` if none is scheduled.
    pub publish_at: Option<OffsetDateTime>,
    /// The version that will be published then.
    pub publish_version: Option<i64>,
    /// When the section will be taken back from visitors. `None` if that is not scheduled.
    pub unpublish_at: Option<OffsetDateTime>,
    /// When the section was deleted. It can be restored for 30 days.
    pub deleted_at: Option<OffsetDateTime>,
}

impl Section {
    /// Returns the section as the API shows it.
    pub fn view(&self) -> SectionView {
        SectionView {
            id: self.id.0,
            group: self.group,
            page: self.page,
            kind: self.kind,
            locale: self.locale,
            position: self.position,
            visible: self.visible,
            state: self.state,
            version: self.version,
            published_version: self.published_version,
            content: self.content.content(),
            saved_by: self.saved_by.clone(),
            saved_at: format_timestamp(self.saved_at),
            publish_at: self.publish_at.map(format_timestamp),
            unpublish_at: self.unpublish_at.map(format_timestamp),
        }
    }
}

/// A section as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SectionView {
    pub id: i64,
    /// Sections of one group are translations of each other.
    pub group: Uuid,
    pub page: Page,
    pub kind: Kind,
    pub locale: Locale,
    /// Orders the sections of a page in a language.
    pub position: i32,
    pub visible: bool,
    pub state: State,
    /// Rises with each save.
    pub version: i64,
    /// The version that visitors see. Null if they see none.
    pub published_version: Option<i64>,
    /// The draft, of the shape that its kind has.
    #[schema(value_type = Object)]
    pub content: Value,
    /// The handle of who saved the draft.
    pub saved_by: String,
    pub saved_at: String,
    pub publish_at: Option<String>,
    pub unpublish_at: Option<String>,
}

/// Returns the state of a section.
pub(super) fn state(published: Option<&Value>, draft: &Value, is_scheduled: bool) -> State {
    match published {
        _ if is_scheduled => State::Scheduled,
        None => State::Draft,
        Some(published) if published == draft => State::Published,
        Some(_) => State::Changed,
    }
}

/// A section to be added.
#[derive(Clone, Debug)]
pub struct NewSection {
    pub page: Page,
    pub kind: Kind,
    pub locale: Locale,
    /// The group whose translation it is. `None` for a group of its own.
    pub group: Option<Uuid>,
    /// `None` for the empty content of its kind.
    pub content: Option<Value>,
    /// It is put before the first section with this position or a later one. `None` puts a
    /// translation where the others of its group are, and any other section at the end.
    pub position: Option<i32>,
}

/// A change to a section. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub content: Option<Value>,
    pub visible: Option<bool>,
}

/// What an entry of a section's history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionKind {
    Published,
    /// The draft as it is now.
    Draft,
    /// A draft that another version replaced.
    Kept,
}

/// An entry of a section's history.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionVersion {
    pub version: i64,
    pub kind: VersionKind,
    pub content: PageSection,
    pub note: Option<String>,
    /// The handle of who published or saved it.
    pub by: String,
    pub at: OffsetDateTime,
}
