//! Chaos: people write, listen and meet on two nodes while a nemesis breaks what it can; then a checker reads Postgres itself.
//!
//! usage: chaos [--seconds 60 | --twice] [--seed S] [--postgres aside|owned] [--faults node-kill,pg-kill,…] [--overlap 30]
//!              [--clients 12] [--rooms 4] [--rate 40] [--bin target/debug/maju] [--keep] [--plant lost|gap|doubled|…]
//!        chaos rolling [--rounds 20] [--clients 200] [--rooms 20] [--rate 40] [--seed S] [--bin target/debug/maju] [--keep]
//!
//! `--twice` carries out every fault twice and ends. With `--postgres aside` (the default) each node has its own way to Postgres,
//! which can be cut; with `owned` the nodes share a data folder, and one of them runs Postgres. Without `--faults` all come that
//! fit it. Limits hold as they are delivered while `hostile` is among them, and every visitor has an address of its own; else
//! they are off. `rolling` restarts two nodes behind a balancer in turn.
//!
//! The seed decides the plan of faults and feeds every choice a client draws. Timing is the machine's: a run with the same
//! seed meets the same faults in the same order (the last may fall off the end), but not the same interleaving, and a
//! client that is answered otherwise uses its draws otherwise. Exits with 1 on any broken promise.
mod balancer;
mod checker;
mod client;
mod clocks;
mod context;
mod history;
mod hostile;
mod http;
mod line;
mod nemesis;
mod owned;
mod passers;
mod plant;
mod postgres;
mod proxy;
mod raw;
mod rng;
mod rolling;
mod stalls;
mod standstill;
mod takeover;
mod volume;
mod watch;
mod weigh;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use context::{Context, Phase};
use line::{Line, Manner};
use nemesis::{Fault, Length};
use passers::PASSERS;
use world::{Setup, World};

/// How long people may take to get their last answers after everything is healed.
const SETTLE: Duration = Duration::from_secs(20);
/// Everything must be told by then, once all is quiet.
const QUIET: Duration = Duration::from_secs(5);

/// The seed of `--twice` unless another is given: the suite meets the same faults each time.
const TWICE: u64 = 2;
/// What those who stay on one node wait between two sends, in milliseconds.
const PINNED: u64 = 250;

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
    /// Messages a second in public rooms, all together.
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
            "--plant" if plant::DAMAGE.iter().any(|known| known.0 == value) => args.plant = Some(value),
            "--plant" => return Err(format!("--plant knows {}", plant::DAMAGE.map(|known| known.0).join(","))),
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
    args.seed = seed.unwrap_or(if matches!(args.length, Length::Each(_)) { TWICE } else { now });
    args.bin = args.bin.canonicalize().map_err(|why| format!("--bin {}: {why}", args.bin.display()))?;
    Ok(args)
}

fn main() {
    let mut args = args().unwrap_or_else(|why| {
        eprintln!("chaos: {why}");
        std::process::exit(2);
    });
    let wanted = !args.rolling && args.faults.contains(&Fault::PostgresFull);
    // Before there are threads.
    let volume = if wanted { volume::part().map(|()| true) } else { Ok(false) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let held = runtime.block_on(start(&mut args, volume));
    std::process::exit(i32::from(!held));
}

/// Makes the world, runs what was asked for in it, and ends it. Answers whether every promise held.
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
    let world = World::start(setup).await;
    println!("the world is in {}", world.folder.display());
    if !args.rolling {
        args.faults.retain(|fault| match fault.impossible(&world) {
            Some(why) => {
                println!("SKIPPED {}: {why}", fault.name());
                false
            }
            None => true,
        });
    }
    let shared = Arc::new(Context::new(world, args.seed));
    stalls::watch();
    let held = if args.rolling { rolling::run(&shared, args).await } else { run(&shared, args).await };
    shared.world.end().await;
    if held && !args.keep {
        let _ = std::fs::remove_dir_all(&shared.world.folder);
    } else {
        println!("logs and data are kept in {}", shared.world.folder.display());
    }
    held
}

/// The whole run. Answers whether every promise held.
async fn run(shared: &Arc<Context>, args: &Args) -> bool {
    // As many write as listen and as many seek: writers 0.., listeners after them, seekers last.
    let (writers, listening) = (args.clients, args.clients.div_ceil(2));
    let mut guests = Vec::new();
    let seekers = writers + listening..writers + listening + args.clients;
    // After them two to measure by, two for faults, and those who pass through rooms.
    for who in 0..seekers.end + 4 + PASSERS {
        guests.push(client::guest(shared, who).await);
    }
    let mut rooms = Vec::new();
    for number in 0..args.rooms {
        rooms.push(client::room(shared, &guests[number % guests.len()], number).await);
    }
    // Two who write only while a node is hung in the middle of a batch, one on each node.
    let spare = guests[seekers.end + 2..seekers.end + 4].to_vec();
    let _ = shared.writers.set((spare, rooms[0].clone()));
    let mut listeners = Vec::new();
    let pace = (args.clients as u64 * 1_000).div_ceil(args.rate);
    let mut people = Vec::new();
    for guest in &guests[..seekers.end + 2] {
        let who = guest.who;
        if seekers.contains(&who) {
            people.push(tokio::spawn(client::seek(shared.clone(), guest.clone())));
            continue;
        }
        let mut line = Line::new(shared.clone(), guest.clone(), Vec::new());
        if who >= seekers.end {
            // One on each node, to measure it by.
            (line.pinned, line.manner) = (Some(who - seekers.end), Manner::Patient);
            people.push(tokio::spawn(client::talk(line, vec![rooms[who % rooms.len()].clone()], Some(PINNED))));
            continue;
        }
        let mut own = vec![rooms[who % rooms.len()].clone(), rooms[(who + 1) % rooms.len()].clone()];
        own.dedup();
        let own = if who < writers { own } else { rooms.clone() };
        listeners.push((who, own.clone()));
        people.push(tokio::spawn(client::talk(line, own, (who < writers).then_some(pace))));
    }
    for guest in &guests[seekers.end + 4..] {
        people.push(tokio::spawn(passers::pass(shared.clone(), guest.clone(), rooms.clone())));
    }
    let mut watch = vec![tokio::spawn(supervise(shared.clone())), tokio::spawn(tend(shared.clone()))];
    watch.extend((0..2).map(|node| tokio::spawn(watch::run(shared.clone(), node))));
    let plan = nemesis::plan(args.seed, &args.faults, args.length, args.overlap);
    let done = nemesis::run(shared, &plan, args.length).await;
    println!("{:7.2} s  healed", shared.history.elapsed());
    for node in 0..2 {
        if !shared.world.ready_within(node, Duration::from_secs(15)).await {
            shared.history.problem("liveness", format!("node {} is not ready again", node + 1));
        }
    }
    settle(shared).await;
    let checked = check(shared, args, &listeners).await;
    watch.iter().for_each(tokio::task::JoinHandle::abort);
    end(shared, people).await;
    let weight = if checked.is_ok() && wants_weight(args) { weigh::run(shared).await } else { None };
    look_for_panics(shared);
    match checked {
        Ok((found, planted)) => {
            let held = summary(shared, args, &done, &found, weight.as_ref());
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

/// Waits until everybody has the last answers, and then for quiet.
async fn settle(shared: &Context) {
    shared.set_phase(Phase::Settle);
    let settling = Instant::now();
    while shared.waits() > 0 && settling.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{:7.2} s  settled after {:.1} s", shared.history.elapsed(), settling.elapsed().as_secs_f64());
    if shared.waits() > 0 {
        shared
            .history
            .problem("liveness", format!("{} things are not answered {SETTLE:?} after healing", shared.waits()));
    }
    tokio::time::sleep(QUIET).await;
}

/// Lets everybody go, and looks for what broke in this program.
async fn end(shared: &Context, people: Vec<tokio::task::JoinHandle<()>>) {
    shared.set_phase(Phase::Over);
    for one in people {
        if tokio::time::timeout(Duration::from_secs(15), one).await.is_ok_and(|ended| ended.is_err()) {
            shared.history.problem("process", "a client of this program panicked".to_owned());
        }
    }
}

/// Looks for what broke in the nodes.
fn look_for_panics(shared: &Context) {
    for line in shared.world.panics() {
        shared.history.problem("process", line);
    }
}

/// Spoils what is stored, if that was asked for, and checks. Answers what was found, and what must have been.
async fn check(
    shared: &Context,
    args: &Args,
    listeners: &[(usize, Vec<String>)],
) -> Result<(checker::Found, Option<&'static str>), tokio_postgres::Error> {
    let db = checker::connect(shared).await?;
    let planted = match &args.plant {
        Some(name) => Some(plant::spoil(&db, name).await?),
        None => None,
    };
    Ok((checker::check(shared, &db, listeners).await?, planted))
}

/// Starts Postgres again where no node does.
async fn tend(shared: Arc<Context>) {
    loop {
        shared.world.tend_postgres();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts again what ended by itself. A node that was ready must not; one that starts amid faults may fail and is tried again.
async fn supervise(shared: Arc<Context>) {
    loop {
        for ended in shared.world.supervise().await {
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

/// Hostile people try what can be had of memory: it is weighed where they are among the faults.
fn wants_weight(args: &Args) -> bool {
    args.faults.contains(&Fault::Hostile)
}

fn summary(
    shared: &Context,
    args: &Args,
    done: &[Fault],
    found: &checker::Found,
    weight: Option<&weigh::Priority>,
) -> bool {
    let history = &shared.history;
    let faults: Vec<String> = Fault::ALL
        .iter()
        .map(|(name, kind)| (name, done.iter().filter(|fault| *fault == kind).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("\nfaults        {} ({})", done.len(), faults.join(", "));
    told(shared, found);
    println!("talks         {}, {} waiting at the end", found.talks, found.waiting);
    println!("no ack for    {:.1} s at most", history.longest_silence().as_secs_f64());
    println!("memory        a node grew by {} MiB at most", shared.watch.growth() / 1024);
    if let Some(weight) = weight {
        let (each, half) = (weight.idle / weight.sockets.max(1), weight.half / weight.sockets.max(1));
        println!(
            "              {} sockets: {each} KiB each, {half} KiB with half a frame; a page of payloads of {} bytes: {} KiB, \
             {} readers at a time: {} KiB",
            weight.sockets,
            weight.payload,
            weight.page / 1024,
            weight.readers,
            weight.pages
        );
    }
    verdict(shared, args)
}

/// What became of messages, and how long it took.
fn told(shared: &Context, found: &checker::Found) {
    let history = &shared.history;
    println!(
        "messages      {} stored, {} acked, {} refused ({} of these are stored by an earlier try)",
        found.stored, found.acked, found.refused, found.refused_stored
    );
    println!("unknown       {} turned out stored, {} not stored", found.unknown_stored, found.unknown_not);
    println!("heard         {} entries, {} acks repeated at the end", found.heard, found.repeated);
    let (p99, most) = history.answers();
    println!("answers       to sends, on nodes that were left alone: p99 {p99} ms, {most} ms at most");
    let (p99, most) = history.acks();
    println!("acks          from a first try, through all faults: p99 {p99} ms, {most} ms at most");
    let (heard, p99, most) = history.delays();
    println!(
        "delays        from first try to heard, also by who was away, {heard} times: p99 {p99} ms, {most} ms at most"
    );
    let most = history.most().into_iter().map(|(what, length)| format!("{what} {} ms", length.as_millis()));
    println!("at most       {}", most.collect::<Vec<_>>().join(", "));
    let (times, longest) = stalls::all();
    println!("machine       stood still {times} times, {} ms at most", longest.as_millis());
}

/// Prints what was counted and what was broken. Answers whether every promise held.
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
