//! The kinds of sections: their names, the pages that show them, and an empty content of each. No
//! I/O.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::model::Page;

/// The kind of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SectionKind)]
pub enum Kind {
    Hero,
    Stats,
    Topics,
    Steps,
    Showcase,
    Rooms,
    Safety,
    Storage,
    Operator,
    Insights,
    Faq,
    Action,
    Markdown,
    Intro,
    Contact,
}

impl Kind {
    /// Every kind, in the order in which a page usually has them.
    pub const ALL: [Self; 15] = [
        Self::Hero,
        Self::Intro,
        Self::Stats,
        Self::Topics,
        Self::Steps,
        Self::Showcase,
        Self::Rooms,
        Self::Insights,
        Self::Safety,
        Self::Storage,
        Self::Faq,
        Self::Operator,
        Self::Contact,
        Self::Action,
        Self::Markdown,
    ];

    /// Returns the name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hero => "hero",
            Self::Stats => "stats",
            Self::Topics => "topics",
            Self::Steps => "steps",
            Self::Showcase => "showcase",
            Self::Rooms => "rooms",
            Self::Safety => "safety",
            Self::Storage => "storage",
            Self::Operator => "operator",
            Self::Insights => "insights",
            Self::Faq => "faq",
            Self::Action => "action",
            Self::Markdown => "markdown",
            Self::Intro => "intro",
            Self::Contact => "contact",
        }
    }

    /// Returns the kind of this name. `None` if there is none.
    pub fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns `true` if a page shows sections of this kind. The landing page shows all.
    pub fn is_on(self, page: Page) -> bool {
        page == Page::Landing || matches!(self, Self::Intro | Self::Markdown | Self::Contact | Self::Faq)
    }

    /// Returns a content whose texts are empty, with one item in each list that needs one. It can
    /// be saved and not be published.
    pub fn template(self) -> Value {
        let promises = json!({"title": "", "items": [{"icon": "flag", "title": "", "text": ""}]});
        let screen = json!({"title": "", "partner": "", "note": ""});
        match self {
            Self::Hero => json!({"title": "", "lead": "", "button": "", "more": "", "echo": "", "echo_link": ""}),
            Self::Stats => json!({"title": "", "counters": {}}),
            Self::Topics => json!({"title": "", "lead": "", "counter": ""}),
            Self::Steps => {
                json!({"title": "", "lead": "", "steps": [{"art": "choose", "title": "", "text": ""}]})
            }
            Self::Showcase => json!({"title": "", "lead": "", "choice": "", "sent": "", "shared": "", "you": screen,
                "they": screen, "messages": [{"from": "you", "at": "", "text": ""}]}),
            Self::Rooms => json!({"title": "", "lead": "", "count": 6}),
            Self::Safety => json!({"title": "", "lead": "", "can": promises, "cannot": promises, "help": null}),
            Self::Storage => json!({"title": "", "lead": "", "link": "",
                "items": [{"how_long": "", "title": "", "text": ""}]}),
            Self::Operator => {
                json!({"title": "", "text": "", "label": "", "unnamed": "", "host_label": "", "link": ""})
            }
            Self::Insights => {
                json!({"title": "", "lead": "", "charts": ["talks_per_day", "busiest_hours", "languages"]})
            }
            Self::Faq => json!({"title": "", "items": [{"question": "", "answer": ""}]}),
            Self::Action => json!({"title": "", "button": "", "side": ""}),
            Self::Markdown => json!({"title": "", "text": ""}),
            Self::Intro => json!({"title": "", "lead": "", "note": ""}),
            Self::Contact => json!({"title": "", "text": "", "given": "", "missing": ""}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;
    use crate::cms::sections::parse_content;

    #[test]
    fn the_template_of_each_kind_is_a_draft_of_that_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_str(kind.as_str()), Some(kind));
            let section = parse_content(kind, &kind.template()).unwrap();
            assert_eq!(serde_json::to_value(&section).unwrap()["kind"], kind.as_str());
            // No field is added or lost on the way.
            assert_eq!(parse_content(kind, &section.content()).unwrap(), section);
        }
        assert_eq!(Kind::of_str("box"), None);
    }
}
