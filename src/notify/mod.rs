//! Mail: a bounded queue in memory, and a task that sends it over SMTP with retries until a
//! deadline. Knows no noun: who gets which text is decided by the caller.
pub mod limits;
mod mailer;
mod model;
#[cfg(test)]
pub(crate) mod smtp_server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lettre::Message;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::log_throttle::LogThrottle;

use limits::MAX_MAILS_SENDING;
use mailer::Failure;
pub use mailer::Mailer;
use model::{MailId, Outbox, Verdict};

/// How long a stop waits for the mails that are being sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two log lines about a full queue.
const FULL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The mail state of a node.
pub struct State {
    /// `None` if the site sends no mail.
    mailer: Option<Mailer>,
    outbox: Mutex<Outbox>,
    /// Wakes the task that sends.
    added: Notify,
}

impl State {
    /// Creates an empty queue for the mail server of the settings.
    pub fn new(config: &Config) -> Self {
        Self { mailer: Mailer::new(config), outbox: Mutex::default(), added: Notify::default() }
    }
}

/// Returns `true` if the site can send mail: `--smtp-url` is set.
pub fn can_mail(app: &App) -> bool {
    app.notify.mailer.is_some()
}

/// Returns how many mails of this node are not sent yet.
pub fn queued(app: &App) -> usize {
    app.notify.outbox.lock().len()
}

/// Queues a mail in plain text to one address and returns at once.
///
/// It is sent within seconds, or again and again until [`limits::MAIL_DEADLINE`]. A mail that is
/// lost (the server refuses it, the deadline passes, the process ends) is logged without its text
/// and address, so its sender must be able to ask for another one.
///
/// # Errors
/// `forbidden` if the site sends no mail, `bad_frame` with the field `email` if the address is not
/// valid, `unavailable` if the queue is full.
pub fn mail(app: &App, to: &str, subject: &str, text: &str) -> Result<()> {
    let Some(mailer) = &app.notify.mailer else {
        return Err(Error::Forbidden("This site sends no mail. Ask its operator."));
    };
    let message = mailer.message(to, subject, text)?;
    if !app.notify.outbox.lock().add(message, Instant::now()) {
        static THROTTLE: LogThrottle = LogThrottle::new(FULL_LOG_INTERVAL);
        if let Some(others) = THROTTLE.allow(std::time::Instant::now()) {
            tracing::error!(mail.others = others, "mail: the queue is full, a mail was refused");
        }
        return Err(Error::Unavailable);
    }
    app.notify.added.notify_one();
    Ok(())
}

/// Starts the task that sends.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("notify.mail", move || keep_sending(node.clone()));
}

async fn keep_sending(node: App) {
    let state = &node.notify;
    let Some(mailer) = &state.mailer else { return node.tasks.stopping.cancelled().await };
    // After a panic, what was being sent is sent again.
    state.outbox.lock().start_over();
    let mut sending = FuturesUnordered::new();
    loop {
        let places = MAX_MAILS_SENDING - sending.len();
        let due = state.outbox.lock().take_due(Instant::now(), places);
        sending.extend(due.into_iter().map(|(id, message)| send(mailer, id, message)));
        let next = state.outbox.lock().next_due().filter(|_| sending.len() < MAX_MAILS_SENDING);
        tokio::select! {
            () = node.tasks.stopping.cancelled() => break,
            () = state.added.notified() => {}
            Some((id, outcome)) = sending.next() => settle(state, id, outcome),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
    let finish = async {
        while let Some((id, outcome)) = sending.next().await {
            settle(state, id, outcome);
        }
    };
    let _ = timeout(STOP_TIMEOUT, finish).await;
    let left = state.outbox.lock().len();
    if left > 0 {
        tracing::warn!(mail.lost = left, "mail: the server stops before these were sent");
    }
}

async fn send(mailer: &Mailer, id: MailId, message: Message) -> (MailId, Result<(), Failure>) {
    (id, mailer.send(message).await)
}

/// Records how an attempt ended.
fn settle(state: &State, id: MailId, outcome: Result<(), Failure>) {
    let failure = match outcome {
        Ok(()) => {
            state.outbox.lock().remove(id);
            return tracing::debug!("mail: sent");
        }
        Err(failure) => failure,
    };
    let verdict = state.outbox.lock().fail(id, Instant::now(), failure.is_final);
    match verdict {
        Verdict::Again { attempts, pause } => {
            tracing::warn!(
                mail.attempts = attempts,
                error.cause = failure.cause,
                retry.secs = pause.as_secs(),
                "mail: not sent, retrying"
            );
        }
        Verdict::GivenUp { attempts } => {
            tracing::error!(mail.attempts = attempts, error.cause = failure.cause, "mail: given up");
        }
    }
}
