//! The signals of a command: which of them request a stop.
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a command. SIGTERM, SIGINT (Ctrl-C) and SIGQUIT request an orderly stop. SIGHUP,
/// SIGUSR1, SIGUSR2 and SIGXFSZ are ignored here, SIGPIPE by Rust's runtime. SIGTSTP (Ctrl-Z)
/// suspends the process as usual.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// Returns one line if the system refuses it.
    pub fn listen() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|why| format!("cannot listen for signals: {why}"));
        // A signal that was listened to once no longer ends the process, even if the listener is
        // dropped.
        let file_too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        for ignored in [SignalKind::user_defined1(), SignalKind::user_defined2(), file_too_large] {
            drop(on(ignored)?);
        }
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that requests a stop.
    pub async fn requested(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP is ignored: the server keeps running when its terminal is closed, and reads its settings only at the start");
                }
            }
        }
    }
}
