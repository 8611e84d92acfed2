//! Errors of Redis connections: explained to the operator in the log, each reason at most once a
//! minute.
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Reasons that are remembered, so that each is logged rarely.
const MAX_REASONS: usize = 8;
/// The shortest time between two log lines about the same reason.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Logs the errors of the connections to one Redis.
pub(super) struct ErrorReporter {
    /// The URL of Redis, without secrets.
    redis: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The latest reason since Redis last worked.
    reason: Option<String>,
    /// What was logged, and when.
    logged: Vec<(String, Instant)>,
}

impl ErrorReporter {
    /// Creates the reporter for the Redis at a URL. The URL must not hold secrets.
    pub(super) fn new(redis: String) -> Self {
        Self { redis, state: Mutex::default() }
    }

    /// Records an error. Returns `true` if it was logged.
    pub(super) fn report(&self, error: &Error) -> bool {
        if error.is_canceled() {
            return false;
        }
        let reason = explain(error, self.redis.starts_with("rediss") || self.redis.starts_with("valkeys"));
        let mut state = self.state.lock();
        state.logged.retain(|(_, at)| at.elapsed() < REPORT_INTERVAL);
        let is_new = state.logged.len() < MAX_REASONS && state.logged.iter().all(|(logged, _)| *logged != reason);
        if is_new {
            tracing::warn!(redis.url = self.redis, "Redis cannot be used: {reason}");
            state.logged.push((reason.clone(), Instant::now()));
        }
        state.reason = Some(reason);
        is_new
    }

    /// Forgets the latest reason: Redis works.
    pub(super) fn clear(&self) {
        self.state.lock().reason = None;
    }

    /// Returns the latest reason why Redis cannot be used. `None` if it works.
    pub(super) fn reason(&self) -> Option<String> {
        self.state.lock().reason.clone()
    }
}

/// Explains an error of the client in a sentence for the operator. `tls` is `true` if the URL asks
/// for TLS.
pub(super) fn explain(error: &Error, tls: bool) -> String {
    let details = error.details();
    let starts = |word: &str| details.starts_with(word);
    match error.kind() {
        _ if starts("NOAUTH") || details.contains("HELLO must be called with the client already authenticated") => {
            format!("it needs a password, and REDIS_URL has none (NOAUTH): {details}")
        }
        _ if starts("WRONGPASS") || details.contains("invalid password") => {
            format!("the password or the user's name in REDIS_URL is wrong (WRONGPASS): {details}")
        }
        _ if starts("NOPERM") => format!("its user has no permission for this command: {details}"),
        _ if details.contains("cluster support disabled") => {
            format!("it is not a cluster: write redis:// instead of redis-cluster:// ({details})")
        }
        _ if starts("MOVED") || starts("CROSSSLOT") => {
            format!("it is a cluster: write redis-cluster:// instead of redis:// ({details})")
        }
        _ if starts("CLUSTERDOWN") || details.contains("cluster state") => {
            format!("its cluster is down or was never formed: {details}")
        }
        _ if starts("ERR unknown command") => format!("it is older than Redis 7 or Valkey 7: {details}"),
        _ if starts("LOADING") => format!("it is still loading its data: {details}"),
        ErrorKind::Tls => {
            format!("TLS failed; use rediss:// for a Redis with TLS, redis:// for one without: {details}")
        }
        ErrorKind::IO if details.contains("refused") => format!("connection refused: {details}"),
        ErrorKind::IO if details.contains("lookup address") => format!("its host name cannot be resolved: {details}"),
        ErrorKind::IO if details.contains("reset") || details.contains("eof") || details.contains("closed") => {
            format!("it closed the connection; if it expects TLS, use rediss://: {details}")
        }
        ErrorKind::Protocol | ErrorKind::Parse => {
            format!("the server does not speak the Redis protocol; if it expects TLS, use rediss://: {details}")
        }
        ErrorKind::Timeout if tls => {
            format!("it does not respond; use rediss:// only for a Redis with TLS: {details}")
        }
        ErrorKind::Timeout => format!("it does not respond: {details}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::realtime::Content;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::{EventSenders, redis};
    use super::{Error, ErrorKind, ErrorReporter, MAX_REASONS, REPORT_INTERVAL};
    use crate::realtime::Topic;
    use crate::testing::{self, Redis};

    /// Runs a relay with a URL until the reason of its failure contains all parts, and returns it.
    async fn reason(url: &str, parts: &[&str]) -> String {
        let (handle, task) = redis::relay(url, uuid::Uuid::nil(), EventSenders::new()).unwrap();
        let (errors, stopping) = (task.errors(), CancellationToken::new());
        let publication =
            super::super::Publication { node: Uuid::nil(), topic: Topic::Nodes, content: Content::Frame("x".into()) };
        let failing = async {
            let until = tokio::time::Instant::now() + testing::TEST_TIMEOUT;
            loop {
                handle.publish(std::slice::from_ref(&publication));
                let reason = errors.reason().unwrap_or_default();
                if parts.iter().all(|part| reason.contains(part)) {
                    return;
                }
                assert!(tokio::time::Instant::now() < until, "{url}: {parts:?} are not in the reason: {reason}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = failing => {}
            () = task.run(Uuid::new_v4(), stopping.clone()) => panic!("the task ended"),
        }
        errors.reason().unwrap()
    }

    /// Sends a command to a Redis as a line of text.
    async fn command(redis: &Redis, line: &str) {
        let address = redis.url.strip_prefix("redis://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 3];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK", "{line}");
    }

    #[tokio::test]
    async fn a_wrong_password_and_a_missing_one_are_named() {
        let redis = Redis::start().await;
        let address = redis.url.strip_prefix("redis://").unwrap().to_owned();
        command(&redis, "CONFIG SET requirepass right").await;
        for (url, parts) in [
            (format!("redis://:hush@{address}"), ["WRONGPASS", "REDIS_URL is wrong"]),
            (format!("redis://nobody:hush@{address}"), ["WRONGPASS", "the user's name"]),
            (redis.url.clone(), ["NOAUTH", "needs a password"]),
        ] {
            let reason = reason(&url, &parts).await;
            assert!(!reason.contains("hush") && !reason.contains("Timeout"), "{reason}");
        }
    }

    #[tokio::test]
    async fn every_other_reason_not_to_reach_redis_is_named() {
        let redis = Redis::start().await;
        let address = redis.url.strip_prefix("redis://").unwrap().to_owned();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        reason(&format!("redis://{free}"), &["refused"]).await;
        reason("redis://nowhere.invalid:6379", &["host name cannot be resolved"]).await;
        reason(&format!("redis-cluster://{address}"), &["not a cluster", "redis://"]).await;
        reason(&format!("rediss://{address}"), &["does not respond", "for a Redis with TLS"]).await;
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = format!("redis://{}", other.local_addr().unwrap());
        let web = async {
            let mut kept = Vec::new();
            loop {
                let (mut socket, _) = other.accept().await.unwrap();
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                kept.push(socket);
            }
        };
        tokio::select! {
            _ = reason(&there, &["does not speak the Redis protocol"]) => {}
            () = web => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_is_logged_once_a_minute_at_most() {
        let errors = ErrorReporter::new("redis://host".to_owned());
        assert_eq!(errors.reason(), None);
        let report = |details: &'static str| errors.report(&Error::new(ErrorKind::Unknown, details));
        assert!(report("refused") && report("LOADING") && !report("refused") && !report("LOADING"));
        errors.clear();
        assert_eq!(errors.reason(), None);
        assert!(!report("refused"), "the same reason within a minute");
        tokio::time::advance(REPORT_INTERVAL).await;
        assert!(report("refused"));
        let logged = (0..3 * MAX_REASONS).filter(|n| errors.report(&Error::new(ErrorKind::IO, format!("{n}")))).count();
        assert_eq!(logged, MAX_REASONS - 1, "a minute has room for this many reasons");
        for (details, expected) in [
            ("MOVED 1 host:1", "it is a cluster"),
            ("CLUSTERDOWN Hash slot not served", "down"),
            ("ERR unknown command 'SPUBLISH'", "older than Redis 7"),
            ("NOPERM no permissions", "no permission"),
        ] {
            report(details);
            assert!(errors.reason().unwrap().contains(expected), "{details}");
        }
    }
}
