//! The private Postgres with real programs, real processes and real folders. If root runs the
//! tests, those that differ for an ordinary user run a second time as one.
mod lifecycle;
mod markers;
mod recovery;
mod refusals;
mod standby;
mod units;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use super::programs::Sources;
use super::{PrivatePostgres, StartOptions, Status, archive, open, open_with, user};

/// The variable that gives a child process its role: `own` opens the data folder and holds it.
const ROLE: &str = "MAJU_TEST_ROLE";
const DATA: &str = "MAJU_TEST_DATA";
/// The user `nobody`, which has a name and no rights.
const NOBODY: u32 = 65534;
/// Longer than any step takes on a busy machine. The times are printed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A temporary folder that other users can pass through, with a data folder in it.
struct Folder {
    dir: TempDir,
    programs: Arc<TempDir>,
}

/// Returns the programs of this binary, unpacked once for all tests that run at the same time. To
/// unpack a thousand files takes most of a first start.
fn unpacked() -> Arc<TempDir> {
    static KEPT: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut kept = KEPT.lock();
    if let Some(found) = kept.upgrade() {
        return found;
    }
    let made = Arc::new(temporary_folder());
    if !archive::OURS.bytes.is_empty() {
        archive::unpack(archive::OURS, made.path()).unwrap();
    }
    *kept = Arc::downgrade(&made);
    made
}

/// Creates a temporary folder that other users can enter.
fn temporary_folder() -> TempDir {
    let dir = tempfile::Builder::new().prefix("maju-private-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

impl Folder {
    fn new() -> Self {
        Self { dir: temporary_folder(), programs: unpacked() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn fallback(&self) -> PathBuf {
        self.dir.path().join("fallback")
    }

    fn options(&self) -> StartOptions {
        StartOptions { data_dir: self.data(), fallback_base: self.fallback(), durable: false }
    }

    /// Opens the data folder, with programs that have been unpacked.
    async fn open(&self) -> PrivatePostgres {
        self.open_at(self.options()).await
    }

    async fn open_at(&self, options: StartOptions) -> PrivatePostgres {
        let mut sources = Sources::from_environment();
        if sources.named.is_none() && !sources.archive.bytes.is_empty() {
            sources.named = Some(archive::unpack(sources.archive, self.programs.path()).unwrap());
        }
        open_with(options, sources).await.unwrap()
    }
}

/// Reports that a test cannot run here. Bypasses the test runner, which hides the output of tests
/// that pass.
fn skip(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").unwrap();
}

fn pid_of(postgres: &PrivatePostgres) -> i32 {
    match &*postgres.inner.status.borrow() {
        Status::Owned { pid, .. } => *pid,
        other => panic!("not the owner: {other:?}"),
    }
}

async fn connect(postgres: &PrivatePostgres) -> PgConnection {
    let began = Instant::now();
    loop {
        match postgres.connect_options().connect().await {
            Ok(connection) => return connection,
            Err(error) => assert!(began.elapsed() < TIMEOUT, "no connection: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn run(options: &PgConnectOptions, statement: &'static str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn write_a_note(postgres: &PrivatePostgres) {
    run(&postgres.connect_options(), "CREATE TABLE note AS SELECT 'kept'::text AS said").await;
}

async fn read_the_note(postgres: &PrivatePostgres) -> String {
    let mut connection = connect(postgres).await;
    sqlx::query_scalar("SELECT said FROM note").fetch_one(&mut connection).await.unwrap()
}

/// Waits until a condition holds. Prints and returns how long that took.
async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < TIMEOUT, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    eprintln!("{what}: {:?}", began.elapsed());
    began.elapsed()
}

/// Another Maju process: this test program, which runs `plays_a_role`.
struct Other {
    child: Child,
    // Closed when this is dropped; the child then ends.
    stdin: Option<ChildStdin>,
}

impl Other {
    fn start(data: &Path, user: Option<u32>) -> Self {
        let mut command = this_program(&format!("{}::plays_a_role", module()), true);
        command.env(ROLE, "own").env(DATA, data).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(user) = user {
            as_another(&mut command, user);
        }
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Kills it, as `kill -9` does.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order, and returns what it wrote to standard error.
    fn end(mut self) -> String {
        drop(self.stdin.take());
        let mut output = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        self.child.wait().unwrap();
        output
    }
}

/// Makes a command run as another user. That user can write neither into this user's home nor the
/// counts of a coverage measurement.
fn as_another(command: &mut Command, user: u32) {
    command.uid(user).gid(user).env("LLVM_PROFILE_FILE", "/dev/null");
}

/// Returns the name of this module in the test runner.
fn module() -> &'static str {
    module_path!().split_once("::").unwrap().1
}

fn this_program(filter: &str, exact: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(filter).args(["--nocapture", "--test-threads=4"]);
    if exact {
        command.arg("--exact");
    }
    command
}

/// The program of [`Other`]. Does nothing when it runs as an ordinary test.
#[tokio::test]
async fn plays_a_role() {
    let Some(data) = std::env::var_os(DATA).filter(|_| std::env::var_os(ROLE).is_some()) else { return };
    let data = PathBuf::from(data);
    let options = StartOptions { fallback_base: data.with_extension("fallback"), data_dir: data, durable: true };
    match open(options).await {
        Ok(postgres) => {
            tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()).ok()).await.unwrap();
            postgres.stop().await;
        }
        Err(error) => writeln!(std::io::stderr(), "refused: {error}").unwrap(),
    }
}

#[test]
fn the_tests_that_differ_pass_for_an_ordinary_user() {
    // The tests that differ for root. Without root, all of them have just run.
    const DIFFERENT: [&str; 9] = [
        "the_first_start",
        "an_orphan",
        "a_start_that_is_killed",
        "when_the_owner_is_killed",
        "a_database_of_another",
        "a_folder_without_rights",
        "a_path_too_long",
        "a_socket_that_is_removed",
        "a_database_that_is_missing",
    ];
    if !user::is_root() {
        return;
    }
    let folder = Folder::new();
    // The program can be below a home folder that other users cannot enter.
    let program = folder.dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.args(DIFFERENT).args(["--test-threads=2"]).current_dir("/");
    as_another(&mut command, NOBODY);
    let answer = command.env_remove("HOME").output().unwrap();
    let output = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{output}\n{}", String::from_utf8_lossy(&answer.stderr));
    assert!(output.contains(&format!(" {} passed", DIFFERENT.len())), "{output}");
}
