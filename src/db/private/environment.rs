//! The environment of the programs that we start, and of our own connections: nothing of the operator's shell reaches the private
//! Postgres.
use std::env;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command with an environment of its own, far from our folder, without input, and in a process group of its own.
///
/// PG*, LC_*, TZ and LD_* variables would change what PostgreSQL's programs do. A signal of the terminal (Ctrl-C, a hang-up) goes to our
/// group: Postgres would stop at once, and we still have messages to commit.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    command.current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

/// Makes sure that this process has no PG* variables, which are meant for another server: where there are some, the program is started
/// again in its own place without them. The client library would add PGOPTIONS to every connection, and has no way to leave it out.
///
/// Call it first, before anything is opened or written.
///
/// # Errors
///
/// Returns why the program could not be started again.
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
    Err(failed(command.exec())) // Returns only when it failed.
}
