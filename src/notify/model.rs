//! The queue of mails: which is due, which is tried again and when, no I/O.
use std::collections::BTreeMap;
use std::time::Duration;

use lettre::Message;
use tokio::time::Instant;

use super::limits::{MAIL_DEADLINE, MAX_QUEUED_MAILS};

/// The pause before the second attempt. It triples with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(120);

/// The number of a mail in a queue.
pub(super) type MailId = u64;

/// What follows from an attempt that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Again { attempts: u32, pause: Duration },
    GivenUp { attempts: u32 },
}

/// A mail in the queue.
struct Waiting {
    message: Message,
    attempts: u32,
    due: Instant,
    until: Instant,
    /// It is being sent now.
    is_sending: bool,
}

/// The mails that are not sent yet.
#[derive(Default)]
pub(super) struct Outbox {
    mails: BTreeMap<MailId, Waiting>,
    last: MailId,
}

impl Outbox {
    /// Adds a mail. Returns `false` if the queue is full.
    pub(super) fn add(&mut self, message: Message, now: Instant) -> bool {
        if self.mails.len() >= MAX_QUEUED_MAILS {
            return false;
        }
        self.last += 1;
        let mail = Waiting { message, attempts: 0, due: now, until: now + MAIL_DEADLINE, is_sending: false };
        self.mails.insert(self.last, mail);
        true
    }

    /// Returns the number of mails.
    pub(super) fn len(&self) -> usize {
        self.mails.len()
    }

    /// Forgets which mails are being sent: nobody sends them any more.
    pub(super) fn start_over(&mut self) {
        self.mails.values_mut().for_each(|mail| mail.is_sending = false);
    }

    /// Returns at most `places` mails that are due, the oldest first. They count as being sent.
    pub(super) fn take_due(&mut self, now: Instant, places: usize) -> Vec<(MailId, Message)> {
        let due = self.mails.iter_mut().filter(|(_, mail)| !mail.is_sending && mail.due <= now);
        due.take(places)
            .map(|(id, mail)| {
                mail.is_sending = true;
                mail.attempts += 1;
                (*id, mail.message.clone())
            })
            .collect()
    }

    /// Returns when the next mail is due. `None` if all are being sent.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.mails.values().filter(|mail| !mail.is_sending).map(|mail| mail.due).min()
    }

    /// Removes a mail that was sent.
    pub(super) fn remove(&mut self, id: MailId) {
        self.mails.remove(&id);
    }

    /// Plans the next attempt for a mail that was not sent, or removes it: if the failure is final,
    /// or if its deadline passes before the next attempt.
    pub(super) fn fail(&mut self, id: MailId, now: Instant, is_final: bool) -> Verdict {
        let Some(mail) = self.mails.get_mut(&id) else { return Verdict::GivenUp { attempts: 0 } };
        let attempts = mail.attempts;
        let pause = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(attempts.saturating_sub(1))).min(MAX_PAUSE);
        if is_final || now + pause > mail.until {
            self.mails.remove(&id);
            return Verdict::GivenUp { attempts };
        }
        (mail.due, mail.is_sending) = (now + pause, false);
        Verdict::Again { attempts, pause }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lettre::Message;
    use tokio::time::Instant;

    use super::{MAIL_DEADLINE, MAX_QUEUED_MAILS, Outbox, Verdict};

    fn message() -> Message {
        let address = || "a@example.org".parse().unwrap();
        Message::builder().from(address()).to(address()).body(String::new()).unwrap()
    }

    #[test]
    fn a_mail_is_tried_again_after_longer_and_longer_pauses_until_its_deadline() {
        let (mut outbox, began) = (Outbox::default(), Instant::now());
        outbox.add(message(), began);
        let (mut now, mut pauses) = (began, Vec::new());
        loop {
            assert_eq!(outbox.next_due(), Some(now));
            let [(id, _)] = &outbox.take_due(now, 4)[..] else { panic!("one mail is due") };
            assert!(outbox.take_due(now, 4).is_empty() && outbox.next_due().is_none(), "it is being sent");
            match outbox.fail(*id, now, false) {
                Verdict::Again { pause, .. } => pauses.push(pause.as_secs()),
                Verdict::GivenUp { attempts } => {
                    assert_eq!(attempts as usize, pauses.len() + 1);
                    break;
                }
            }
            now += Duration::from_secs(*pauses.last().unwrap());
        }
        assert_eq!(pauses, [5, 15, 45, 120, 120, 120, 120]);
        assert!(now <= began + MAIL_DEADLINE && outbox.len() == 0);
    }

    #[test]
    fn a_final_failure_ends_a_mail_and_a_full_queue_takes_none() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for _ in 0..MAX_QUEUED_MAILS {
            assert!(outbox.add(message(), now));
        }
        assert!(!outbox.add(message(), now));
        let due = outbox.take_due(now, 3);
        assert_eq!(due.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(outbox.fail(1, now, true), Verdict::GivenUp { attempts: 1 });
        outbox.remove(2);
        outbox.start_over();
        assert_eq!(outbox.take_due(now, 1)[0].0, 3, "what was being sent is sent again");
        assert!(outbox.add(message(), now) && outbox.len() == MAX_QUEUED_MAILS - 1);
    }
}
