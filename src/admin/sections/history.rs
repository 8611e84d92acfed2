//! The history of a section in all languages: who, when, why, what differs, and back to an earlier
//! text.
use axum::extract::Path;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::diff::{Change, changes};
use super::editor::View;
use super::fields::{Field, Shape};
use super::group::{Group, editor};
use super::times::{Zone, machine_readable};
use super::values::join;
use crate::accounts::{Form, Role};
use crate::admin::desk::Desk;
use crate::admin::note::{Note, Undo};
use crate::cms::{self, SectionVersion, VersionKind};
use crate::error::{Error, Result};
use crate::ids::SectionId;
use crate::locale::Locale;

/// The most entries that are listed.
const MOST: usize = 60;

/// The history as the editor shows it.
pub(super) struct History {
    pub(super) entries: Vec<Entry>,
    pub(super) comparison: Option<Comparison>,
}

/// An entry of the list.
pub(super) struct Entry {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) tag: &'static str,
    pub(super) language: &'static str,
    /// The name of a badge. Empty without one.
    pub(super) badge: &'static str,
    pub(super) note: String,
    pub(super) by: String,
    pub(super) when: String,
    pub(super) at: String,
    pub(super) is_current: bool,
}

/// An entry beside the draft, or beside what is published.
pub(super) struct Comparison {
    pub(super) section: i64,
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) tag: &'static str,
    pub(super) language: &'static str,
    pub(super) caption: String,
    pub(super) other: &'static str,
    /// The same entry beside the other one.
    pub(super) switch: (String, &'static str),
    pub(super) restore: String,
    pub(super) changes: Vec<Change>,
}

/// Reads the history of a group. Without a choice, what is published is compared with the draft.
///
/// # Errors
/// `unavailable`.
pub(super) async fn of(desk: &Desk, group: &Group, zone: &Zone, view: &View) -> Result<History> {
    let t = &desk.t().sections;
    let mut all: Vec<(SectionId, Locale, SectionVersion)> = Vec::new();
    for section in &group.sections {
        let versions = cms::section_versions(&desk.app, section.id).await?;
        all.extend(versions.into_iter().map(|version| (section.id, section.locale, version)));
    }
    all.sort_by_key(|(.., version)| std::cmp::Reverse(version.at));
    let differs = |id: SectionId, version: &SectionVersion| {
        group.sections.iter().any(|section| section.id == id && section.content != version.content)
    };
    let wanted = view.entry.clone().or_else(|| {
        let published =
            all.iter().find(|(id, _, version)| version.kind == VersionKind::Published && differs(*id, version));
        published.map(|(id, _, version)| format!("{}.{}", id.0, version.version))
    });
    let key = |id: SectionId, version: &SectionVersion| format!("{}.{}", id.0, version.version);
    let is_wanted = |id: SectionId, version: &SectionVersion| wanted.as_deref() == Some(&key(id, version));
    let comparison = all.iter().find(|(id, _, version)| is_wanted(*id, version));
    let comparison = comparison.and_then(|(id, _, version)| compare(desk, group, *id, version, view));
    let entry = |(id, locale, version): &(SectionId, Locale, SectionVersion)| {
        let section = group.sections.iter().find(|section| section.id == *id);
        let is_public = section.is_some_and(|section| section.published_version == Some(version.version));
        let (name, badge) = match version.kind {
            VersionKind::Draft => (t.history_draft.to_owned(), ""),
            VersionKind::Kept => ((t.version)(version.version), t.history_kept),
            VersionKind::Published => ((t.version)(version.version), if is_public { t.state_published } else { "" }),
        };
        Entry {
            link: format!("{}?entry={}#history", group.path(), key(*id, version)),
            name,
            tag: locale.tag(),
            language: locale.strings().language_name,
            badge,
            note: version.note.clone().unwrap_or_default(),
            by: version.by.clone(),
            when: zone.text(version.at),
            at: machine_readable(version.at),
            is_current: is_wanted(*id, version),
        }
    };
    Ok(History { entries: all.iter().take(MOST).map(entry).collect(), comparison })
}

fn compare(desk: &Desk, group: &Group, id: SectionId, version: &SectionVersion, view: &View) -> Option<Comparison> {
    let t = &desk.t().sections;
    let section = group.sections.iter().find(|section| section.id == id)?;
    let with_published = view.against.as_deref() == Some("published") && section.published.is_some();
    let other = section.published.as_ref().filter(|_| with_published).unwrap_or(&section.content);
    let found = changes(group.kind.fields, &version.content.content(), &other.content(), desk.appearance.locale);
    let number = version.version;
    let caption = if with_published { t.against_published } else { t.against_draft };
    let link = format!("{}?entry={}.{number}", group.path(), id.0);
    Some(Comparison {
        section: id.0,
        version: number,
        name: (t.version)(number),
        tag: section.locale.tag(),
        language: section.locale.strings().language_name,
        caption: caption(number, found.len()),
        other: if with_published { t.now_published } else { t.in_draft },
        switch: if with_published {
            (format!("{link}#history"), t.compare_draft)
        } else {
            (format!("{link}&against=published#history"), t.compare_published)
        },
        // The draft itself cannot be restored.
        restore: if number == section.version { String::new() } else { (t.restore)(number) },
        changes: found,
    })
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    // Numbers in a form arrive as text.
    section: String,
    version: String,
}

/// Makes an earlier text the draft. The draft that it replaces is kept in the history.
pub(super) async fn restore(
    desk: Desk,
    Path((page, id)): Path<(String, Uuid)>,
    Form(wanted): Form<Wanted>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let group = Group::open(&desk, &page, id).await?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| Error::NotFound);
    let (wanted, version) = (number(&wanted.section)?, number(&wanted.version)?);
    let section = group.sections.iter().find(|section| section.id.0 == wanted).ok_or(Error::NotFound)?;
    cms::restore_section(&desk.app, editor(&desk), section.id, version).await?;
    let fields =
        vec![("section".to_owned(), section.id.0.to_string()), ("version".to_owned(), section.version.to_string())];
    let undo = Undo { path: format!("{}/restore", group.path()), fields };
    let note = Note { text: (desk.t().sections.restored)(version), undo: Some(undo) };
    note.leave(&desk.session).await?;
    Ok(Redirect::to(&group.path()).into_response())
}

/// Returns the place of a field as the form writes it: `content.steps[2].title` is `steps.2.title`.
pub(super) fn form_path(path: &str) -> String {
    path.strip_prefix("content.").unwrap_or(path).replace('[', ".").replace(']', "")
}

/// Returns the name of a field by its place in the form: 단계 3 · 제목.
pub(super) fn label_of(fields: &'static [Field], path: &str, locale: Locale) -> String {
    let mut labels: Vec<String> = Vec::new();
    let mut fields = fields;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let Some(field) = fields.iter().find(|field| field.name == step) else { break };
        match &field.shape {
            Shape::Group(inner) | Shape::Optional(inner) => {
                labels.push(field.label.text(locale).to_owned());
                fields = inner;
            }
            Shape::List { item, noun, .. } => {
                let at = steps.next().and_then(|at| at.parse::<usize>().ok());
                labels.push(at.map_or_else(
                    || field.label.text(locale).to_owned(),
                    |at| format!("{} {}", noun.text(locale), at + 1),
                ));
                fields = item;
            }
            _ => labels.push(field.label.text(locale).to_owned()),
        }
    }
    if labels.is_empty() { join("", path) } else { labels.join(" · ") }
}

#[cfg(test)]
mod tests {
    use super::{form_path, label_of};
    use crate::admin::sections::fields::kind;
    use crate::locale::Locale;

    #[test]
    fn a_field_is_named_by_its_place() {
        let steps = kind("steps").unwrap().fields;
        assert_eq!(label_of(steps, &form_path("content.steps[2].title"), Locale::Ko), "단계 3 · 제목");
        let safety = kind("safety").unwrap().fields;
        assert_eq!(label_of(safety, "can.items.0.text", Locale::En), "What we do · Promise 1 · Text");
        assert_eq!(label_of(safety, "nowhere", Locale::En), "nowhere");
    }
}
