//! The accept loop: admits connections, limits their time, and closes them when the node drains.
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
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::LongResponse;
use super::connection_limit::{Admitted, ConnectionLimit};
use super::limits;
use super::socket::{Phase, SharedPhase, Socket, Timeouts};
use crate::error::{Problem, problem};
use crate::tasks::Tasks;

/// Pause after a failure to accept that does not end by itself (no file descriptor or memory left).
const BACK_OFF: Duration = Duration::from_millis(100);
/// Minimum time between two log lines about failures to accept.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes read ahead on a connection.
const READ_BUFFER_BYTES: usize = 32 * 1024;
/// Connections that are refused with a response at a time; above that, connections are closed.
const MAX_REFUSALS: usize = 64;
/// The error text where there is no room for a connection.
const FULL: &str = "The server has no room for another connection. Try again in a few seconds.";

/// A connection as hyper drives it.
type Connection<'a, S> = Pin<&'a mut http1::UpgradeableConnection<TokioIo<Socket>, S>>;

/// What every connection of a listener shares.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) tasks: Tasks,
    pub(super) router: Router,
    pub(super) connection_limit: Arc<ConnectionLimit>,
    pub(super) timeouts: Timeouts,
    /// `None` once the node has drained: new connections are refused from then on. It is kept here
    /// to survive a panic of the accept loop.
    pub(super) listener: Arc<Mutex<Option<Arc<TcpListener>>>>,
}

impl Server {
    /// Accepts connections until the node drains, then waits for the requests in progress until the
    /// node stops. Never fails.
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
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        // Connections in the listener's queue are still accepted: closing the listener would reset
        // them.
        let mut drained = pin!(async {
            self.tasks.draining.cancelled().await;
            let _ = timeout(self.timeouts.drain_grace, self.tasks.stopping.cancelled()).await;
        });
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                // First, so that connections which are in the queue by then are not reset.
                accepted = listener.accept() => accepted,
                () = &mut drained => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, connections, &refusals),
                Err(why) if concerns_one_connection(&why) => {}
                Err(why) => {
                    if warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
                        warned = Some(Instant::now());
                        tracing::warn!(error.cause = %why, "cannot accept connections, retrying");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, connections: &TaskTracker, refusals: &Arc<Semaphore>) {
        // This fails on a connection that is gone already; the first read will fail as well.
        let _ = stream.set_nodelay(true);
        if let Some(admitted) = self.connection_limit.admit(peer) {
            let served = self.clone().serve(stream, peer, admitted);
            self.tasks.spawn("http.connection", connections.track_future(served));
        } else if let Ok(refusal) = refusals.clone().try_acquire_owned() {
            let limit = self.timeouts.refusal;
            self.tasks.spawn("http.refusal", async move {
                let _ = timeout(limit, refuse(stream)).await;
                drop(refusal);
            });
        }
    }

    /// Serves one connection until it is closed or upgraded.
    async fn serve(self, stream: TcpStream, peer: SocketAddr, admitted: Admitted) {
        let Admitted { permit, evicted } = admitted;
        let phase = SharedPhase::new();
        let (router, serving, draining) = (self.router, phase.clone(), self.tasks.draining.clone());
        let request_permit = permit.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            serving.set(Phase::Busy);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = request_permit.confirm().then(|| router.clone().call(request.map(Body::new)));
            let (serving, draining) = (serving.clone(), draining.clone());
            async move {
                let mut response = match response {
                    Some(response) => {
                        let Ok(response): Result<_, Infallible> = response.await;
                        response
                    }
                    None => full(),
                };
                // HTTP's time limits end with an upgrade, and with a response that is meant to last.
                let is_long = response.extensions().get::<LongResponse>().is_some();
                if response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS && !is_long {
                    serving.set(Phase::Answered(Instant::now()));
                    if draining.is_cancelled() {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                }
                Ok::<_, Infallible>(response)
            }
        });
        let socket = TokioIo::new(Socket::new(stream, phase.clone(), permit, self.tasks.clone()));
        // `drive` tells a slow head from an idle connection. hyper's timer cannot, and is the
        // second line of defence.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.idle + self.timeouts.head)
            .max_header_size(limits::MAX_HEAD_BYTES)
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(socket, service)
            .with_upgrades();
        let connection = pin!(connection);
        tokio::select! {
            () = drive(connection, &phase, &self.timeouts, &self.tasks) => {}
            () = evicted.notified() => {}
            () = self.tasks.stopping.cancelled() => {}
        }
    }
}

/// Returns the response to a request whose address prefix has no place left.
fn full() -> Response {
    let retry_after_ms = limits::FULL_RETRY_AFTER.as_millis() as u64;
    let mut response =
        problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", FULL.to_owned(), None, Some(retry_after_ms));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Returns the same response as bytes, for connections that are refused before the router.
fn full_bytes() -> String {
    let (status, retry_after) = (StatusCode::SERVICE_UNAVAILABLE, limits::FULL_RETRY_AFTER);
    let problem = Problem::new(status, "unavailable", FULL.to_owned(), None, Some(retry_after.as_millis() as u64));
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 {status}\r\nretry-after: {}\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        retry_after.as_secs(),
        body.len()
    )
}

/// Drives a connection, and closes it when it takes too long. A draining node closes it after its
/// current request.
async fn drive<S>(mut connection: Connection<'_, S>, phase: &SharedPhase, timeouts: &Timeouts, tasks: &Tasks)
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    S::Future: Send,
{
    let mut timer = pin!(sleep(timeouts.first_byte));
    let mut draining = pin!(tasks.draining.cancelled());
    // Since when the node drains.
    let mut draining_since: Option<Instant> = None;
    // Whether hyper was asked to close the connection because the node drains, or because it idles.
    let (mut closed_by_drain, mut closed_by_idling) = (false, false);
    poll_fn(|cx| {
        if draining_since.is_none() && draining.as_mut().poll(cx).is_ready() {
            draining_since = Some(Instant::now());
        }
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Between two requests only: hyper would turn an upgrade in progress into a plain
            // response.
            if draining_since.is_some() && !closed_by_drain && matches!(phase.get(), Phase::Answered(_)) {
                closed_by_drain = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            // The poll above can change the phase. That happens in this task, so no waker is
            // needed.
            let phase = phase.get();
            let deadline = match phase {
                Phase::Silent(since) => {
                    let deadline = since + timeouts.first_byte;
                    draining_since.map_or(deadline, |began| deadline.min(began + timeouts.drain_grace))
                }
                Phase::Head(since) => since + timeouts.head,
                Phase::Busy => return Poll::Pending,
                Phase::Answered(since) if closed_by_idling => since + timeouts.idle + timeouts.slow_response,
                Phase::Answered(since) => since + timeouts.idle,
            };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if closed_by_idling || !matches!(phase, Phase::Answered(_)) {
                return Poll::Ready(());
            }
            closed_by_idling = true;
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
}

/// Sends the refusal, then reads what the client still sends: closing at once would reset the
/// connection, and the client would lose the refusal.
async fn refuse(mut stream: TcpStream) {
    let mut discarded = [0; 2048];
    let _ = stream.read(&mut discarded).await;
    if stream.write_all(full_bytes().as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    }
}

/// Returns `true` if a failure to accept concerns that one connection only.
fn concerns_one_connection(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
