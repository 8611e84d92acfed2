//! Ends a child process together with this one. The only `unsafe` code of Maju, because `pre_exec`
//! has no safe form.
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// Makes the kernel send `signal` to the child when the *thread* that starts it ends, however it
/// ends, also by `kill -9` of the process. The child must therefore be started from a thread that
/// lives as long as the child should.
///
/// Only Linux supports this. Elsewhere the child keeps running, and the next start finds and stops
/// it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "pre_exec: nothing else runs code in the child before the program starts")]
pub(super) fn signal_on_parent_death(command: &mut Command, signal: Signal) {
    use rustix::process::{Pid, getpid, getppid, set_parent_process_death_signal};

    let parent: Pid = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two
    // system calls (prctl, getppid), compares two integers and builds an error from a number. It
    // does not allocate, lock or touch memory of other threads.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            // The parent can have ended before the kernel registered the signal.
            if getppid() != Some(parent) {
                return Err(std::io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
            Ok(())
        });
    }
}

/// Does nothing: this system does not support it.
#[cfg(not(target_os = "linux"))]
pub(super) fn signal_on_parent_death(_command: &mut Command, _signal: Signal) {}
