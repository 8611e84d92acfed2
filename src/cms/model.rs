//! What a page is made of: typed sections in order, and the named numbers. No I/O.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::locale::Locale;

/// One section of the landing page. A title keeps the line breaks that were set by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
pub enum PageSection {
    Hero(Hero),
    Stats(Numbers),
    Steps(Steps),
    Showcase(Showcase),
    Safety(Safety),
    Faq(Faq),
    Action(Action),
    /// Plain paragraphs, parted by an empty line.
    Markdown(Prose),
}

/// The first sentence, said twice: in the page's language, and across the gap in the other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hero {
    pub title: String,
    pub lead: String,
    pub button: String,
    pub more: String,
    pub echo: String,
    pub echo_link: String,
}

/// Where the numbers stand. `counters` are the words after them (명, 번), by key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Numbers {
    pub title: String,
    #[serde(default)]
    pub counters: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Steps {
    pub title: String,
    pub lead: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub art: Art,
    pub title: String,
    pub text: String,
}

/// The drawing above a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Art {
    Choose,
    Meet,
    Talk,
}

/// One talk on two screens, level with each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Showcase {
    pub title: String,
    pub lead: String,
    /// Names the choice of a screen where there is room for one only.
    pub choice: String,
    /// Said by the tick after a message that is stored.
    pub sent: String,
    pub shared: String,
    pub you: Screen,
    pub they: Screen,
    pub messages: Vec<Said>,
}

impl Showcase {
    /// Both screens, the reader's own first.
    pub fn screens(&self) -> [(Side, &Screen); 2] {
        [(Side::You, &self.you), (Side::They, &self.they)]
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Screen {
    pub title: String,
    pub partner: String,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Said {
    pub from: Side,
    /// A time of day, as text: `23:41`.
    pub at: String,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    You,
    They,
}

/// What we do, and what we cannot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Safety {
    pub title: String,
    pub lead: String,
    pub can: Promises,
    pub cannot: Promises,
    pub help: Option<Help>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promises {
    pub title: String,
    pub items: Vec<Promise>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promise {
    pub icon: Icon,
    pub title: String,
    pub text: String,
}

/// The drawing beside a promise (templates/icon.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Icon {
    Flag,
    Archive,
    Fading,
    Block,
    Adult,
    Camera,
    Question,
    Return,
    Lock,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Help {
    pub title: String,
    pub lines: Vec<Line>,
}

/// A telephone line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    pub name: String,
    pub number: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Faq {
    pub title: String,
    pub items: Vec<Question>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    pub question: String,
    pub answer: String,
}

/// The last word: the same button again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    pub title: String,
    pub button: String,
    pub side: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prose {
    pub title: String,
    pub text: String,
}

impl Prose {
    /// The paragraphs, without empty ones.
    pub fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty())
    }
}

impl PageSection {
    /// A section from its columns. Errors: the kind is not one that pages show, or the content lacks a field.
    pub(super) fn parse(kind: &str, content: &Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({ "kind": kind, "content": content }))
    }

    /// The section's place in the page, for links to it.
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Hero(_) => "start",
            Self::Stats(_) => "now",
            Self::Steps(_) => "how",
            Self::Showcase(_) => "talk",
            Self::Safety(_) => "safety",
            Self::Faq(_) => "faq",
            Self::Action(_) => "seat",
            Self::Markdown(_) => "more",
        }
    }
}

/// The sections that a node shows before it has read any, and when an editor has hidden them all: those of the first migration.
pub(super) fn built_in(locale: Locale) -> Vec<PageSection> {
    const MIGRATION: &str = include_str!("../../migrations/0002_landing_content.sql");
    let quote = format!("${}$", locale.tag());
    let json = MIGRATION.split(&quote).nth(1).unwrap_or("[]");
    serde_json::from_str(json).unwrap_or_default()
}

/// A named number: set by hand, or computed live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteStat {
    #[schema(example = "online")]
    pub key: String,
    pub label: Label,
    /// Null while it is not known; never 0.
    pub value: Option<i64>,
    pub unit: Unit,
}

/// What a number says, in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    pub ko: String,
    pub en: String,
}

impl Label {
    pub fn text(&self, locale: Locale) -> &str {
        match locale {
            Locale::Ko => &self.ko,
            Locale::En => &self.en,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Count,
    Seconds,
}

/// The numbers that are computed; none where too little is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) online: Option<i64>,
    pub(super) talks_today: Option<i64>,
    pub(super) median_wait: Option<i64>,
}

impl Live {
    pub(super) fn value(&self, key: &str) -> Option<i64> {
        match key {
            "online" => self.online,
            "talks_today" => self.talks_today,
            "median_wait" => self.median_wait,
            _ => None,
        }
    }
}
