//! Chaos: people write, listen and meet on two nodes while a nemesis breaks what it can; then a checker reads Postgres itself.
//!
//! usage: chaos [--seconds 60] [--seed S] [--clients 12] [--rooms 4] [--faults node-kill,pg-kill,…] [--bin target/debug/maju]
//! [--rate 40] [--overlap 30] [--keep] [--plant lost|gap|doubled|…]
//!
//! The seed decides the plan of faults and feeds every choice a client draws. Timing is the machine's: a run with the same
//! seed meets the same faults in the same order (the last may fall off the end), but not the same interleaving, and a
//! client that is answered otherwise uses its draws otherwise. Exits with 1 on any broken promise.
mod checker;
mod client;
mod context;
mod history;
mod http;
mod line;
mod nemesis;
mod plant;
mod proxy;
mod rng;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use context::{Context, Guest, Phase};
use nemesis::Fault;
use world::World;

/// How long people may take to get their last answers after everything is healed.
const SETTLE: Duration = Duration::from_secs(20);
/// Everything must be told by then, once all is quiet.
const QUIET: Duration = Duration::from_secs(5);

struct Args {
    seconds: u64,
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
    let seed = history::now_ms() as u64 % 1_000_000;
    let faults = Fault::ALL.map(|known| known.1).to_vec();
    let mut args = Args {
        seconds: 60,
        seed,
        clients: 12,
        rooms: 4,
        faults,
        bin: "target/debug/maju".into(),
        keep: false,
        plant: None,
        overlap: 0,
        rate: 40,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        if name == "--keep" {
            args.keep = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|why| format!("{name}: {why}"));
        match &*name {
            "--seconds" => args.seconds = number()?,
            "--seed" => args.seed = number()?,
            "--clients" => args.clients = number()? as usize,
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
                args.faults = read.ok_or_else(|| format!("--faults knows {known}"))?;
            }
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(args)
}

#[tokio::main]
async fn main() {
    let args = args().unwrap_or_else(|why| {
        eprintln!("chaos: {why}");
        std::process::exit(2);
    });
    println!("seed {}, {} s, {} clients, {} rooms", args.seed, args.seconds, args.clients, args.rooms);
    let world = World::start(args.bin.clone()).await;
    println!("the world is in {}", world.folder.display());
    let shared = Arc::new(Context::new(world, args.seed));
    let held = run(&shared, &args).await;
    shared.world.end().await;
    if held && !args.keep {
        let _ = std::fs::remove_dir_all(&shared.world.folder);
    } else {
        println!("logs and data are kept in {}", shared.world.folder.display());
    }
    std::process::exit(i32::from(!held));
}

/// The whole run. Answers whether every promise held.
async fn run(shared: &Arc<Context>, args: &Args) -> bool {
    // As many write as listen and as many seek: writers 0.., listeners after them, seekers last.
    let (writers, listening) = (args.clients, args.clients.div_ceil(2));
    let mut guests = Vec::new();
    for who in 0..writers + listening + args.clients {
        guests.push(client::guest(shared, who).await);
    }
    let mut rooms = Vec::new();
    for number in 0..args.rooms {
        rooms.push(client::room(shared, &guests[number % guests.len()], number).await);
    }
    let mut listeners = Vec::new();
    let pace = (args.clients as u64 * 1_000).div_ceil(args.rate);
    let mut people = Vec::new();
    for guest in &guests {
        let who = guest.who;
        let shared = shared.clone();
        if who >= writers + listening {
            people.push(tokio::spawn(client::seek(shared, guest.clone())));
            continue;
        }
        let mut own = vec![rooms[who % rooms.len()].clone(), rooms[(who + 1) % rooms.len()].clone()];
        own.dedup();
        let own = if who < writers { own } else { rooms.clone() };
        listeners.push((who, own.clone()));
        people.push(tokio::spawn(client::talk(shared, guest.clone(), own, (who < writers).then_some(pace))));
    }
    let watch = tokio::spawn(supervise(shared.clone()));
    let length = Duration::from_secs(args.seconds);
    let plan = nemesis::plan(args.seed, &args.faults, length, args.overlap);
    let done = nemesis::run(&shared.world, &shared.history, &plan, length).await;
    println!("{:7.2} s  healed", shared.history.elapsed());
    for node in 0..2 {
        if !shared.world.ready_within(node, Duration::from_secs(15)).await {
            shared.history.problem("liveness", format!("node {} is not ready again", node + 1));
        }
    }
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
    let checked = check(shared, args, &guests, &listeners).await;
    watch.abort();
    shared.set_phase(Phase::Over);
    for one in people {
        if tokio::time::timeout(Duration::from_secs(15), one).await.is_ok_and(|ended| ended.is_err()) {
            shared.history.problem("process", "a client of this program panicked".to_owned());
        }
    }
    for line in shared.world.panics() {
        shared.history.problem("process", line);
    }
    match checked {
        Ok((found, planted)) => {
            let held = summary(shared, args, &done, &found);
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

/// Spoils what is stored, if that was asked for, and checks. Answers what was found, and what must have been.
async fn check(
    shared: &Context,
    args: &Args,
    guests: &[Guest],
    listeners: &[(usize, Vec<String>)],
) -> Result<(checker::Found, Option<&'static str>), tokio_postgres::Error> {
    let db = checker::connect(shared).await?;
    let planted = match &args.plant {
        Some(name) => Some(plant::spoil(&db, name).await?),
        None => None,
    };
    Ok((checker::check(shared, &db, guests, listeners).await?, planted))
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
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn summary(shared: &Context, args: &Args, done: &[Fault], found: &checker::Found) -> bool {
    let history = &shared.history;
    let faults: Vec<String> = Fault::ALL
        .iter()
        .map(|(name, kind)| (name, done.iter().filter(|fault| *fault == kind).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("\nfaults        {} ({})", done.len(), faults.join(", "));
    println!(
        "messages      {} stored, {} acked, {} refused ({} of these are stored by an earlier try)",
        found.stored, found.acked, found.refused, found.refused_stored
    );
    println!("unknown       {} turned out stored, {} not stored", found.unknown_stored, found.unknown_not);
    println!("heard         {} entries, {} acks repeated at the end", found.heard, found.repeated);
    println!("talks         {}, {} waiting at the end", found.talks, found.waiting);
    println!("no ack for    {:.1} s at most", history.longest_silence().as_secs_f64());
    let counts: Vec<String> = history.counts().iter().map(|(what, count)| format!("{what} {count}")).collect();
    println!("clients       {}", counts.join(", "));
    let broken: Vec<String> = history::KINDS.iter().map(|kind| format!("{kind} {}", history.problems(kind))).collect();
    let held = history::KINDS.iter().all(|kind| history.problems(kind) == 0);
    println!("broken        {}", broken.join(", "));
    println!("seed          {}: {}", args.seed, if held { "every promise held" } else { "BROKEN" });
    held
}
