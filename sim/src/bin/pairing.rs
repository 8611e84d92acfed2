//! Pairs 200,000 waiting visitors in memory, with the server's own rule, and prints what a round
//! costs.
//!
//! usage: pairing [visitors] [repeats]      (one JSON line for each pool)
#![expect(clippy::print_stdout, reason = "the figures")]
use std::time::Instant;

use maju::simulation::{Round, SeededRng, Seek, Simulation, VisitorId};
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

/// What a visitor seeks, and for how many microseconds it has waited.
type Seeker = (Seek, i64);

/// Makes a pool whose tickets are in no order, as a map yields them.
fn pool(visitors: usize, rng: &mut SeededRng, mut seeker: impl FnMut(&mut SeededRng, i64) -> Seeker) -> Simulation {
    let mut seekers: Vec<(i64, Seeker)> =
        (1..=visitors as i64).map(|visitor| (visitor, seeker(rng, visitor))).collect();
    for last in (1..seekers.len()).rev() {
        seekers.swap(last, rng.below(last as u64 + 1) as usize);
    }
    let mut pool = Simulation::default();
    for (visitor, (seek, waited_us)) in seekers {
        pool.add(VisitorId(visitor), seek, NOW - Duration::microseconds(waited_us));
    }
    pool
}

fn seek(interests: Vec<String>, languages: &[&str], translate: bool) -> Seek {
    let languages = languages.iter().map(|tag| (*tag).to_owned()).collect();
    Seek::new(interests, languages, translate).expect("within the limits")
}

/// Every visitor can be matched with every other.
fn simplest(visitors: usize, rng: &mut SeededRng) -> Simulation {
    pool(visitors, rng, |rng, _| (seek(Vec::new(), &["ko"], false), rng.below(60_000_000) as i64))
}

/// Up to five of 2,000 interests, some far more popular than others; five languages, and one of
/// eight visitors speaks two; a third welcome a translation.
fn ordinary(visitors: usize, rng: &mut SeededRng) -> Simulation {
    let mut pool = pool(visitors, rng, |rng, _| {
        let mut interests: Vec<String> = (0..rng.below(6))
            .map(|_| {
                let most = 1 + rng.below(2_000);
                format!("interest {}", rng.below(most))
            })
            .collect();
        interests.sort();
        interests.dedup();
        let languages: &[&str] = match rng.below(16) {
            0..=8 => &["ko"],
            9..=11 => &["en-US"],
            12 => &["ja"],
            13 => &["vi", "ko-KR"],
            _ => &["ko", "en"],
        };
        (seek(interests, languages, rng.below(3) == 0), rng.below(30_000_000) as i64)
    });
    exclude(&mut pool, visitors, rng);
    pool
}

/// No two can be matched: what a round costs while many wait.
fn alone(visitors: usize, rng: &mut SeededRng) -> Simulation {
    pool(visitors, rng, |_, visitor| (seek(vec![format!("only {visitor}")], &["ko"], false), visitor % 9_000_000))
}

/// One of five has had a talk lately, one of fifty has blocked somebody.
fn exclude(pool: &mut Simulation, visitors: usize, rng: &mut SeededRng) {
    let one = |rng: &mut SeededRng| VisitorId(1 + rng.below(visitors as u64) as i64);
    for _ in 0..visitors / 5 {
        pool.exclude_recent(one(rng), one(rng), NOW - Duration::seconds(rng.below(900) as i64));
    }
    for _ in 0..visitors / 50 {
        pool.block(one(rng), one(rng));
    }
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let (visitors, repeats) = (asked.first().copied().unwrap_or(200_000), asked.get(1).copied().unwrap_or(5));
    let mut rng = SeededRng::new(7);
    for (name, pool) in [
        ("simplest", simplest(visitors, &mut rng)),
        ("ordinary", ordinary(visitors, &mut rng)),
        ("alone", alone(visitors, &mut rng)),
    ] {
        let mut took = Vec::new();
        let mut made = Round::default();
        for _ in 0..repeats {
            let began = Instant::now();
            made = pool.pair(NOW);
            took.push(began.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        let median = took[took.len() / 2];
        println!(
            r#"{{"crowd":"{name}","people":{visitors},"pairs":{},"shared":{},"ms":{:.1},"best_ms":{:.1},"pairs_s":{:.0}}}"#,
            made.pairs,
            made.sharing,
            median * 1e3,
            took[0] * 1e3,
            made.pairs as f64 / median
        );
    }
}
