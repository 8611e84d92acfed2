//! Why Redis cannot be used: by name, in the log, at most once a minute for each reason.
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Reasons remembered, so that each is said seldom.
const REASONS: usize = 8;
/// Time between two log lines about one reason.
const SELDOM: Duration = Duration::from_secs(60);

/// What is wrong with the connections to one Redis.
pub(super) struct Trouble {
    /// Its URL, without secrets.
    redis: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The latest reason since Redis last worked.
    reason: Option<String>,
    /// What was logged, and when.
    logged: Vec<(String, Instant)>,
}

impl Trouble {
    /// No trouble so far with the Redis behind a URL, which holds no secrets any more.
    pub(super) fn of(redis: String) -> Self {
        Self { redis, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Something went wrong. Returns `true` if it was logged.
    pub(super) fn note(&self, error: &Error) -> bool {
        if error.is_canceled() {
            return false;
        }
        let reason = explain(error, self.redis.starts_with("rediss") || self.redis.starts_with("valkeys"));
        let mut known = self.lock();
        known.logged.retain(|(_, at)| at.elapsed() < SELDOM);
        let is_news = known.logged.len() < REASONS && known.logged.iter().all(|(logged, _)| *logged != reason);
        if is_news {
            tracing::warn!(redis.url = self.redis, "Redis cannot be used: {reason}");
            known.logged.push((reason.clone(), Instant::now()));
        }
        known.reason = Some(reason);
        is_news
    }

    /// Redis works.
    pub(super) fn over(&self) {
        self.lock().reason = None;
    }

    /// The latest reason why it does not.
    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }
}

/// An error of the client as a sentence for the operator. `tls`: the URL asks for it.
fn explain(error: &Error, tls: bool) -> String {
    let said = error.details();
    let starts = |word: &str| said.starts_with(word);
    match error.kind() {
        _ if starts("NOAUTH") || said.contains("HELLO must be called with the client already authenticated") => {
            format!("it needs a password, and REDIS_URL holds none (NOAUTH): {said}")
        }
        _ if starts("WRONGPASS") || said.contains("invalid password") => {
            format!("the password or the user's name in REDIS_URL is wrong (WRONGPASS): {said}")
        }
        _ if starts("NOPERM") => format!("its user may not do this: {said}"),
        _ if said.contains("cluster support disabled") => {
            format!("it is not a cluster: write redis:// in place of redis-cluster:// ({said})")
        }
        _ if starts("MOVED") || starts("CROSSSLOT") => {
            format!("it is a cluster: write redis-cluster:// in place of redis:// ({said})")
        }
        _ if starts("CLUSTERDOWN") || said.contains("cluster state") => {
            format!("its cluster is down, or was never formed: {said}")
        }
        _ if starts("ERR unknown command") => format!("it is older than Redis 7 or Valkey 7: {said}"),
        _ if starts("LOADING") => format!("it is still loading its data: {said}"),
        ErrorKind::Tls => {
            format!("TLS failed; rediss:// is for a Redis that speaks TLS, redis:// for one that does not: {said}")
        }
        ErrorKind::IO if said.contains("refused") => format!("connection refused: {said}"),
        ErrorKind::IO if said.contains("lookup address") => format!("its host is not known: {said}"),
        ErrorKind::IO if said.contains("reset") || said.contains("eof") || said.contains("closed") => {
            format!("it closed the connection; if it expects TLS write rediss://: {said}")
        }
        ErrorKind::Protocol | ErrorKind::Parse => {
            format!("what answers there does not speak as a Redis does; if it expects TLS write rediss://: {said}")
        }
        ErrorKind::Timeout if tls => format!("it does not answer; rediss:// is for a Redis that speaks TLS: {said}"),
        ErrorKind::Timeout => format!("it does not answer: {said}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::{Readers, redis};
    use super::{Error, ErrorKind, REASONS, SELDOM, Trouble};
    use crate::realtime::Topic;
    use crate::testing::{self, Redis};

    /// What a node is told that uses a URL, as soon as it is told something that has all the parts.
    async fn reason(url: &str, parts: &[&str]) -> String {
        let (link, engine) = redis::link(url, uuid::Uuid::nil(), Readers::new()).unwrap();
        let (trouble, stopping) = (engine.trouble(), CancellationToken::new());
        let relayed =
            super::super::Publication { node: Uuid::nil(), topic: Topic::Nodes, seq: None, frame: "x".into() };
        let told = async {
            let until = tokio::time::Instant::now() + testing::PATIENCE;
            loop {
                link.publish(std::slice::from_ref(&relayed));
                let reason = trouble.reason().unwrap_or_default();
                if parts.iter().all(|part| reason.contains(part)) {
                    return;
                }
                assert!(tokio::time::Instant::now() < until, "{url}: {parts:?} is not what was told: {reason}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = engine.run(Uuid::new_v4(), stopping.clone()) => panic!("it gave up"),
        }
        trouble.reason().unwrap()
    }

    /// Tells a Redis something, as a person would.
    async fn tell(redis: &Redis, command: &str) {
        let address = redis.url.strip_prefix("redis://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 3];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK", "{command}");
    }

    #[tokio::test]
    async fn a_wrong_password_and_a_missing_one_are_named() {
        let redis = Redis::start().await;
        let address = redis.url.strip_prefix("redis://").unwrap().to_owned();
        tell(&redis, "CONFIG SET requirepass right").await;
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
    async fn whatever_else_keeps_a_node_from_redis_is_named() {
        let redis = Redis::start().await;
        let address = redis.url.strip_prefix("redis://").unwrap().to_owned();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        reason(&format!("redis://{free}"), &["refused"]).await;
        reason("redis://nowhere.invalid:6379", &["host is not known"]).await;
        reason(&format!("redis-cluster://{address}"), &["not a cluster", "redis://"]).await;
        reason(&format!("rediss://{address}"), &["does not answer", "for a Redis that speaks TLS"]).await;
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
            _ = reason(&there, &["does not speak as a Redis"]) => {}
            () = web => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_is_logged_once_a_minute_at_most() {
        let trouble = Trouble::of("redis://host".to_owned());
        assert_eq!(trouble.reason(), None);
        let note = |details: &'static str| trouble.note(&Error::new(ErrorKind::Unknown, details));
        assert!(note("refused") && note("LOADING") && !note("refused") && !note("LOADING"));
        trouble.over();
        assert_eq!(trouble.reason(), None);
        assert!(!note("refused"), "it comes and goes");
        tokio::time::advance(SELDOM).await;
        assert!(note("refused"));
        let logged = (0..3 * REASONS).filter(|n| trouble.note(&Error::new(ErrorKind::IO, format!("{n}")))).count();
        assert_eq!(logged, REASONS - 1, "a minute has room for so many");
        for (details, says) in [
            ("MOVED 1 host:1", "it is a cluster"),
            ("CLUSTERDOWN Hash slot not served", "down"),
            ("ERR unknown command 'SPUBLISH'", "older than Redis 7"),
            ("NOPERM no permissions", "may not"),
        ] {
            note(details);
            assert!(trouble.reason().unwrap().contains(says), "{details}");
        }
    }
}
