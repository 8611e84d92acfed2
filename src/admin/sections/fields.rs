//! What a section's form consists of: each kind of section is described once, as a list of fields. The
//! form, the reading of what was entered, and the list of changes follow from it. No I/O.
use crate::locale::section_fields as w;
use crate::locale::section_fields::Words;

/// The most characters of a title.
const TITLE: usize = 120;
/// The most characters of one line, such as a button.
const LINE: usize = 120;
/// The most characters of a short text.
const TEXT: usize = 600;
/// The most characters of a text in Markdown.
const MARKDOWN: usize = 20_000;
/// The most items of a list.
const ITEMS: usize = 30;

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
    List { item: &'static [Field], noun: &'static Words, most: usize },
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

const fn text(name: &'static str, label: &'static Words) -> Field {
    field(name, label, Shape::Text(TEXT))
}

const fn title() -> Field {
    helped("title", &w::TITLE, &w::TITLE_HELP, Shape::Text(TITLE))
}

const fn list(name: &'static str, label: &'static Words, noun: &'static Words, item: &'static [Field]) -> Field {
    field(name, label, Shape::List { item, noun, most: ITEMS })
}

const HERO: &[Field] = &[
    title(),
    text("lead", &w::LEAD),
    line("button", &w::BUTTON),
    line("more", &w::MORE),
    helped("echo", &w::ECHO, &w::ECHO_HELP, Shape::Text(TITLE)),
    line("echo_link", &w::ECHO_LINK),
    IMAGE,
];
const IMAGE: Field = field(
    "image",
    &w::IMAGE,
    Shape::Optional(&[
        helped("id", &w::IMAGE_ID, &w::IMAGE_ID_HELP, Shape::ImageId),
        field("alt", &w::ALT, Shape::Line(300)),
    ]),
);
const STATS: &[Field] = &[
    title(),
    field(
        "counters",
        &w::COUNTERS,
        Shape::Keyed(&[
            ("online", &w::STAT_ONLINE),
            ("talks_today", &w::STAT_TALKS),
            ("messages_today", &w::STAT_MESSAGES),
            ("rooms", &w::STAT_ROOMS),
            ("languages", &w::STAT_LANGUAGES),
        ]),
    ),
];
const TOPICS: &[Field] = &[title(), text("lead", &w::LEAD), line("counter", &w::COUNTER)];
const STEP: &[Field] = &[
    field(
        "art",
        &w::ICON,
        Shape::Choice(&[("choose", &w::ART_CHOOSE), ("meet", &w::ART_MEET), ("talk", &w::ART_TALK)]),
    ),
    line("title", &w::TITLE),
    text("text", &w::TEXT),
];
const STEPS: &[Field] = &[title(), text("lead", &w::LEAD), list("steps", &w::STEP_LIST, &w::STEP, STEP), IMAGE];
const ROOMS: &[Field] = &[title(), text("lead", &w::LEAD), field("count", &w::COUNT, Shape::Number(1, 12))];
const INSIGHTS: &[Field] = &[
    title(),
    text("lead", &w::LEAD),
    field(
        "charts",
        &w::CHARTS,
        Shape::Checks(&[
            ("talks_per_day", &w::CHART_TALKS),
            ("busiest_hours", &w::CHART_HOURS),
            ("languages", &w::CHART_LANGUAGES),
        ]),
    ),
];
const SCREEN: &[Field] = &[
    line("title", &w::TITLE),
    line("partner", &w::PARTNER),
    field(
        "face",
        &w::FACE,
        Shape::Optional(&[field("color", &w::COLOR, Shape::Color), field("animal", &w::ANIMAL, Shape::Animal)]),
    ),
    text("note", &w::NOTE),
];
const MESSAGE: &[Field] = &[
    field("from", &w::FROM, Shape::Choice(&[("you", &w::FROM_YOU), ("they", &w::FROM_THEY)])),
    field("at", &w::AT, Shape::Line(20)),
    text("text", &w::TEXT),
];
const SHOWCASE: &[Field] = &[
    title(),
    text("lead", &w::LEAD),
    line("choice", &w::CHOICE),
    line("sent", &w::SENT),
    line("shared", &w::SHARED),
    field("you", &w::YOU, Shape::Group(SCREEN)),
    field("they", &w::THEY, Shape::Group(SCREEN)),
    list("messages", &w::MESSAGES, &w::MESSAGE, MESSAGE),
    field(
        "cut",
        &w::CUT,
        Shape::Optional(&[
            field("before", &w::BEFORE, Shape::Number(0, 30)),
            line("you", &w::CUT_YOU),
            line("they", &w::CUT_THEY),
        ]),
    ),
];
const PROMISE: &[Field] = &[
    field(
        "icon",
        &w::ICON,
        Shape::Choice(&[
            ("flag", &w::ICON_FLAG),
            ("archive", &w::ICON_ARCHIVE),
            ("fading", &w::ICON_FADING),
            ("block", &w::ICON_BLOCK),
            ("adult", &w::ICON_ADULT),
            ("camera", &w::ICON_CAMERA),
            ("question", &w::ICON_QUESTION),
            ("return", &w::ICON_RETURN),
            ("lock", &w::ICON_LOCK),
        ]),
    ),
    line("title", &w::TITLE),
    text("text", &w::TEXT),
];
const PROMISES: &[Field] = &[line("title", &w::TITLE), list("items", &w::ITEMS, &w::PROMISE, PROMISE)];
const HELP_LINES: Field =
    list("lines", &w::LINES, &w::LINE, &[line("name", &w::NAME), field("number", &w::NUMBER, Shape::Line(40))]);
const SAFETY: &[Field] = &[
    title(),
    text("lead", &w::LEAD),
    field("can", &w::CAN, Shape::Group(PROMISES)),
    field("cannot", &w::CANNOT, Shape::Group(PROMISES)),
    field("help", &w::HELP, Shape::Optional(&[line("title", &w::TITLE), HELP_LINES])),
];
const STORED: &[Field] = &[line("how_long", &w::HOW_LONG), line("title", &w::TITLE), text("text", &w::TEXT)];
const STORAGE: &[Field] =
    &[title(), text("lead", &w::LEAD), line("link", &w::LINK), list("items", &w::ITEMS, &w::ITEM, STORED)];
const OPERATOR: &[Field] = &[
    title(),
    text("text", &w::TEXT),
    line("label", &w::LABEL),
    helped("unnamed", &w::UNNAMED, &w::UNNAMED_HELP, Shape::Line(LINE)),
    line("host_label", &w::HOST_LABEL),
    line("link", &w::LINK),
];
const FAQ: &[Field] = &[
    title(),
    list(
        "items",
        &w::QUESTION_LIST,
        &w::QUESTION,
        &[line("question", &w::QUESTION), field("answer", &w::ANSWER, Shape::Text(2_000))],
    ),
];
const ACTION: &[Field] = &[title(), line("button", &w::BUTTON), text("side", &w::SIDE), IMAGE];
const PROSE: &[Field] = &[
    line("title", &w::TITLE),
    helped("text", &w::TEXT, &w::MARKDOWN_HELP, Shape::Markdown(MARKDOWN)),
    HELP_LINES,
];
const INTRO: &[Field] = &[title(), text("lead", &w::LEAD), line("note", &w::NOTE)];
const CONTACT: &[Field] = &[
    line("title", &w::TITLE),
    helped("text", &w::TEXT, &w::MARKDOWN_HELP, Shape::Markdown(MARKDOWN)),
    line("given", &w::GIVEN),
    text("missing", &w::MISSING),
];

const fn on_landing(name: &'static str, label: &'static Words, about: &'static Words, fields: &'static [Field]) -> SectionKind {
    SectionKind { name, label, about, fields, is_for_about: false }
}

const fn anywhere(name: &'static str, label: &'static Words, about: &'static Words, fields: &'static [Field]) -> SectionKind {
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
