//! What a section's form consists of: each kind of section is described once, as a list of fields.
//! The form, the reading of what was entered, and the list of changes follow from it. No I/O.
use crate::cms::limits::{
    MAX_ALT_CHARS, MAX_BODY_CHARS as BODY, MAX_LEAD_CHARS as LEAD, MAX_LINE_CHARS as LINE, MAX_LIST_ITEMS as ITEMS,
    MAX_SECTION_TITLE_CHARS as TITLE,
};
use crate::locale::section_fields as w;
use crate::locale::section_fields::Words;

/// Characters of a short text that is neither a title nor an introduction: a note below a screen.
const NOTE: usize = LINE;

/// A field of a section's form.
pub(super) struct Field {
    /// Its key in the content.
    pub(super) name: &'static str,
    pub(super) label: &'static Words,
    pub(super) help: Option<&'static Words>,
    pub(super) shape: Shape,
}

/// What a field holds. Numbers are the most characters or items.
pub(super) enum Shape {
    Line(usize),
    /// A short text that keeps its line breaks.
    Text(usize),
    Markdown(usize),
    /// A name of this list; the same in each language.
    Choice(&'static [(&'static str, &'static Words)]),
    /// The key of a colour or an animal; the same in each language.
    Color,
    Animal,
    /// A whole number in this range; the same in each language.
    Number(u32, u32),
    /// Any of these names, in this order; the same in each language.
    Checks(&'static [(&'static str, &'static Words)]),
    /// The id of an image; the same in each language.
    ImageId,
    Group(&'static [Field]),
    /// A group that is left out while it has no text.
    Optional(&'static [Field]),
    /// Texts by these keys. Keys without a text are left out.
    Keyed(&'static [(&'static str, &'static Words)]),
    List {
        item: &'static [Field],
        noun: &'static Words,
        most: usize,
    },
}

impl Shape {
    /// Returns `true` if each language has a text of its own.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Text(_) | Self::Markdown(_))
    }
}

/// A kind of section.
pub(super) struct SectionKind {
    /// Its name in the database and in the API.
    pub(super) name: &'static str,
    pub(super) label: &'static Words,
    pub(super) about: &'static Words,
    pub(super) fields: &'static [Field],
    /// Whether the pages about the site can show it.
    pub(super) is_for_about: bool,
}

/// Returns the kind with a name. `None` if there is no such kind.
pub(super) fn kind(name: &str) -> Option<&'static SectionKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

const fn field(name: &'static str, label: &'static Words, shape: Shape) -> Field {
    Field { name, label, help: None, shape }
}

const fn helped(name: &'static str, label: &'static Words, help: &'static Words, shape: Shape) -> Field {
    Field { name, label, help: Some(help), shape }
}

const fn line(name: &'static str, label: &'static Words) -> Field {
    field(name, label, Shape::Line(LINE))
}

const fn note(name: &'static str, label: &'static Words) -> Field {
    field(name, label, Shape::Text(NOTE))
}

const fn lead() -> Field {
    field("lead", &w::LEAD, Shape::Text(LEAD))
}

const fn body() -> Field {
    field("text", &w::TEXT, Shape::Text(BODY))
}

/// A title on one line, such as of an item.
const fn short_title() -> Field {
    field("title", &w::TITLE, Shape::Line(TITLE))
}

const fn title() -> Field {
    helped("title", &w::TITLE, &w::TITLE_HELP, Shape::Text(TITLE))
}

const fn list(name: &'static str, label: &'static Words, noun: &'static Words, item: &'static [Field]) -> Field {
    field(name, label, Shape::List { item, noun, most: ITEMS })
}

const IMAGE_FIELDS: &[Field] =
    &[helped("id", &w::IMAGE_ID, &w::IMAGE_ID_HELP, Shape::ImageId), field("alt", &w::ALT, Shape::Line(MAX_ALT_CHARS))];
const COUNTERS: &[(&str, &Words)] = &[
    ("online", &w::STAT_ONLINE),
    ("talks_today", &w::STAT_TALKS),
    ("messages_today", &w::STAT_MESSAGES),
    ("rooms", &w::STAT_ROOMS),
    ("languages", &w::STAT_LANGUAGES),
];
const ARTS: &[(&str, &Words)] = &[("choose", &w::ART_CHOOSE), ("meet", &w::ART_MEET), ("talk", &w::ART_TALK)];
const CHARTS: &[(&str, &Words)] =
    &[("talks_per_day", &w::CHART_TALKS), ("busiest_hours", &w::CHART_HOURS), ("languages", &w::CHART_LANGUAGES)];
const FACE: &[Field] = &[field("color", &w::COLOR, Shape::Color), field("animal", &w::ANIMAL, Shape::Animal)];
const SIDES: &[(&str, &Words)] = &[("you", &w::FROM_YOU), ("they", &w::FROM_THEY)];
const CUT: &[Field] =
    &[field("before", &w::BEFORE, Shape::Number(0, 30)), line("you", &w::CUT_YOU), line("they", &w::CUT_THEY)];
const ICONS: &[(&str, &Words)] = &[
    ("flag", &w::ICON_FLAG),
    ("archive", &w::ICON_ARCHIVE),
    ("fading", &w::ICON_FADING),
    ("block", &w::ICON_BLOCK),
    ("adult", &w::ICON_ADULT),
    ("camera", &w::ICON_CAMERA),
    ("question", &w::ICON_QUESTION),
    ("return", &w::ICON_RETURN),
    ("lock", &w::ICON_LOCK),
];
const HELP_LINE: &[Field] = &[line("name", &w::NAME), field("number", &w::NUMBER, Shape::Line(40))];
const HELP: &[Field] = &[short_title(), HELP_LINES];
const QUESTION: &[Field] = &[line("question", &w::QUESTION), field("answer", &w::ANSWER, Shape::Text(BODY))];
const HERO: &[Field] = &[
    title(),
    lead(),
    line("button", &w::BUTTON),
    line("more", &w::MORE),
    helped("echo", &w::ECHO, &w::ECHO_HELP, Shape::Text(NOTE)),
    line("echo_link", &w::ECHO_LINK),
    IMAGE,
];
const IMAGE: Field = field("image", &w::IMAGE, Shape::Optional(IMAGE_FIELDS));
const STATS: &[Field] = &[title(), field("counters", &w::COUNTERS, Shape::Keyed(COUNTERS))];
const TOPICS: &[Field] = &[title(), lead(), line("counter", &w::COUNTER)];
const STEP: &[Field] = &[field("art", &w::ICON, Shape::Choice(ARTS)), short_title(), body()];
const STEPS: &[Field] = &[title(), lead(), list("steps", &w::STEP_LIST, &w::STEP, STEP), IMAGE];
const ROOMS: &[Field] = &[title(), lead(), field("count", &w::COUNT, Shape::Number(1, 12))];
const INSIGHTS: &[Field] = &[title(), lead(), field("charts", &w::CHARTS, Shape::Checks(CHARTS))];
const SCREEN: &[Field] = &[
    short_title(),
    line("partner", &w::PARTNER),
    field("face", &w::FACE, Shape::Optional(FACE)),
    note("note", &w::NOTE),
];
const MESSAGE: &[Field] =
    &[field("from", &w::FROM, Shape::Choice(SIDES)), field("at", &w::AT, Shape::Line(20)), body()];
const SHOWCASE: &[Field] = &[
    title(),
    lead(),
    line("choice", &w::CHOICE),
    line("sent", &w::SENT),
    line("shared", &w::SHARED),
    field("you", &w::YOU, Shape::Group(SCREEN)),
    field("they", &w::THEY, Shape::Group(SCREEN)),
    list("messages", &w::MESSAGES, &w::MESSAGE, MESSAGE),
    field("cut", &w::CUT, Shape::Optional(CUT)),
];
const PROMISE: &[Field] = &[field("icon", &w::ICON, Shape::Choice(ICONS)), short_title(), body()];
const PROMISES: &[Field] = &[short_title(), list("items", &w::ITEMS, &w::PROMISE, PROMISE)];
const HELP_LINES: Field = list("lines", &w::LINES, &w::LINE, HELP_LINE);
const SAFETY: &[Field] = &[
    title(),
    lead(),
    field("can", &w::CAN, Shape::Group(PROMISES)),
    field("cannot", &w::CANNOT, Shape::Group(PROMISES)),
    field("help", &w::HELP, Shape::Optional(HELP)),
];
const STORED: &[Field] = &[line("how_long", &w::HOW_LONG), short_title(), body()];
const STORAGE: &[Field] = &[title(), lead(), line("link", &w::LINK), list("items", &w::ITEMS, &w::ITEM, STORED)];
const OPERATOR: &[Field] = &[
    title(),
    body(),
    line("label", &w::LABEL),
    helped("unnamed", &w::UNNAMED, &w::UNNAMED_HELP, Shape::Line(LINE)),
    line("host_label", &w::HOST_LABEL),
    line("link", &w::LINK),
];
const FAQ: &[Field] = &[title(), list("items", &w::QUESTION_LIST, &w::QUESTION, QUESTION)];
const ACTION: &[Field] = &[title(), line("button", &w::BUTTON), note("side", &w::SIDE), IMAGE];
const PROSE: &[Field] =
    &[short_title(), helped("text", &w::TEXT, &w::MARKDOWN_HELP, Shape::Markdown(BODY)), HELP_LINES];
const INTRO: &[Field] = &[title(), lead(), line("note", &w::NOTE)];
const CONTACT: &[Field] = &[
    short_title(),
    helped("text", &w::TEXT, &w::MARKDOWN_HELP, Shape::Markdown(BODY)),
    line("given", &w::GIVEN),
    note("missing", &w::MISSING),
];

const fn on_landing(
    name: &'static str,
    label: &'static Words,
    about: &'static Words,
    fields: &'static [Field],
) -> SectionKind {
    SectionKind { name, label, about, fields, is_for_about: false }
}

const fn anywhere(
    name: &'static str,
    label: &'static Words,
    about: &'static Words,
    fields: &'static [Field],
) -> SectionKind {
    SectionKind { name, label, about, fields, is_for_about: true }
}

/// Every kind, in the order in which they are offered.
pub(super) static KINDS: [SectionKind; 15] = [
    on_landing("hero", &w::HERO, &w::HERO_ABOUT, HERO),
    on_landing("stats", &w::STATS, &w::STATS_ABOUT, STATS),
    on_landing("topics", &w::TOPICS, &w::TOPICS_ABOUT, TOPICS),
    on_landing("steps", &w::STEPS, &w::STEPS_ABOUT, STEPS),
    on_landing("showcase", &w::SHOWCASE, &w::SHOWCASE_ABOUT, SHOWCASE),
    on_landing("rooms", &w::ROOMS, &w::ROOMS_ABOUT, ROOMS),
    on_landing("insights", &w::INSIGHTS, &w::INSIGHTS_ABOUT, INSIGHTS),
    on_landing("safety", &w::SAFETY, &w::SAFETY_ABOUT, SAFETY),
    on_landing("storage", &w::STORAGE, &w::STORAGE_ABOUT, STORAGE),
    anywhere("faq", &w::FAQ, &w::FAQ_ABOUT, FAQ),
    on_landing("operator", &w::OPERATOR, &w::OPERATOR_ABOUT, OPERATOR),
    on_landing("action", &w::ACTION, &w::ACTION_ABOUT, ACTION),
    anywhere("markdown", &w::MARKDOWN, &w::MARKDOWN_ABOUT, PROSE),
    anywhere("intro", &w::INTRO, &w::INTRO_ABOUT, INTRO),
    anywhere("contact", &w::CONTACT, &w::CONTACT_ABOUT, CONTACT),
];
