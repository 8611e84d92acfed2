//! The rule, compared with a simple version of it that has no index and compares everybody.
use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, proptest};

use super::{seek, start, ticket};
use crate::ids::VisitorId;
use crate::matching::model::{Seek, Ticket};
use crate::matching::pair::{Exclusions, Match, pair};
use crate::matching::simulation::SeededRng;

/// Returns the wait in seconds from which two visitors can meet. `None` if they can never meet.
fn needed(x: &Seek, y: &Seek) -> Option<i64> {
    let primary = |tags: &[String]| -> HashSet<String> {
        tags.iter().map(|tag| tag.split('-').next().unwrap().to_lowercase()).collect()
    };
    let (mine, theirs) = (primary(x.languages()), primary(y.languages()));
    let language = mine.is_empty() || theirs.is_empty() || !mine.is_disjoint(&theirs);
    let interest =
        x.topics().is_empty() || y.topics().is_empty() || x.topics().iter().any(|topic| y.topics().contains(topic));
    match (language, interest) {
        (true, true) => Some(0),
        (true, false) => Some(10),
        (false, _) if x.translate() && y.translate() => Some(20),
        (false, _) => None,
    }
}

fn waited(x: &Ticket) -> f64 {
    // If the clock of another node is ahead, a wait can be negative. It counts as zero.
    (start() - x.since).as_seconds_f64().max(0.0)
}

fn may_meet(x: &Ticket, y: &Ticket) -> bool {
    x.visitor != y.visitor && needed(&x.seek, &y.seek).is_some_and(|secs| waited(x).min(waited(y)) >= secs as f64)
}

/// The simple version of the rule.
fn pair_simply(tickets: &[Ticket], exclusions: &Exclusions) -> Vec<(i64, i64, bool)> {
    let mut order: Vec<&Ticket> = tickets.iter().collect();
    order.sort_by_key(|ticket| (ticket.since, ticket.id));
    let mut free = vec![true; order.len()];
    let mut made = Vec::new();
    let rank = |x: usize, y: usize| {
        let shared: Vec<&String> =
            order[x].seek.topics().iter().filter(|topic| order[y].seek.topics().contains(topic)).collect();
        let seekers = |topic: &String| order.iter().filter(|ticket| ticket.seek.topics().contains(topic)).count();
        (Reverse(shared.len()), shared.iter().map(|topic| seekers(topic)).min().unwrap_or(usize::MAX), y)
    };
    let blocked = |x: usize, y: usize| exclusions.is_blocked(order[x].visitor, order[y].visitor);
    let recent = |x: usize, y: usize| exclusions.met_recently(order[x].visitor, order[y].visitor, start());
    for relaxed in [false, true] {
        for x in 0..order.len() {
            let another = |free: &[bool], x: usize| {
                (0..order.len()).any(|y| {
                    y != x
                        && free[y]
                        && !blocked(x, y)
                        && !recent(x, y)
                        && needed(&order[x].seek, &order[y].seek).is_some()
                })
            };
            if !free[x] {
                continue;
            }
            let best = (0..order.len())
                .filter(|&y| {
                    y != x && free[y] && may_meet(order[x], order[y]) && !blocked(x, y) && recent(x, y) == relaxed
                })
                .filter(|&y| {
                    !relaxed
                        || (waited(order[x]).min(waited(order[y])) >= 3.0 && !another(&free, x) && !another(&free, y))
                })
                .min_by_key(|&y| rank(x, y));
            if let Some(y) = best {
                (free[x], free[y]) = (false, false);
                made.push((order[x.min(y)].visitor.0, order[x.max(y)].visitor.0, relaxed));
            }
        }
    }
    made
}

fn in_short(matches: &[Match]) -> Vec<(i64, i64, bool)> {
    matches.iter().map(|one| (one.a.0, one.b.0, one.relaxed)).collect()
}

fn waiting_pool() -> impl Strategy<Value = (Vec<Ticket>, Exclusions)> {
    // Some of them are the same topic.
    let interests = prop::sample::subsequence(vec!["a", "b", "B", "음악", "Music", "songs", "c", "d"], 0..=3);
    let languages = prop::sample::subsequence(vec!["ko", "KO-kr", "en", "en-US", "ja"], 0..=2);
    let waits =
        prop::sample::select(vec![0_i64, 1_000, 2_999, 3_000, 9_999, 10_000, 15_000, 19_999, 20_000, 60_000, -500]);
    let one = (interests, languages, prop::bool::ANY, waits);
    prop::collection::vec(one, 0..14).prop_flat_map(|people| {
        let count = i64::try_from(people.len()).unwrap().max(1);
        let tickets: Vec<Ticket> = people
            .into_iter()
            .zip(1..)
            .map(|((interests, languages, translate, wait), visitor)| {
                ticket(visitor, seek(&interests, &languages, translate), wait)
            })
            .collect();
        let pairs = prop::collection::vec((1..=count, 1..=count, 0..3_u8), 0..20);
        (Just(tickets), pairs).prop_map(|(tickets, pairs)| {
            let mut exclusions = Exclusions::default();
            for (one, other, how) in pairs.into_iter().filter(|(one, other, _)| one != other) {
                let (one, other) = (VisitorId(one), VisitorId(other));
                match how {
                    0 => exclusions.add_block(one, other),
                    1 => exclusions.add_recent(one, other, start() - time::Duration::seconds(599)),
                    _ => exclusions.add_recent(one, other, start() - time::Duration::seconds(600)),
                }
            }
            (tickets, exclusions)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_gives_the_same_pairs_as_comparing_everybody((tickets, exclusions) in waiting_pool()) {
        prop_assert_eq!(in_short(&pair(&tickets, &exclusions, start())), pair_simply(&tickets, &exclusions));
    }

    #[test]
    fn every_pair_keeps_the_rule((mut tickets, exclusions) in waiting_pool()) {
        let matches = pair(&tickets, &exclusions, start());
        let find = |visitor| tickets.iter().find(|ticket| ticket.visitor == visitor).unwrap();
        let mut seen = HashSet::new();
        for one in &matches {
            prop_assert!(one.a != one.b && seen.insert(one.a) && seen.insert(one.b), "nobody is in two pairs or paired with itself");
            prop_assert!(!exclusions.is_blocked(one.a, one.b));
            prop_assert!(may_meet(find(one.a), find(one.b)), "both have waited long enough for what they lack");
            prop_assert_eq!(one.relaxed, exclusions.met_recently(one.a, one.b, start()));
            let (a, b) = (&find(one.a).seek, &find(one.b).seek);
            prop_assert_eq!((one.shared, one.shared), (a.shared_with(b).len(), b.shared_with(a).len()));
            if one.relaxed {
                prop_assert!(waited(find(one.a)).min(waited(find(one.b))) >= 3.0);
            }
        }
        // The longest wait gets a partner if there is one.
        if let Some(oldest) = tickets.iter().min_by_key(|ticket| (ticket.since, ticket.id)) {
            let could = tickets.iter().any(|other| {
                may_meet(oldest, other) && !exclusions.is_blocked(oldest.visitor, other.visitor)
                    && !exclusions.met_recently(oldest.visitor, other.visitor, start())
            });
            prop_assert!(!could || seen.contains(&oldest.visitor), "the longest wait was passed over");
        }
        // Of the visitors that are left, no two could have met.
        for x in tickets.iter().filter(|ticket| !seen.contains(&ticket.visitor)) {
            for y in tickets.iter().filter(|ticket| !seen.contains(&ticket.visitor)) {
                let apart = exclusions.is_blocked(x.visitor, y.visitor) || exclusions.met_recently(x.visitor, y.visitor, start());
                prop_assert!(apart || !may_meet(x, y), "{:?} and {:?} were left", x.visitor, y.visitor);
            }
        }
        tickets.reverse();
        prop_assert_eq!(pair(&tickets, &exclusions, start()), matches, "the order in which tickets are read changes nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matching_by_topic_is_symmetric(
        mine in prop::sample::subsequence(WORDS.to_vec(), 0..=5).prop_shuffle(),
        theirs in prop::sample::subsequence(WORDS.to_vec(), 0..=5).prop_shuffle(),
        earlier in 0..2_i64,
    ) {
        let one = ticket(1, seek(&mine, &["ko"], false), earlier);
        let other = ticket(2, seek(&theirs, &["ko"], false), 1 - earlier);
        let shared = one.seek.shared_with(&other.seek);
        prop_assert_eq!(shared.len(), other.seek.shared_with(&one.seek).len());
        prop_assert!(shared.iter().all(|word| mine.contains(word)), "each side reads what it wrote");
        let matches = pair(&[one.clone(), other.clone()], &Exclusions::default(), start());
        let meets = mine.is_empty() || theirs.is_empty() || !shared.is_empty();
        prop_assert_eq!(matches.len(), usize::from(meets), "at once with a topic in common, and only then");
        prop_assert!(matches.iter().all(|one| one.shared == shared.len()));
        // The same two with each other's wishes.
        let with = |ticket: &Ticket, seek: &Seek| Ticket { seek: seek.clone(), ..ticket.clone() };
        let swapped = [with(&one, &other.seek), with(&other, &one.seek)];
        prop_assert_eq!(pair(&swapped, &Exclusions::default(), start()), matches);
    }
}

/// Interests, several of which are the same topic.
const WORDS: [&str; 12] =
    ["음악", "Music", "songs", "ＭＵＳＩＣ", "비 오는 날", "rainy-days", "비오는날", "차", "Tea", "tea", "C", "C++"];

#[test]
fn the_choice_widens_with_the_waiting_time() {
    let music = |visitor, wait| ticket(visitor, seek(&["music"], &["ko"], false), wait);
    let games = |visitor, wait| ticket(visitor, seek(&["games"], &["ko"], false), wait);
    let made = |tickets: &[Ticket]| in_short(&pair(tickets, &Exclusions::default(), start()));
    assert_eq!(made(&[music(1, 0), music(2, 0)]), [(1, 2, false)]);
    assert_eq!(made(&[music(1, 60_000), games(2, 9_999)]), [], "both must have waited");
    assert_eq!(made(&[music(1, 60_000), games(2, 10_000)]), [(1, 2, false)]);
    assert_eq!(made(&[music(1, 0), ticket(2, seek(&[], &["ko-KR"], false), 0)]).len(), 1, "open to anyone");
    let english = |translate, wait| ticket(3, seek(&[], &["en"], translate), wait);
    let korean = |translate, wait| ticket(4, seek(&[], &["ko"], translate), wait);
    assert_eq!(made(&[english(true, 60_000), korean(false, 60_000)]), []);
    assert_eq!(made(&[english(true, 60_000), korean(true, 19_999)]), []);
    assert_eq!(made(&[english(true, 60_000), korean(true, 20_000)]), [(3, 4, false)]);
    let bridged = pair(&[english(true, 60_000), korean(true, 20_000)], &Exclusions::default(), start());
    assert!(bridged[0].languages.is_empty());
    let any = pair(&[english(false, 9), ticket(5, seek(&[], &[], false), 8)], &Exclusions::default(), start());
    assert_eq!(any[0].languages, ["en"]);
}

#[test]
fn more_shared_interests_come_first_then_rarer_ones_then_longer_waits() {
    let one = |visitor, interests: &[&str], wait| ticket(visitor, seek(interests, &["ko"], false), wait);
    let tickets = [
        one(1, &["music", "tea", "go"], 900),
        one(2, &["music"], 800),
        one(3, &["go"], 700),
        one(4, &["music", "tea"], 600),
        one(5, &["music"], 500),
    ];
    assert_eq!(in_short(&pair(&tickets, &Exclusions::default(), start())), [(1, 4, false), (2, 5, false)]);
    let matches = pair(
        &[tickets[0].clone(), tickets[1].clone(), tickets[2].clone(), tickets[4].clone()],
        &Exclusions::default(),
        start(),
    );
    assert_eq!((matches[0].a.0, matches[0].b.0), (1, 3), "go is rarer than music");
    assert_eq!(matches[0].shared, 1);
}

#[test]
fn visitors_who_met_recently_wait_for_others_first() {
    let one = |visitor, wait| ticket(visitor, seek(&[], &["ko"], false), wait);
    let mut exclusions = Exclusions::default();
    exclusions.add_recent(VisitorId(1), VisitorId(2), start() - time::Duration::seconds(60));
    assert_eq!(in_short(&pair(&[one(1, 2_999), one(2, 9_000)], &exclusions, start())), []);
    assert_eq!(in_short(&pair(&[one(1, 3_000), one(2, 9_000)], &exclusions, start())), [(2, 1, true)]);
    // Another visitor that they can meet later waits, so they wait too.
    let stranger = ticket(3, seek(&["x"], &["ko"], false), 0);
    let shy = |visitor| ticket(visitor, seek(&["y"], &["ko"], false), 9_000);
    assert_eq!(in_short(&pair(&[shy(1), shy(2), stranger.clone()], &exclusions, start())), []);
    // A visitor that neither can ever meet does not matter.
    let foreigner = ticket(3, seek(&["x"], &["ja"], false), 0);
    assert_eq!(in_short(&pair(&[shy(1), shy(2), foreigner], &exclusions, start())), [(1, 2, true)]);
    exclusions.add_block(VisitorId(1), VisitorId(3));
    exclusions.add_block(VisitorId(2), VisitorId(3));
    assert_eq!(in_short(&pair(&[shy(1), shy(2), stranger], &exclusions, start())), [(1, 2, true)]);
    exclusions.add_block(VisitorId(1), VisitorId(2));
    assert_eq!(in_short(&pair(&[shy(1), shy(2)], &exclusions, start())), [], "a block holds");
    exclusions.clear_blocks();
    assert_eq!(in_short(&pair(&[shy(1), shy(2)], &exclusions, start())), [(1, 2, true)], "it was taken back");
}

#[test]
fn a_round_over_two_thousand_is_fast() {
    let mut rng = SeededRng::new(7);
    let mut people = |name: &str, make: &mut dyn FnMut(&mut SeededRng, i64) -> Ticket| {
        let tickets: Vec<Ticket> = (1..=2_000).map(|visitor| make(&mut rng, visitor)).collect();
        let began = Instant::now();
        let made = pair(&tickets, &Exclusions::default(), start()).len();
        let took = began.elapsed();
        eprintln!("pair() over 2,000 {name}: {made} pairs in {took:?}");
        assert!(
            took < Duration::from_millis(1_500),
            "{name}: {took:?} (the bound is for debug builds on a busy machine)"
        );
        made
    };
    let words: Vec<String> = (0..200).map(|n| format!("interest {n}")).collect();
    let pick = |rng: &mut SeededRng| words[usize::try_from(rng.below(200)).unwrap()].clone();
    let made = people("with 3 of 200 interests, ko or en or both", &mut |rng, visitor| {
        let languages: &[&str] = rng.one_of(&[&["ko"][..], &["en"], &["ko", "en"]]);
        let interests = [pick(rng), pick(rng), pick(rng)];
        let sought = seek(&interests.each_ref().map(String::as_str), languages, rng.below(2) == 0);
        ticket(visitor, sought, i64::try_from(rng.below(30_000)).unwrap())
    });
    assert!(made > 950);
    assert_eq!(
        people("with the same interest", &mut |_, visitor| ticket(visitor, seek(&["music"], &["ko"], false), visitor)),
        1_000
    );
    assert_eq!(people("open to anyone", &mut |_, visitor| ticket(visitor, seek(&[], &[], false), visitor)), 1_000);
    let none = people("with nothing in common", &mut |_, visitor| {
        ticket(visitor, seek(&[&format!("only {visitor}")], &["ko"], true), visitor)
    });
    assert_eq!(none, 0);
    let tags: Vec<String> =
        (0..2_001_u32).map(|n| format!("{}{}{}", letter(n / 676), letter(n / 26), letter(n))).collect();
    let none = people("with one interest and no language in common", &mut |_, visitor| {
        ticket(visitor, seek(&["music"], &[&tags[usize::try_from(visitor).unwrap()]], false), 60_000)
    });
    assert_eq!(none, 0);
}

fn letter(n: u32) -> char {
    char::from_u32(u32::from('a') + n % 26).unwrap()
}
