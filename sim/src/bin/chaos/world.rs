//! A world of its own: two nodes, a Postgres, a real Redis, and proxies between all of them.
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

use crate::clocks::Clocks;
use crate::http::{self, To};
use crate::postgres::{self, Postgres};
use crate::proxy::{Proxy, Target};
use crate::volume::Volume;

/// What a node that was hung or cut off may take to come to itself, before promises about time hold again.
const GRACE: Duration = Duration::from_millis(1_500);

/// What a world is made of.
pub struct Setup {
    pub bin: PathBuf,
    /// Postgres stands aside, and each node reaches it over a proxy of its own. Else the nodes share a data folder: one of
    /// them runs Postgres, and the other takes it over.
    pub aside: bool,
    /// Whether the data folder is to be a small volume of its own, or why it cannot be.
    pub volume: Result<bool, String>,
    /// The nodes are one site behind a balancer.
    pub balanced: bool,
    /// Whether limits hold, with an address for each visitor. Else they are off.
    pub limits: bool,
    /// Whether clocks are to jump.
    pub clocks: bool,
}

/// A node's process: there, or not wanted now.
#[derive(Default)]
struct Process {
    child: Option<Child>,
    /// The supervisor starts it again when it ended by itself.
    wanted: bool,
    /// Since when it has been ready; an end before that is a start that failed.
    ready: Option<Instant>,
    /// It is stopped or cut off from its clients now.
    upset: bool,
    /// Until when it was.
    upset_until: Option<Instant>,
}

/// A node and the ways to it.
pub struct Node {
    pub port: u16,
    /// What clients connect to.
    pub door: Proxy,
    /// What it connects to for Redis.
    pub link: Proxy,
    /// What it connects to for Postgres, where that stands aside.
    pub well: Proxy,
    process: Mutex<Process>,
}

/// Everything that runs.
pub struct World {
    pub folder: PathBuf,
    setup: Setup,
    pub nodes: [Node; 2],
    /// The balancer's port.
    pub front: u16,
    postgres: Option<Postgres>,
    /// The data folder's volume, or why there is none.
    pub volume: Result<Volume, String>,
    /// What makes the nodes' clocks jump, or why they cannot.
    pub clocks: Result<Clocks, String>,
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

/// The process that started another one.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
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

/// Lets a program that counts which lines run write where it was told to, and nowhere else.
pub fn keep_profile(command: &mut Command, folder: &Path) {
    command.current_dir(folder);
    if let Some(place) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", place);
    }
}

/// Starts a program that ends with us and writes to a log.
pub fn launch(command: &mut Command, log: &Path) -> Child {
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
    /// Makes the folder and the proxies, and starts Redis, Postgres and both nodes. Answers when both are ready.
    pub async fn start(setup: Setup) -> Self {
        let folder = std::env::temp_dir().join(format!("maju-chaos-{}", std::process::id()));
        // Postgres may run as another user: it must be able to reach its folder.
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
        let (redis_port, front) = (ports[8], ports[9]);
        let socket = Target::Socket(folder.join("data/run/.s.PGSQL.5432"));
        let mut nodes = Vec::new();
        for ports in ports[..8].chunks(4) {
            nodes.push(Node {
                port: ports[0],
                door: Proxy::start(ports[1], Target::Port(ports[0])).await,
                link: Proxy::start(ports[2], Target::Port(redis_port)).await,
                well: Proxy::start(ports[3], socket.clone()).await,
                process: Mutex::default(),
            });
        }
        let nodes = <[Node; 2]>::try_from(nodes).ok().expect("two nodes");
        let postgres = if setup.aside { Some(Postgres::start(&setup.bin, &folder).await) } else { None };
        let clocks = if setup.clocks { Clocks::find(&folder) } else { Err("no clock was asked for".to_owned()) };
        let redis = Mutex::default();
        let world = Self { folder, setup, nodes, front, postgres, volume, clocks, redis_port, redis };
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

    /// Whether Postgres stands aside.
    pub fn is_aside(&self) -> bool {
        self.setup.aside
    }

    /// Whether a balancer chooses the node.
    pub fn is_balanced(&self) -> bool {
        self.setup.balanced
    }

    /// Starts Postgres again when it has ended and no node looks after it.
    pub fn tend_postgres(&self) {
        self.postgres.iter().for_each(Postgres::tend);
    }

    /// Where Postgres's socket is.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("data/run")
    }

    /// Whom a request through a node's door is for.
    pub fn to<'a>(&self, node: usize, cookie: &'a str) -> To<'a> {
        if self.setup.balanced {
            return To { door: self.front, port: self.front, cookie };
        }
        To { door: self.nodes[node].door.port, port: self.nodes[node].port, cookie }
    }

    /// The same past the door: a socket through it takes three files of this program.
    pub fn straight<'a>(&self, node: usize, cookie: &'a str) -> To<'a> {
        To { door: self.nodes[node].port, ..self.to(node, cookie) }
    }

    pub fn start_node(&self, node: usize) {
        let place = &self.nodes[node];
        let mut command = Command::new(&self.setup.bin);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MAJU_LOG_FILTER", "info,maju=debug");
        keep_profile(&mut command, &self.folder);
        // Only the node's: it clears the environment of the Postgres that it starts.
        self.clocks.iter().for_each(|clocks| clocks.give(node, &mut command));
        command.args(["serve", "--log", "json", "--listen", &format!("127.0.0.1:{}", place.port)]);
        if self.setup.limits {
            command.args(["--trusted-proxies", "127.0.0.1/32"]);
        } else {
            command.args(["--limits", "off"]);
        }
        if self.setup.aside {
            let (role, port) = (postgres::ROLES[node], place.well.port);
            command.args(["--database-url", &format!("postgres://{role}@127.0.0.1:{port}/maju?sslmode=disable")]);
        } else {
            command.arg("--data-dir").arg(self.folder.join("data"));
        }
        if self.setup.balanced {
            command.args(["--public-url", &format!("http://localhost:{}", self.front)]);
        }
        command.args(["--redis-url", &format!("redis://127.0.0.1:{}", place.link.port)]);
        let child = launch(&mut command, &self.folder.join(format!("node{}.log", node + 1)));
        *lock(&place.process) = Process { child: Some(child), wanted: true, ..Process::default() };
    }

    /// Notes that a node is hung or cut off from its clients, or not any more.
    pub fn set_upset(&self, node: usize, upset: bool) {
        let mut process = lock(&self.nodes[node].process);
        process.upset = upset;
        process.upset_until = Some(Instant::now());
    }

    /// Whether nothing has been done to a node itself, or between it and its clients, since then.
    pub fn is_calm(&self, node: usize, since: Instant) -> bool {
        let process = lock(&self.nodes[node].process);
        let before = |at: Instant| at + GRACE <= since;
        process.wanted && !process.upset && process.ready.is_some_and(before) && process.upset_until.is_none_or(before)
    }

    /// A node's process id while it runs.
    pub fn pid(&self, node: usize) -> Option<i32> {
        lock(&self.nodes[node].process).child.as_ref().map(|child| child.id() as i32)
    }

    /// As `kill -9` does it.
    pub fn kill_node(&self, node: usize) {
        let mut process = lock(&self.nodes[node].process);
        (process.wanted, process.ready) = (false, None);
        if let Some(mut child) = process.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.clocks.iter().for_each(|clocks| clocks.forget(child.id() as i32));
        }
    }

    /// Asks a node to stop and waits for its end; `None` when it did not end in time (it is killed then).
    pub async fn stop_node(&self, node: usize, within: Duration) -> Option<ExitStatus> {
        let pid = {
            let mut process = lock(&self.nodes[node].process);
            (process.wanted, process.ready) = (false, None);
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
                let was_ready = process.ready.is_some();
                let status = process.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                status.filter(|_| process.wanted).map(|status| Ended { node, status, was_ready })
            };
            if let Some(found) = found {
                ended.push(found);
                self.start_node(node);
            } else if lock(&self.nodes[node].process).ready.is_none() && self.is_ready(node).await {
                self.set_ready(node);
            }
        }
        ended
    }

    fn set_ready(&self, node: usize) {
        lock(&self.nodes[node].process).ready.get_or_insert_with(Instant::now);
    }

    /// Asks a node one of its probes, past the proxies. None: no answer within three seconds.
    pub async fn probe(&self, node: usize, path: &str) -> Option<u16> {
        let site = if self.setup.balanced { self.front } else { self.nodes[node].port };
        let to = To { door: self.nodes[node].port, port: site, cookie: "" };
        let answer = timeout(Duration::from_secs(3), http::ask(to, "GET", path, None)).await;
        answer.ok().flatten().map(|answer| answer.status)
    }

    /// Whether a node says that it is ready.
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

    /// Which node started the Postgres that runs, and the postmaster's process id.
    pub fn owner(&self) -> Option<(usize, i32)> {
        let postmaster = self.postmaster()?;
        let parent = parent(postmaster)?;
        (0..2).find(|node| self.pid(*node) == Some(parent)).map(|node| (node, postmaster))
    }

    /// The postmaster's children whose title holds a word: all for an empty one.
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

    /// Lines of the nodes' logs that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        let logs = (1..=2).filter_map(|node| std::fs::read_to_string(self.folder.join(format!("node{node}.log"))).ok());
        logs.flat_map(|log| {
            let is_panic = |line: &&str| line.contains("panicked at") || line.contains("panic: this is a bug");
            log.lines().filter(is_panic).map(str::to_owned).collect::<Vec<_>>()
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
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
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
