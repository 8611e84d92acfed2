//! The parts of the landing page: typed sections in order, and named stats. No I/O.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::limits::MIN_PEOPLE_SHOWN;
use crate::locale::Locale;

/// One section of the landing page. A title keeps the line breaks that an editor set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
pub enum PageSection {
    Hero(Hero),
    Stats(StatsSection),
    Steps(Steps),
    Showcase(Showcase),
    Safety(Safety),
    Faq(Faq),
    Action(Action),
    /// Plain paragraphs, separated by empty lines.
    Markdown(Prose),
}

/// The first section: its sentence in the page's language, and an echo of it in the other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hero {
    pub title: String,
    pub lead: String,
    pub button: String,
    pub more: String,
    pub echo: String,
    pub echo_link: String,
}

/// The section with the stats. `counters` are the words after the numbers (명, 번), by stat key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsSection {
    pub title: String,
    #[serde(default)]
    pub counters: BTreeMap<String, String>,
}

/// How the service works, in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Steps {
    pub title: String,
    pub lead: String,
    pub steps: Vec<Step>,
}

/// One step.
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

/// One talk on the screens of both people, side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Showcase {
    pub title: String,
    pub lead: String,
    /// Labels the choice of a screen on displays that have room for one only.
    pub choice: String,
    /// The text beside the tick of a message that is stored.
    pub sent: String,
    pub shared: String,
    pub you: Screen,
    pub they: Screen,
    pub messages: Vec<ShowcaseMessage>,
}

impl Showcase {
    /// Returns both screens, the reader's own first.
    pub fn screens(&self) -> [(Side, &Screen); 2] {
        [(Side::You, &self.you), (Side::They, &self.they)]
    }
}

/// The screen of one person in a [`Showcase`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Screen {
    pub title: String,
    pub partner: String,
    pub note: String,
}

/// A message in a [`Showcase`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShowcaseMessage {
    pub from: Side,
    /// A time of day, as text: `23:41`.
    pub at: String,
    pub text: String,
}

/// A side of the talk in a [`Showcase`]: the reader, or the other person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    You,
    They,
}

/// What the site does for people's safety, and what it cannot do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Safety {
    pub title: String,
    pub lead: String,
    pub can: Promises,
    pub cannot: Promises,
    pub help: Option<Help>,
}

/// A list of promises with its title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promises {
    pub title: String,
    pub items: Vec<Promise>,
}

/// One promise, or one thing that the site cannot do.
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

/// Telephone lines for people who need help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Help {
    pub title: String,
    pub lines: Vec<HelpLine>,
}

/// A telephone line for people who need help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HelpLine {
    pub name: String,
    pub number: String,
}

/// Questions with their answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Faq {
    pub title: String,
    pub items: Vec<Question>,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    pub question: String,
    pub answer: String,
}

/// The last section, with the button of the first one again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    pub title: String,
    pub button: String,
    pub side: String,
}

/// Plain paragraphs with a title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prose {
    pub title: String,
    pub text: String,
}

impl Prose {
    /// Returns the paragraphs, without empty ones.
    pub fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty())
    }
}

impl PageSection {
    /// Parses a section from its columns.
    ///
    /// # Errors
    /// The kind is unknown, or the content lacks a field.
    pub(super) fn parse(kind: &str, content: &Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({ "kind": kind, "content": content }))
    }

    /// Returns the `id` of the section in the page, for links to it.
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

/// Returns the sections of the first migration: a node shows them before it has read any, and when
/// an editor has hidden all.
pub(super) fn built_in(locale: Locale) -> Vec<PageSection> {
    const MIGRATION: &str = include_str!("../../migrations/0002_landing_content.sql");
    let quote = format!("${}$", locale.tag());
    let json = MIGRATION.split(&quote).nth(1).unwrap_or("[]");
    serde_json::from_str(json).unwrap_or_default()
}

/// A named number on the landing page: set by an editor, or counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteStat {
    #[schema(example = "online")]
    pub key: String,
    pub label: Label,
    /// Null while it is not known, and for fewer than 5 people. Never 0.
    pub value: Option<i64>,
    pub unit: Unit,
}

/// Returns the smallest value with which a stat is shown. A handful of people is not shown: the
/// number would say little about the site, and much about those few.
pub(super) fn smallest_shown(key: &str) -> i64 {
    if matches!(key, "online" | "waiting") { MIN_PEOPLE_SHOWN } else { 1 }
}

/// The label of a stat in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    pub ko: String,
    pub en: String,
}

impl Label {
    /// Returns the label in a language.
    pub fn text(&self, locale: Locale) -> &str {
        match locale {
            Locale::Ko => &self.ko,
            Locale::En => &self.en,
        }
    }
}

/// The unit of a stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Count,
    Seconds,
}

/// The stats that are counted. `None` if there is too little data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveCounts {
    pub(super) online: Option<i64>,
    pub(super) talks_today: Option<i64>,
    pub(super) median_wait: Option<i64>,
}

impl LiveCounts {
    /// Returns the count of a stat by its key. `None` if it is not counted or not known.
    pub(super) fn value(&self, key: &str) -> Option<i64> {
        match key {
            "online" => self.online,
            "talks_today" => self.talks_today,
            "median_wait" => self.median_wait,
            _ => None,
        }
    }
}
