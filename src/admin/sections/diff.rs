//! What differs between two contents of a section: field by field, word by word. No I/O.
use std::time::Duration;

use serde_json::Value;
use similar::{Algorithm, ChangeTag, DiffOp, TextDiff, capture_diff_slices};

use super::fields::{Field, Shape};
use super::values::join;
use crate::locale::Locale;

/// The longest time for one text. Beyond it the difference is larger than it must be, and correct.
const DEADLINE: Duration = Duration::from_millis(200);
/// Unchanged text longer than this is shortened.
const LONG: usize = 240;
/// How much of it stays beside a change.
const CONTEXT: usize = 80;

/// A field whose text differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Where it is: 단계 2 · 제목.
    pub(super) label: String,
    /// `None` if there was none.
    pub(super) before: Option<Vec<Piece>>,
    /// `None` if there is none any more.
    pub(super) after: Option<Vec<Piece>>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether only this side has it.
    pub(super) changed: bool,
}

/// Returns the fields that differ, in the order of the form. `locale` is the reader's language.
pub(super) fn changes(fields: &[Field], before: &Value, after: &Value, locale: Locale) -> Vec<Change> {
    let mut walk = Walk { locale, found: Vec::new() };
    walk.group(fields, Some(before), Some(after), "");
    walk.found
}

/// A part of a content that can be taken from one version or the other: a field, or a whole list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its place in the content: `can.items`.
    pub(super) path: String,
    pub(super) label: String,
    pub(super) changes: Vec<Change>,
}

/// Returns the units that differ.
pub(super) fn units(fields: &[Field], before: &Value, after: &Value, locale: Locale) -> Vec<Unit> {
    let mut found = Vec::new();
    collect_units(fields, before, after, locale, ("", ""), &mut found);
    found
}

fn collect_units(
    fields: &[Field],
    before: &Value,
    after: &Value,
    locale: Locale,
    (path, within): (&str, &str),
    found: &mut Vec<Unit>,
) {
    for field in fields {
        let path = join(path, field.name);
        let label = field.label.text(locale);
        let label = if within.is_empty() { label.to_owned() } else { format!("{within} · {label}") };
        let (was, is) = (before.get(field.name), after.get(field.name));
        if let Shape::Group(inner) = &field.shape {
            let none = Value::Null;
            collect_units(inner, was.unwrap_or(&none), is.unwrap_or(&none), locale, (&path, &label), found);
            continue;
        }
        let mut walk = Walk { locale, found: Vec::new() };
        walk.field(&field.shape, was, is, &label);
        if !walk.found.is_empty() {
            found.push(Unit { path, label, changes: walk.found });
        }
    }
}

/// Copies a unit from one content to another.
pub(super) fn take(path: &str, from: &Value, to: &mut Value) {
    let Some((group, rest)) = path.split_once('.') else {
        let Some(to) = to.as_object_mut() else { return };
        match from.get(path) {
            Some(value) => to.insert(path.to_owned(), value.clone()),
            None => to.remove(path),
        };
        return;
    };
    if let (Some(from), Some(to)) = (from.get(group), to.get_mut(group)) {
        take(rest, from, to);
    }
}

/// Returns the text of a field as people read it. Empty if there is none.
fn shown(shape: &Shape, value: Option<&Value>, locale: Locale) -> String {
    let Some(value) = value else { return String::new() };
    if let Shape::Checks(options) = shape {
        let is_chosen = |key: &str| value.as_array().is_some_and(|chosen| chosen.iter().any(|name| name == key));
        let names = options.iter().filter(|(key, _)| is_chosen(key)).map(|(_, words)| words.text(locale));
        return names.collect::<Vec<_>>().join(", ");
    }
    let text = value.as_str().map_or_else(|| value.as_u64().map_or(String::new(), |n| n.to_string()), str::to_owned);
    let strings = locale.strings();
    let named =
        |names: &[(&'static str, &'static str)]| names.iter().find(|(key, _)| *key == text).map(|(_, name)| *name);
    let name = match shape {
        Shape::Choice(options) => options.iter().find(|(key, _)| *key == text).map(|(_, words)| words.text(locale)),
        Shape::Color => named(&strings.colors),
        Shape::Animal => named(&strings.animals),
        _ => None,
    };
    name.map_or(text, str::to_owned)
}

struct Walk {
    locale: Locale,
    found: Vec<Change>,
}

impl Walk {
    fn group(&mut self, fields: &[Field], before: Option<&Value>, after: Option<&Value>, within: &str) {
        for field in fields {
            let label = field.label.text(self.locale);
            let label = if within.is_empty() { label.to_owned() } else { format!("{within} · {label}") };
            let of = |content: Option<&'_ Value>| content.and_then(|content| content.get(field.name)).cloned();
            self.field(&field.shape, of(before).as_ref(), of(after).as_ref(), &label);
        }
    }

    fn field(&mut self, shape: &Shape, before: Option<&Value>, after: Option<&Value>, label: &str) {
        match shape {
            Shape::Group(fields) | Shape::Optional(fields) => self.group(fields, before, after, label),
            Shape::Keyed(keys) => {
                let mut names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
                let maps = [before, after].into_iter().flatten().filter_map(Value::as_object);
                let others: Vec<&str> = maps.flat_map(|map| map.keys().map(String::as_str)).collect();
                names.extend(others.iter().filter(|key| !keys.iter().any(|(known, _)| known == *key)));
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let words =
                        keys.iter().find(|(key, _)| *key == name).map_or(name, |(_, words)| words.text(self.locale));
                    let of = |map: Option<&Value>| map.and_then(|map| map.get(name)).cloned();
                    self.field(&Shape::Line(0), of(before).as_ref(), of(after).as_ref(), &format!("{label} · {words}"));
                }
            }
            Shape::List { item, noun, .. } => self.list(item, noun.text(self.locale), before, after),
            _ => self.text(&shown(shape, before, self.locale), &shown(shape, after, self.locale), label),
        }
    }

    /// Compares the items of two lists. An item that was moved is removed and added.
    fn list(&mut self, item: &[Field], noun: &str, before: Option<&Value>, after: Option<&Value>) {
        let items = |list: Option<&Value>| list.and_then(Value::as_array).cloned().unwrap_or_default();
        let (before, after) = (items(before), items(after));
        let keys = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>();
        for change in capture_diff_slices(Algorithm::Myers, &keys(&before), &keys(&after)) {
            if matches!(change, DiffOp::Equal { .. }) {
                continue;
            }
            let (old, new) = (change.old_range(), change.new_range());
            for at in 0..old.len().max(new.len()) {
                let (was, is) = (before[old.clone()].get(at), after[new.clone()].get(at));
                let number = if is.is_some() { new.start + at } else { old.start + at } + 1;
                self.group(item, was, is, &format!("{noun} {number}"));
            }
        }
    }

    fn text(&mut self, before: &str, after: &str, label: &str) {
        if before == after {
            return;
        }
        let diff = TextDiff::configure().timeout(DEADLINE).diff_words(before, after);
        let (mut was, mut is) = (Vec::new(), Vec::new());
        for change in diff.iter_all_changes() {
            match change.tag() {
                ChangeTag::Equal => {
                    push(&mut was, change.value(), false);
                    push(&mut is, change.value(), false);
                }
                ChangeTag::Delete => push(&mut was, change.value(), true),
                ChangeTag::Insert => push(&mut is, change.value(), true),
            }
        }
        let side = |text: &str, pieces: Vec<Piece>| (!text.is_empty()).then(|| shortened(pieces));
        self.found.push(Change { label: label.to_owned(), before: side(before, was), after: side(after, is) });
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str, changed: bool) {
    match pieces.last_mut() {
        Some(last) if last.changed == changed => last.text.push_str(text),
        _ => pieces.push(Piece { text: text.to_owned(), changed }),
    }
}

/// Shortens what is long and unchanged, such as the rest of a page of text.
fn shortened(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let count = pieces.len();
    for (at, piece) in pieces.iter_mut().enumerate().filter(|(_, piece)| !piece.changed) {
        let length = piece.text.chars().count();
        if length <= LONG {
            continue;
        }
        let head: String = piece.text.chars().take(CONTEXT).collect();
        let tail: String = piece.text.chars().skip(length - CONTEXT).collect();
        piece.text = match at {
            0 => format!("… {tail}"),
            at if at + 1 == count => format!("{head} …"),
            _ => format!("{head} … {tail}"),
        };
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Change, Piece, changes};
    use crate::admin::sections::fields::kind;
    use crate::locale::Locale;

    fn of(name: &str, before: &serde_json::Value, after: &serde_json::Value) -> Vec<Change> {
        changes(kind(name).unwrap().fields, before, after, Locale::Ko)
    }

    /// The texts of a side, with what changed in brackets.
    fn marked(side: Option<&Vec<Piece>>) -> String {
        let mark = |piece: &Piece| if piece.changed { format!("[{}]", piece.text) } else { piece.text.clone() };
        side.map_or_else(|| "-".to_owned(), |pieces| pieces.iter().map(mark).collect())
    }

    #[test]
    fn the_words_that_changed_are_marked_on_both_sides() {
        let before = json!({"title": "처음 만난 사람과 바로 대화해 보세요.", "lead": "a"});
        let after = json!({"title": "처음 만난 사람과 천천히 이야기해 보세요.", "lead": "a"});
        let found = of("hero", &before, &after);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].label, "제목");
        let (was, is) = (marked(found[0].before.as_ref()), marked(found[0].after.as_ref()));
        assert!(was.starts_with("처음 만난 사람과 [바로") && was.ends_with(" 보세요."), "{was}");
        assert!(is.starts_with("처음 만난 사람과 [천천히") && is.ends_with(" 보세요."), "{is}");
    }

    #[test]
    fn an_item_that_was_inserted_leaves_the_others_alone() {
        let item = |question: &str| json!({"question": question, "answer": "A"});
        let before = json!({"title": "", "items": [item("one"), item("two")]});
        let after = json!({"title": "", "items": [item("new"), item("one"), item("two")]});
        let labels: Vec<_> = of("faq", &before, &after).into_iter().map(|change| change.label).collect();
        assert_eq!(labels, ["질문 1 · 질문", "질문 1 · 답"]);
        let back: Vec<_> = of("faq", &after, &before).into_iter().map(|change| (change.label, change.after)).collect();
        assert_eq!(back[0], ("질문 1 · 질문".to_owned(), None));
    }

    #[test]
    fn a_whole_list_is_taken_from_one_side() {
        let line = |title: &str| json!({"icon": "flag", "title": title, "text": ""});
        let content = |title: &str, items: &[&str]| {
            let items: Vec<_> = items.iter().map(|title| line(title)).collect();
            json!({"title": title, "lead": "", "can": {"title": "c", "items": items}, "cannot": {"title": "", "items": []}})
        };
        let (mine, theirs) = (content("A", &["a"]), content("B", &["a", "b"]));
        let found = super::units(kind("safety").unwrap().fields, &mine, &theirs, Locale::En);
        assert_eq!(found.iter().map(|unit| unit.path.as_str()).collect::<Vec<_>>(), ["title", "can.items"]);
        let mut taken = mine.clone();
        super::take("can.items", &theirs, &mut taken);
        assert_eq!(taken, content("A", &["a", "b"]));
    }

    #[test]
    fn choices_are_told_in_words_and_equal_contents_have_no_change() {
        let with = |art: &str| json!({"title": "", "steps": [{"art": art, "title": "t", "text": ""}]});
        let found = of("steps", &with("meet"), &with("talk"));
        assert_eq!((found.len(), marked(found[0].after.as_ref())), (1, "[이야기하기]".to_owned()));
        assert!(of("steps", &with("meet"), &with("meet")).is_empty());
    }

    #[test]
    fn a_change_in_a_long_text_is_shown_with_a_little_around_it() {
        let long = "말 ".repeat(400);
        let found = of("markdown", &json!({"text": format!("{long}끝")}), &json!({"text": format!("{long}새")}));
        let after = marked(found[0].after.as_ref());
        assert!(after.starts_with("… ") && after.ends_with("[새]") && after.chars().count() < 120, "{after}");
    }
}
