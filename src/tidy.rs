//! The tests of the architecture: which module imports which, SQL only in stores, a first line in
//! every file, a length at which a file is split.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines at which a file is split.
const MAX_LINES: usize = 500;
/// The modules that every module can import: those without a noun.
const COMMON: [&str; 12] = [
    "error",
    "config",
    "app",
    "clock",
    "faults",
    "ids",
    "locale",
    "log_throttle",
    "metrics",
    "tasks",
    "testing",
    "text",
];

/// The import table: the modules that a folder (or root file) can import besides [`COMMON`]. `None`
/// if it has no line in the table.
#[expect(clippy::too_many_lines, reason = "a table")]
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    Some(match module {
        "main" => &[],
        "lib" => &[
            "accounts",
            "admin",
            "audit",
            "cli",
            "cms",
            "commands",
            "database",
            "db",
            "doctor",
            "exporter",
            "faults",
            "gateway",
            "http",
            "ids",
            "limits_tests",
            "matching",
            "media",
            "moderation",
            "notify",
            "process_tests",
            "ready",
            "realtime",
            "rooms",
            "router",
            "samples",
            "serve",
            "shell",
            "signals",
            "spa",
            "telemetry",
            "tidy",
        ],
        "serve" => &["accounts", "audit", "database", "db", "exporter", "http", "realtime", "router", "signals"],
        "database" => &["connection_url", "db", "signals"],
        "doctor" => &["audit", "commands", "connection_url", "database", "db", "notify", "realtime", "signals"],
        "shell" => &["accounts", "commands", "database", "signals"],
        "commands" => &["cli"],
        "router" => {
            &["accounts", "admin", "cms", "gateway", "http", "matching", "media", "moderation", "ready", "rooms", "spa"]
        }
        // The pages of staff: what a noun's verbs offer.
        "admin" => &[
            "accounts",
            "audit",
            "cms",
            "db",
            "http",
            "matching",
            "media",
            "moderation",
            "notify",
            "ready",
            "realtime",
            "rooms",
            "samples",
        ],
        "ready" => &["db", "matching", "rooms"],
        "exporter" => &["http", "matching", "ready", "rooms"],
        "gateway" => &["accounts", "http", "matching", "moderation", "realtime", "rooms"],
        "matching" => &["accounts", "db", "http", "moderation", "realtime", "rooms", "samples"],
        "rooms" => &["accounts", "db", "http", "moderation", "realtime"],
        "moderation" => &["accounts", "audit", "db", "http", "notify", "realtime"],
        "media" => &["accounts", "audit", "db", "http"],
        "accounts" => &["audit", "db", "http", "notify", "realtime"],
        "cms" => &["accounts", "audit", "db", "http", "matching", "realtime", "samples"],
        "audit" => &["db"],
        "notify" => &["connection_url"],
        "realtime" => &["connection_url", "db"],
        "http" | "db" | "samples" | "telemetry" => &["db"],
        "spa" => &["http"],
        // The app has the state of each noun, the settings come from the command line, and errors
        // recognise a lost database.
        "app" => &[
            "accounts",
            "admin",
            "cms",
            "db",
            "http",
            "matching",
            "media",
            "moderation",
            "notify",
            "realtime",
            "ready",
            "rooms",
            "samples",
        ],
        "config" => &["cli", "connection_url"],
        "error" => &["db"],
        "cli" => &["commands", "connection_url", "settings_file"],
        "clock" | "connection_url" | "faults" | "ids" | "locale" | "log_throttle" | "metrics" | "settings_file"
        | "signals" | "tasks" | "text" => &[],
        "testing" => &["accounts", "cli", "db", "http", "realtime", "router"],
        "limits_tests" | "process_tests" | "tidy" => &[],
        _ => return None,
    })
}

fn sources(folder: &str, endings: &[&str]) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, endings: &[&str], found: &mut BTreeMap<PathBuf, String>) {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "node_modules" && name != "generated" && name != "dist" && name != "coverage" {
                    walk(&path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = BTreeMap::new();
    walk(&root, endings, &mut found);
    assert!(!found.is_empty(), "{folder} holds nothing");
    found.into_iter().map(|(path, text)| (path.strip_prefix(&root).unwrap().to_owned(), text)).collect()
}

/// Returns the folder or root file that a source belongs to.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.strip_suffix(".rs").map(str::to_owned).unwrap_or(first)
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("tests") || text == "testing.rs" || text == "tidy.rs" || text.ends_with("generated.rs")
}

/// Returns the code before a file's own tests, without comments.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Returns the modules that code names as `crate::x`, also in lists.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut word)),
                    c => word.push(if depth == 0 { c } else { ' ' }),
                }
            }
            found.push(word);
        } else {
            found.push(rest.to_owned());
        }
    }
    let first_word =
        |text: &String| text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_owned();
    found.iter().map(first_word).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src", &[".rs"]) {
        let own = module(&path);
        let Some(allowed) = allowed(&own) else {
            wrong.push(format!("{}: '{own}' has no line in the import table", path.display()));
            continue;
        };
        if is_test(&path) {
            continue;
        }
        for name in imports(&code(&text)) {
            if name != own && !COMMON.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {own} must not import {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The wings of `rooms`, and what each may name: arrows point one way.
const WINGS: [(&str, &[&str]); 3] =
    [("membership", &[]), ("delivery", &["membership"]), ("log", &["delivery", "membership"])];

#[test]
fn the_wings_of_rooms_point_one_way() {
    let mut wrong = Vec::new();
    for (wing, may) in WINGS {
        for (path, text) in sources(&format!("src/rooms/{wing}"), &[".rs"]) {
            let code = code(&text);
            for (other, _) in WINGS.iter().filter(|(other, _)| *other != wing && !may.contains(other)) {
                let names = [format!("rooms::{other}"), format!("super::{other}"), format!("rooms.{other}")];
                let lists = code.lines().filter(|line| line.contains("use ") && line.contains("rooms::{"));
                let is_listed = lists.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
                if names.iter().any(|name| code.contains(name.as_str()))
                    || is_listed.into_iter().any(|word| word == *other)
                {
                    wrong.push(format!("rooms/{wing}/{}: {wing} may not name {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_import_reader_sees_lists() {
    let text = "use crate::{accounts, http::{Json, Key}, rooms};\nlet x = crate::db::pool();";
    assert_eq!(imports(text), ["accounts", "http", "rooms", "db"]);
}

#[test]
fn sql_is_only_in_stores() {
    let is_allowed = |path: &Path| {
        let own = module(path);
        let in_store = path.components().any(|part| part.as_os_str() == "store.rs" || part.as_os_str() == "store");
        // The planted faults of the schema are statements of the tests.
        in_store || own == "db" || own == "faults" || is_test(path)
    };
    let mut wrong = Vec::new();
    for (path, text) in sources("src", &[".rs"]) {
        let code = code(&text);
        let sql = ["sqlx::query", "query!(", "query_as!(", "query_scalar!("].iter().any(|call| code.contains(call));
        if sql && !is_allowed(&path) {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "SQL outside of a store: {wrong:?}");
}

#[test]
fn transports_never_publish() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src", &[".rs"]) {
        let code = code(&text);
        if module(&path) == "gateway"
            && !is_test(&path)
            && ["hub.publish", "hub.broadcast", "hub.send_event", "relay.publish"]
                .iter()
                .any(|call| code.contains(call))
        {
            wrong.push(format!("{}: the noun publishes, after the commit", path.display()));
        }
        if !is_test(&path) && code.contains("super::super::") {
            wrong.push(format!("{}: write crate::", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_its_purpose_and_is_short() {
    let mut wrong = Vec::new();
    for (folder, ending, mark) in [("src", ".rs", "//! "), ("web/src", ".ts", "//! "), ("web/src", ".svelte", "<!--")] {
        for (path, text) in sources(folder, &[ending]) {
            if !text.starts_with(mark) {
                wrong.push(format!("{folder}/{}: begin with a line about its purpose", path.display()));
            }
            let lines = text.lines().count();
            if lines > MAX_LINES {
                wrong.push(format!("{folder}/{}: {lines} lines, split it at {MAX_LINES}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nouns_have_the_same_shape() {
    const VAGUE: [&str; 5] = ["types.rs", "utils.rs", "common.rs", "core.rs", "helpers.rs"];
    for (path, _) in sources("src", &[".rs"]) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!VAGUE.contains(&name.as_str()), "{}: a vague name", path.display());
    }
    for noun in ["accounts", "cms", "matching", "media", "moderation", "rooms"] {
        let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(noun).join("mod.rs");
        let text = fs::read_to_string(&door).unwrap();
        for private in ["pub mod model", "pub mod store", "pub mod routes"] {
            assert!(!text.contains(private), "{noun}: other modules use what mod.rs re-exports");
        }
    }
}

/// Returns every document with its path.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = sources("docs", &[".md"]).into_iter().map(|(path, text)| (format!("docs/{}", path.display()), text));
    let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "certs/README.md"];
    let others = others.map(|path| (path.to_owned(), fs::read_to_string(root.join(path)).unwrap()));
    pages.chain(others).collect()
}

/// Returns what a document has between backticks, one line each.
fn quotes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).flat_map(str::lines)
}

#[test]
fn paths_in_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        for quoted in quotes(&text) {
            let path = quoted.split(['#', ' ']).next().unwrap_or_default().split("::").next().unwrap_or_default();
            let is_path = ["src/", "web/", "migrations/", "docs/", "sim/", "xtask/", "faults/", ".ci/", "certs/"]
                .iter()
                .any(|start| path.starts_with(start));
            if is_path && !path.contains(['*', '<', '…', '{']) && !root.join(path).exists() {
                wrong.push(format!("{document}: `{path}` does not exist"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_in_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (makefile, scripts, scenarios) = (read("Makefile"), read("web/package.json"), read("xtask/src/bench/mod.rs"));
    let rust: String = sources("src", &[".rs"]).into_values().collect();
    let is_test = |filter: &str| {
        let last = filter.rsplit("::").next().unwrap_or_default();
        let is_named = |rest: &str| rest.split('(').next().is_some_and(|name| name.contains(last));
        rust.split("fn ").skip(1).any(is_named) || rust.contains(&format!("mod {last};"))
    };
    let is_scenario = |name: &str| {
        let variants = scenarios.split("enum Scenario {").nth(1).and_then(|rest| rest.split('}').next());
        variants.is_some_and(|list| list.to_lowercase().lines().any(|line| line.trim() == format!("{name},")))
    };
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        for quoted in quotes(&text) {
            let words: Vec<&str> = quoted.split_whitespace().filter(|word| !word.contains('=')).collect();
            let exists = match *words {
                ["make" | "time", ref rest @ ..] => {
                    let target = rest.iter().find(|word| **word != "make");
                    target.is_none_or(|target| makefile.contains(&format!("\n{target}:")))
                }
                ["cargo", "test", ref rest @ ..] => {
                    rest.iter().take_while(|word| **word != "--").all(|word| word.starts_with('-') || is_test(word))
                }
                ["cargo", "xtask", "bench", name, ..] => is_scenario(name),
                ["npm", "--prefix", "web", "run", name, ..] => scripts.contains(&format!("\"{name}\": ")),
                _ => true,
            };
            if !exists {
                wrong.push(format!("{document}: `{quoted}` does not exist"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_threat_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let sources: String = sources("src", &[".rs"]).into_values().collect();
    let mut wrong = Vec::new();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat |"));
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let missing = |name: &&&str| !name.contains('/') && !sources.contains(&format!("fn {name}("));
        if named.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(named.iter().filter(missing).map(|name| format!("there is no test {name}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
