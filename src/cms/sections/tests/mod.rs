//! Sections, tested on a real Postgres and through the complete router.
mod arrival;
mod history;
mod hostile;
mod rest;
mod together;

use serde_json::{Value, json};

use super::{Editor, NewSection, Section, add_section};
use crate::accounts::{Role, Visitor, account};
use crate::cms::kind::Kind;
use crate::cms::model::Page;
use crate::locale::Locale;
use crate::testing::{Guest, Node};

/// An editor with a browser.
pub(super) struct Person {
    pub(super) browser: Guest,
    pub(super) visitor: Visitor,
}

impl Person {
    /// Signs an editor in.
    pub(super) async fn new(node: &Node, handle: &str) -> Self {
        let browser = account(node, handle, Role::Editor).await;
        let visitor = node.visitor_of(&browser).await;
        Self { browser, visitor }
    }

    /// Returns the editor as the verbs take it.
    pub(super) fn editor(&self) -> Editor<'_> {
        Editor { who: &self.visitor, prefix_hash: &[7; 16] }
    }
}

/// Returns the content of a text section.
fn prose(title: &str, text: &str) -> Value {
    json!({"title": title, "text": text})
}

/// Adds a text section to a page.
async fn add(node: &Node, by: &Person, page: Page, locale: Locale, title: &str) -> Section {
    let content = Some(prose(title, title));
    let new = NewSection { page, kind: Kind::Markdown, locale, group: None, content, position: None };
    add_section(&node.app, by.editor(), new).await.unwrap()
}
