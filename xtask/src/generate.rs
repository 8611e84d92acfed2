//! `cargo xtask gen`: rewrites what is generated, or checks it.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::postgres::Postgres;
use crate::process::{WorkFolder, cargo, run_cargo};
use crate::{Result, root};

/// The contents of query files by their names.
type Queries = BTreeMap<String, String>;

/// Rewrites `.sqlx` and the TypeScript of the wire. With `check`, compares `.sqlx` only.
///
/// # Errors
/// If a query does not compile against the schema, or `check` finds a difference.
pub fn run(check: bool) -> Result<()> {
    let fresh = described_queries()?;
    if check {
        return compare(&fresh);
    }
    write(&fresh)?;
    let mut tests = cargo(&["test", "--locked", "--workspace", "--quiet", "in_step"]);
    run_cargo(tests.env("MAJU_GEN", "1"), "the TypeScript was not written: a test failed")
}

/// Returns what sqlx knows of every query, asked of a Postgres with this version's schema.
fn described_queries() -> Result<Queries> {
    let postgres = Postgres::start()?;
    let create = ("CREATE DATABASE".to_owned(), "CREATE DATABASE maju".to_owned());
    postgres.execute("postgres", &[create])?;
    postgres.execute("maju", &migrations()?)?;
    let folder = WorkFolder::new("maju-sqlx-")?;
    compile(postgres.socket_folder(), folder.path())?;
    read(folder.path())
}

/// Returns the names and texts of the migrations, in order.
fn migrations() -> Result<Vec<(String, String)>> {
    let folder = root().join("migrations");
    let number = |name: &str| name.split('_').next().and_then(|digits| digits.parse::<u64>().ok());
    let mut found = Vec::new();
    for item in fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?.flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        if name.ends_with(".sql")
            && !name.ends_with(".down.sql")
            && let Some(number) = number(&name)
        {
            let text = fs::read_to_string(item.path()).map_err(|why| format!("{name}: {why}"))?;
            found.push((number, name, text));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name, text)| (name, text)).collect())
}

/// Compiles every target of the server against the database. The macros of sqlx write what they
/// learn into `folder`. It is the build of `make test`, whose dependencies are usually compiled.
fn compile(socket: &Path, folder: &Path) -> Result<()> {
    let mut check = cargo(&["test", "--locked", "--workspace", "--quiet", "--no-run"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        check.env_remove(name);
    }
    let socket = socket.to_string_lossy().replace('/', "%2F");
    check.env("DATABASE_URL", format!("postgres:///maju?host={socket}&user=maju"));
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", folder);
    // A new date makes cargo compile the library again though nothing has changed, and the old one
    // keeps it from doing so once more afterwards.
    let touched = File::options().append(true).open(root().join("src/lib.rs"));
    let touched = touched.map_err(|why| format!("src/lib.rs: {why}"))?;
    let date = touched.metadata().and_then(|metadata| metadata.modified()).map_err(|why| why.to_string())?;
    touched.set_modified(now()).map_err(|why| why.to_string())?;
    let outcome = run_cargo(&mut check, "the queries do not compile against the schema");
    touched.set_modified(date).map_err(|why| why.to_string())?;
    outcome
}

#[expect(clippy::disallowed_methods, reason = "the date of a file, and there is no app to ask")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns the query files in a folder.
fn read(folder: &Path) -> Result<Queries> {
    let mut queries = Queries::new();
    for item in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            let text = fs::read_to_string(item.path()).map_err(|why| format!("{name}: {why}"))?;
            queries.insert(name, text);
        }
    }
    Ok(queries)
}

/// Returns the names of files that are not used any more, and of those that are missing or differ.
fn differences<'a>(fresh: &'a Queries, old: &'a Queries) -> (Vec<&'a String>, Vec<&'a String>) {
    let stale = old.keys().filter(|name| !fresh.contains_key(*name)).collect();
    let changed = fresh.iter().filter(|(name, text)| old.get(*name) != Some(text)).map(|(name, _)| name).collect();
    (stale, changed)
}

fn compare(fresh: &Queries) -> Result<()> {
    let old = read(&root().join(".sqlx"))?;
    let (stale, changed) = differences(fresh, &old);
    if stale.is_empty() && changed.is_empty() {
        println!("gen: .sqlx is in step ({} queries)", fresh.len());
        return Ok(());
    }
    for name in changed {
        eprintln!("  missing or different: {}", summary(&fresh[name]));
    }
    for name in stale {
        eprintln!("  not used: {}", summary(&old[name]));
    }
    Err(".sqlx is not in step with the queries: run `make gen` and commit .sqlx".to_owned())
}

/// Returns the beginning of a query file's statement, on one line.
fn summary(file: &str) -> String {
    let file: serde_json::Value = serde_json::from_str(file).unwrap_or_default();
    let words: Vec<&str> = file["query"].as_str().unwrap_or("?").split_whitespace().collect();
    words.join(" ").chars().take(90).collect()
}

fn write(fresh: &Queries) -> Result<()> {
    let folder = root().join(".sqlx");
    let old = read(&folder)?;
    let (stale, changed) = differences(fresh, &old);
    let failed = |name: &str, why: std::io::Error| format!(".sqlx/{name}: {why}");
    fs::create_dir_all(&folder).map_err(|why| failed("", why))?;
    for name in &stale {
        fs::remove_file(folder.join(name)).map_err(|why| failed(name, why))?;
    }
    for name in &changed {
        fs::write(folder.join(name), &fresh[*name]).map_err(|why| failed(name, why))?;
    }
    println!("gen: .sqlx has {} queries ({} written, {} removed)", fresh.len(), changed.len(), stale.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Queries, differences, migrations, summary};

    #[test]
    fn migrations_come_in_the_order_of_their_numbers() {
        let names: Vec<String> = migrations().unwrap().into_iter().map(|(name, _)| name).collect();
        assert!(names[0].starts_with("0001_") && names.is_sorted(), "{names:?}");
    }

    #[test]
    fn files_that_are_missing_stale_or_different_are_told_apart() {
        let of = |files: &[(&str, &str)]| -> Queries {
            files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let (fresh, old) = (of(&[("a", "1"), ("b", "2"), ("c", "3")]), of(&[("a", "1"), ("b", "0"), ("d", "4")]));
        let (stale, changed) = differences(&fresh, &old);
        assert_eq!(stale, ["d"]);
        assert_eq!(changed, ["b", "c"]);
    }

    #[test]
    fn a_query_is_shown_on_one_line() {
        assert_eq!(summary(r#"{"query": "SELECT 1\n   FROM x"}"#), "SELECT 1 FROM x");
    }
}
