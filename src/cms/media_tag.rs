//! Images in sections: which one, and its element. The images themselves belong to `media`. No I/O.
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The widths in which an image is served, in pixels.
const WIDTHS: [u32; 3] = [480, 960, 1600];

/// An uploaded image with its text for people who do not see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SectionImage)]
pub struct Image {
    pub id: Uuid,
    pub alt: String,
}

impl Image {
    /// Returns the image's element.
    pub fn tag(&self) -> String {
        media_tag(self.id, &self.alt)
    }
}

/// Returns the element of an uploaded image. Browsers choose the width and load it when it comes
/// near.
pub(super) fn media_tag(id: Uuid, alt: &str) -> String {
    let mut sources = String::new();
    for width in WIDTHS {
        let comma = if sources.is_empty() { "" } else { ", " };
        let _ = write!(sources, "{comma}/media/{id}/{width} {width}w");
    }
    let mut escaped = String::with_capacity(alt.len());
    for c in alt.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    format!(
        r#"<img src="/media/{id}/960" srcset="{sources}" sizes="(min-width: 60rem) 50rem, 100vw" alt="{escaped}" loading="lazy" decoding="async">"#
    )
}
