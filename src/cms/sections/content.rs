//! The content of a section as it comes from outside: its shape, its limits, and what it needs to be
//! published. Errors name the field. No I/O.
use serde::de::DeserializeOwned;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use crate::cms::facts::{InsightsSection, Operator, RoomsSection, Storage, TopicsSection};
use crate::cms::kind::Kind;
use crate::cms::limits::{
    MAX_ALT_CHARS, MAX_BODY_CHARS, MAX_LEAD_CHARS, MAX_LINE_CHARS, MAX_LIST_ITEMS, MAX_ROOMS, MAX_SECTION_TITLE_CHARS,
};
use crate::cms::model::{Action, Contact, Faq, Hero, Intro, PageSection, Prose, Safety, Showcase, StatsSection, Steps};
use crate::error::{Error, Result};

/// The texts without which a section is not published. Others can be empty.
const NEEDED: [&str; 12] = [
    "title", "question", "answer", "button", "name", "number", "label", "how_long", "partner", "choice", "given", "alt",
];

/// Parses a content and checks its limits. Texts can be empty: a draft may be incomplete.
///
/// # Errors
/// `bad_payload` or `too_long` with the field `content`; the text names the field in it.
pub(super) fn checked(kind: Kind, content: &Value) -> Result<PageSection> {
    check_limits(content, "content")?;
    let section = parse_content(kind, content)?;
    if let PageSection::Rooms(rooms) = &section
        && !(1..=MAX_ROOMS).contains(&i64::from(rooms.count))
    {
        return Err(refused("content.count", &format!("use a number from 1 to {MAX_ROOMS}")));
    }
    Ok(section)
}

/// Checks that a content can be published: no text is missing that its readers need.
///
/// # Errors
/// `bad_payload` with the field `content`.
pub(super) fn require_complete(content: &Value) -> Result<()> {
    match first_blank(content, "content") {
        Some(path) => Err(refused(&path, "write something here before you publish it")),
        None => Ok(()),
    }
}

/// Returns the path of the first text that is needed and blank.
fn first_blank(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| first_blank(item, &format!("{path}[{at}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            let path = format!("{path}.{name}");
            let is_blank = field.as_str().is_some_and(|text| text.trim().is_empty());
            if is_blank && NEEDED.contains(&name.as_str()) { Some(path) } else { first_blank(field, &path) }
        }),
        _ => None,
    }
}

fn refused(path: &str, why: &str) -> Error {
    Error::bad_payload("content", format!("{path}: {why}"))
}

/// Returns the most characters of a text by the name of its field.
fn most_chars(name: &str) -> usize {
    match name {
        "title" => MAX_SECTION_TITLE_CHARS,
        "lead" => MAX_LEAD_CHARS,
        "text" | "answer" => MAX_BODY_CHARS,
        "alt" => MAX_ALT_CHARS,
        _ => MAX_LINE_CHARS,
    }
}

/// Checks the length of every text and list of a value. `path` names it.
fn check_limits(value: &Value, path: &str) -> Result<()> {
    let name = path.rsplit('.').next().unwrap_or_default();
    let too_many = || Err(refused(path, &format!("this list has more than {MAX_LIST_ITEMS} items")));
    match value {
        Value::String(text) => {
            let most = most_chars(name.split('[').next().unwrap_or_default());
            if text.chars().count() > most {
                return Err(Error::TooLongAt { limit: most, field: "content", path: path.to_owned() });
            }
            // A NUL cannot be stored, and the other controls are not seen.
            if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
                return Err(refused(path, "remove the control characters"));
            }
        }
        Value::Array(items) if items.len() > MAX_LIST_ITEMS => return too_many(),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                check_limits(item, &format!("{path}[{at}]"))?;
            }
        }
        Value::Object(fields) if fields.len() > MAX_LIST_ITEMS => return too_many(),
        Value::Object(fields) => {
            for (name, field) in fields {
                if name.chars().count() > MAX_LINE_CHARS {
                    return Err(refused(path, "a name in it is too long"));
                }
                check_limits(field, &format!("{path}.{name}"))?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Brings the texts of a content into the form in which they are stored: NFC, and line breaks as
/// `\n`.
pub(super) fn normalized(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("\r\n", "\n").replace('\r', "\n").nfc().collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(normalized).collect()),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, normalized(field))).collect(),
        other => other,
    }
}

/// Parses the content of a kind. Unknown fields are refused.
///
/// # Errors
/// `bad_payload` with the field `content`; the text names the field in it.
pub(in crate::cms) fn parse_content(kind: Kind, content: &Value) -> Result<PageSection> {
    Ok(match kind {
        Kind::Hero => PageSection::Hero(parse::<Hero>(content)?),
        Kind::Stats => PageSection::Stats(parse::<StatsSection>(content)?),
        Kind::Topics => PageSection::Topics(parse::<TopicsSection>(content)?),
        Kind::Steps => PageSection::Steps(parse::<Steps>(content)?),
        Kind::Showcase => PageSection::Showcase(Box::new(parse::<Showcase>(content)?)),
        Kind::Rooms => PageSection::Rooms(parse::<RoomsSection>(content)?),
        Kind::Safety => PageSection::Safety(parse::<Safety>(content)?),
        Kind::Storage => PageSection::Storage(parse::<Storage>(content)?),
        Kind::Operator => PageSection::Operator(parse::<Operator>(content)?),
        Kind::Insights => PageSection::Insights(parse::<InsightsSection>(content)?),
        Kind::Faq => PageSection::Faq(parse::<Faq>(content)?),
        Kind::Action => PageSection::Action(parse::<Action>(content)?),
        Kind::Markdown => PageSection::Markdown(parse::<Prose>(content)?),
        Kind::Intro => PageSection::Intro(parse::<Intro>(content)?),
        Kind::Contact => PageSection::Contact(parse::<Contact>(content)?),
    })
}

/// Parses a value. The parser knows lines and not fields, so the value is printed with one field a
/// line, and the line of an error leads back to its field.
fn parse<T: DeserializeOwned>(value: &Value) -> Result<T> {
    let printed = serde_json::to_string_pretty(value).map_err(Error::internal)?;
    serde_json::from_str(&printed).map_err(|error| {
        let mut paths = Vec::new();
        lines(value, "content".to_owned(), &mut paths);
        let path = error.line().checked_sub(1).and_then(|line| paths.get(line)).map_or("content", String::as_str);
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        refused(path, why)
    })
}

/// Appends the path of each line of a value as serde_json prints it.
fn lines(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            into.push(path.clone());
            for (at, item) in items.iter().enumerate() {
                lines(item, format!("{path}[{at}]"), into);
            }
            into.push(path);
        }
        Value::Object(fields) if !fields.is_empty() => {
            into.push(path.clone());
            for (name, field) in fields {
                lines(field, format!("{path}.{name}"), into);
            }
            into.push(path);
        }
        _ => into.push(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_LIST_ITEMS, MAX_SECTION_TITLE_CHARS, checked, normalized, require_complete};
    use crate::cms::kind::Kind;

    fn refusal(kind: Kind, content: &Value) -> (&'static str, String) {
        let error = checked(kind, content).unwrap_err();
        assert_eq!(error.field(), Some("content"));
        (error.code(), error.to_string())
    }

    #[test]
    fn a_refusal_names_the_field() {
        let step = json!({"art": "meet", "title": "t", "text": "x"});
        let mut steps = json!({"title": "t", "lead": "l", "steps": [step, step, step]});
        assert!(checked(Kind::Steps, &steps).is_ok());
        let replace = |steps: &mut Value, value: Value| steps["steps"][2]["title"] = value;
        for (value, code, text) in [
            (json!(7), "bad_payload", "content.steps[2].title: invalid type: integer `7`, expected a string"),
            (json!("a".repeat(MAX_SECTION_TITLE_CHARS + 1)), "too_long", "content.steps[2].title"),
            (json!("a\u{0}b"), "bad_payload", "content.steps[2].title: remove the control characters"),
        ] {
            replace(&mut steps, value);
            let (found, why) = refusal(Kind::Steps, &steps);
            assert!(found == code && why.starts_with(text), "{found} {why}");
        }
        replace(&mut steps, json!("t"));
        steps["steps"][1]["art"] = json!("dance");
        assert!(refusal(Kind::Steps, &steps).1.starts_with("content.steps[1].art: unknown variant `dance`"));
        steps["steps"][1] = json!({"art": "meet", "title": "t"});
        assert_eq!(refusal(Kind::Steps, &steps).1, "content.steps[1]: missing field `text`");
        steps["steps"][1] = step.clone();
        steps["colour"] = json!("red");
        assert!(refusal(Kind::Steps, &steps).1.starts_with("content.colour: unknown field `colour`"));
        steps["colour"] = Value::Null;
        steps["steps"] = json!(vec![step; MAX_LIST_ITEMS + 1]);
        assert!(refusal(Kind::Steps, &steps).1.starts_with("content.steps: this list has more than"));
        assert_eq!(refusal(Kind::Rooms, &json!({"title": "", "lead": "", "count": 0})).0, "bad_payload");
        assert_eq!(refusal(Kind::Faq, &json!([])).0, "bad_payload");
        assert_eq!(refusal(Kind::Faq, &Value::Null).0, "bad_payload");
    }

    #[test]
    fn an_incomplete_draft_is_saved_and_not_published() {
        for kind in Kind::ALL {
            let template = kind.template();
            assert!(checked(kind, &template).is_ok(), "{}", kind.as_str());
            let why = require_complete(&template).unwrap_err().to_string();
            assert!(why.starts_with("content."), "{why}");
        }
        let faq = json!({"title": "t", "items": [{"question": "q", "answer": " \n"}]});
        assert!(require_complete(&faq).unwrap_err().to_string().starts_with("content.items[0].answer: "));
    }

    #[test]
    fn texts_are_stored_in_one_form() {
        let typed = json!({"title": "e\u{301}", "text": "a\r\nb\rc"});
        assert_eq!(normalized(typed), json!({"title": "\u{e9}", "text": "a\nb\nc"}));
    }
}
