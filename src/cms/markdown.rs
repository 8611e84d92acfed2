//! Markdown of editors as safe HTML. No I/O.
//!
//! Two walls: raw HTML is text before anything is rendered, and the result goes through an
//! allow-list of elements and attributes, whatever the first wall let pass.
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use uuid::Uuid;

use super::media_tag::media_tag;

/// The elements that a text can have.
const ELEMENTS: [&str; 21] = [
    "a",
    "blockquote",
    "br",
    "code",
    "em",
    "h3",
    "h4",
    "h5",
    "hr",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
];

/// What links the address of an image: `media:` and the image's id.
const MEDIA_SCHEME: &str = "media:";

static ALLOWED: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let attributes: HashMap<&str, HashSet<&str>> = HashMap::from([
        ("a", HashSet::from(["href", "title"])),
        ("img", HashSet::from(["src", "srcset", "sizes", "alt", "loading", "decoding"])),
        ("ol", HashSet::from(["start"])),
    ]);
    let mut builder = Builder::default();
    builder
        .tags(ELEMENTS.into_iter().chain(["ul"]).collect())
        .tag_attributes(attributes)
        .generic_attributes(HashSet::new())
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(UrlRelative::Custom(Box::new(own_path)))
        // Only images of this site: others would tell their server who reads.
        .attribute_filter(|element, attribute, value| {
            let is_source = element == "img" && matches!(attribute, "src" | "srcset");
            (!is_source || value.starts_with("/media/")).then_some(Cow::Borrowed(value))
        })
        .link_rel(Some("noopener nofollow"));
    builder
});

/// Returns a text as HTML. Headings begin at level 3, below the section's title. Links lead to
/// `http`, `https`, `mailto` or a path of this site; images are `![text](media:<id>)`. Everything
/// else of HTML is shown as text.
pub(super) fn to_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 3 / 2);
    pulldown_cmark::html::push_html(&mut html, safe_events(text).into_iter());
    sanitize(&html)
}

/// Removes everything from HTML that is not on the allow-list.
pub(super) fn sanitize(html: &str) -> String {
    ALLOWED.clean(html).to_string()
}

fn own_path(address: &str) -> Option<Cow<'_, str>> {
    is_own_path(address).then_some(Cow::Borrowed(address))
}

/// Returns `true` for a path of this site, or an anchor of the page.
fn is_own_path(address: &str) -> bool {
    let rest = address.strip_prefix('/');
    let is_path = rest.is_some_and(|rest| !rest.starts_with(['/', '\\']));
    (is_path || address.starts_with('#')) && !address.chars().any(|c| c.is_control() || c == '\\')
}

/// Returns `true` for an address that a link can have.
fn is_link(address: &str) -> bool {
    let lower = address.trim().to_ascii_lowercase();
    is_own_path(address) || ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
}

/// Parses a text. HTML becomes text, links to elsewhere become their text, headings move down, and
/// images become the elements of uploaded images.
fn safe_events(text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    // Whether each open link is kept, and the image that is being read with its text so far.
    let mut links = Vec::new();
    let mut image: Option<(Option<Uuid>, String, usize)> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        if let Some((id, alt, depth)) = &mut image {
            match event {
                Event::Start(Tag::Image { .. }) => *depth += 1,
                Event::End(TagEnd::Image) if *depth > 0 => *depth -= 1,
                Event::End(TagEnd::Image) => {
                    let end = match id {
                        Some(id) => Event::InlineHtml(media_tag(*id, alt).into()),
                        None => Event::Text(CowStr::from(std::mem::take(alt))),
                    };
                    events.push(end);
                    image = None;
                }
                Event::Text(part) | Event::Code(part) | Event::Html(part) | Event::InlineHtml(part) => {
                    alt.push_str(&part);
                }
                Event::SoftBreak | Event::HardBreak => alt.push(' '),
                _ => {}
            }
            continue;
        }
        match event {
            Event::Html(html) | Event::InlineHtml(html) => events.push(Event::Text(html)),
            Event::Start(Tag::HtmlBlock) => events.push(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => events.push(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Heading { level, .. }) => {
                let level = lowered(level);
                events.push(Event::Start(Tag::Heading { level, id: None, classes: Vec::new(), attrs: Vec::new() }));
            }
            Event::End(TagEnd::Heading(level)) => events.push(Event::End(TagEnd::Heading(lowered(level)))),
            Event::Start(Tag::Link { ref dest_url, .. }) => {
                links.push(is_link(dest_url));
                if is_link(dest_url) {
                    events.push(event);
                }
            }
            Event::End(TagEnd::Link) => {
                if links.pop().unwrap_or(false) {
                    events.push(event);
                }
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                let id = dest_url.strip_prefix(MEDIA_SCHEME).and_then(|id| id.parse().ok());
                image = Some((id, String::new(), 0));
            }
            // The language of a code block would become a class.
            Event::Start(Tag::CodeBlock(_)) => {
                events.push(Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Indented)));
            }
            other => events.push(other),
        }
    }
    events
}

/// Returns the level of a heading below the title of its section, which is of level 2.
fn lowered(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 | HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        _ => HeadingLevel::H5,
    }
}
