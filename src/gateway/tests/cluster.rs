//! Two nodes over a real Redis Cluster: every channel works, and a master that has a replica can be
//! lost.
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::testing::{Node, Socket, TEST_TIMEOUT, eventually};

/// The slots of each master.
const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

/// Three masters that share the slots, and a replica of the last one.
struct Cluster {
    folder: PathBuf,
    /// For each server, its port and its port for the other servers.
    ports: Vec<[u16; 2]>,
    children: Vec<Child>,
}

impl Cluster {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("maju-cluster-{}", Uuid::new_v4()));
        let mut free = Vec::new();
        for _ in 0..8 {
            free.push(TcpListener::bind("127.0.0.1:0").await.unwrap()); // kept open until all are known
        }
        let port = |at: usize| free[at].local_addr().unwrap().port();
        let ports: Vec<_> = (0..4).map(|at| [port(2 * at), port(2 * at + 1)]).collect();
        drop(free);
        let mut cluster = Self { folder, ports, children: Vec::new() };
        for at in 0..4 {
            let child = cluster.launch(at);
            cluster.children.push(child);
            eventually("Redis answers", || async { cluster.ask(at, "PING").await.starts_with("+PONG") }).await;
            if let Some(slots) = SLOTS.get(at) {
                cluster.must(at, &format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
                cluster.must(at, &format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1)).await;
            }
            let [port, bus] = cluster.ports[0];
            cluster.must(at, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await;
        }
        cluster.wait_until_complete().await;
        let last = cluster.ask(2, "CLUSTER MYID").await;
        let replicate = format!("CLUSTER REPLICATE {}", last.lines().nth(1).unwrap());
        eventually("the replica knows its master", || async { cluster.ask(3, &replicate).await.starts_with("+OK") })
            .await;
        eventually("the replica follows", || async {
            cluster.ask(3, "INFO replication").await.contains("master_link_status:up")
        })
        .await;
        cluster
    }

    fn launch(&self, at: usize) -> Child {
        let folder = self.folder.join(at.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let [port, bus] = self.ports[at].map(|port| port.to_string());
        let started = ["redis-server", "valkey-server"].iter().find_map(|program| {
            Command::new(program)
                .args(["--port", &port, "--cluster-port", &bus, "--bind", "127.0.0.1", "--save", ""])
                .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
                .arg("--dir")
                .arg(&folder)
                .stdout(Stdio::null())
                .spawn()
                .ok()
        });
        started.expect("tests of several nodes need redis-server or valkey-server: run `make needs`")
    }

    /// Sends a command to a server and returns the reply. Empty if it does not reply.
    async fn ask(&self, at: usize, line: &str) -> String {
        let asking = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.ports[at][0])).await.ok()?;
            stream.write_all(format!("{line}\r\n").as_bytes()).await.ok()?;
            let mut bytes = [0; 2048];
            let count = stream.read(&mut bytes).await.ok()?;
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        };
        timeout(TEST_TIMEOUT, asking).await.ok().flatten().unwrap_or_default()
    }

    async fn must(&self, at: usize, line: &str) {
        let reply = self.ask(at, line).await;
        assert!(reply.starts_with("+OK"), "{line}: {reply}");
    }

    /// Waits until each server knows that all slots are served.
    async fn wait_until_complete(&self) {
        for at in 0..4 {
            eventually("the cluster is complete", || async {
                let info = self.ask(at, "CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
    }

    fn kill(&mut self, at: usize) {
        self.children[at].kill().unwrap();
        self.children[at].wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until ephemeral frames, which are in no log, reach the other node in every room.
async fn wait_until_all_cross(a: &mut Socket, b: &mut Socket, rooms: &[String]) {
    let until = Instant::now() + TEST_TIMEOUT;
    let mut missing = rooms.to_vec();
    while let Some(room) = missing.last() {
        assert!(Instant::now() < until, "these never crossed: {missing:?} of {rooms:?}");
        a.ok(json!({"type": "typing", "room": room})).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        b.ok(json!({"type": "ping"})).await;
        if b.events.iter().any(|event| event["type"] == "typing" && event["room"] == **room) {
            missing.pop();
        }
        b.events.retain(|event| event["type"] != "typing");
    }
}

#[tokio::test]
async fn a_cluster_carries_every_channel_and_can_lose_a_master() {
    let mut cluster = Cluster::start().await;
    let url = format!("redis-cluster://127.0.0.1:{}", cluster.ports[0][0]);
    let first = Node::over_redis(&url, None).await;
    let second = Node::over_redis(&url, Some(&first)).await;
    let guests = [first.guest("ko").await, second.guest("en").await];
    let (mut a, mut b) = (first.socket(&guests[0]).await, second.socket(&guests[1]).await);
    // Consecutive rooms have consecutive channels: these use all eight, and all three masters.
    let mut rooms = Vec::new();
    for at in 0..8 {
        let body = json!({"title": format!("Room {at}"), "kind": "public", "naming": "anonymous", "history": true});
        let room = first.ask(Some(&guests[0]), Method::POST, "/api/v1/rooms", Some(body)).await.json();
        let room = room["id"].as_str().unwrap().to_owned();
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        }
        rooms.push(room);
    }
    wait_until_all_cross(&mut a, &mut b, &rooms).await;
    for room in &rooms {
        a.text(room, "one").await;
        assert_eq!(b.event("message").await["room"], **room);
    }
    // A master is lost: until its replica has taken over, entries are still acknowledged and
    // delivered.
    cluster.kill(2);
    for room in &rooms {
        a.text(room, "two").await;
        let received = b.event("message").await;
        assert_eq!((&received["room"], &received["seq"]), (&json!(room), &json!(2)));
    }
    wait_until_all_cross(&mut a, &mut b, &rooms).await;
    for room in &rooms {
        a.text(room, "three").await;
        assert_eq!(b.event("message").await["seq"], 3);
    }
}
