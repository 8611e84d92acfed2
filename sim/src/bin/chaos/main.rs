//! Chaos: visitors write, listen and are matched on two nodes while a nemesis breaks everything it
//! can; then a checker reads Postgres itself.
//!
//! ```text
//! chaos [--seconds 60 | --twice] [--seed S] [--postgres aside|owned] [--faults node-kill,pg-kill,…]
//!       [--overlap 30] [--clients 12] [--rooms 4] [--rate 40] [--bin target/debug/maju] [--keep]
//!       [--plant lost|gap|doubled|…]
//! chaos rolling [--rounds 20] [--clients 200] [--rooms 20] [--rate 40] [--seed S]
//!       [--bin target/debug/maju] [--keep]
//! ```
//!
//! `--twice` carries out every fault twice and ends. With `--postgres aside` (the default) Postgres
//! runs separately, and each node reaches it through a proxy of its own, which can be cut. With
//! `owned` the nodes share a data folder, and one of them runs Postgres. Without `--faults` every
//! fault that is possible there occurs. If `hostile` is among them, the default rate limits are on
//! and every visitor has an address of its own; otherwise they are off. `--plant` changes
//! stored data before the check, which the checker must find. `rolling` restarts two nodes behind a
//! balancer in turn.
//!
//! The seed decides the plan of faults and every choice of a client. Timing is the machine's: a run
//! with the same seed has the same faults in the same order (the last can be missing), but not the
//! same interleaving, and a client that gets other answers uses its random numbers for other
//! choices. Exits with 1 if a promise is broken.
#![expect(clippy::print_stdout, reason = "what a run has to show")]
#![expect(clippy::disallowed_methods, reason = "there is no app whose tasks and clock these could be")]
mod balancer;
mod checker;
mod client;
mod clocks;
mod cluster;
mod context;
mod damage;
mod history;
mod hostile;
mod http;
mod leavers;
mod matcher_hang;
mod memory;
mod monitor;
mod nemesis;
mod postgres;
mod postgres_files;
mod proxy;
mod raw_socket;
mod rolling;
mod stalls;
mod volume;
mod workload;
mod writer_hang;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, ClientKind};
use cluster::{Cluster, Setup};
use sim::sys::separate_mounts;

use context::{Context, Phase};
use leavers::LEAVERS;
use nemesis::{Fault, Length};

/// How long a node can take to be ready again after all faults are healed.
const READY_DEADLINE: Duration = Duration::from_secs(15);
/// How long clients can take to get their last answers after all faults are healed.
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);
/// The silence after that, in which everything must be delivered.
const FINAL_SILENCE: Duration = Duration::from_secs(5);

/// The default seed of `--twice`: the test suite has the same faults each time.
const TWICE_SEED: u64 = 2;
/// The pause between two sends of the clients that stay on one node, in milliseconds.
const PINNED_INTERVAL_MS: u64 = 250;

struct Args {
    rolling: bool,
    rounds: usize,
    length: Length,
    aside: bool,
    seed: u64,
    clients: usize,
    rooms: usize,
    faults: Vec<Fault>,
    bin: PathBuf,
    keep: bool,
    plant: Option<String>,
    overlap: u64,
    /// Messages a second in all public rooms together.
    rate: u64,
}

fn args() -> Result<Args, String> {
    let mut words = std::env::args().skip(1).peekable();
    let rolling = words.next_if(|word| word == "rolling").is_some();
    let (mut seed, mut chosen) = (None, None);
    let mut args = Args {
        rolling,
        rounds: 20,
        length: Length::For(Duration::from_secs(60)),
        aside: true,
        seed: 0,
        clients: if rolling { 200 } else { 12 },
        rooms: if rolling { 20 } else { 4 },
        faults: Vec::new(),
        bin: "target/debug/maju".into(),
        keep: false,
        plant: None,
        overlap: 0,
        rate: 40,
    };
    while let Some(name) = words.next() {
        if name == "--keep" {
            args.keep = true;
            continue;
        }
        if name == "--twice" {
            args.length = Length::Each(2);
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|why| format!("{name}: {why}"));
        match &*name {
            "--seconds" => args.length = Length::For(Duration::from_secs(number()?)),
            "--seed" => seed = Some(number()?),
            "--rounds" => args.rounds = number()? as usize,
            "--postgres" if value == "aside" || value == "owned" => args.aside = value == "aside",
            "--postgres" => return Err("--postgres is aside or owned".to_owned()),
            "--clients" => args.clients = (number()? as usize).max(2),
            "--rooms" => args.rooms = (number()? as usize).max(1),
            "--rate" => args.rate = number()?.max(1),
            "--overlap" => args.overlap = number()?,
            "--bin" => args.bin = value.into(),
            "--plant" if damage::ALL.iter().any(|known| known.0 == value) => args.plant = Some(value),
            "--plant" => return Err(format!("--plant knows {}", damage::ALL.map(|known| known.0).join(","))),
            "--faults" => {
                let one = |word: &str| Fault::ALL.iter().find(|known| known.0 == word).map(|known| known.1);
                let words = value.split(',').filter(|word| !word.is_empty() && *word != "none");
                let read: Option<Vec<Fault>> = words.map(one).collect();
                let known = Fault::ALL.map(|known| known.0).join(",");
                chosen = Some(read.ok_or_else(|| format!("--faults knows {known}"))?);
            }
            _ => return Err(format!("{name} is not known")),
        }
    }
    let all = || Fault::ALL.map(|known| known.1).into_iter().filter(|fault| fault.fits(args.aside)).collect();
    args.faults = chosen.unwrap_or_else(all);
    let now = history::now_ms() as u64 % 1_000_000;
    args.seed = seed.unwrap_or(if matches!(args.length, Length::Each(_)) { TWICE_SEED } else { now });
    args.bin = args.bin.canonicalize().map_err(|why| format!("--bin {}: {why}", args.bin.display()))?;
    Ok(args)
}

fn main() {
    let mut args = args().unwrap_or_else(|why| {
        eprintln!("chaos: {why}");
        std::process::exit(2);
    });
    let wanted = !args.rolling && args.faults.contains(&Fault::PostgresFull);
    // Before any thread is started.
    let volume = if wanted {
        separate_mounts().map(|()| true).map_err(|why| format!("mounting is not allowed here ({why})"))
    } else {
        Ok(false)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let held = runtime.block_on(start(&mut args, volume));
    std::process::exit(i32::from(!held));
}

/// Starts the cluster, runs what was asked for, and stops it. Returns `true` if every promise held.
async fn start(args: &mut Args, volume: Result<bool, String>) -> bool {
    let length = match args.length {
        _ if args.rolling => format!("{} rounds", args.rounds),
        Length::For(length) => format!("{} s", length.as_secs()),
        Length::Each(times) => format!("every fault {times} times"),
    };
    println!("seed {}, {length}, {} clients, {} rooms", args.seed, args.clients, args.rooms);
    let wanted = |fault| !args.rolling && args.faults.contains(&fault);
    let setup = Setup {
        bin: args.bin.clone(),
        aside: args.aside,
        volume,
        balanced: args.rolling,
        limits: wanted(Fault::Hostile),
        clocks: wanted(Fault::ClockJump),
    };
    let cluster = Cluster::start(setup).await;
    println!("the cluster is in {}", cluster.folder.display());
    if !args.rolling {
        args.faults.retain(|fault| match fault.impossible(&cluster) {
            Some(why) => {
                println!("SKIPPED {}: {why}", fault.name());
                false
            }
            None => true,
        });
    }
    let shared = Arc::new(Context::new(cluster, args.seed));
    stalls::watch();
    let held = if args.rolling { rolling::run(&shared, args).await } else { run(&shared, args).await };
    shared.cluster.end().await;
    if held && !args.keep {
        let _ = std::fs::remove_dir_all(&shared.cluster.folder);
    } else {
        println!("logs and data are kept in {}", shared.cluster.folder.display());
    }
    held
}

/// Runs faults and checks. Returns `true` if every promise held.
async fn run(shared: &Arc<Context>, args: &Args) -> bool {
    // Half as many listen as write, and as many seek as write: writers from 0, then listeners, then
    // seekers.
    let (writers, listening) = (args.clients, args.clients.div_ceil(2));
    let mut visitors = Vec::new();
    let seekers = writers + listening..writers + listening + args.clients;
    // After them two to measure by, two for faults, and the visitors who leave rooms.
    for who in 0..seekers.end + 4 + LEAVERS {
        visitors.push(workload::visitor(shared, who).await);
    }
    let mut rooms = Vec::new();
    for number in 0..args.rooms {
        rooms.push(workload::room(shared, &visitors[number % visitors.len()], number).await);
    }
    // Two who write only while a node is hung in the middle of a batch, one on each node.
    let spare = visitors[seekers.end + 2..seekers.end + 4].to_vec();
    let _ = shared.writers.set((spare, rooms[0].clone()));
    let mut listeners = Vec::new();
    let pace = (args.clients as u64 * 1_000).div_ceil(args.rate);
    let mut people = Vec::new();
    for visitor in &visitors[..seekers.end + 2] {
        let who = visitor.who;
        if seekers.contains(&who) {
            people.push(tokio::spawn(workload::seek(shared.clone(), visitor.clone())));
            continue;
        }
        let mut client = Client::new(shared.clone(), visitor.clone(), Vec::new());
        if who >= seekers.end {
            // One on each node, to measure it by.
            (client.pinned, client.kind) = (Some(who - seekers.end), ClientKind::Patient);
            people.push(tokio::spawn(workload::talk(
                client,
                vec![rooms[who % rooms.len()].clone()],
                Some(PINNED_INTERVAL_MS),
            )));
            continue;
        }
        let mut own = vec![rooms[who % rooms.len()].clone(), rooms[(who + 1) % rooms.len()].clone()];
        own.dedup();
        let own = if who < writers { own } else { rooms.clone() };
        listeners.push((who, own.clone()));
        people.push(tokio::spawn(workload::talk(client, own, (who < writers).then_some(pace))));
    }
    for visitor in &visitors[seekers.end + 4..] {
        people.push(tokio::spawn(leavers::run(shared.clone(), visitor.clone(), rooms.clone())));
    }
    let mut watch = vec![tokio::spawn(supervise(shared.clone())), tokio::spawn(restart_postgres(shared.clone()))];
    watch.extend((0..2).map(|node| tokio::spawn(monitor::run(shared.clone(), node))));
    let plan = nemesis::plan(args.seed, &args.faults, args.length, args.overlap);
    let done = nemesis::run(shared, &plan, args.length).await;
    println!("{:7.2} s  healed", shared.history.elapsed());
    check_ready(shared).await;
    settle(shared).await;
    let checked = check(shared, args, &listeners).await;
    watch.iter().for_each(tokio::task::JoinHandle::abort);
    end(shared, people).await;
    let memory = if checked.is_ok() && measures_memory(args) { memory::run(shared).await } else { None };
    check_for_panics(shared);
    match checked {
        Ok((found, planted)) => {
            let held = summary(shared, args, &done, &found, memory.as_ref());
            planted.map_or(held, |kind| {
                let caught = shared.history.problems(kind) > 0;
                println!("planted       {kind}: {}", if caught { "caught" } else { "MISSED" });
                caught
            })
        }
        Err(why) => {
            println!("the checker could not read Postgres: {why}");
            false
        }
    }
}

/// Waits until both nodes are ready again, and reports those that are not.
async fn check_ready(shared: &Context) {
    for node in 0..2 {
        if !shared.cluster.ready_within(node, READY_DEADLINE).await {
            shared.history.problem("liveness", format!("node {} is not ready again", node + 1));
        }
    }
}

/// Waits until all clients have their last answers, and then for silence.
async fn settle(shared: &Context) {
    shared.set_phase(Phase::Settle);
    let settling = Instant::now();
    while shared.pending_count() > 0 && settling.elapsed() < SETTLE_DEADLINE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{:7.2} s  settled after {:.1} s", shared.history.elapsed(), settling.elapsed().as_secs_f64());
    if shared.pending_count() > 0 {
        shared.history.problem(
            "liveness",
            format!("{} things are not answered {SETTLE_DEADLINE:?} after healing", shared.pending_count()),
        );
    }
    tokio::time::sleep(FINAL_SILENCE).await;
}

/// Ends all clients and reports those that panicked.
async fn end(shared: &Context, people: Vec<tokio::task::JoinHandle<()>>) {
    shared.set_phase(Phase::Over);
    for one in people {
        if tokio::time::timeout(Duration::from_secs(15), one).await.is_ok_and(|ended| ended.is_err()) {
            shared.history.problem("process", "a client of this program panicked".to_owned());
        }
    }
}

/// Reports the panics of the nodes.
fn check_for_panics(shared: &Context) {
    for line in shared.cluster.panics() {
        shared.history.problem("process", line);
    }
}

/// Plants damage if that was asked for, and checks. Returns what was found, and the kind of problem
/// that must be among it.
async fn check(
    shared: &Context,
    args: &Args,
    listeners: &[(usize, Vec<String>)],
) -> Result<(checker::Found, Option<&'static str>), tokio_postgres::Error> {
    let db = checker::connect(shared).await?;
    let planted = match &args.plant {
        Some(name) => Some(damage::plant(&db, name).await?),
        None => None,
    };
    Ok((checker::check(shared, &db, listeners).await?, planted))
}

/// Restarts Postgres where no node does.
async fn restart_postgres(shared: Arc<Context>) {
    loop {
        shared.cluster.restart_postgres();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Restarts nodes that end by themselves. A node that was ready must not; one that starts amid
/// faults can fail and is started again.
async fn supervise(shared: Arc<Context>) {
    loop {
        for ended in shared.cluster.supervise().await {
            let what = format!("node {} ended by itself with {}", ended.node + 1, ended.status);
            if ended.was_ready {
                shared.history.problem("process", what);
            } else {
                println!("{:7.2} s  {what} before it was ready; started again", shared.history.elapsed());
                shared.history.count("starts that failed");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Hostile visitors try to exhaust memory, so it is measured if they are among the faults.
fn measures_memory(args: &Args) -> bool {
    args.faults.contains(&Fault::Hostile)
}

fn summary(
    shared: &Context,
    args: &Args,
    done: &[Fault],
    found: &checker::Found,
    memory: Option<&memory::MemoryUse>,
) -> bool {
    let history = &shared.history;
    let faults: Vec<String> = Fault::ALL
        .iter()
        .map(|(name, kind)| (name, done.iter().filter(|fault| *fault == kind).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("\nfaults        {} ({})", done.len(), faults.join(", "));
    report_messages(shared, found);
    println!("talks         {}, {} waiting at the end", found.talks, found.waiting);
    println!("no ack for    {:.1} s at most", history.longest_silence().as_secs_f64());
    println!("memory        a node grew by {} MiB at most", shared.monitor.growth() / 1024);
    if let Some(memory) = memory {
        let (each, half) = (memory.idle / memory.sockets.max(1), memory.half / memory.sockets.max(1));
        println!(
            "              {} sockets: {each} KiB each, {half} KiB with half a frame; a page of payloads of {} bytes: {} KiB, \
             {} readers at a time: {} KiB",
            memory.sockets,
            memory.payload,
            memory.page / 1024,
            memory.readers,
            memory.pages
        );
    }
    verdict(shared, args)
}

/// Prints what became of messages, and how long it took.
fn report_messages(shared: &Context, found: &checker::Found) {
    let history = &shared.history;
    println!(
        "messages      {} stored, {} acked, {} refused ({} of these are stored by an earlier try)",
        found.stored, found.acked, found.refused, found.refused_stored
    );
    println!("unknown       {} turned out stored, {} not stored", found.unknown_stored, found.unknown_not);
    println!("received      {} entries, {} acks repeated at the end", found.heard, found.repeated);
    let (p99, most) = history.answers();
    println!("answers       to sends, on nodes that were left alone: p99 {p99} ms, {most} ms at most");
    let (p99, most) = history.acks();
    println!("acks          from a first try, through all faults: p99 {p99} ms, {most} ms at most");
    let (heard, p99, most) = history.delays();
    println!(
        "delays        from first try to received, also by clients that were away, {heard} times: p99 {p99} ms, {most} ms at most"
    );
    let most = history.maxima().into_iter().map(|(what, length)| format!("{what} {} ms", length.as_millis()));
    println!("at most       {}", most.collect::<Vec<_>>().join(", "));
    let (times, longest) = stalls::all();
    println!("machine       stood still {times} times, {} ms at most", longest.as_millis());
}

/// Prints what was counted and what was broken. Returns `true` if every promise held.
fn verdict(shared: &Context, args: &Args) -> bool {
    let history = &shared.history;
    let counts: Vec<String> = history.counts().iter().map(|(what, count)| format!("{what} {count}")).collect();
    println!("clients       {}", counts.join(", "));
    let broken: Vec<String> = history::KINDS.iter().map(|kind| format!("{kind} {}", history.problems(kind))).collect();
    let held = history::KINDS.iter().all(|kind| history.problems(kind) == 0);
    println!("broken        {}", broken.join(", "));
    println!("seed          {}: {}", args.seed, if held { "every promise held" } else { "BROKEN" });
    held
}
