//! The parts of a section's form in the order of the page: both languages side by side. No I/O.
use std::collections::BTreeMap;

use super::fields::{Field, SectionKind, Shape};
use super::values::{Problem, SHARED, Values, item_count, join};
use crate::locale::section_fields::{NONE, Words};
use crate::locale::{Locale, SectionStrings};

/// A part of the form. Groups and lists begin and end; what is between is inside.
pub(super) enum Part {
    GroupStart {
        id: String,
        label: String,
    },
    GroupEnd,
    ListStart {
        id: String,
        label: &'static str,
        count: usize,
    },
    ListEnd {
        path: String,
        add: String,
        is_full: bool,
        error: Option<String>,
    },
    ItemStart {
        id: String,
        label: String,
        path: String,
        is_first: bool,
        is_last: bool,
    },
    ItemEnd,
    /// A text in each language.
    Pair {
        label: String,
        help: Option<&'static str>,
        path: String,
        sides: Vec<Side>,
        rows: u8,
        is_changed: bool,
    },
    /// A value that the languages share, as long as they agree.
    Shared {
        label: String,
        help: Option<&'static str>,
        fields: Vec<Side>,
        options: Vec<Choice>,
        is_number: bool,
        is_changed: bool,
    },
    /// Names of which any can be chosen, for all languages.
    Checks {
        label: String,
        options: Vec<Check>,
    },
}

/// A name that can be chosen with others.
pub(super) struct Check {
    pub(super) field: String,
    pub(super) id: String,
    pub(super) label: &'static str,
    pub(super) is_chosen: bool,
}

/// A control of the form.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) id: String,
    /// The tag of its language. Empty if it is for all.
    pub(super) tag: &'static str,
    /// The language in its own words. Empty if it is for all.
    pub(super) language: &'static str,
    pub(super) value: String,
    pub(super) most: usize,
    pub(super) error: Option<String>,
    /// The tag of the language that has a text, if this one has none.
    pub(super) copy_from: Option<&'static str>,
}

/// An option of a choice.
pub(super) struct Choice {
    pub(super) key: &'static str,
    pub(super) name: &'static str,
}

/// What a form is made from.
pub(super) struct Form<'a> {
    pub(super) values: &'a Values,
    /// What is published, for the marks of changed fields.
    pub(super) published: &'a Values,
    pub(super) problems: &'a BTreeMap<String, Problem>,
    /// The list that gets one more, empty item.
    pub(super) added: Option<&'a str>,
    pub(super) locale: Locale,
}

impl Form<'_> {
    /// Returns the parts of the form of a kind.
    pub(super) fn parts(&self, kind: &SectionKind) -> Vec<Part> {
        let mut parts = Vec::new();
        self.group(kind.fields, "", &mut parts);
        parts
    }

    /// Returns `true` if a name has the focus: the first field of an item that was added.
    pub(super) fn first_added(&self) -> Option<String> {
        let list = self.added?;
        Some(format!("{}-{list}-{}", Locale::default().tag(), item_count(self.values, list)).replace('.', "-"))
    }

    fn t(&self) -> &'static SectionStrings {
        &self.locale.admin().sections
    }

    fn group(&self, fields: &'static [Field], path: &str, parts: &mut Vec<Part>) {
        for field in fields {
            self.field(field, &join(path, field.name), parts);
        }
    }

    fn field(&self, field: &'static Field, path: &str, parts: &mut Vec<Part>) {
        let label = field.label.text(self.locale);
        match &field.shape {
            Shape::Group(fields) | Shape::Optional(fields) => {
                parts.push(Part::GroupStart { id: id_of(SHARED, path), label: label.to_owned() });
                self.group(fields, path, parts);
                parts.push(Part::GroupEnd);
            }
            Shape::List { item, noun, most } => {
                self.list(item, noun.text(self.locale), *most, path, label, parts);
            }
            Shape::Keyed(known) => {
                parts.push(Part::GroupStart { id: id_of(SHARED, path), label: label.to_owned() });
                for (key, words) in self.keys(known, path) {
                    parts.push(self.pair(words, None, &join(path, &key), 1, 40));
                }
                parts.push(Part::GroupEnd);
            }
            Shape::Line(most) => parts.push(self.pair(label.to_owned(), self.help(field), path, 1, *most)),
            Shape::Text(most) => {
                let rows = if *most <= 300 { 2 } else { 3 };
                parts.push(self.pair(label.to_owned(), self.help(field), path, rows, *most));
            }
            Shape::Markdown(most) => parts.push(self.pair(label.to_owned(), self.help(field), path, 12, *most)),
            Shape::Checks(options) => {
                let option = |key: &str, words: &Words| {
                    let path = join(path, key);
                    let is_on = |tag: &str| self.values.contains_key(&format!("{tag}.{path}"));
                    Check {
                        field: format!("{SHARED}.{path}"),
                        id: id_of(SHARED, &path),
                        label: words.text(self.locale),
                        is_chosen: is_on(SHARED) || Locale::ALL.iter().any(|locale| is_on(locale.tag())),
                    }
                };
                let options = options.iter().map(|(key, words)| option(key, words)).collect();
                parts.push(Part::Checks { label: label.to_owned(), options });
            }
            shape => parts.push(self.shared(field, shape, path)),
        }
    }

    fn help(&self, field: &Field) -> Option<&'static str> {
        field.help.map(|help| help.text(self.locale))
    }

    /// Returns the keys of a group of texts with their names: those that are known, then others.
    fn keys(&self, known: &[(&'static str, &'static Words)], path: &str) -> Vec<(String, String)> {
        let mut keys: Vec<(String, String)> =
            known.iter().map(|(key, words)| ((*key).to_owned(), words.text(self.locale).to_owned())).collect();
        for name in self.values.keys() {
            let Some(rest) = name.split_once('.').and_then(|(_, rest)| rest.strip_prefix(path)?.strip_prefix('.'))
            else {
                continue;
            };
            if !keys.iter().any(|(key, _)| key == rest) {
                keys.push((rest.to_owned(), rest.to_owned()));
            }
        }
        keys
    }

    fn list(
        &self,
        item: &'static [Field],
        noun: &str,
        most: usize,
        path: &str,
        label: &'static str,
        parts: &mut Vec<Part>,
    ) {
        let stored = item_count(self.values, path);
        let count = if self.added == Some(path) { stored + 1 } else { stored };
        parts.push(Part::ListStart { id: id_of(SHARED, path), label, count });
        for at in 0..count {
            let path = format!("{path}.{at}");
            parts.push(Part::ItemStart {
                id: id_of(SHARED, &path),
                label: format!("{noun} {}", at + 1),
                path: path.clone(),
                is_first: at == 0,
                is_last: at + 1 == count,
            });
            self.group(item, &path, parts);
            parts.push(Part::ItemEnd);
        }
        let error = Locale::ALL.iter().find_map(|locale| self.error(&format!("{}.{path}", locale.tag())));
        let add = (self.t().add_item)(noun);
        parts.push(Part::ListEnd { path: path.to_owned(), add, is_full: count >= most, error });
    }

    fn error(&self, name: &str) -> Option<String> {
        self.problems.get(name).map(|problem| sentence(self.t(), *problem))
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn is_changed(&self, name: &str) -> bool {
        self.value(name).trim() != self.published.get(name).map_or("", |text| text.trim())
    }

    fn pair(&self, label: String, help: Option<&'static str>, path: &str, rows: u8, most: usize) -> Part {
        let is_blank = |locale: &Locale| self.value(&format!("{}.{path}", locale.tag())).trim().is_empty();
        let sides = Locale::ALL.iter().map(|locale| {
            let name = format!("{}.{path}", locale.tag());
            let filled = Locale::ALL.iter().find(|other| !is_blank(other));
            Side {
                id: id_of(locale.tag(), path),
                tag: locale.tag(),
                language: locale.strings().language_name,
                value: self.value(&name).to_owned(),
                most,
                error: self.error(&name),
                copy_from: filled.filter(|_| is_blank(locale)).map(|other| other.tag()),
                name,
            }
        });
        let sides: Vec<Side> = sides.collect();
        let is_changed = sides.iter().any(|side| self.is_changed(&side.name));
        Part::Pair { label, help, path: path.to_owned(), sides, rows, is_changed }
    }

    /// Returns a value once for all languages, or for each if they do not agree.
    fn shared(&self, field: &'static Field, shape: &Shape, path: &str) -> Part {
        let own: Vec<(Locale, &str)> = Locale::ALL
            .iter()
            .filter_map(|locale| Some((*locale, self.values.get(&format!("{}.{path}", locale.tag()))?.as_str())))
            .collect();
        let given = self.values.get(&format!("{SHARED}.{path}")).map(String::as_str);
        let agreed = given.or_else(|| own.first().map(|(_, value)| *value)).unwrap_or_default();
        let side = |locale: Option<Locale>, value: &str| {
            let tag = locale.map_or(SHARED, Locale::tag);
            Side {
                name: format!("{tag}.{path}"),
                id: id_of(tag, path),
                tag: locale.map_or("", Locale::tag),
                language: locale.map_or("", |locale| locale.strings().language_name),
                value: value.to_owned(),
                most: 40,
                error: self.error(&format!("{SHARED}.{path}")),
                copy_from: None,
            }
        };
        let differ = given.is_none() && own.iter().any(|(_, value)| *value != agreed);
        let fields = if differ {
            own.iter().map(|(locale, value)| side(Some(*locale), value)).collect()
        } else {
            vec![side(None, agreed)]
        };
        let is_changed = Locale::ALL.iter().any(|locale| {
            let published = self.published.get(&format!("{}.{path}", locale.tag()));
            published.is_some_and(|published| !differ && published != agreed)
        });
        let strings = self.locale.strings();
        let listed = |names: &[(&'static str, &'static str)]| {
            let none = Choice { key: "", name: NONE.text(self.locale) };
            std::iter::once(none).chain(names.iter().map(|(key, name)| Choice { key, name })).collect()
        };
        let options = match shape {
            Shape::Choice(options) => {
                options.iter().map(|(key, words)| Choice { key, name: words.text(self.locale) }).collect()
            }
            Shape::Color => listed(&strings.colors),
            Shape::Animal => listed(&strings.animals),
            _ => Vec::new(),
        };
        Part::Shared {
            label: field.label.text(self.locale).to_owned(),
            help: self.help(field),
            fields,
            options,
            is_number: matches!(shape, Shape::Number(..)),
            is_changed,
        }
    }
}

/// Returns the `id` of a field.
pub(super) fn id_of(tag: &str, path: &str) -> String {
    let tag = if tag == SHARED { "both" } else { tag };
    format!("{tag}-{path}").replace('.', "-")
}

/// Returns a problem as a sentence.
pub(super) fn sentence(t: &SectionStrings, problem: Problem) -> String {
    match problem {
        Problem::TooLong(most) => (t.too_long)(most),
        Problem::NotANumber(least, most) => (t.not_a_number)(least, most),
        Problem::TooMany(most) => (t.too_many)(most),
        Problem::NotAnImage => t.not_an_image.to_owned(),
        Problem::Refused => t.refused.to_owned(),
    }
}
