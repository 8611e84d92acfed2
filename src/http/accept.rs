//! The accept loop: lets connections in, watches their time, and ends them in order when the node stops.
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::gate::{Gate, Permit};
use super::socket::{Phase, SharedPhase, Socket, Timeouts};
use crate::error::problem;
use crate::tasks::Tasks;

/// How long accepting rests after a failure that will not pass by itself (no file left, no memory).
const BACK_OFF: Duration = Duration::from_millis(100);
/// A log line about failing to accept comes at most this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// Bytes of a request's head, cookies and all; a longer one is answered 431.
const HEAD_BYTES: usize = 16 * 1024;
/// Bytes read ahead on a connection.
const BUFFER: usize = 32 * 1024;
/// Refusals that are said politely at a time; past that, connections are just closed.
const REFUSALS: usize = 64;
/// Said where there is no room, without a router.
const FULL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: application/problem+json\r\n",
    "cache-control: no-store\r\nconnection: close\r\ncontent-length: 159\r\n\r\n",
    r#"{"type":"about:blank#unavailable","title":"Service Unavailable","status":503,"code":"unavailable","#,
    r#""detail":"We are full for the moment.","retry_after_ms":5000}"#,
);

/// A connection as hyper drives it.
type Connection<'a, S> = Pin<&'a mut http1::UpgradeableConnection<TokioIo<Socket>, S>>;

/// What every connection of a listener shares.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) tasks: Tasks,
    pub(super) router: Router,
    pub(super) gate: Arc<Gate>,
    pub(super) timeouts: Timeouts,
    /// `None` once the node has drained: new connections are refused from then on. Kept here, it outlives a panic.
    pub(super) listener: Arc<Mutex<Option<Arc<TcpListener>>>>,
}

impl Server {
    /// Accepts until the node drains, then waits for the requests in hand until the node stops. Never fails.
    pub(super) async fn run(self) {
        let connections = TaskTracker::new();
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            self.accept(&listener, &connections).await;
        }
        self.listener.lock().take();
        connections.close();
        tokio::select! {
            () = connections.wait() => {}
            () = self.tasks.stopping.cancelled() => {}
        }
    }

    async fn accept(&self, listener: &TcpListener, connections: &TaskTracker) {
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        // Who has knocked already is let in: closing the listener would reset them.
        let mut last_call = pin!(async {
            self.tasks.draining.cancelled().await;
            let _ = timeout(self.timeouts.last_call, self.tasks.stopping.cancelled()).await;
        });
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                // Before the last call's end: whoever is in the queue by then would be reset.
                accepted = listener.accept() => accepted,
                () = &mut last_call => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, connections, &refusals),
                Err(why) if is_of_one_connection(&why) => {}
                Err(why) => {
                    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!(error.cause = %why, "cannot accept connections; trying on");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, connections: &TaskTracker, refusals: &Arc<Semaphore>) {
        // It fails on a connection that is gone already, which shows soon enough.
        let _ = stream.set_nodelay(true);
        if let Some((permit, evicted)) = self.gate.enter(peer) {
            let served = self.clone().serve(stream, peer, permit, evicted);
            self.tasks.spawn("http.connection", connections.track_future(served));
        } else if let Ok(turn) = refusals.clone().try_acquire_owned() {
            let limit = self.timeouts.refusal;
            self.tasks.spawn("http.refusal", async move {
                let _ = timeout(limit, refuse(stream)).await;
                drop(turn);
            });
        }
    }

    /// One connection, until it is closed or upgraded.
    async fn serve(self, stream: TcpStream, peer: SocketAddr, permit: Arc<Permit>, evicted: Arc<Notify>) {
        let phase = SharedPhase::new();
        let (router, serving, draining) = (self.router, phase.clone(), self.tasks.draining.clone());
        let place = permit.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            serving.set(Phase::Busy);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = place.has_sent_a_head().then(|| router.clone().call(request.map(Body::new)));
            let (serving, draining) = (serving.clone(), draining.clone());
            async move {
                let mut answer = match answer {
                    Some(answer) => {
                        let Ok(answer): Result<_, Infallible> = answer.await;
                        answer
                    }
                    None => full(),
                };
                // An upgrade leaves HTTP's clock for good.
                if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
                    serving.set(Phase::Answered(Instant::now()));
                    if draining.is_cancelled() {
                        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let socket = TokioIo::new(Socket::new(stream, phase.clone(), permit, self.tasks.clone()));
        // The watch below tells a head that dawdles from a connection that idles; hyper's timer cannot, and stands
        // behind it.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.idle + self.timeouts.head)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(BUFFER)
            .serve_connection(socket, service)
            .with_upgrades();
        let connection = pin!(connection);
        tokio::select! {
            () = watch(connection, &phase, &self.timeouts, &self.tasks) => {}
            () = evicted.notified() => {}
            () = self.tasks.stopping.cancelled() => {}
        }
    }
}

/// The answer to a request whose address prefix has no place left.
fn full() -> Response {
    let why = "We are full for the moment.".to_owned();
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why, None, Some(5_000));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Drives a connection and ends it when it takes too long. A node that drains ends it after the request in hand.
async fn watch<S>(mut connection: Connection<'_, S>, phase: &SharedPhase, limits: &Timeouts, tasks: &Tasks)
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    S::Future: Send,
{
    let mut timer = pin!(sleep(limits.first_byte));
    let mut draining = pin!(tasks.draining.cancelled());
    // Since when the node drains; whether the connection has been asked to end; whether its idle time was why.
    let mut drained: Option<Instant> = None;
    let (mut ended, mut retired) = (false, false);
    poll_fn(|cx| {
        if drained.is_none() && draining.as_mut().poll(cx).is_ready() {
            drained = Some(Instant::now());
        }
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Between two requests only: hyper would turn an upgrade that is in hand into a plain answer.
            if drained.is_some() && !ended && matches!(phase.get(), Phase::Answered(_)) {
                ended = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            // The poll above may have changed the phase, in this same task: nobody else has to wake us for it.
            let phase = phase.get();
            let deadline = match phase {
                Phase::Silent(since) => {
                    let deadline = since + limits.first_byte;
                    drained.map_or(deadline, |asked| deadline.min(asked + limits.last_call))
                }
                Phase::Head(since) => since + limits.head,
                Phase::Busy => return Poll::Pending,
                Phase::Answered(since) if retired => since + limits.idle + limits.slow_answer,
                Phase::Answered(since) => since + limits.idle,
            };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if retired || !matches!(phase, Phase::Answered(_)) {
                return Poll::Ready(());
            }
            retired = true;
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
}

/// Says that there is no room, then reads what the client still sends: closing at once would reset the answer away.
async fn refuse(mut stream: TcpStream) {
    let mut scrap = [0; 2048];
    let _ = stream.read(&mut scrap).await;
    if stream.write_all(FULL.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
    }
}

/// Whether a failure to accept says something about that one connection only.
fn is_of_one_connection(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
