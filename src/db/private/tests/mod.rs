//! The private Postgres with real programs, real processes and real folders. Run as root, what differs runs once more as an ordinary user.
mod guard;
mod life;
mod marks;
mod pieces;
mod refusals;
mod standby;

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
use super::{Phase, Place, PrivatePostgres, archive, open, open_with, owner};

/// What a child process is told: `own` opens the data folder and holds it.
const ROLE: &str = "MAJU_TEST_ROLE";
const DATA: &str = "MAJU_TEST_DATA";
/// Nobody: a user without rights and with a name.
const NOBODY: u32 = 65534;
/// More than any step takes on a busy machine; the times themselves are printed.
const LONG: Duration = Duration::from_secs(20);

/// A temporary folder that other users may pass through, and a data folder in it.
struct Folder {
    dir: TempDir,
    programs: Arc<TempDir>,
}

/// The programs of this binary, unpacked once for all tests that run at the same time: a thousand files are most of a first start.
fn unpacked() -> Arc<TempDir> {
    static KEPT: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut kept = KEPT.lock();
    if let Some(found) = kept.upgrade() {
        return found;
    }
    let made = Arc::new(passable());
    if !archive::OURS.bytes.is_empty() {
        archive::unpack(archive::OURS, made.path()).unwrap();
    }
    *kept = Arc::downgrade(&made);
    made
}

/// A temporary folder that other users may enter.
fn passable() -> TempDir {
    let dir = tempfile::Builder::new().prefix("maju-private-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

impl Folder {
    fn new() -> Self {
        Self { dir: passable(), programs: unpacked() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn fallback(&self) -> PathBuf {
        self.dir.path().join("fallback")
    }

    fn place(&self) -> Place {
        Place { data_dir: self.data(), fallback_base: self.fallback(), durable: false }
    }

    /// Opens the data folder with programs that are unpacked already.
    async fn open(&self) -> PrivatePostgres {
        self.open_at(self.place()).await
    }

    async fn open_at(&self, place: Place) -> PrivatePostgres {
        let mut sources = Sources::real();
        if sources.named.is_none() && !sources.archive.bytes.is_empty() {
            sources.named = Some(archive::unpack(sources.archive, self.programs.path()).unwrap());
        }
        open_with(place, sources).await.unwrap()
    }
}

/// Says that a test cannot run here, past the test runner, which would hold back what a passed test prints.
fn skip(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").unwrap();
}

fn pid_of(postgres: &PrivatePostgres) -> i32 {
    match &*postgres.inner.phase.borrow() {
        Phase::Own { pid, .. } => *pid,
        other => panic!("not the owner: {other:?}"),
    }
}

async fn connect(postgres: &PrivatePostgres) -> PgConnection {
    let began = Instant::now();
    loop {
        match postgres.connect_options().connect().await {
            Ok(connection) => return connection,
            Err(error) => assert!(began.elapsed() < LONG, "no connection: {error}"),
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

/// Waits until something is so, and says how long that took.
async fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONG, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    eprintln!("{what}: {:?}", began.elapsed());
    began.elapsed()
}

/// Another Maju: this test program again, in the role that `plays_a_role` gives it.
struct Other {
    child: Child,
    // Closed when this is dropped, and the child then ends by itself.
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

    /// As `kill -9` does it.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order and returns what it said.
    fn end(mut self) -> String {
        drop(self.stdin.take());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

/// Another user can write neither into our home nor, where the coverage is measured, its counts.
fn as_another(command: &mut Command, user: u32) {
    command.uid(user).gid(user).env("LLVM_PROFILE_FILE", "/dev/null");
}

/// `db::private::tests`, as the test runner names it.
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

/// Does nothing by itself: this is what [`Other`] runs.
#[tokio::test]
async fn plays_a_role() {
    let Some(data) = std::env::var_os(DATA).filter(|_| std::env::var_os(ROLE).is_some()) else { return };
    let data = PathBuf::from(data);
    let place = Place { fallback_base: data.with_extension("fallback"), data_dir: data, durable: true };
    match open(place).await {
        Ok(postgres) => {
            tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()).ok()).await.unwrap();
            postgres.stop().await;
        }
        Err(error) => writeln!(std::io::stderr(), "refused: {error}").unwrap(),
    }
}

#[test]
fn it_holds_for_an_ordinary_user() {
    // What differs between root and others; who is not root has just run all of it.
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
    if !owner::is_root() {
        return;
    }
    let folder = Folder::new();
    // The program may lie under a home that is closed to others.
    let program = folder.dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.args(DIFFERENT).args(["--test-threads=2"]).current_dir("/");
    as_another(&mut command, NOBODY);
    let answer = command.env_remove("HOME").output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{said}\n{}", String::from_utf8_lossy(&answer.stderr));
    assert!(said.contains(&format!(" {} passed", DIFFERENT.len())), "{said}");
}
