//! The settings file: TOML, with the names of the flags. All wrong lines are reported; for an
//! unknown name the most similar one is suggested.
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The contents of a settings file.
#[derive(Debug, Default)]
pub struct File {
    pub values: Vec<Value>,
    /// All problems, each with its line.
    pub wrong: Vec<String>,
}

/// A setting in a file.
#[derive(Debug)]
pub struct Value {
    pub name: String,
    /// The value as an environment variable would have it: a list is separated by commas.
    pub text: String,
    /// The place in the file: `maju.toml:3: listen`.
    pub origin: String,
}

/// Reads a settings file. `names` are the names of all settings.
pub fn read(path: &Path, names: &[&str]) -> File {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&path.display().to_string(), &text, names),
        Err(why) => File { values: Vec::new(), wrong: vec![format!("cannot read {}: {why}", path.display())] },
    }
}

fn parse(path: &str, text: &str, names: &[&str]) -> File {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = File::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The parser's view of the other lines is a guess, so only the wrong lines are reported,
        // each once.
        for error in errors {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            let complaint = format!("{path}:{line}: {}", syntax(text, line, error.message(), names));
            let place = format!("{path}:{line}: ");
            if !file.wrong.iter().any(|known| known.starts_with(&place)) {
                file.wrong.push(complaint);
            }
        }
        return file;
    }
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in entries {
        let place = format!("{path}:{}", line_at(text, name.span().start));
        let name = name.into_inner().into_owned();
        if name == "config" {
            file.wrong.push(format!("{place}: config: a settings file cannot name another one"));
        } else if !names.contains(&name.as_str()) {
            file.wrong.push(format!("{place}: there is no setting '{name}'{}", suggestion(&name, names)));
        } else {
            match as_text(&value) {
                Ok(text) => file.values.push(Value { text, origin: format!("{place}: {name}"), name }),
                Err(why) => file.wrong.push(format!("{place}: {name}: {why}")),
            }
        }
    }
    file
}

/// Returns the line number of a place in a text, from 1.
fn line_at(text: &str, place: usize) -> usize {
    text.as_bytes()[..place.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Describes the error in a line that is not TOML. For `name = value` without quotes, the format of
/// earlier versions, shows the right form.
fn syntax(text: &str, line: usize, message: &str, names: &[&str]) -> String {
    let written = text.lines().nth(line - 1).unwrap_or_default();
    let Some((name, value)) = written.split_once('=') else { return format!("not TOML: {message}") };
    let (name, value) = (name.trim(), value.trim());
    let is_bare = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{', '#']);
    if !is_bare || !names.contains(&name) {
        return format!("not TOML: {message}");
    }
    // The value can contain a password, so it is not repeated.
    let example = if name.ends_with("-url") || name.contains("secret") || value.contains(['#', '"', '\\']) {
        "…"
    } else {
        value
    };
    format!("the value needs quotes: {name} = \"{example}\"")
}

/// Returns a value as an environment variable would have it.
///
/// # Errors
/// Returns a phrase that says which values are possible.
fn as_text(value: &Spanned<DeValue<'_>>) -> Result<String, &'static str> {
    const EXPECTED: &str = "must be a text in quotes, a number, true, false, or a list of texts";
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(is) => Ok(is.to_string()),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err("the items of a list must be texts in quotes"),
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ => Err(EXPECTED),
    }
}

/// Returns `; did you mean 'listen'?` if a name is similar to one of `names`. Empty otherwise.
pub fn suggestion(name: &str, names: &[&str]) -> String {
    nearest(name, names).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default()
}

/// Returns the most similar of some names. `None` if none is similar.
pub fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let far = |known: &str| strsim::damerau_levenshtein(&plain, &known.to_ascii_lowercase().replace('_', "-"));
    let near = names.iter().copied().min_by_key(|known| far(known))?;
    (far(near) <= plain.len() / 3).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::{File, parse};

    const NAMES: [&str; 5] = ["listen", "data-dir", "stop-within", "database-url", "trusted-proxies"];

    fn said(text: &str) -> Vec<(String, String)> {
        let File { values, wrong } = parse("maju.toml", text, &NAMES);
        assert_eq!(wrong, [""; 0], "{text}");
        values.into_iter().map(|value| (value.name, value.text)).collect()
    }

    fn wrong(text: &str) -> String {
        parse("maju.toml", text, &NAMES).wrong.join("\n")
    }

    #[test]
    fn quotes_protect_what_would_begin_a_comment() {
        let text = "data-dir = \"/srv/#1/maju\" # the disk\ndatabase-url = 'postgres://u:a#b@h/d'\nstop-within = 30\n";
        let expected = [("data-dir", "/srv/#1/maju"), ("database-url", "postgres://u:a#b@h/d"), ("stop-within", "30")];
        assert_eq!(said(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(said("\u{feff}# nothing\r\n"), []);
    }

    #[test]
    fn a_list_may_be_written_as_one() {
        for text in ["trusted-proxies = [\"a/8\", \"b/16\"]", "trusted-proxies = [\n  'a/8',\n  'b/16',\n]"] {
            assert_eq!(said(text)[0].1, "a/8,b/16");
        }
    }

    #[test]
    fn every_wrong_line_is_named() {
        let text = "lisen = \"x\"\n\ndata_dir = \"y\"\nport = 1\nconfig = \"z\"\nstop-within = 1.5\n[listen]\na = 1\n";
        let expected = "maju.toml:1: there is no setting 'lisen'; did you mean 'listen'?\n\
             maju.toml:3: there is no setting 'data_dir'; did you mean 'data-dir'?\n\
             maju.toml:4: there is no setting 'port'\n\
             maju.toml:5: config: a settings file cannot name another one\n\
             maju.toml:6: stop-within: must be a text in quotes, a number, true, false, or a list of texts\n\
             maju.toml:7: listen: must be a text in quotes, a number, true, false, or a list of texts";
        assert_eq!(wrong(text), expected);
        assert!(wrong("listen = \"a\"\nlisten = \"b\"").starts_with("maju.toml:2: "));
    }

    #[test]
    fn a_value_without_quotes_is_shown_as_it_has_to_be_written() {
        let text =
            "listen = 127.0.0.1:8080\nstop-within = 30\ndata-dir = /srv/maju\ndatabase-url = postgres://u:hush@h/d\n";
        let expected = "maju.toml:1: the value needs quotes: listen = \"127.0.0.1:8080\"\n\
             maju.toml:3: the value needs quotes: data-dir = \"/srv/maju\"\n\
             maju.toml:4: the value needs quotes: database-url = \"…\"";
        assert_eq!(wrong(text), expected);
        assert!(wrong("trusted-proxies = a/8, b/16").contains("= \"a/8, b/16\""));
        assert!(wrong("what is this").starts_with("maju.toml:1: not TOML: "));
        assert!(wrong("listen = \"127.0.0.1").starts_with("maju.toml:1: not TOML: "));
    }
}
