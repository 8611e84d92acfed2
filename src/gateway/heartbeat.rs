//! The heartbeat of a socket: when to ping, and what a client's silence means.
//!
//! A socket has one timer for it. It is set when it fires, never for a frame, so an idle socket
//! wakes once for each ping and a busy one not more often.
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{HEARTBEAT_INTERVAL, IDLE_TIMEOUT, PONG_TIMEOUT, TALK_HEARTBEAT_INTERVAL, TALK_SILENCE_TIMEOUT};

/// The heartbeat of a socket.
pub(super) struct Heartbeat {
    last_received: Instant,
    last_ping: Instant,
    /// The first ping since the last sign of life. Only a client that had time to answer it is
    /// silent: after a pause of the server itself, nothing has been received either.
    unanswered_since: Option<Instant>,
    in_talk: bool,
    silent: bool,
}

/// What is due on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Wait,
    Ping,
    /// The client of a talk has become silent. Returned once for each silence.
    Silent,
    /// The connection is lost.
    Dead,
}

impl Heartbeat {
    /// Starts the heartbeat of a socket that has just opened.
    pub(super) fn new(now: Instant) -> Self {
        Self { last_received: now, last_ping: now, unanswered_since: None, in_talk: false, silent: false }
    }

    /// Records a frame or pong.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.unanswered_since = None;
        self.silent = false;
    }

    /// Records whether the visitor is in an open talk.
    pub(super) fn set_in_talk(&mut self, in_talk: bool) {
        self.in_talk = in_talk;
    }

    /// Returns when something is due next.
    pub(super) fn due(&self) -> Instant {
        // A silent client of a talk is pinged as often as before, so that its return is noticed.
        let interval = if self.in_talk || self.silent { TALK_HEARTBEAT_INTERVAL } else { HEARTBEAT_INTERVAL };
        let ping = self.last_ping + interval;
        [self.silent_at(), self.quiet_until(IDLE_TIMEOUT)].into_iter().flatten().fold(ping, Instant::min)
    }

    /// Returns what is due now. After [`Beat::Silent`] more can be due.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if self.quiet_until(IDLE_TIMEOUT).is_some_and(|at| at <= now) {
            return Beat::Dead;
        }
        if self.silent_at().is_some_and(|at| at <= now) {
            self.silent = true;
            return Beat::Silent;
        }
        if self.due() > now {
            return Beat::Wait;
        }
        self.last_ping = now;
        self.unanswered_since.get_or_insert(now);
        Beat::Ping
    }

    fn silent_at(&self) -> Option<Instant> {
        if self.in_talk && !self.silent { self.quiet_until(TALK_SILENCE_TIMEOUT) } else { None }
    }

    /// Returns when the client will have been quiet for `timeout` and had time to answer a ping.
    /// `None` if no ping is unanswered.
    fn quiet_until(&self, timeout: Duration) -> Option<Instant> {
        Some((self.last_received + timeout).max(self.unanswered_since? + PONG_TIMEOUT))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Beat, Heartbeat};

    /// Runs a heartbeat until a second. Returns what was due, with the second.
    fn run(heart: &mut Heartbeat, start: Instant, until: u64) -> Vec<(Beat, u64)> {
        let mut beats = Vec::new();
        while heart.due() <= start + Duration::from_secs(until) {
            let now = heart.due();
            match heart.beat(now) {
                Beat::Wait => panic!("woken for nothing"),
                beat => beats.push((beat, (now - start).as_secs())),
            }
            if beats.last().is_some_and(|(beat, _)| *beat == Beat::Dead) {
                break;
            }
        }
        beats
    }

    #[test]
    fn an_idle_socket_wakes_only_to_ping() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start);
        for second in [25, 50, 75, 100] {
            assert_eq!(run(&mut heart, start, second), [(Beat::Ping, second)]);
            heart.received(start + Duration::from_secs(second));
        }
    }

    #[test]
    fn a_lost_connection_is_dropped_after_a_minute() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start);
        assert_eq!(run(&mut heart, start, 100), [(Beat::Ping, 25), (Beat::Ping, 50), (Beat::Dead, 60)]);
    }

    #[test]
    fn in_a_talk_silence_is_noticed_after_twenty_seconds() {
        for last_frame in [0, 1, 5, 9] {
            let start = Instant::now();
            let mut heart = Heartbeat::new(start);
            heart.set_in_talk(true);
            heart.received(start + Duration::from_secs(last_frame));
            let beats = run(&mut heart, start, last_frame + 40);
            let silent: Vec<_> = beats.iter().filter(|(beat, _)| *beat == Beat::Silent).collect();
            assert_eq!(silent, [&(Beat::Silent, last_frame + 20)], "once");
            assert!(beats.contains(&(Beat::Ping, 10)) && beats.contains(&(Beat::Ping, 30)), "{beats:?}");
            // Any frame ends the silence, and the next one is noticed again.
            heart.received(start + Duration::from_secs(last_frame + 41));
            let again = run(&mut heart, start, last_frame + 61);
            assert!(again.contains(&(Beat::Silent, last_frame + 61)), "{again:?}");
        }
    }

    #[test]
    fn a_client_has_time_to_answer_after_a_pause_of_the_server() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start);
        heart.set_in_talk(true);
        let resumed = start + Duration::from_secs(300);
        assert_eq!(heart.beat(resumed), Beat::Ping);
        assert_eq!(heart.beat(resumed + Duration::from_secs(9)), Beat::Wait);
        heart.received(resumed + Duration::from_secs(9));
        assert_eq!(heart.beat(resumed + Duration::from_secs(10)), Beat::Ping);
    }
}
