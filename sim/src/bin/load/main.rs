//! A single-threaded load generator for real-time messaging servers, on epoll (Linux only).
//!
//! usage: load <idle|fanout|pairs|storm|slow> key=value ...
//!        load page [--bin target/debug/maju] ...     (page.rs)
//!
//! Prints one JSON line for each measured phase. Keys of all scenarios:
//!   driver=raw|plain|hello|maju  arg=(its file or path)  addr=host:port[,host:port...]  label=
//!   row=(sockets in a row on one address; 0: as a balancer spreads them)
//!   pids=1,2 back=3,4            (process trees whose CPU and memory are counted)
//! and of one scenario:
//!   idle:   n= rate= settle=
//!   fanout: subs= win= secs= reps= rate= frac=0.5,0.8 fixed=
//!   pairs:  rooms= secs= reps= rate= open=0 (only the closed loop) fixed=
//!   storm:  n= big= missed= missed_pct= at_once= pg=
//!   slow:   readers= slow= rate= secs=
#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::disallowed_methods, reason = "there is no app whose tasks and clock these could be")]
mod drivers;
mod engine;
mod histogram;
mod page;
mod phases;
mod processes;
mod slow;
mod storm;

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::json;
use sim::sys;

use engine::{Engine, parse_address};
use phases::{Pace, Scenario, Shape, Target, rounded};
use processes::{cpu_seconds, proportional_kib};

/// The words `key=value` of the command line.
struct Options(HashMap<String, String>);

impl Options {
    fn read(words: &[String]) -> Result<Self, String> {
        let pair = |word: &String| {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word} is not key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        words.iter().map(pair).collect::<Result<_, String>>().map(Self)
    }

    fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, String::as_str)
    }

    fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        self.0.get(key).map_or(Ok(default), |text| text.parse().map_err(|_| format!("{key}={text} is not a number")))
    }

    fn list<T: FromStr>(&self, key: &str, default: &str) -> Result<Vec<T>, String> {
        let words = self.text(key, default).split(',').filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| format!("{key}: {word} is not a number"))).collect()
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        Some((scenario, rest)) if scenario == "page" => page::run(rest),
        Some((scenario, rest)) => Options::read(rest).and_then(|options| run(scenario, &options)),
        None => Err("name a scenario: idle, fanout, pairs, storm, slow or page".to_owned()),
    };
    if let Err(why) = outcome {
        eprintln!("load: {why}");
        std::process::exit(2);
    }
}

fn run(scenario: &str, options: &Options) -> Result<(), String> {
    let driver = options.text("driver", "plain");
    let addresses = options.text("addr", "127.0.0.1:9000").split(',').map(parse_address);
    let mut engine = Engine::new(
        drivers::make(driver, options.text("arg", ""))?,
        addresses.collect::<Result<_, String>>()?,
        options.number("row", 1)?,
    );
    let target = Target {
        pids: options.list("pids", "")?,
        back: options.list("back", "")?,
        label: options.text("label", driver).to_owned(),
        scenario: scenario.to_owned(),
    };
    match scenario {
        "idle" => idle(&mut engine, &target, options),
        "fanout" => fanout(&mut engine, &target, options),
        "pairs" => pairs(&mut engine, &target, options),
        "storm" => {
            let storm = storm::Options {
                sockets: options.number("n", 10_000)?,
                big: options.number("big", 1_000)?,
                missed_big: options.number("missed", 20)?,
                missed_pct: options.number("missed_pct", 20)?,
                at_once: options.number("at_once", 1_000)?,
                postgres: options.text("pg", "").to_owned(),
                pids: target.pids,
            };
            storm::run(&mut engine, options.text("arg", ""), &storm);
            Ok(())
        }
        "slow" => {
            let slow = slow::Options {
                readers: options.number("readers", 200)?,
                slow: options.number("slow", 1_000)?,
                rate: options.number("rate", 50.0)?,
                seconds: options.number("secs", 4.0)?,
                server: *target.pids.first().ok_or("slow needs pids=")?,
            };
            slow::run(&mut engine, &slow);
            Ok(())
        }
        _ => Err(format!("there is no scenario {scenario}: idle, fanout, pairs, storm, slow or page")),
    }
}

/// Measures the memory of sockets that do nothing.
fn idle(engine: &mut Engine, target: &Target, options: &Options) -> Result<(), String> {
    let count = options.number("n", 2_000)?;
    let settle: f64 = options.number("settle", 3.0)?;
    let own = [i32::try_from(std::process::id()).unwrap_or_default()];
    let memory = || [&target.pids, &target.back, &own.to_vec()].map(|pids| proportional_kib(pids));
    let (before, cpu) = (memory(), cpu_seconds(&target.pids));
    let took = engine.open_all(count, options.number("rate", 1e9)?, &|socket| socket as u32);
    let cpu = cpu_seconds(&target.pids) - cpu;
    let settled_at = sys::now() + (settle * 1e9) as u64;
    while sys::now() < settled_at {
        engine.poll(50);
    }
    let (after, ready) = (memory(), engine.ready.max(1) as f64);
    let each = |at: usize| rounded((after[at] - before[at]) / ready, 2);
    println!(
        "{}",
        json!({
            "label": target.label,
            "scen": "idle",
            "n": count,
            "ready": engine.ready,
            "dead": engine.dead,
            "conn_s": rounded(engine.ready as f64 / took, 0),
            "base_mib": rounded(before[0] / 1024.0, 1),
            "kib_per_conn": each(0),
            "back_kib_per_conn": each(1),
            "lg_kib_per_conn": each(2),
            "cpu_ms_per_conn": rounded(1_000.0 * cpu / ready, 3),
            "err": engine.first_error.clone().unwrap_or_default(),
        })
    );
    Ok(())
}

fn fanout(engine: &mut Engine, target: &Target, options: &Options) -> Result<(), String> {
    let sockets = options.number("subs", 1_000)?;
    open(engine, target, options, sockets, &|_| 0)?;
    let mut scenario = Scenario { engine, target, shape: Shape::Fanout, sockets };
    let seconds = options.number("secs", 4.0)?;
    let saturated = saturate(&mut scenario, options, Pace::Closed(options.number("win", 8)?))?;
    for share in options.list::<f64>("frac", "0.5,0.8")? {
        scenario.measure(seconds, Pace::Open(share * saturated), true);
    }
    for rate in options.list("fixed", "")? {
        scenario.measure(seconds, Pace::Open(rate), true);
    }
    Ok(())
}

fn pairs(engine: &mut Engine, target: &Target, options: &Options) -> Result<(), String> {
    let sockets = options.number("rooms", 2_000_usize)? * 2;
    open(engine, target, options, sockets, &|socket| (socket / 2) as u32 + 1)?;
    let mut scenario = Scenario { engine, target, shape: Shape::Pairs, sockets };
    let seconds = options.number("secs", 4.0)?;
    let saturated = saturate(&mut scenario, options, Pace::Closed(1))?;
    if options.number("open", 1.0)? > 0.0 {
        scenario.measure(seconds, Pace::Open((sockets as f64).min(0.5 * saturated)), true);
        scenario.measure(seconds, Pace::Open(0.7 * saturated), true);
    }
    for rate in options.list("fixed", "")? {
        scenario.measure(seconds, Pace::Open(rate), true);
    }
    Ok(())
}

/// Opens the sockets of a scenario.
fn open(
    engine: &mut Engine,
    target: &Target,
    options: &Options,
    sockets: usize,
    room_of: &dyn Fn(usize) -> u32,
) -> Result<(), String> {
    engine.open_all(sockets, options.number("rate", 1e9)?, room_of);
    if engine.ready < sockets {
        eprintln!("{}: {} of {sockets} are ready: {:?}", target.label, engine.ready, engine.first_error);
    }
    Ok(())
}

/// Warms up and measures the closed loop. Returns the median of the messages a second.
fn saturate(scenario: &mut Scenario<'_>, options: &Options, pace: Pace) -> Result<f64, String> {
    let (seconds, repeats) = (options.number("secs", 4.0)?, options.number("reps", 3_usize)?);
    scenario.measure(1.0, pace, false);
    let mut rates: Vec<f64> = (0..repeats).map(|_| scenario.measure(seconds, pace, true)).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().ok_or_else(|| "reps=0 measures nothing".to_owned())
}
