//! Hostile texts in every field of every kind: nothing of them is active in a page.
use serde_json::Value;

use super::Person;
use crate::cms::kind::Kind;
use crate::cms::markdown_tests::{PAYLOADS, Tag, active_part, tags};
use crate::cms::model::Page;
use crate::cms::sections::{NewSection, Section, add_section};
use crate::http::{Appearance, Theme};
use crate::locale::Locale;
use crate::testing::node;

/// Replaces every text of a value that is not a name of the code.
fn filled(value: &Value, name: &str, text: &str) -> Value {
    match value {
        Value::String(_) if !matches!(name, "icon" | "art" | "from" | "charts" | "number") => {
            Value::String(text.to_owned())
        }
        Value::Array(items) => items.iter().map(|item| filled(item, name, text)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, item)| (name.clone(), filled(item, name, text))).collect(),
        other => other.clone(),
    }
}

/// Returns what a page has besides texts: the tags with their attributes, whose values are compared
/// as far as they are not texts themselves.
fn skeleton(html: &str) -> Vec<String> {
    let describe = |tag: Tag| {
        let attributes = tag.attributes.into_iter().map(|(name, value)| {
            let is_text = matches!(
                (tag.name.as_str(), name.as_str()),
                ("meta", "content") | (_, "aria-label" | "alt" | "data-version")
            );
            if is_text { name } else { format!("{name}={value}") }
        });
        format!("{} {}", tag.name, attributes.collect::<Vec<_>>().join(" "))
    };
    tags(html).into_iter().map(describe).collect()
}

#[tokio::test]
async fn hostile_texts_in_every_field_stay_texts() {
    let node = node().await;
    let by = Person::new(&node, "jin").await;
    let mut drafts: Vec<Section> = Vec::new();
    for kind in Kind::ALL {
        let new =
            NewSection { page: Page::Landing, kind, locale: Locale::En, group: None, content: None, position: None };
        drafts.push(add_section(&node.app, by.editor(), new).await.unwrap());
    }
    let appearance = Appearance { locale: Locale::En, theme: Theme::Auto };
    // Markdown makes elements of its own, so those fields are tried apart.
    let render = |text: &str, markdown: &str| {
        let sections: Vec<Section> = drafts
            .iter()
            .map(|draft| {
                let mut content = filled(&draft.content.content(), "", text);
                if matches!(draft.kind, Kind::Markdown | Kind::Contact) {
                    content["text"] = markdown.into();
                }
                let content = super::super::parse_content(draft.kind, &content).unwrap();
                Section { content, ..draft.clone() }
            })
            .collect();
        crate::cms::draft_page(&node.app, Page::Landing, appearance, &sections).unwrap()
    };
    let plain = skeleton(&render("plain", "plain"));
    assert!(plain.len() > 100);
    for payload in PAYLOADS.lines() {
        let html = render(payload, "plain");
        let found = skeleton(&html);
        let differing = plain.iter().zip(&found).find(|(expected, found)| expected != found);
        assert!(found.len() == plain.len() && differing.is_none(), "{payload}: {differing:?}");
        let data =
            html.split("<script type=\"application/ld+json\">").nth(1).and_then(|rest| rest.split("</script>").next());
        assert!(serde_json::from_str::<Value>(data.unwrap()).is_ok(), "{payload}");

        let html = render("plain", payload);
        let prose: Vec<&str> =
            html.split("<div class=\"prose\">").skip(1).map(|rest| rest.split("</div>").next().unwrap()).collect();
        assert_eq!(prose.len(), 2);
        for part in prose {
            // The link to the operator is the page's own.
            assert_eq!(active_part(part.split("<p class=\"operator\">").next().unwrap()), None, "{payload}\n{part}");
        }
    }
}
