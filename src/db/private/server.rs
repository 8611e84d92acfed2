//! One Postgres: making its database, starting it, reading its log, stopping it.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::death::dies_with_us;
use super::error::PrivateError;
use super::owner::Home;
use super::postmaster::{self, GLANCE};
use super::programs::Programs;
use super::sizes;

/// The database's superuser: the only one there is, and reachable by our socket alone.
pub(super) const ROLE: &str = "maju";
/// A log longer than this (10 MiB) is begun anew at a start.
const LONGEST_LOG: u64 = 10 * 1024 * 1024;
/// How long a fast shutdown may take before an immediate one, and that one before SIGKILL.
const PATIENCE: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(10)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// The same when people wait for it to be started again.
const HASTE: [(Signal, Duration); 3] = [(Signal::INT, Duration::from_secs(2)), PATIENCE[1], PATIENCE[2]];

/// What a start needs to know.
pub(super) struct Plan<'a> {
    pub(super) programs: &'a Programs,
    pub(super) home: &'a Home,
    pub(super) socket_folder: &'a Path,
    pub(super) log: &'a Path,
    /// False only for tests: commits are then lost with the machine.
    pub(super) durable: bool,
}

/// Makes the database unless there is one, and refuses one of another major version.
///
/// It is made in `pg.new` and renamed when it is whole, so a start that was killed in the middle leaves nothing to trip over.
pub(super) fn init(plan: &Plan<'_>) -> Result<(), PrivateError> {
    let database = plan.home.database();
    let failed = |problem| PrivateError::at(&database, "making the database", problem);
    if database.exists() {
        if let Some(data) = postmaster::major(&database).map_err(failed)? {
            return adopt(plan, &database, data);
        }
        if fs::remove_dir(&database).is_err() {
            return Err(PrivateError::NotADatabase { folder: database }); // Something is in it.
        }
    }
    let unfinished = plan.home.unfinished();
    remove_unfinished(&unfinished).map_err(failed)?;
    plan.home.private_folder(&unfinished).map_err(failed)?;
    if let Err(error) = initdb(plan, &unfinished) {
        // Give the space back, above all when there was too little of it.
        if let Err(problem) = remove_unfinished(&unfinished) {
            tracing::warn!(folder = %unfinished.display(), %problem, "cannot remove a half-made database");
        }
        return Err(error);
    }
    fs::rename(&unfinished, &database).map_err(failed)?;
    File::open(&plan.home.folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn adopt(plan: &Plan<'_>, database: &Path, data: u32) -> Result<(), PrivateError> {
    use std::os::unix::fs::MetadataExt;
    if data != plan.programs.major {
        let (folder, bin) = (database.to_owned(), plan.programs.bin.clone());
        return Err(PrivateError::OtherMajor { folder, data, program: plan.programs.major, bin });
    }
    // Copied here by root: Postgres's user must own it.
    let given = fs::metadata(database).and_then(|found| match &plan.home.user {
        Some(user) if found.uid() != user.uid => plan.home.give_all(database),
        _ => Ok(()),
    });
    given.map_err(|problem| PrivateError::at(database, "taking over the database", problem))
}

/// Postgres processes of an `initdb` that was killed go within moments, and may still write while we delete.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < 20 => tries += 1,
            done => return done,
        }
        sleep(Duration::from_millis(50));
    }
}

fn initdb(plan: &Plan<'_>, folder: &Path) -> Result<(), PrivateError> {
    let mut command = plan.home.command(&plan.programs.bin.join("initdb"));
    // No passwords: who may enter the socket's folder (0700) may enter the database. There is no other way in.
    command.arg("-D").arg(folder).args(["-U", ROLE, "--auth-local=trust", "--auth-host=reject"]);
    command.args(["--encoding=UTF8", "--lc-messages=C", "--data-checksums", "--no-instructions"]);
    match plan.programs.major {
        // Postgres's own C.UTF-8: the same order on every machine, whatever its C library.
        17.. => command.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]),
        _ if cfg!(target_os = "macos") => command.args(["--lc-collate=C", "--lc-ctype=UTF-8"]),
        _ => command.arg("--locale=C.UTF-8"),
    };
    if !plan.durable {
        command.arg("--no-sync");
    }
    // PostgreSQL 15's initdb takes no settings.
    if let Some(kind) = sizes::shared_memory()
        && plan.programs.major >= 16
    {
        command.args(["--set", &format!("dynamic_shared_memory_type={kind}")]);
    }
    // Half a database is of no use to anybody: no need to ask it nicely.
    dies_with_us(&mut command, Signal::KILL);
    let folder = plan.home.database();
    let answer = command
        .stderr(Stdio::piped())
        .output()
        .map_err(|problem| PrivateError::Init { folder: folder.clone(), said: format!("initdb: {problem}") })?;
    if answer.status.success() { Ok(()) } else { Err(init_error(folder, &answer)) }
}

fn init_error(folder: PathBuf, answer: &Output) -> PrivateError {
    let said = String::from_utf8_lossy(&answer.stderr);
    if let Some(full) = PrivateError::full(&said, &folder, "making the database") {
        return full;
    }
    let telling = |line: &&str| ["error:", "FATAL:", "PANIC:"].iter().any(|word| line.contains(word));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // The last line is often only about cleaning up.
    let line = lines.iter().rev().copied().find(telling).or(lines.last().copied());
    let said = line.map_or_else(|| format!("initdb: {}", answer.status), |line| shorten(line, 300));
    PrivateError::Init { folder, said }
}

/// A Postgres that we started.
pub(super) struct Server {
    child: Child,
    database: PathBuf,
    log: PathBuf,
    /// How long the log was before.
    log_start: u64,
}

impl Server {
    /// Starts Postgres. It dies with the thread that calls this.
    pub(super) fn start(plan: &Plan<'_>) -> Result<Self, PrivateError> {
        let log = plan.log.to_owned();
        let (file, log_start) = open_log(&log).map_err(|problem| PrivateError::at(&log, "opening the log", problem))?;
        let database = plan.home.database();
        let mut command = plan.home.command(&plan.programs.bin.join("postgres"));
        command.arg("-D").arg(&database).stderr(file);
        for setting in settings(plan) {
            command.arg("-c").arg(setting);
        }
        // SIGQUIT, the immediate shutdown: a fast one (SIGINT) first writes a checkpoint, which takes as long as the disk likes, and
        // whoever takes over would wait for it. Nothing is lost: what was committed is in the log, and is replayed at the next start.
        dies_with_us(&mut command, Signal::QUIT);
        match command.spawn() {
            Ok(child) => Ok(Self { child, database, log, log_start }),
            Err(problem) => Err(PrivateError::Start { said: problem.to_string(), log }),
        }
    }

    /// Whether it accepts connections by now; an error when it has ended instead.
    pub(super) fn ready(&mut self) -> Result<bool, PrivateError> {
        if self.ended() {
            return Err(self.failure());
        }
        let ours = |found: &postmaster::Postmaster| found.ready && found.pid == self.pid();
        Ok(postmaster::read(&self.database).as_ref().is_some_and(ours))
    }

    /// Whether the process has ended.
    pub(super) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Stops it: fast (connections are cut, everything is written), then immediately, then by force. At most 20 seconds.
    pub(super) fn stop(mut self) {
        self.end(PATIENCE);
    }

    /// Stops it likewise, with less patience: it is to be started again at once.
    pub(super) fn stop_soon(mut self) {
        self.end(HASTE);
    }

    fn end(&mut self, patience: [(Signal, Duration); 3]) {
        for (signal, patience) in patience {
            if signal != Signal::INT {
                tracing::warn!(?signal, "Postgres did not stop in time");
            }
            postmaster::send(self.pid(), signal);
            let until = Instant::now() + patience;
            while Instant::now() < until {
                if self.ended() {
                    return;
                }
                sleep(GLANCE);
            }
        }
    }

    fn failure(&self) -> PrivateError {
        let said = tail(&self.log, self.log_start).unwrap_or_default();
        if let Some(full) = PrivateError::full(&said, &self.database, "starting Postgres") {
            return full;
        }
        let said = if said.is_empty() { "it ended without a word".to_owned() } else { said };
        PrivateError::Start { said, log: self.log.clone() }
    }
}

impl Drop for Server {
    /// A panic of ours does not leave it running.
    fn drop(&mut self) {
        if !self.ended() {
            self.end(PATIENCE);
        }
    }
}

/// What Postgres is told at its start. These win over `postgresql.conf`.
fn settings(plan: &Plan<'_>) -> Vec<String> {
    let on = if plan.durable { "on" } else { "off" };
    // A list, so a path with a comma or a space in it is quoted. There is no quote in it: `owner::data_folder` saw to that.
    let folder = plan.socket_folder.display();
    let mut settings: Vec<String> = [
        "listen_addresses=",
        "port=5432", // Only part of the socket's name.
        "unix_socket_permissions=0700",
        "max_connections=120",
        "wal_compression=on",       // pglz: the programs of npm have no lz4.
        "checkpoint_timeout=15min", // How much log a crash leaves to be read is bounded by its size.
        "checkpoint_completion_target=0.9",
        "jit=off", // Our queries are short: compiling them costs more than they do.
        "timezone=UTC",
        "log_timezone=UTC",
        "logging_collector=off",
        "log_destination=stderr",
        "log_min_messages=warning",
        "log_checkpoints=off",
        "log_line_prefix=%m [%p] ",
        // Details and statements would carry what people wrote.
        "log_error_verbosity=terse",
        "log_min_error_statement=panic",
        // Tables of a chat grow at one end and are small in their heads: look at them often, gently.
        "autovacuum_naptime=20s",
        "autovacuum_vacuum_scale_factor=0.05",
        "autovacuum_analyze_scale_factor=0.05",
    ]
    .map(str::to_owned)
    .into();
    settings.extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| format!("{name}={on}")));
    settings.push(format!("shared_buffers={}MB", sizes::shared_buffers()));
    settings.push(format!("max_wal_size={}MB", sizes::max_wal_size(&plan.home.database())));
    settings.extend(sizes::shared_memory().map(|kind| format!("dynamic_shared_memory_type={kind}")));
    settings.push(format!("unix_socket_directories=\"{folder}\""));
    settings
}

/// The log, for appending, and its length. A long one is begun anew.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut length = file.metadata()?.len();
    if length > LONGEST_LOG {
        file.set_len(0)?;
        length = 0;
    }
    Ok((file, length))
}

/// The last lines that were written to the log after `start`, as one line.
fn tail(path: &Path, start: u64) -> io::Result<String> {
    const MOST: u64 = 8192;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(MOST))))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Ok(shorten(&lines[lines.len().saturating_sub(3)..].join(" | "), 600))
}

/// At most `most` characters.
fn shorten(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
