//! Tests of the accept loop with real connections and short time limits.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::http::accept::Server;
use crate::http::connection_limit::{ConnectionLimit, MaxPending};
use crate::http::socket::Timeouts;
use crate::tasks::Tasks;

struct Fixture {
    tasks: Tasks,
    address: SocketAddr,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.tasks.draining.cancel();
        self.tasks.stopping.cancel();
    }
}

async fn server(max_open: usize, max_per_prefix: Option<usize>, timeouts: Timeouts) -> Fixture {
    let limit = ConnectionLimit::with_limits(max_open, max_per_prefix, MaxPending::default(), Vec::new());
    server_with(limit, timeouts).await
}

async fn server_with(connection_limit: Arc<ConnectionLimit>, timeouts: Timeouts) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(2)).await }));
    let tasks = Tasks::default();
    let listener = Arc::new(Mutex::new(Some(Arc::new(listener))));
    tasks.spawn("server", Server { tasks: tasks.clone(), router, connection_limit, timeouts, listener }.run());
    Fixture { tasks, address }
}

fn short() -> Timeouts {
    let moment = Duration::from_millis(200);
    Timeouts { first_byte: moment, head: moment, idle: moment, slow_response: moment, ..Timeouts::default() }
}

/// Reads until the server closes the connection. The time limit is generous: tests only check that
/// it closes.
async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut received)).await;
    let _ = read.expect("the connection stayed open"); // a reset closes it as well
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn silent_connections_and_incomplete_heads_are_closed() {
    let server = server(100, None, short()).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_close(&mut silent).await, "");
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let received = read_to_close(&mut slow).await;
    assert!(received.is_empty() || received.starts_with("HTTP/1.1 4"), "{received}");
    // Sending a byte from time to time does not extend the limit.
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    let is_closed = async {
        for byte in b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if dripping.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(is_closed.await, "a head that came byte by byte was read to its end");
}

#[tokio::test]
async fn a_request_in_progress_is_finished_and_an_idle_connection_is_closed() {
    let server = server(100, None, short()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let received = read_to_close(&mut stream).await;
    assert!(received.starts_with("HTTP/1.1 200"), "{received}");
}

#[tokio::test]
async fn above_the_limit_of_connections_the_answer_is_503() {
    let server = server(2, None, Timeouts::default()).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    third.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let received = read_to_close(&mut third).await;
    assert!(received.starts_with("HTTP/1.1 503") && received.contains("\"code\":\"unavailable\""), "{received}");
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(announced.parse::<usize>().unwrap(), body.len());
    serde_json::from_str::<serde_json::Value>(body).unwrap();
}

#[tokio::test]
async fn one_prefix_cannot_use_every_connection() {
    let server = server(100, Some(1), Timeouts::default()).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut second).await.starts_with("HTTP/1.1 503"));
    drop(first);
    crate::testing::eventually("the connection's place is free again", || async {
        let mut again = TcpStream::connect(server.address).await.unwrap();
        again.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        read_to_close(&mut again).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

/// Limits with `max_open` connections in all, and `per_address` of them pending.
fn limits(max_open: usize, per_address: usize) -> Arc<ConnectionLimit> {
    let max_pending = MaxPending { per_address, per_prefix: 100 };
    ConnectionLimit::with_limits(max_open, Some(max_open), max_pending, Vec::new())
}

const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n";

/// Opens a connection and sends half a head.
async fn connect_pending(server: &Fixture) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(HALF_HEAD).await.unwrap();
    stream
}

/// Sends a complete request from a loopback address.
async fn request_from(server: &Fixture, address: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    read_to_close(&mut stream).await
}

#[tokio::test]
async fn half_requests_do_not_use_up_the_places_of_whole_ones() {
    let server = server(18_000, Some(512), Timeouts::default()).await;
    let mut held = Vec::new();
    for nth in 0..512 {
        held.push(if nth % 2 == 0 {
            connect_pending(&server).await
        } else {
            TcpStream::connect(server.address).await.unwrap()
        });
    }
    for address in ["127.0.0.2", "127.0.0.1"] {
        for _ in 0..10 {
            let received = request_from(&server, address).await;
            assert!(received.starts_with("HTTP/1.1 200"), "{address}: {received}");
        }
    }
}

#[tokio::test]
async fn the_oldest_half_request_is_dropped_and_the_newer_ones_may_be_finished() {
    let server = server_with(limits(100, 2), Timeouts::default()).await;
    let mut oldest = connect_pending(&server).await;
    let (mut second, mut third) = (connect_pending(&server).await, connect_pending(&server).await);
    assert_eq!(read_to_close(&mut oldest).await, "");
    for stream in [&mut second, &mut third] {
        stream.write_all(b"connection: close\r\n\r\n").await.unwrap();
        assert!(read_to_close(stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn half_requests_of_a_whole_network_leave_room_for_whole_ones() {
    // Incomplete requests of one prefix fill the node.
    let server = server_with(limits(4, 100), Timeouts::default()).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(connect_pending(&server).await);
    }
    assert!(request_from(&server, "127.0.0.2").await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_close(&mut held[0]).await, "");
}

#[tokio::test]
async fn a_draining_node_finishes_its_requests() {
    let server = server(100, None, Timeouts::default()).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    server.tasks.draining.cancel();
    assert!(read_to_close(&mut busy).await.starts_with("HTTP/1.1 200"));
    read_to_close(&mut idle).await;
    assert!(server.tasks.wait_for_all(Duration::from_secs(20)).await, "the accept loop did not end by itself");
    assert!(TcpStream::connect(server.address).await.is_err(), "a new connection was accepted");
}

#[tokio::test]
async fn an_answered_client_that_still_sends_is_not_reset() {
    let server = server(100, None, Timeouts::default()).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The later requests are never answered, because the first one closes the connection.
        let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(request.as_bytes()).await.expect("the server reads on");
        }
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("the connection was reset");
        assert!(received.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&received));
    }
}
