//! The parts of the pages: typed sections in order, and the named stats of the landing page. No I/O.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::facts::{InsightsSection, Operator, RoomsSection, Storage, TopicsSection};
use super::markdown;
use super::media_tag::Image;
use crate::accounts::Face;
use crate::locale::{Locale, Strings};

/// A page whose sections are content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Page {
    #[default]
    Landing,
    Rules,
    Privacy,
    Terms,
    Contact,
}

impl Page {
    /// Every page, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Landing, Self::Rules, Self::Privacy, Self::Terms, Self::Contact];

    /// The pages about the site, in the order of their links.
    pub const ABOUT: [Self; 4] = [Self::Rules, Self::Privacy, Self::Terms, Self::Contact];

    /// Returns the name in the database, in addresses and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Landing => "landing",
            Self::Rules => "rules",
            Self::Privacy => "privacy",
            Self::Terms => "terms",
            Self::Contact => "contact",
        }
    }

    /// Returns the page of this name. `None` if there is none.
    pub fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.name() == name)
    }

    /// Returns the text of links to this page.
    pub fn label(self, strings: &Strings) -> &'static str {
        match self {
            Self::Landing => strings.brand,
            Self::Rules => strings.about_rules,
            Self::Privacy => strings.about_privacy,
            Self::Terms => strings.about_terms,
            Self::Contact => strings.about_contact,
        }
    }

    /// Returns the path of this page in a language.
    pub fn path(self, locale: Locale) -> String {
        match self {
            Self::Landing => format!("/{}", locale.tag()),
            _ => format!("/{}/{}", locale.tag(), self.name()),
        }
    }

    /// Returns the path that leads to this page in the reader's language.
    pub fn neutral_path(self) -> String {
        match self {
            Self::Landing => "/".to_owned(),
            _ => format!("/{}", self.name()),
        }
    }

    /// Returns this page in each language as `hreflang` and path, and `x-default` for readers of
    /// other languages.
    pub fn alternates(self) -> Vec<(&'static str, String)> {
        let mut alternates: Vec<_> = Locale::ALL.map(|locale| (locale.tag(), self.path(locale))).into();
        alternates.push(("x-default", self.neutral_path()));
        alternates
    }
}

/// One section of a page. A title keeps the line breaks that an editor set.
///
/// The landing page shows every kind; the pages about the site show the last three and `faq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
pub enum PageSection {
    Hero(Hero),
    Stats(StatsSection),
    Topics(TopicsSection),
    Steps(Steps),
    Showcase(Box<Showcase>),
    Rooms(RoomsSection),
    Safety(Safety),
    Storage(Storage),
    Operator(Operator),
    Insights(InsightsSection),
    Faq(Faq),
    Action(Action),
    Markdown(Prose),
    /// The opening of a page about the site.
    Intro(Intro),
    /// Who runs the site: the operator's address, or that there is none.
    Contact(Contact),
}

/// The first section: its sentence in the page's language, and an echo of it in the other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hero {
    pub title: String,
    pub lead: String,
    pub button: String,
    pub more: String,
    pub echo: String,
    pub echo_link: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// The section with the stats. `counters` are the words after the numbers (명, 번), by stat key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsSection {
    pub title: String,
    #[serde(default)]
    pub counters: BTreeMap<String, String>,
}

/// How the service works, in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    pub title: String,
    pub lead: String,
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
    /// The moment in which the other person's connection is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Showcase {
    /// Returns both screens with their rows, the reader's own first.
    pub fn screens(&self) -> [(Side, &Screen, Vec<ScreenRow<'_>>); 2] {
        [(Side::You, &self.you, self.rows(Side::You)), (Side::They, &self.they, self.rows(Side::They))]
    }

    fn rows(&self, side: Side) -> Vec<ScreenRow<'_>> {
        let mut rows = Vec::with_capacity(self.messages.len() + 1);
        for (at, message) in self.messages.iter().enumerate() {
            if let Some(cut) = self.cut.as_ref().filter(|cut| cut.before == at) {
                rows.push(ScreenRow::Cut(if side == Side::You { &cut.you } else { &cut.they }));
            }
            rows.push(if message.from == side { ScreenRow::Own(message) } else { ScreenRow::Theirs(message) });
        }
        rows
    }
}

/// A row on a [`Screen`].
#[derive(Debug, PartialEq)]
pub enum ScreenRow<'a> {
    Own(&'a ShowcaseMessage),
    Theirs(&'a ShowcaseMessage),
    /// The moment in which the other person's connection is lost.
    Cut(&'a str),
}

/// The screen of one person in a [`Showcase`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Screen {
    pub title: String,
    pub partner: String,
    /// The partner's animal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<Face>,
    pub note: String,
}

/// A lost connection in a [`Showcase`]: what each side's screen shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The index of the first message that follows.
    pub before: usize,
    pub you: String,
    pub they: String,
}

/// A message in a [`Showcase`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Safety {
    pub title: String,
    pub lead: String,
    pub can: Promises,
    pub cannot: Promises,
    pub help: Option<Help>,
}

/// A list of promises with its title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promises {
    pub title: String,
    pub items: Vec<Promise>,
}

/// One promise, or one thing that the site cannot do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Help {
    pub title: String,
    pub lines: Vec<HelpLine>,
}

/// A telephone line for people who need help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HelpLine {
    pub name: String,
    pub number: String,
}

/// Questions with their answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Faq {
    pub title: String,
    pub items: Vec<Question>,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub question: String,
    pub answer: String,
}

/// The last section, with the button of the first one again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    pub title: String,
    pub button: String,
    pub side: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// A text in Markdown with a title, and telephone lines below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Prose {
    pub title: String,
    /// Markdown ([`markdown::to_html`]).
    #[serde(default)]
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<HelpLine>,
}

impl Prose {
    /// Returns the text as safe HTML.
    pub fn html(&self) -> String {
        markdown::to_html(&self.text)
    }
}

/// The opening of a page about the site: what it is for, and its edition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Intro {
    pub title: String,
    pub lead: String,
    pub note: String,
}

/// Who runs the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    pub title: String,
    /// Markdown.
    pub text: String,
    /// Stands before the address that the operator has set.
    pub given: String,
    /// Stands there as long as the operator has set none.
    pub missing: String,
}

impl Contact {
    /// Returns the text as safe HTML.
    pub fn html(&self) -> String {
        markdown::to_html(&self.text)
    }
}

impl PageSection {
    /// Returns the content as JSON, without the kind.
    pub fn content(&self) -> Value {
        let mut section = serde_json::to_value(self).unwrap_or_default();
        section.get_mut("content").map(Value::take).unwrap_or_default()
    }

    /// Returns the `id` of the first section of its kind in the page, for links to it.
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Hero(_) => "start",
            Self::Stats(_) => "now",
            Self::Rooms(_) => "rooms",
            Self::Insights(_) => "insights",
            Self::Topics(_) => "topics",
            Self::Steps(_) => "how",
            Self::Showcase(_) => "talk",
            Self::Safety(_) => "safety",
            Self::Storage(_) => "storage",
            Self::Operator(_) => "operator",
            Self::Faq(_) => "faq",
            Self::Action(_) => "seat",
            Self::Markdown(_) => "more",
            Self::Intro(_) => "intro",
            Self::Contact(_) => "contact",
        }
    }
}

/// Returns the sections of the first migrations: a node shows them before it has read any, and when
/// an editor has hidden all. A language without its own content has none.
pub(super) fn built_in(page: Page, locale: Locale) -> Vec<PageSection> {
    const LANDING: &str = include_str!("../../migrations/0002_landing_content.sql");
    const ABOUT: &str = include_str!("../../migrations/0006_site_pages.sql");
    let (migration, quote) = match page {
        Page::Landing => (LANDING, format!("${}$", locale.tag())),
        _ => (ABOUT, format!("${}_{}$", page.name(), locale.tag())),
    };
    let json = migration.split(&quote).nth(1).unwrap_or("[]");
    serde_json::from_str(json).unwrap_or_default()
}
