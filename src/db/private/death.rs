//! A child process that does not outlive us: the only `unsafe` of the product, because `pre_exec` has no safe form.
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// Has the kernel send `signal` to the child as soon as the *thread* that starts it ends, however it ends: also by `kill -9` of the
/// whole process. So the child must be started from a thread that lives as long as the child shall.
///
/// Only Linux knows this. Elsewhere the child stays behind, and the next start finds and stops it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "pre_exec: nothing else runs code in the child before the program starts")]
pub(super) fn dies_with_us(command: &mut Command, signal: Signal) {
    use rustix::process::{Pid, getpid, getppid, set_parent_process_death_signal};

    let parent: Pid = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two system calls (prctl, getppid),
    // compares two integers and builds an error from a number: it does not allocate, lock or touch memory of other threads.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            // We may have died before the kernel knew whom to tell.
            if getppid() != Some(parent) {
                return Err(std::io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
            Ok(())
        });
    }
}

/// See above: there is no such thing on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn dies_with_us(_command: &mut Command, _signal: Signal) {}
