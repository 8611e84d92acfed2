//! A world of its own: two nodes on one data folder, a real Redis, and proxies between all of them.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::http::{self, To};
use crate::proxy::Proxy;

/// A node's process: there, or not wanted now.
#[derive(Default)]
struct Process {
    child: Option<Child>,
    /// The supervisor starts it again when it ended by itself.
    wanted: bool,
    /// Whether it was ready since its start: an end before that is a start that failed.
    was_ready: bool,
}

/// A node and the ways to it.
pub struct Node {
    pub port: u16,
    /// What clients connect to.
    pub door: Proxy,
    /// What it connects to for Redis.
    pub link: Proxy,
    process: Mutex<Process>,
}

/// Everything that runs.
pub struct World {
    pub folder: PathBuf,
    bin: PathBuf,
    pub nodes: [Node; 2],
    redis_port: u16,
    redis: Mutex<Option<Child>>,
}

/// How a node that was wanted ended by itself.
pub struct Ended {
    pub node: usize,
    pub status: ExitStatus,
    pub was_ready: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal to one process, known by its id. Answers whether it was there.
pub fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: a plain system call on numbers.
    pid > 1 && unsafe { libc::kill(pid, signal) } == 0
}

/// Ports below the range of outgoing connections, so that nobody's client takes one while its server is down.
fn free_ports(count: usize) -> Vec<u16> {
    let mut ports = Vec::new();
    let mut port = 20_000 + (std::process::id() % 600) as u16 * 16;
    while ports.len() < count {
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
        port += 1;
    }
    ports
}

/// Starts a program that ends with us and writes to a log.
fn launch(command: &mut Command, log: &Path) -> Child {
    let log: File = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn().expect("a program to start")
}

impl World {
    /// Makes the folder and the proxies, and starts Redis and both nodes. Answers when both are ready.
    pub async fn start(bin: PathBuf) -> Self {
        let folder = std::env::temp_dir().join(format!("maju-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        // Postgres may run as another user: it must be able to reach its folder.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a folder");
        let ports = free_ports(7);
        let redis_port = ports[6];
        let mut nodes = Vec::new();
        for ports in ports[..6].chunks(3) {
            nodes.push(Node {
                port: ports[0],
                door: Proxy::start(ports[1], ports[0]).await,
                link: Proxy::start(ports[2], redis_port).await,
                process: Mutex::default(),
            });
        }
        let nodes = <[Node; 2]>::try_from(nodes).ok().expect("two nodes");
        let world = Self { folder, bin, nodes, redis_port, redis: Mutex::default() };
        world.start_redis().await;
        for node in 0..2 {
            world.start_node(node);
            assert!(
                world.ready_within(node, Duration::from_secs(60)).await,
                "node {} did not start: {}",
                node + 1,
                world.folder.display()
            );
        }
        world
    }

    /// Where the private Postgres's socket is.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("data/run")
    }

    /// Whom a request through a node's door is for.
    pub fn to<'a>(&self, node: usize, cookie: &'a str) -> To<'a> {
        To { door: self.nodes[node].door.port, port: self.nodes[node].port, cookie }
    }

    pub fn start_node(&self, node: usize) {
        let place = &self.nodes[node];
        let mut command = Command::new(&self.bin);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MAJU_LOG_FILTER", "info,maju=debug");
        command.args(["serve", "--limits", "off", "--log", "json", "--listen", &format!("127.0.0.1:{}", place.port)]);
        command.arg("--data-dir").arg(self.folder.join("data"));
        command.args(["--redis-url", &format!("redis://127.0.0.1:{}", place.link.port)]);
        let child = launch(&mut command, &self.folder.join(format!("node{}.log", node + 1)));
        *lock(&place.process) = Process { child: Some(child), wanted: true, was_ready: false };
    }

    /// A node's process id while it runs.
    pub fn pid(&self, node: usize) -> Option<i32> {
        lock(&self.nodes[node].process).child.as_ref().map(|child| child.id() as i32)
    }

    /// As `kill -9` does it.
    pub fn kill_node(&self, node: usize) {
        let mut process = lock(&self.nodes[node].process);
        process.wanted = false;
        if let Some(mut child) = process.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks a node to stop and waits for its end; `None` when it did not end in time (it is killed then).
    pub async fn stop_node(&self, node: usize, within: Duration) -> Option<ExitStatus> {
        let pid = {
            let mut process = lock(&self.nodes[node].process);
            process.wanted = false;
            process.child.as_ref()?.id() as i32
        };
        signal(pid, libc::SIGTERM);
        let until = Instant::now() + within;
        while Instant::now() < until {
            {
                let mut process = lock(&self.nodes[node].process);
                if let Some(Ok(Some(status))) = process.child.as_mut().map(Child::try_wait) {
                    process.child = None;
                    return Some(status);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.kill_node(node);
        None
    }

    /// Starts again the nodes that ended though they were wanted, and says which.
    pub async fn supervise(&self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for node in 0..2 {
            let found = {
                let mut process = lock(&self.nodes[node].process);
                let was_ready = process.was_ready;
                let status = process.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                status.filter(|_| process.wanted).map(|status| Ended { node, status, was_ready })
            };
            if let Some(found) = found {
                ended.push(found);
                self.start_node(node);
            } else if !lock(&self.nodes[node].process).was_ready && self.is_ready(node).await {
                lock(&self.nodes[node].process).was_ready = true;
            }
        }
        ended
    }

    /// Whether a node says that it is ready.
    pub async fn is_ready(&self, node: usize) -> bool {
        let to = To { door: self.nodes[node].port, port: self.nodes[node].port, cookie: "" };
        let answer = timeout(Duration::from_secs(1), http::ask(to, "GET", "/readyz", None)).await;
        answer.ok().flatten().is_some_and(|answer| answer.status == 200)
    }

    pub async fn ready_within(&self, node: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if self.is_ready(node).await {
                lock(&self.nodes[node].process).was_ready = true;
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Starts Redis, empty, and waits until it answers.
    pub async fn start_redis(&self) {
        let port = self.redis_port.to_string();
        let found = ["redis-server", "valkey-server"].into_iter().find(|program| {
            Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        let mut command = Command::new(found.expect("redis-server or valkey-server"));
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(&self.folder);
        let child = launch(&mut command, &self.folder.join("redis.log"));
        *lock(&self.redis) = Some(child);
        for _ in 0..200 {
            if self.redis_says("PING").await.is_some_and(|said| said.starts_with("+PONG")) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("Redis did not start");
    }

    pub fn redis_pid(&self) -> Option<i32> {
        lock(&self.redis).as_ref().map(|child| child.id() as i32)
    }

    pub fn kill_redis(&self) {
        if let Some(mut child) = lock(&self.redis).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Says a word to Redis itself, past the proxies.
    pub async fn redis_says(&self, word: &str) -> Option<String> {
        let talk = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.redis_port)).await.ok()?;
            stream.write_all(format!("{word}\r\n").as_bytes()).await.ok()?;
            let mut bytes = [0; 64];
            let count = stream.read(&mut bytes).await.ok()?;
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        };
        timeout(Duration::from_secs(1), talk).await.ok().flatten()
    }

    /// The postmaster's process id, while it runs.
    pub fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.folder.join("data/pg/postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        // The file outlives a `kill -9`, and ids are used again: only a process of this data folder counts.
        let place = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        (place == self.folder.join("data/pg")).then_some(pid)
    }

    /// The postmaster's children whose title holds a word: all for an empty one.
    pub fn backends(&self, title: &str) -> Vec<i32> {
        let Some(postmaster) = self.postmaster() else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut found: Vec<i32> = pids
            .filter(|pid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                parent == Some(postmaster) && String::from_utf8_lossy(&line).contains(title)
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// Lines of the nodes' logs that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        let logs = (1..=2).filter_map(|node| std::fs::read_to_string(self.folder.join(format!("node{node}.log"))).ok());
        logs.flat_map(|log| {
            log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Ends everything: nodes in order, then whatever is left.
    pub async fn end(&self) {
        // The sharer first: the owner takes Postgres with it.
        for node in [1, 0] {
            let _ = self.stop_node(node, Duration::from_secs(10)).await;
        }
        self.kill_redis();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for node in 0..2 {
            self.kill_node(node);
        }
        self.kill_redis();
    }
}
