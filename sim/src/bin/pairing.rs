//! Pairs 200,000 waiting people in memory, with the server's own rule: the file itself is compiled in, optimised.
//! usage: pairing [people] [repeats]      (a line of JSON for each crowd)
use std::time::Instant;

use time::{Duration, OffsetDateTime};

use matching::model::{Seek, Ticket};
use matching::{Exclusions, pairs};

/// What the rule asks of the rest of the server, and no more.
#[path = "../../../src/matching"]
mod matching {
    #[expect(dead_code, reason = "the server uses all of it, the measurement some")]
    mod limits;
    #[expect(dead_code, reason = "the matcher uses all of it, the measurement some")]
    mod pair;
    mod pool;

    pub mod model {
        pub struct Seek {
            pub interests: Vec<String>,
            pub languages: Vec<String>,
            pub translate: bool,
        }

        pub struct Ticket {
            pub id: i64,
            pub visitor: i64,
            pub seek: Seek,
            pub since: time::OffsetDateTime,
        }
    }

    /// Who may not meet, or not yet.
    #[derive(Default)]
    pub struct Exclusions(pair::Exclusions);

    impl Exclusions {
        pub fn add_recent(&mut self, one: i64, other: i64, ended: time::OffsetDateTime) {
            self.0.add_recent(one, other, ended);
        }

        pub fn add_block(&mut self, one: i64, other: i64) {
            self.0.add_block(one, other);
        }
    }

    /// How many pairs a round makes, how many of them with a shared interest.
    pub fn pairs(tickets: &[model::Ticket], exclusions: &Exclusions, now: time::OffsetDateTime) -> (usize, usize) {
        let made = pair::pair(tickets, &exclusions.0, now);
        (made.len(), made.iter().filter(|one| !one.shared.is_empty()).count())
    }
}

mod ids {
    pub type VisitorId = i64;
}

mod faults {
    pub enum Fault {
        MetLatelyForgotten,
    }

    pub const fn on(_: Fault) -> bool {
        false
    }
}

/// SplitMix64: a seed gives the same crowd for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

/// A crowd in no order, as a map gives it.
fn crowd(people: usize, dice: &mut Dice, mut of: impl FnMut(&mut Dice, i64) -> (Seek, i64)) -> Vec<Ticket> {
    let mut tickets: Vec<Ticket> = (1..=people as i64)
        .map(|visitor| {
            let (seek, waited_us) = of(dice, visitor);
            Ticket { id: visitor, visitor, seek, since: NOW - Duration::microseconds(waited_us) }
        })
        .collect();
    for at in (1..tickets.len()).rev() {
        tickets.swap(at, dice.below(at as u64 + 1) as usize);
    }
    tickets
}

fn seek(interests: Vec<String>, languages: &[&str], translate: bool) -> Seek {
    Seek { interests, languages: languages.iter().map(|tag| (*tag).to_owned()).collect(), translate }
}

/// Everybody may meet everybody.
fn simplest(people: usize, dice: &mut Dice) -> Vec<Ticket> {
    crowd(people, dice, |dice, _| (seek(Vec::new(), &["ko"], false), dice.below(60_000_000) as i64))
}

/// None to five interests of 2,000, some far more popular than others; five languages, one of eight people speaks two; a
/// third welcome a translation.
fn ordinary(people: usize, dice: &mut Dice) -> Vec<Ticket> {
    crowd(people, dice, |dice, _| {
        let mut interests: Vec<String> = (0..dice.below(6))
            .map(|_| {
                let most = 1 + dice.below(2_000);
                format!("interest {}", dice.below(most))
            })
            .collect();
        interests.sort();
        interests.dedup();
        let languages: &[&str] = match dice.below(16) {
            0..=8 => &["ko"],
            9..=11 => &["en-US"],
            12 => &["ja"],
            13 => &["vi", "ko-KR"],
            _ => &["ko", "en"],
        };
        (seek(interests, languages, dice.below(3) == 0), dice.below(30_000_000) as i64)
    })
}

/// Nobody can be paired: what a round costs while a crowd waits.
fn alone(people: usize, dice: &mut Dice) -> Vec<Ticket> {
    crowd(people, dice, |_, visitor| (seek(vec![format!("only {visitor}")], &["ko"], false), visitor % 9_000_000))
}

/// One of five met somebody lately, one of fifty blocked somebody.
fn apart(people: usize, dice: &mut Dice) -> Exclusions {
    let mut exclusions = Exclusions::default();
    let one = |dice: &mut Dice| 1 + dice.below(people as u64) as i64;
    for _ in 0..people / 5 {
        exclusions.add_recent(one(dice), one(dice), NOW - Duration::seconds(dice.below(900) as i64));
    }
    for _ in 0..people / 50 {
        exclusions.add_block(one(dice), one(dice));
    }
    exclusions
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let (people, repeats) = (asked.first().copied().unwrap_or(200_000), asked.get(1).copied().unwrap_or(5));
    let mut dice = Dice(7);
    for (name, tickets, exclusions) in [
        ("simplest", simplest(people, &mut dice), Exclusions::default()),
        ("ordinary", ordinary(people, &mut dice), apart(people, &mut dice)),
        ("alone", alone(people, &mut dice), Exclusions::default()),
    ] {
        let mut took = Vec::new();
        let mut made = (0, 0);
        for _ in 0..repeats {
            let began = Instant::now();
            made = pairs(&tickets, &exclusions, NOW);
            took.push(began.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        let median = took[took.len() / 2];
        println!(
            r#"{{"crowd":"{name}","people":{people},"pairs":{},"shared":{},"ms":{:.1},"best_ms":{:.1},"pairs_s":{:.0}}}"#,
            made.0,
            made.1,
            median * 1e3,
            took[0] * 1e3,
            made.0 as f64 / median
        );
    }
}
