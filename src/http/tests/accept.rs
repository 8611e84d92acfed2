//! The accept loop against real connections, with short limits.
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
use crate::http::gate::Gate;
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

async fn server(most: usize, per_prefix: Option<usize>, timeouts: Timeouts) -> Fixture {
    server_at(Gate::with_caps(most, per_prefix, Vec::new()), timeouts).await
}

async fn server_at(gate: Arc<Gate>, timeouts: Timeouts) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(2)).await }));
    let tasks = Tasks::default();
    let listener = Arc::new(Mutex::new(Some(Arc::new(listener))));
    tasks.spawn("server", Server { tasks: tasks.clone(), router, gate, timeouts, listener }.run());
    Fixture { tasks, address }
}

fn short() -> Timeouts {
    let moment = Duration::from_millis(200);
    Timeouts { first_byte: moment, head: moment, idle: moment, slow_answer: moment, ..Timeouts::default() }
}

/// Everything until the server closes. The bound is generous: what is tested is that it closes at all.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection stayed open"); // a reset is an end too
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_says_nothing_or_half_a_head_is_dropped() {
    let server = server(100, None, short()).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut dawdler = TcpStream::connect(server.address).await.unwrap();
    dawdler.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let said = rest(&mut dawdler).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    // A byte now and then does not buy more time.
    let mut dripper = TcpStream::connect(server.address).await.unwrap();
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if dripper.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(dripping.await, "a dripping head was read to its end");
}

#[tokio::test]
async fn a_request_in_hand_is_not_cut_off_and_an_idle_connection_ends() {
    let server = server(100, None, short()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn past_the_caps_the_answer_is_503() {
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
    let said = rest(&mut third).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"code\":\"unavailable\""), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(announced.parse::<usize>().unwrap(), body.len());
    serde_json::from_str::<serde_json::Value>(body).unwrap();
}

#[tokio::test]
async fn one_prefix_cannot_take_every_place() {
    let server = server(100, Some(1), Timeouts::default()).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 503"));
    drop(first);
    crate::testing::eventually("the place is free again", || async {
        let mut again = TcpStream::connect(server.address).await.unwrap();
        again.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        rest(&mut again).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

const HALF: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n";

/// A connection that has sent half a head.
async fn half(server: &Fixture) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(HALF).await.unwrap();
    stream
}

/// A whole request from an address of this machine's own network.
async fn asked_from(server: &Fixture, address: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn half_requests_do_not_use_up_the_places_of_whole_ones() {
    let server = server(18_000, Some(512), Timeouts::default()).await;
    let mut held = Vec::new();
    for nth in 0..512 {
        held.push(if nth % 2 == 0 { half(&server).await } else { TcpStream::connect(server.address).await.unwrap() });
    }
    for address in ["127.0.0.2", "127.0.0.1"] {
        for _ in 0..10 {
            let said = asked_from(&server, address).await;
            assert!(said.starts_with("HTTP/1.1 200"), "{address}: {said}");
        }
    }
}

#[tokio::test]
async fn the_oldest_half_request_is_dropped_and_the_newer_ones_may_be_finished() {
    let server = server_at(Arc::new(Gate::of(100, Some(100), (2, 100), Vec::new())), Timeouts::default()).await;
    let mut oldest = half(&server).await;
    let (mut second, mut third) = (half(&server).await, half(&server).await);
    assert_eq!(rest(&mut oldest).await, "");
    for stream in [&mut second, &mut third] {
        stream.write_all(b"connection: close\r\n\r\n").await.unwrap();
        assert!(rest(stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn half_requests_of_a_whole_network_leave_room_for_whole_ones() {
    // The node is full of half requests, of one prefix and of the limit's worth.
    let server = server_at(Arc::new(Gate::of(4, Some(4), (100, 100), Vec::new())), Timeouts::default()).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(half(&server).await);
    }
    assert!(asked_from(&server, "127.0.0.2").await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut held[0]).await, "");
}

#[tokio::test]
async fn a_node_that_drains_finishes_what_it_has_in_hand() {
    let server = server(100, None, Timeouts::default()).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    server.tasks.draining.cancel();
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200"));
    rest(&mut idle).await;
    assert!(server.tasks.wait_for_all(Duration::from_secs(20)).await, "the accept loop ended by itself");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody is let in any more");
}

#[tokio::test]
async fn who_was_answered_and_had_more_to_say_is_not_reset() {
    let server = server(100, None, Timeouts::default()).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The others are never answered: the first one asks for the end.
        let asked = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.unwrap();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(asked.as_bytes()).await.expect("somebody listens on");
        }
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("an end, not a reset");
        assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    }
}
