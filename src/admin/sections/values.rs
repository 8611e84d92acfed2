//! A section's content as the flat fields of a form, and back. No I/O.
//!
//! A field's name begins with the language, or with `*` where the value is the same in each, then
//! follows its place in the content: `ko.steps.0.title`, `*.steps.0.art`.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{Field, Shape};

/// The fields of a form by their names.
pub(super) type Values = BTreeMap<String, String>;

/// What stands for all languages at the start of a name.
pub(super) const SHARED: &str = "*";

/// Something entered that cannot be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// More characters than this.
    TooLong(usize),
    /// Not a whole number in this range.
    NotANumber(u32, u32),
    /// More items than this.
    TooMany(usize),
    /// Not the number of an image.
    NotAnImage,
    /// Refused for another reason, such as characters that nobody sees.
    Refused,
}

/// Adds the fields of a content in one language.
pub(super) fn flatten(fields: &[Field], content: &Value, tag: &str, values: &mut Values) {
    for field in fields {
        put(&field.shape, content.get(field.name), &format!("{tag}.{}", field.name), values);
    }
}

fn put(shape: &Shape, value: Option<&Value>, name: &str, values: &mut Values) {
    let Some(value) = value.filter(|value| !value.is_null()) else { return };
    match shape {
        Shape::Group(fields) | Shape::Optional(fields) => {
            for field in *fields {
                put(&field.shape, value.get(field.name), &format!("{name}.{}", field.name), values);
            }
        }
        Shape::Keyed(_) => {
            for (key, value) in value.as_object().into_iter().flatten() {
                put(&Shape::Line(0), Some(value), &format!("{name}.{key}"), values);
            }
        }
        Shape::Checks(_) => {
            for key in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                values.insert(format!("{name}.{key}"), "on".to_owned());
            }
        }
        Shape::List { item, .. } => {
            for (at, value) in value.as_array().into_iter().flatten().enumerate() {
                put(&Shape::Group(item), Some(value), &format!("{name}.{at}"), values);
            }
        }
        _ => {
            let text = value.as_str().map_or_else(|| value.as_u64().unwrap_or_default().to_string(), str::to_owned);
            values.insert(name.to_owned(), text);
        }
    }
}

/// Returns the content in one language, and what is wrong, by the names of the fields.
///
/// Everything entered is in the content, also what is wrong.
pub(super) fn read(fields: &[Field], values: &Values, tag: &str) -> (Value, BTreeMap<String, Problem>) {
    let mut problems = BTreeMap::new();
    let mut reader = Reader { values, tag, problems: &mut problems };
    let content = reader.group(fields, "");
    (content, problems)
}

struct Reader<'a> {
    values: &'a Values,
    tag: &'a str,
    problems: &'a mut BTreeMap<String, Problem>,
}

impl Reader<'_> {
    fn group(&mut self, fields: &[Field], path: &str) -> Value {
        let mut content = Map::new();
        for field in fields {
            if let Some(value) = self.field(&field.shape, &join(path, field.name)) {
                content.insert(field.name.to_owned(), value);
            }
        }
        Value::Object(content)
    }

    fn field(&mut self, shape: &Shape, path: &str) -> Option<Value> {
        match shape {
            Shape::Group(fields) => Some(self.group(fields, path)),
            Shape::Optional(fields) => {
                has_content(self.values, self.tag, fields, path).then(|| self.group(fields, path))
            }
            Shape::Keyed(_) => Some(self.keyed(path)),
            Shape::List { item, most, .. } => Some(self.list(item, *most, path)),
            Shape::Line(most) | Shape::Text(most) | Shape::Markdown(most) => {
                let is_line = matches!(shape, Shape::Line(_));
                Some(json!(self.text(path, *most, is_line)))
            }
            Shape::Number(least, most) => Some(json!(self.number(path, *least, *most))),
            Shape::Checks(options) => {
                let chosen =
                    options.iter().map(|(key, _)| *key).filter(|key| !self.shared(&join(path, key)).is_empty());
                Some(chosen.collect())
            }
            Shape::Choice(options) => {
                let chosen = self.shared(path);
                let first = options.first().map(|(name, _)| *name);
                options.iter().map(|(name, _)| *name).find(|name| *name == chosen).or(first).map(|name| json!(name))
            }
            Shape::ImageId => {
                let id = self.shared(path).trim().to_owned();
                if !id.is_empty() && uuid::Uuid::parse_str(&id).is_err() {
                    self.problems.insert(format!("{SHARED}.{path}"), Problem::NotAnImage);
                }
                Some(json!(id))
            }
            Shape::Color | Shape::Animal => Some(json!(self.shared(path))),
        }
    }

    fn text(&mut self, path: &str, most: usize, is_line: bool) -> String {
        let name = format!("{}.{path}", self.tag);
        // Forms send line breaks as CR and LF.
        let text = self.values.get(&name).map(|text| text.replace("\r\n", "\n")).unwrap_or_default();
        let text = if is_line { text.replace('\n', " ") } else { text };
        let text = text.trim().to_owned();
        if text.chars().count() > most {
            self.problems.insert(name, Problem::TooLong(most));
        }
        text
    }

    /// Returns a value that the languages share, unless the language has its own.
    fn shared(&self, path: &str) -> &str {
        let own = self.values.get(&format!("{}.{path}", self.tag));
        own.or_else(|| self.values.get(&format!("{SHARED}.{path}"))).map_or("", String::as_str)
    }

    fn number(&mut self, path: &str, least: u32, most: u32) -> u32 {
        let text = self.shared(path).trim().to_owned();
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ if text.is_empty() => least,
            _ => {
                self.problems.insert(format!("{SHARED}.{path}"), Problem::NotANumber(least, most));
                least
            }
        }
    }

    fn keyed(&mut self, path: &str) -> Value {
        let start = format!("{}.{path}.", self.tag);
        let keys: Vec<String> =
            self.values.keys().filter_map(|name| name.strip_prefix(&start)).map(str::to_owned).collect();
        let mut content = Map::new();
        for key in keys {
            let text = self.text(&join(path, &key), 40, true);
            if !text.is_empty() {
                content.insert(key, json!(text));
            }
        }
        Value::Object(content)
    }

    /// Returns the items. Empty ones at the end are left out: the other language can have more.
    fn list(&mut self, item: &[Field], most: usize, path: &str) -> Value {
        let count = item_count(self.values, path);
        let has_text = |at: &usize| has_content(self.values, self.tag, item, &format!("{path}.{at}"));
        let count = (0..count).rev().find(has_text).map_or(0, |last| last + 1);
        if count > most {
            self.problems.insert(format!("{}.{path}", self.tag), Problem::TooMany(most));
        }
        Value::Array((0..count).map(|at| self.group(item, &format!("{path}.{at}"))).collect())
    }
}

/// Returns the name of a field inside a group.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns `true` if a language has a text in a group, or anything chosen if the group has no texts
/// of its own (an image has its id).
fn has_content(values: &Values, tag: &str, fields: &[Field], path: &str) -> bool {
    let starts = |lead: &str| {
        let start = format!("{lead}.{path}.");
        values.range(start.clone()..).take_while(move |(name, _)| name.starts_with(&start)).map(|(_, text)| text)
    };
    if let Some(image) = fields.iter().find(|field| matches!(field.shape, Shape::ImageId)) {
        // A description without an image says nothing.
        let id = format!("{path}.{}", image.name);
        let filled = |lead: &str| values.get(&format!("{lead}.{id}")).is_some_and(|id| !id.trim().is_empty());
        return filled(tag) || filled(SHARED);
    }
    if has_texts(fields) {
        let chosen = choices(fields);
        let start = format!("{tag}.{path}.");
        values.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start)).any(|(name, text)| {
            !chosen.contains(&name.rsplit('.').next().unwrap_or_default()) && !text.trim().is_empty()
        })
    } else {
        starts(tag).chain(starts(SHARED)).any(|text| !text.trim().is_empty())
    }
}

fn has_texts(fields: &[Field]) -> bool {
    fields.iter().any(|field| match &field.shape {
        Shape::Group(inner) | Shape::Optional(inner) | Shape::List { item: inner, .. } => has_texts(inner),
        Shape::Keyed(_) => true,
        shape => shape.is_text(),
    })
}

/// Returns the keys of the fields that are no texts.
fn choices(fields: &[Field]) -> Vec<&'static str> {
    let own = fields.iter().flat_map(|field| match &field.shape {
        Shape::Group(inner) | Shape::Optional(inner) | Shape::List { item: inner, .. } => choices(inner),
        Shape::Keyed(_) => Vec::new(),
        Shape::Checks(options) => options.iter().map(|(key, _)| *key).collect(),
        shape if shape.is_text() => Vec::new(),
        _ => vec![field.name],
    });
    own.collect()
}

/// Returns `true` if a form has a text in a language.
pub(super) fn is_filled(fields: &[Field], values: &Values, tag: &str) -> bool {
    let chosen = choices(fields);
    let start = format!("{tag}.");
    values.iter().any(|(name, text)| {
        name.starts_with(&start)
            && !text.trim().is_empty()
            && !chosen.contains(&name.rsplit('.').next().unwrap_or_default())
    })
}

/// Returns the number of items that a list has in the language that has most.
pub(super) fn item_count(values: &Values, path: &str) -> usize {
    values.keys().filter_map(|name| Some(place(name, path)?.1 + 1)).max().unwrap_or(0)
}

/// Returns the language of a name inside a list, the index of its item, and what follows.
fn place<'a>(name: &'a str, path: &str) -> Option<(&'a str, usize, &'a str)> {
    let (tag, rest) = name.split_once('.')?;
    let (at, rest) = rest.strip_prefix(path)?.strip_prefix('.')?.split_once('.')?;
    let at = at.parse().ok().filter(|at| *at < 1_000)?;
    Some((tag, at, rest))
}

/// Removes the item of a list, in each language. The items after it move up.
pub(super) fn remove_item(values: &Values, path: &str, item: usize) -> Values {
    move_items(values, path, |at| match at.cmp(&item) {
        std::cmp::Ordering::Less => Some(at),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(at - 1),
    })
}

/// Exchanges two items of a list, in each language.
pub(super) fn swap_items(values: &Values, path: &str, one: usize, other: usize) -> Values {
    move_items(values, path, |at| {
        Some(if at == one {
            other
        } else if at == other {
            one
        } else {
            at
        })
    })
}

fn move_items(values: &Values, path: &str, to: impl Fn(usize) -> Option<usize>) -> Values {
    let moved = values.iter().filter_map(|(name, text)| {
        let name = match place(name, path) {
            Some((tag, at, rest)) => format!("{tag}.{path}.{}.{rest}", to(at)?),
            None => name.clone(),
        };
        Some((name, text.clone()))
    });
    moved.collect()
}

/// Copies the texts of a field, or of all fields if `path` is empty, from one language to another.
/// A text that the other language has already stays.
pub(super) fn copy(values: &mut Values, from: &str, to: &str, path: &str) {
    let start = if path.is_empty() { format!("{from}.") } else { format!("{from}.{path}") };
    let copied: Vec<(String, String)> = values
        .iter()
        .filter(|(name, _)| path.is_empty() && name.starts_with(&start) || **name == start)
        .map(|(name, text)| (format!("{to}{}", &name[from.len()..]), text.clone()))
        .collect();
    for (name, text) in copied {
        let own = values.entry(name).or_default();
        if own.trim().is_empty() {
            *own = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Problem, Values, copy, flatten, item_count, read, remove_item, swap_items};
    use crate::admin::sections::fields::kind;
    use crate::cms::PageSection;

    fn form(name: &str, content: &serde_json::Value, tag: &str) -> Values {
        let mut values = Values::new();
        flatten(kind(name).unwrap().fields, content, tag, &mut values);
        values
    }

    #[test]
    fn the_first_sections_come_back_unchanged_from_their_forms() {
        let files = [
            include_str!("../../../migrations/0002_landing_content.sql"),
            include_str!("../../../migrations/0006_site_pages.sql"),
        ];
        let mut seen = 0;
        for quoted in files.iter().flat_map(|file| file.split('$')).filter(|part| part.starts_with('[')) {
            for section in serde_json::from_str::<Vec<serde_json::Value>>(quoted).unwrap() {
                let name = section["kind"].as_str().unwrap();
                let fields = kind(name).unwrap_or_else(|| panic!("{name} has no form")).fields;
                let (content, problems) = read(fields, &form(name, &section["content"], "ko"), "ko");
                assert!(problems.is_empty(), "{name}: {problems:?}");
                let before: PageSection = serde_json::from_value(section.clone()).unwrap();
                let after: PageSection = serde_json::from_value(json!({ "kind": name, "content": content })).unwrap();
                assert_eq!(after, before);
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen} sections");
    }

    #[test]
    fn an_item_is_moved_and_removed_in_each_language_with_its_choice() {
        let ko = json!({"title": "", "lead": "", "steps": [
            {"art": "choose", "title": "하나", "text": ""}, {"art": "talk", "title": "둘", "text": ""}]});
        let mut values = form("steps", &ko, "ko");
        values.insert("en.steps.0.title".to_owned(), "one".to_owned());
        let values = swap_items(&values, "steps", 0, 1);
        assert_eq!((values["ko.steps.0.title"].as_str(), values["ko.steps.0.art"].as_str()), ("둘", "talk"));
        assert_eq!(values["en.steps.1.title"], "one");
        let values = remove_item(&values, "steps", 0);
        assert_eq!((values["ko.steps.0.title"].as_str(), item_count(&values, "steps")), ("하나", 1));
    }

    #[test]
    fn a_language_with_fewer_lines_keeps_its_number() {
        let mut values = form("markdown", &json!({"title": "a", "lines": [{"name": "x", "number": "1"}]}), "ko");
        values.insert("en.title".to_owned(), "b".to_owned());
        values.insert("en.lines.0.name".to_owned(), " ".to_owned());
        let (content, _) = read(kind("markdown").unwrap().fields, &values, "en");
        assert_eq!(content, json!({"title": "b", "text": "", "lines": []}));
    }

    #[test]
    fn what_is_wrong_is_named_and_stays_in_the_content() {
        let mut values = form("hero", &json!({"title": "a".repeat(121), "button": "x\r\ny"}), "en");
        values.insert("*.image.id".to_owned(), "nine".to_owned());
        values.insert("en.image.alt".to_owned(), "A lake".to_owned());
        let (content, problems) = read(kind("hero").unwrap().fields, &values, "en");
        assert_eq!(content["title"].as_str().unwrap().len(), 121);
        assert_eq!(content["button"], "x y");
        assert_eq!(problems["en.title"], Problem::TooLong(120));
        assert_eq!(problems["*.image.id"], Problem::NotAnImage);
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn a_copy_overwrites_nothing() {
        let mut values = form("hero", &json!({"title": "가", "lead": "나"}), "ko");
        values.insert("en.title".to_owned(), "a".to_owned());
        copy(&mut values, "ko", "en", "");
        assert_eq!((values["en.title"].as_str(), values["en.lead"].as_str()), ("a", "나"));
        copy(&mut values, "ko", "en", "title");
        assert_eq!(values["en.title"], "a");
    }
}
