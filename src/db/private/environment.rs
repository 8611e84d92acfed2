//! The environment of the programs that Maju starts, and of its own connections. Nothing in the
//! operator's shell affects the private Postgres.
use std::env;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns a command with a fixed environment, in the folder `/`, without input, and in a process
/// group of its own.
///
/// PG*, LC_*, TZ and LD_* variables would change what PostgreSQL's programs do. A signal of the
/// terminal (Ctrl-C, a hang-up) goes to the whole process group: Postgres would stop at once, while
/// Maju still has messages to commit.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    command.current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

/// Makes sure that this process has no PG* variables, which are meant for another server. If there
/// are some, replaces this process by the same program without them. The client library would add
/// PGOPTIONS to every connection, and cannot be told not to.
///
/// To be called first, before anything is opened or written.
///
/// # Errors
/// Returns a sentence that says why the program could not be started again.
pub fn without_pg_variables() -> Result<(), String> {
    let names: Vec<_> =
        env::vars_os().map(|(name, _)| name).filter(|name| name.as_bytes().starts_with(b"PG")).collect();
    if names.is_empty() {
        return Ok(());
    }
    let failed = |why| format!("cannot start again without the PG* variables of the environment ({why}): unset them");
    let program = env::current_exe().map_err(failed)?;
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    for name in names {
        command.env_remove(name);
    }
    Err(failed(command.exec())) // Returns only if it fails.
}
