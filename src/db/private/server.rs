//! One Postgres server: creates its database, starts it, reads its log, stops it.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::error::PrivateError;
use super::parent_death::signal_on_parent_death;
use super::paths::PostgresDir;
use super::postmaster::{self, POLL_INTERVAL};
use super::programs::Programs;
use super::sizing;
use crate::db::limits::MAX_PRIVATE_CONNECTIONS;

/// The database's only role, a superuser. It can only connect over the socket.
pub(super) const ROLE: &str = "maju";
/// A log that is longer at a start is emptied.
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;
/// The signals of a shutdown (fast, immediate, forced), each with the time that Postgres has to
/// end.
const SHUTDOWN_STEPS: [ShutdownStep; 3] = [
    (Signal::INT, Duration::from_secs(10)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// The same before a restart, for which users wait.
const RESTART_SHUTDOWN_STEPS: [ShutdownStep; 3] =
    [(Signal::INT, Duration::from_secs(2)), SHUTDOWN_STEPS[1], SHUTDOWN_STEPS[2]];

/// A signal, and the time that Postgres has to end after it.
type ShutdownStep = (Signal, Duration);

/// The longest quotation of an error of `initdb`.
const MAX_INITDB_ERROR_CHARS: usize = 300;
/// The longest quotation of Postgres's log.
const MAX_LOG_QUOTE_CHARS: usize = 600;

/// What a server is started with.
pub(super) struct ServerConfig<'a> {
    pub(super) programs: &'a Programs,
    pub(super) postgres_dir: &'a PostgresDir,
    pub(super) socket_folder: &'a Path,
    pub(super) log: &'a Path,
    /// Whether commits survive a power failure. `false` only in tests.
    pub(super) durable: bool,
}

/// Creates the database if there is none.
///
/// It is created as `pg.new` and renamed once it is complete, so a start that is killed midway
/// leaves no incomplete database.
///
/// # Errors
/// Returns an error if `initdb` fails, or the existing database has another major version.
pub(super) fn init(config: &ServerConfig<'_>) -> Result<(), PrivateError> {
    let database = config.postgres_dir.database();
    let failed = |problem| PrivateError::at(&database, "creating the database", problem);
    if database.exists() {
        if let Some(data) = postmaster::major(&database).map_err(failed)? {
            return adopt(config, &database, data);
        }
        if fs::remove_dir(&database).is_err() {
            return Err(PrivateError::NotADatabase { folder: database }); // Something is in it.
        }
    }
    let unfinished = config.postgres_dir.unfinished();
    remove_unfinished(&unfinished).map_err(failed)?;
    config.postgres_dir.private_folder(&unfinished).map_err(failed)?;
    if let Err(error) = initdb(config, &unfinished) {
        // Free the space: it can be the lack of it that failed.
        if let Err(problem) = remove_unfinished(&unfinished) {
            tracing::warn!(folder = %unfinished.display(), %problem, "private Postgres: cannot remove an incomplete database");
        }
        return Err(error);
    }
    fs::rename(&unfinished, &database).map_err(failed)?;
    File::open(&config.postgres_dir.folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Checks the version and the owner of an existing database.
fn adopt(config: &ServerConfig<'_>, database: &Path, data: u32) -> Result<(), PrivateError> {
    use std::os::unix::fs::MetadataExt;
    if data != config.programs.major {
        let (folder, bin) = (database.to_owned(), config.programs.bin.clone());
        return Err(PrivateError::OtherMajor { folder, data, program: config.programs.major, bin });
    }
    // Postgres's user must own it, also after root has copied it here.
    let owned = fs::metadata(database).and_then(|found| match &config.postgres_dir.user {
        Some(user) if found.uid() != user.uid => config.postgres_dir.chown_all(database),
        _ => Ok(()),
    });
    owned.map_err(|problem| PrivateError::at(database, "taking over the database", problem))
}

/// Removes an incomplete database. Retries for a second, because Postgres processes of an `initdb`
/// that was killed can still write for a moment.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    const MAX_ATTEMPTS: u32 = 20;
    const RETRY_DELAY: Duration = Duration::from_millis(50);
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempts < MAX_ATTEMPTS => attempts += 1,
            done => return done,
        }
        sleep(RETRY_DELAY);
    }
}

fn initdb(config: &ServerConfig<'_>, folder: &Path) -> Result<(), PrivateError> {
    let mut command = config.postgres_dir.command(&config.programs.bin.join("initdb"));
    // No passwords: the socket's folder has the mode 0700, and there is no other way to connect.
    command.arg("-D").arg(folder).args(["-U", ROLE, "--auth-local=trust", "--auth-host=reject"]);
    command.args(["--encoding=UTF8", "--lc-messages=C", "--data-checksums", "--no-instructions"]);
    match config.programs.major {
        // Postgres's own C.UTF-8 sorts alike on every machine, whatever its C library.
        17.. => command.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]),
        _ if cfg!(target_os = "macos") => command.args(["--lc-collate=C", "--lc-ctype=UTF-8"]),
        _ => command.arg("--locale=C.UTF-8"),
    };
    if !config.durable {
        command.arg("--no-sync");
    }
    // The initdb of PostgreSQL 15 has no --set.
    if let Some(kind) = sizing::dynamic_shared_memory_type()
        && config.programs.major >= 16
    {
        command.args(["--set", &format!("dynamic_shared_memory_type={kind}")]);
    }
    // An incomplete database is useless, so nothing is lost by SIGKILL.
    signal_on_parent_death(&mut command, Signal::KILL);
    let folder = config.postgres_dir.database();
    let answer = command
        .stderr(Stdio::piped())
        .output()
        .map_err(|problem| PrivateError::Init { folder: folder.clone(), reason: format!("initdb: {problem}") })?;
    if answer.status.success() { Ok(()) } else { Err(init_error(folder, &answer)) }
}

fn init_error(folder: PathBuf, answer: &Output) -> PrivateError {
    let message = String::from_utf8_lossy(&answer.stderr);
    if let Some(full) = PrivateError::full(&message, &folder, "creating the database") {
        return full;
    }
    let names_error = |line: &&str| ["error:", "FATAL:", "PANIC:"].iter().any(|word| line.contains(word));
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // The last line is often only about the clean-up.
    let line = lines.iter().rev().copied().find(names_error).or(lines.last().copied());
    let reason =
        line.map_or_else(|| format!("initdb: {}", answer.status), |line| shorten(line, MAX_INITDB_ERROR_CHARS));
    PrivateError::Init { folder, reason }
}

/// A Postgres that this process has started.
pub(super) struct Server {
    child: Child,
    database: PathBuf,
    log: PathBuf,
    /// The length of the log before the start.
    log_start: u64,
}

impl Server {
    /// Starts Postgres. It is stopped when the calling thread ends.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened or the program cannot be started.
    pub(super) fn start(config: &ServerConfig<'_>) -> Result<Self, PrivateError> {
        let log = config.log.to_owned();
        let (file, log_start) = open_log(&log).map_err(|problem| PrivateError::at(&log, "opening the log", problem))?;
        let database = config.postgres_dir.database();
        let mut command = config.postgres_dir.command(&config.programs.bin.join("postgres"));
        command.arg("-D").arg(&database).stderr(file);
        for setting in settings(config) {
            command.arg("-c").arg(setting);
        }
        // SIGQUIT is the immediate shutdown. A fast one (SIGINT) first writes a checkpoint, which
        // can take long, and the process that takes over would wait for it. Nothing is lost: what
        // was committed is in the log, which is replayed at the next start.
        signal_on_parent_death(&mut command, Signal::QUIT);
        match command.spawn() {
            Ok(child) => Ok(Self { child, database, log, log_start }),
            Err(problem) => Err(PrivateError::Start { log_end: problem.to_string(), log }),
        }
    }

    /// Returns `true` once Postgres accepts connections.
    ///
    /// # Errors
    /// Returns an error with the end of its log if Postgres has ended.
    pub(super) fn is_ready(&mut self) -> Result<bool, PrivateError> {
        if self.has_ended() {
            return Err(self.failure());
        }
        let is_own = |found: &postmaster::Postmaster| found.ready && found.pid == self.pid();
        Ok(postmaster::read(&self.database).as_ref().is_some_and(is_own))
    }

    /// Returns `true` if the process has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Stops Postgres: fast (ends connections, writes everything), then immediately, then by force.
    /// Takes at most 20 seconds.
    pub(super) fn stop(mut self) {
        self.end(SHUTDOWN_STEPS);
    }

    /// Does the same with shorter waits, before a restart.
    pub(super) fn stop_quickly(mut self) {
        self.end(RESTART_SHUTDOWN_STEPS);
    }

    fn end(&mut self, steps: [ShutdownStep; 3]) {
        for (signal, timeout) in steps {
            if signal != Signal::INT {
                tracing::warn!(?signal, "private Postgres: did not stop in time");
            }
            postmaster::send(self.pid(), signal);
            let until = Instant::now() + timeout;
            while Instant::now() < until {
                if self.has_ended() {
                    return;
                }
                sleep(POLL_INTERVAL);
            }
        }
    }

    fn failure(&self) -> PrivateError {
        let log_end = tail(&self.log, self.log_start).unwrap_or_default();
        if let Some(full) = PrivateError::full(&log_end, &self.database, "starting Postgres") {
            return full;
        }
        let log_end = if log_end.is_empty() { "it wrote nothing to its log".to_owned() } else { log_end };
        PrivateError::Start { log_end, log: self.log.clone() }
    }
}

impl Drop for Server {
    /// Stops Postgres if it still runs, for instance after a panic.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end(SHUTDOWN_STEPS);
        }
    }
}

/// Returns the settings for the command line. They override `postgresql.conf`.
fn settings(config: &ServerConfig<'_>) -> Vec<String> {
    let on = if config.durable { "on" } else { "off" };
    // The setting is a list, so the path is quoted, in case it has a comma or a space. It has no
    // quote: `paths::prepare_data_dir` refuses such paths.
    let folder = config.socket_folder.display();
    let mut settings: Vec<String> = [
        "listen_addresses=",
        "port=5432", // Only a part of the socket's name.
        "unix_socket_permissions=0700",
        "wal_compression=on",       // pglz: the programs from npm have no lz4.
        "checkpoint_timeout=15min", // max_wal_size limits how much log is replayed after a crash.
        "checkpoint_completion_target=0.9",
        "jit=off", // The queries are short: compiling one costs more than running it.
        "timezone=UTC",
        "log_timezone=UTC",
        "logging_collector=off",
        "log_destination=stderr",
        "log_min_messages=warning",
        "log_checkpoints=off",
        "log_line_prefix=%m [%p] ",
        // Details and statements can contain what users wrote.
        "log_error_verbosity=terse",
        "log_min_error_statement=panic",
        // Messages are only appended and the tables of heads are small: vacuum often, a little each
        // time.
        "autovacuum_naptime=20s",
        "autovacuum_vacuum_scale_factor=0.05",
        "autovacuum_analyze_scale_factor=0.05",
    ]
    .map(str::to_owned)
    .into();
    settings.extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| format!("{name}={on}")));
    settings.push(format!("max_connections={MAX_PRIVATE_CONNECTIONS}"));
    settings.push(format!("shared_buffers={}MB", sizing::shared_buffers_mib()));
    settings.push(format!("max_wal_size={}MB", sizing::max_wal_size_mib(&config.postgres_dir.database())));
    settings.extend(sizing::dynamic_shared_memory_type().map(|kind| format!("dynamic_shared_memory_type={kind}")));
    settings.push(format!("unix_socket_directories=\"{folder}\""));
    settings
}

/// Opens the log for appending and returns it with its length. Empties a log that is too long.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut length = file.metadata()?.len();
    if length > MAX_LOG_BYTES {
        file.set_len(0)?;
        length = 0;
    }
    Ok((file, length))
}

/// Returns the last lines that were written to the log after `start`, as one line.
fn tail(path: &Path, start: u64) -> io::Result<String> {
    const MAX_READ_BYTES: u64 = 8_192;
    const MAX_LINES: usize = 3;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(MAX_READ_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Ok(shorten(&lines[lines.len().saturating_sub(MAX_LINES)..].join(" | "), MAX_LOG_QUOTE_CHARS))
}

/// Returns at most `max_chars` characters of a text.
fn shorten(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}
