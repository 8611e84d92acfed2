//! Two nodes with Redis between them, against one node: what it costs that messages cross.
use super::figures::{Phase, least, median, spread};
use super::server::{Other, Server};
use super::{REPEATS, ROOMS, Settings, Setup, settings};
use crate::Result;

/// Messages a second of the open phases.
const RATES: [u32; 3] = [4_000, 8_000, 16_000];

/// How people are placed on the nodes, and what was measured in each turn.
struct Layout {
    name: &'static str,
    options: Settings,
    turns: Vec<Vec<Phase>>,
}

/// CPU a message of the nodes, Postgres and Redis.
fn spent(phases: &[&Phase]) -> f64 {
    median(phases.iter().map(|phase| phase.cpu + phase.back_cpu.max(0.0)))
}

/// Which phases of a turn are compared.
#[derive(Clone, Copy)]
enum Part {
    Saturated,
    /// The open phase at one of [`RATES`].
    Steady(usize),
}

impl Part {
    fn of(self, turn: &[Phase]) -> Vec<&Phase> {
        match self {
            Self::Saturated => turn.iter().filter(|phase| phase.is_closed()).collect(),
            Self::Steady(nth) => turn.iter().filter(|phase| !phase.is_closed()).skip(nth).take(1).collect(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Saturated => "saturated".to_owned(),
            Self::Steady(nth) => format!("at {}/s", RATES[nth]),
        }
    }
}

impl Setup<'_> {
    /// Measures one node, and two with people placed in three ways.
    pub fn nodes(&self) -> Result<()> {
        let redis = Other::start(self.bench, "redis-server", |port| {
            let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
            args.map(str::to_owned).to_vec()
        })?;
        // Of the same site as the first: its people and rooms are used.
        let url = format!("redis://127.0.0.1:{}", redis.port);
        let more = ["--redis-url", &url, "--public-url", &self.server.base];
        let nodes = [Server::start(self.bench, &more)?, Server::start(self.bench, &more)?];
        let mut layouts = self.layouts(&nodes, &redis);
        for _ in 0..REPEATS {
            for layout in &mut layouts {
                layout.turns.push(self.bench.load("pairs", &[&self.own(), &layout.options])?);
            }
        }
        println!("CPU of nodes, Postgres and Redis a message, each turn against one node in the same turn:");
        let one_node = layouts[0].turns.clone();
        for layout in &layouts {
            layout.report(&one_node);
        }
        Ok(())
    }

    fn layouts(&self, nodes: &[Server; 2], redis: &Other) -> [Layout; 4] {
        let rates = RATES.map(|rate| rate.to_string()).join(",");
        let common = settings([("rooms", &ROOMS), ("secs", &3), ("reps", &REPEATS), ("open", &0), ("fixed", &rates)]);
        let [first, second] = nodes;
        // One node counts Postgres, a child of it; two share it, so it is counted beside them, with
        // Redis.
        let both = settings([
            ("addr", &format!("{},{}", first.address(), second.address())),
            ("pids", &format!("{},{}", first.id(), second.id())),
            ("back", &format!("{},{}", self.server.postmaster, redis.id())),
        ]);
        let layout = |name, own: &Settings| {
            let options = common.iter().chain(own).cloned().collect();
            Layout { name, options, turns: Vec::new() }
        };
        let two = |name, row: u32| layout(name, &[both.clone(), settings([("row", &row)])].concat());
        [
            layout("one node", &Vec::new()),
            two("two, people drawn to either (half of the pairs split)", 0),
            two("two, every pair split", 1),
            two("two, each pair on one of them, told to both all the same", 2),
        ]
    }
}

impl Layout {
    fn report(&self, one_node: &[Vec<Phase>]) {
        let figure = |part: Part| {
            let own = median(self.turns.iter().map(|turn| spent(&part.of(turn))));
            let pairs = self.turns.iter().zip(one_node);
            let ratio = spread(pairs.map(|(turn, one)| spent(&part.of(turn)) / spent(&part.of(one))));
            format!("{} {own:.1} µs, × {ratio}", part.name())
        };
        let closed: Vec<&Phase> = self.turns.iter().flat_map(|turn| Part::Saturated.of(turn)).collect();
        let of = |figure: fn(&Phase) -> f64| median(closed.iter().map(|phase| figure(phase)));
        println!(
            "  {}: {} acked msg/s, p50/p99 {}/{} ms, delivered {} % at least",
            self.name,
            of(|phase| phase.sent_s),
            of(|phase| phase.p50_ms),
            of(|phase| phase.p99_ms),
            least(self.turns.iter().flatten().map(|phase| phase.got_pct))
        );
        for part in [Part::Saturated].into_iter().chain((0..RATES.len()).map(Part::Steady)) {
            println!("    {}", figure(part));
        }
    }
}
