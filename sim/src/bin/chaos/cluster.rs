//! The cluster under test: two nodes, a Postgres, a real Redis, and proxies between all of them.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sim::sys::{SIGTERM, end_with_this_program, signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::clocks::Clocks;
use crate::http::{self, Endpoint};
use crate::postgres::{self, Postgres};
use crate::proxy::{Proxy, Target};
use crate::volume::Volume;

/// How long a node can take to recover after it was hung or cut off, before limits of time apply
/// again.
const RECOVERY_TIME: Duration = Duration::from_millis(1_500);

/// What a cluster consists of.
pub struct Setup {
    pub bin: PathBuf,
    /// If `true`, Postgres runs separately from the nodes, and each node reaches it through a proxy
    /// of its own. If `false`, the nodes share a data folder: one of them runs Postgres, and the
    /// other takes it over.
    pub aside: bool,
    /// Whether the data folder is on a small volume of its own, or why it cannot be.
    pub volume: Result<bool, String>,
    /// The nodes are one site behind a balancer.
    pub balanced: bool,
    /// Whether rate limits are on, with an address for each visitor.
    pub limits: bool,
    /// Whether the nodes' clocks can jump.
    pub clocks: bool,
}

/// A node's process.
#[derive(Default)]
struct Process {
    child: Option<Child>,
    /// `true` if the supervisor starts it again when it ends by itself.
    wanted: bool,
    /// When it became ready. If it ends before that, its start has failed.
    ready: Option<Instant>,
    /// `true` while it is stopped or cut off from its clients.
    disturbed: bool,
    /// When that last changed.
    disturbed_until: Option<Instant>,
}

/// A node and the ways to it.
pub struct Node {
    pub port: u16,
    /// Clients connect to this.
    pub client_proxy: Proxy,
    /// The node connects to this for Redis.
    pub redis_proxy: Proxy,
    /// The node connects to this for Postgres, where that runs separately.
    pub postgres_proxy: Proxy,
    process: Mutex<Process>,
}

/// All processes and proxies of a run.
pub struct Cluster {
    pub folder: PathBuf,
    setup: Setup,
    pub nodes: [Node; 2],
    pub balancer_port: u16,
    postgres: Option<Postgres>,
    /// The volume of the data folder, or why there is none.
    pub volume: Result<Volume, String>,
    /// The clocks of the nodes, or why they cannot jump.
    pub clocks: Result<Clocks, String>,
    redis_port: u16,
    redis: Mutex<Option<Child>>,
}

/// A node that ended by itself though it was wanted.
pub struct Ended {
    pub node: usize,
    pub status: ExitStatus,
    pub was_ready: bool,
}

/// Returns the process that started another one.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

/// Returns ports below the range of outgoing connections, so that no client takes one while its
/// server is down.
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

/// Lets an instrumented program write its coverage to the folder that was asked for, and nowhere
/// else.
pub fn keep_profile(command: &mut Command, folder: &Path) {
    command.current_dir(folder);
    if let Some(place) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", place);
    }
}

/// Starts a program that ends when this program ends, and that writes to a log.
pub fn launch(command: &mut Command, log: &Path) -> Child {
    let log: File = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    end_with_this_program(command);
    command.spawn().expect("a program to start")
}

impl Cluster {
    /// Makes the folder and the proxies, starts Redis, Postgres and both nodes, and returns when
    /// both nodes are ready.
    pub async fn start(setup: Setup) -> Self {
        let folder = std::env::temp_dir().join(format!("maju-chaos-{}", std::process::id()));
        // Postgres may run as another user, which must be able to reach its folder.
        for folder in [&folder, &folder.join("data")] {
            std::fs::create_dir_all(folder).expect("a folder");
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("a folder");
        }
        let volume = match &setup.volume {
            Ok(true) => Volume::mount(&folder.join("data")),
            Ok(false) => Err("no volume was asked for".to_owned()),
            Err(why) => Err(why.clone()),
        };
        let ports = free_ports(10);
        let (redis_port, balancer_port) = (ports[8], ports[9]);
        let socket = Target::Socket(folder.join("data/run/.s.PGSQL.5432"));
        let mut nodes = Vec::new();
        for ports in ports[..8].chunks(4) {
            nodes.push(Node {
                port: ports[0],
                client_proxy: Proxy::start(ports[1], Target::Port(ports[0])).await,
                redis_proxy: Proxy::start(ports[2], Target::Port(redis_port)).await,
                postgres_proxy: Proxy::start(ports[3], socket.clone()).await,
                process: Mutex::default(),
            });
        }
        let nodes = <[Node; 2]>::try_from(nodes).ok().expect("two nodes");
        let postgres = if setup.aside { Some(Postgres::start(&setup.bin, &folder).await) } else { None };
        let clocks = if setup.clocks { Clocks::find(&folder) } else { Err("no clock was asked for".to_owned()) };
        let redis = Mutex::default();
        let cluster = Self { folder, setup, nodes, balancer_port, postgres, volume, clocks, redis_port, redis };
        cluster.start_redis().await;
        for node in 0..2 {
            cluster.start_node(node);
            assert!(
                cluster.ready_within(node, Duration::from_secs(60)).await,
                "node {} did not start: {}",
                node + 1,
                cluster.folder.display()
            );
        }
        cluster
    }

    /// Returns `true` if Postgres runs separately from the nodes.
    pub fn is_aside(&self) -> bool {
        self.setup.aside
    }

    /// Returns `true` if a balancer chooses the node.
    pub fn is_balanced(&self) -> bool {
        self.setup.balanced
    }

    /// Starts Postgres again if it has ended and no node restarts it.
    pub fn restart_postgres(&self) {
        self.postgres.iter().for_each(Postgres::restart_if_ended);
    }

    /// Returns the folder of Postgres's socket.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("data/run")
    }

    /// Returns where to send a visitor's request to a node, through the proxy of its clients.
    pub fn endpoint<'a>(&self, node: usize, cookie: &'a str) -> Endpoint<'a> {
        if self.setup.balanced {
            return Endpoint { connect_port: self.balancer_port, port: self.balancer_port, cookie };
        }
        Endpoint { connect_port: self.nodes[node].client_proxy.port, port: self.nodes[node].port, cookie }
    }

    /// Returns the same without the proxy, which takes three files of this program for each socket.
    pub fn direct_endpoint<'a>(&self, node: usize, cookie: &'a str) -> Endpoint<'a> {
        Endpoint { connect_port: self.nodes[node].port, ..self.endpoint(node, cookie) }
    }

    pub fn start_node(&self, node: usize) {
        let place = &self.nodes[node];
        let mut command = Command::new(&self.setup.bin);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MAJU_LOG_FILTER", "info,maju=debug");
        keep_profile(&mut command, &self.folder);
        // Only for the node: it clears the environment of the Postgres that it starts.
        self.clocks.iter().for_each(|clocks| clocks.give(node, &mut command));
        command.args(["serve", "--log", "json", "--listen", &format!("127.0.0.1:{}", place.port)]);
        if self.setup.limits {
            command.args(["--trusted-proxies", "127.0.0.1/32"]);
        } else {
            command.args(["--limits", "off"]);
        }
        if self.setup.aside {
            let (role, port) = (postgres::ROLES[node], place.postgres_proxy.port);
            command.args(["--database-url", &format!("postgres://{role}@127.0.0.1:{port}/maju?sslmode=disable")]);
        } else {
            command.arg("--data-dir").arg(self.folder.join("data"));
        }
        if self.setup.balanced {
            command.args(["--public-url", &format!("http://localhost:{}", self.balancer_port)]);
        }
        command.args(["--redis-url", &format!("redis://127.0.0.1:{}", place.redis_proxy.port)]);
        let child = launch(&mut command, &self.folder.join(format!("node{}.log", node + 1)));
        *place.process.lock() = Process { child: Some(child), wanted: true, ..Process::default() };
    }

    /// Records that a node is hung or cut off from its clients, or no longer.
    pub fn set_disturbed(&self, node: usize, disturbed: bool) {
        let mut process = self.nodes[node].process.lock();
        process.disturbed = disturbed;
        process.disturbed_until = Some(Instant::now());
    }

    /// Returns `true` if nothing has been done to a node, or between it and its clients, since
    /// `since`.
    pub fn is_undisturbed(&self, node: usize, since: Instant) -> bool {
        let process = self.nodes[node].process.lock();
        let before = |at: Instant| at + RECOVERY_TIME <= since;
        process.wanted
            && !process.disturbed
            && process.ready.is_some_and(before)
            && process.disturbed_until.is_none_or(before)
    }

    /// Returns a node's process id. `None` if it does not run.
    pub fn pid(&self, node: usize) -> Option<i32> {
        self.nodes[node].process.lock().child.as_ref().map(|child| child.id() as i32)
    }

    /// Ends a node as `kill -9` does.
    pub fn kill_node(&self, node: usize) {
        let mut process = self.nodes[node].process.lock();
        (process.wanted, process.ready) = (false, None);
        if let Some(mut child) = process.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.clocks.iter().for_each(|clocks| clocks.forget(child.id() as i32));
        }
    }

    /// Asks a node to stop and waits for its end. `None` if it did not end in time; then it is
    /// killed.
    pub async fn stop_node(&self, node: usize, within: Duration) -> Option<ExitStatus> {
        let pid = {
            let mut process = self.nodes[node].process.lock();
            (process.wanted, process.ready) = (false, None);
            process.child.as_ref()?.id() as i32
        };
        signal(pid, SIGTERM);
        let until = Instant::now() + within;
        while Instant::now() < until {
            {
                let mut process = self.nodes[node].process.lock();
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

    /// Starts the nodes again that ended though they were wanted, and returns them.
    pub async fn supervise(&self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for node in 0..2 {
            let found = {
                let mut process = self.nodes[node].process.lock();
                let was_ready = process.ready.is_some();
                let status = process.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                status.filter(|_| process.wanted).map(|status| Ended { node, status, was_ready })
            };
            if let Some(found) = found {
                ended.push(found);
                self.start_node(node);
            } else if self.nodes[node].process.lock().ready.is_none() && self.is_ready(node).await {
                self.set_ready(node);
            }
        }
        ended
    }

    fn set_ready(&self, node: usize) {
        self.nodes[node].process.lock().ready.get_or_insert_with(Instant::now);
    }

    /// Requests a probe of a node, without the proxies. `None` without an answer within three
    /// seconds.
    pub async fn probe(&self, node: usize, path: &str) -> Option<u16> {
        let site = if self.setup.balanced { self.balancer_port } else { self.nodes[node].port };
        let to = Endpoint { connect_port: self.nodes[node].port, port: site, cookie: "" };
        let answer = timeout(Duration::from_secs(3), http::ask(to, "GET", path, None)).await;
        answer.ok().flatten().map(|answer| answer.status)
    }

    /// Returns `true` if a node says that it is ready.
    pub async fn is_ready(&self, node: usize) -> bool {
        self.probe(node, "/readyz").await == Some(200)
    }

    pub async fn ready_within(&self, node: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if self.is_ready(node).await {
                self.set_ready(node);
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Starts an empty Redis and waits until it answers.
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
        *self.redis.lock() = Some(child);
        for _ in 0..200 {
            if self.redis_command("PING").await.is_some_and(|answer| answer.starts_with("+PONG")) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("Redis did not start");
    }

    pub fn redis_pid(&self) -> Option<i32> {
        self.redis.lock().as_ref().map(|child| child.id() as i32)
    }

    pub fn kill_redis(&self) {
        if let Some(mut child) = self.redis.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a command to Redis itself, without the proxies.
    pub async fn redis_command(&self, word: &str) -> Option<String> {
        let talk = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.redis_port)).await.ok()?;
            stream.write_all(format!("{word}\r\n").as_bytes()).await.ok()?;
            let mut bytes = [0; 64];
            let count = stream.read(&mut bytes).await.ok()?;
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        };
        timeout(Duration::from_secs(1), talk).await.ok().flatten()
    }

    /// Returns the postmaster's process id. `None` if it does not run.
    pub fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.folder.join("data/pg/postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        // The file outlives a `kill -9`, and process ids are used again: only a process in this
        // data folder counts.
        let place = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        (place == self.folder.join("data/pg")).then_some(pid)
    }

    /// Returns which node started the running Postgres, and the postmaster's process id.
    pub fn owner(&self) -> Option<(usize, i32)> {
        let postmaster = self.postmaster()?;
        let parent = parent(postmaster)?;
        (0..2).find(|node| self.pid(*node) == Some(parent)).map(|node| (node, postmaster))
    }

    /// Returns the postmaster's children whose title contains a word. An empty word matches all.
    pub fn backends(&self, title: &str) -> Vec<i32> {
        let Some(postmaster) = self.postmaster() else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut found: Vec<i32> = pids
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                parent(*pid) == Some(postmaster) && String::from_utf8_lossy(&line).contains(title)
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// Returns the lines of the nodes' logs that report a panic.
    pub fn panics(&self) -> Vec<String> {
        let logs = (1..=2).filter_map(|node| std::fs::read_to_string(self.folder.join(format!("node{node}.log"))).ok());
        logs.flat_map(|log| {
            let is_panic = |line: &&str| line.contains("panicked at") || line.contains("panic: this is a bug");
            log.lines().filter(is_panic).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Stops the nodes in order, then everything else.
    pub async fn end(&self) {
        // The node that shares Postgres first: the owner stops Postgres when it stops.
        for node in [1, 0] {
            let _ = self.stop_node(node, Duration::from_secs(10)).await;
        }
        self.kill_redis();
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..2 {
            self.kill_node(node);
        }
        self.kill_redis();
    }
}
