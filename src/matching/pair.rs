//! Who meets whom: the published rule (docs/MATCHING.md) as a pure function over the waiting tickets. No I/O, no clock, no chance.
//!
//! Oldest first; a pair must have waited long enough, on both sides, for what it lacks: a shared interest (or somebody open
//! to anyone) and a language at once, a language alone after 10 s, a translation after 20 s. Among compatible ones: more
//! shared interests, then the rarest, then the oldest. Seekers are indexed by (language, interest), so that nobody is
//! compared with everybody.
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::model::{Seek, Ticket};
use crate::faults::{self, Fault};

/// How long people who met are kept apart while anybody else could be met (DESIGN.md 6).
pub(super) const APART: Duration = Duration::minutes(10);
/// Waiting time from which a language alone is enough.
const WIDER: Duration = Duration::seconds(10);
/// Waiting time from which a translation may bridge.
const WIDEST: Duration = Duration::seconds(20);
/// How long both have waited before two who met lately meet again because nobody else is there.
const PATIENCE: Duration = Duration::seconds(3);
/// Candidates looked at for each interest and language, oldest first: a crowd does not make a round slow.
const LOOK: usize = 32;

/// Who should not meet again: for now, or ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    lately: HashMap<i64, HashMap<i64, OffsetDateTime>>,
    blocked: HashSet<(i64, i64)>,
}

impl Met {
    /// Notes that two people's talk ended.
    pub(super) fn met(&mut self, one: i64, other: i64, ended: OffsetDateTime) {
        for (from, to) in [(one, other), (other, one)] {
            let at = self.lately.entry(from).or_default().entry(to).or_insert(ended);
            *at = ended.max(*at);
        }
    }

    /// Notes a block; mutual and for ever.
    pub(super) fn block(&mut self, one: i64, other: i64) {
        self.blocked.insert((one.min(other), one.max(other)));
    }

    /// Keeps only what concerns people who wait.
    pub(super) fn retain(&mut self, waits: impl Fn(i64) -> bool) {
        self.lately.retain(|visitor, _| waits(*visitor));
        self.blocked.retain(|(low, high)| waits(*low) && waits(*high));
    }

    pub(super) fn is_blocked(&self, one: i64, other: i64) -> bool {
        !self.blocked.is_empty() && self.blocked.contains(&(one.min(other), one.max(other)))
    }

    pub(super) fn is_recent(&self, one: i64, other: i64, now: OffsetDateTime) -> bool {
        let at = |from, to| self.lately.get(&from).and_then(|met: &HashMap<_, _>| met.get(&to));
        at(one, other).or_else(|| at(other, one)).is_some_and(|at| now - *at < APART)
            && !faults::on(Fault::MetLatelyForgotten)
    }
}

/// Two who meet, by visitor; `a` has waited longer. Slots are drawn elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub a: i64,
    pub b: i64,
    /// Interests both named, in `a`'s order.
    pub shared: Vec<String>,
    /// Primary subtags both speak; empty when a translation bridges or both take any.
    pub languages: Vec<String>,
    /// They met lately, and neither has anybody else.
    pub relaxed: bool,
}

/// The pairs of a round. Nobody is in two, nobody is paired with themselves or somebody blocked.
pub(super) fn pair(tickets: &[Ticket], met: &Met, now: OffsetDateTime) -> Vec<Match> {
    if tickets.len() < 2 {
        return Vec::new();
    }
    let mut round = Round::new(tickets, met, now);
    let mut matches = Vec::new();
    for x in 0..round.people.len() {
        if round.free[x]
            && let Some(y) = round.best_for(x)
        {
            matches.push(round.join(x, y, false));
        }
    }
    for x in 0..round.people.len() {
        if round.free[x]
            && let Some(y) = round.again_for(x)
        {
            matches.push(round.join(x, y, true));
        }
    }
    matches
}

/// How far a waiting time has widened the choice: 0, 1 or 2.
pub(super) fn stage(waited: Duration) -> u8 {
    u8::from(waited >= WIDER) + u8::from(waited >= WIDEST)
}

/// The language itself, without region or script.
fn primary(tag: &str) -> String {
    tag.split('-').next().unwrap_or_default().to_ascii_lowercase()
}

fn languages_of(seek: &Seek) -> Vec<String> {
    let mut languages: Vec<String> = seek.languages.iter().map(|tag| primary(tag)).collect();
    languages.sort_unstable();
    languages.dedup();
    languages
}

/// Keys of the index that are nobody's own language: takes any, everybody, welcomes a translation.
const ANY: u32 = 0;
const ALL: u32 = 1;
const BRIDGE: u32 = 2;
/// Keys of the index that are nobody's own interest: open to anyone, everybody.
const OPEN: u32 = 0;
const EVERY: u32 = 1;
/// The first key that is a language or an interest.
const FIRST: u32 = 3;

/// Under which languages to look.
#[derive(Clone, Copy)]
enum Tongue {
    /// One's own.
    Shared,
    /// Any that a translation bridges.
    Bridged,
}

/// A seeker with interned, sorted interests and languages.
struct Person<'a> {
    ticket: &'a Ticket,
    waited: Duration,
    stage: u8,
    interests: Vec<u32>,
    languages: Vec<u32>,
}

/// Seekers in the order of their waiting.
#[derive(Default)]
struct List(Vec<usize>);

impl List {
    /// The first `most` who are free and pass, down to a stage. Lists are in order of waiting, so stages only fall.
    fn look(
        &mut self,
        people: &[Person<'_>],
        free: &[bool],
        least: u8,
        most: usize,
        passes: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let (mut found, mut taken) = (Vec::new(), 0);
        for &y in &self.0 {
            if people[y].stage < least || found.len() == most {
                break;
            }
            if !free[y] {
                taken += 1;
            } else if passes(y) {
                found.push(y);
            }
        }
        if taken > 16 {
            self.0.retain(|y| free[*y]);
        }
        found
    }
}

struct Round<'a> {
    people: Vec<Person<'a>>,
    free: Vec<bool>,
    met: &'a Met,
    now: OffsetDateTime,
    lists: HashMap<(u32, u32), List>,
    /// How many seek each interest.
    seekers: Vec<u32>,
    by_visitor: HashMap<i64, usize>,
}

impl<'a> Round<'a> {
    fn new(tickets: &'a [Ticket], met: &'a Met, now: OffsetDateTime) -> Self {
        let mut order: Vec<&Ticket> = tickets.iter().collect();
        order.sort_unstable_by_key(|ticket| (ticket.since, ticket.id, ticket.visitor));
        let (mut interests, mut languages) = (HashMap::new(), HashMap::new());
        let mut seekers = vec![0; FIRST as usize];
        let mut people = Vec::with_capacity(order.len());
        let mut by_visitor = HashMap::with_capacity(order.len());
        for ticket in order {
            if by_visitor.contains_key(&ticket.visitor) {
                continue; // the table allows one ticket a visitor
            }
            by_visitor.insert(ticket.visitor, people.len());
            let mut own: Vec<u32> = ticket.seek.interests.iter().map(|i| intern(&mut interests, i.clone())).collect();
            own.sort_unstable();
            own.dedup();
            seekers.resize(interests.len() + FIRST as usize, 0);
            own.iter().for_each(|interest| seekers[*interest as usize] += 1);
            let spoken = languages_of(&ticket.seek).into_iter().map(|tag| intern(&mut languages, tag)).collect();
            let waited = now - ticket.since;
            people.push(Person { ticket, waited, stage: stage(waited), interests: own, languages: spoken });
        }
        let free = vec![true; people.len()];
        let lists = index(&people);
        Self { people, free, met, now, lists, seekers, by_visitor }
    }

    /// The best candidate whom `x` may meet now and has not met lately.
    fn best_for(&mut self, x: usize) -> Option<usize> {
        let (stage, open) = (self.people[x].stage, self.people[x].interests.is_empty());
        let bridges = stage >= 2 && self.people[x].ticket.seek.translate;
        let mut shared = Vec::new();
        for at in 0..self.people[x].interests.len() {
            let interest = self.people[x].interests[at];
            shared.extend(self.look(x, Tongue::Shared, interest, 0, LOOK));
            if bridges {
                shared.extend(self.look(x, Tongue::Bridged, interest, 2, LOOK));
            }
        }
        if let Some(best) = shared.into_iter().min_by_key(|y| self.rank(x, *y)) {
            return Some(best);
        }
        let mut oldest = self.look(x, Tongue::Shared, if open { EVERY } else { OPEN }, 0, 1);
        if !open && stage >= 1 {
            oldest.extend(self.look(x, Tongue::Shared, EVERY, 1, 1));
        }
        if bridges {
            oldest.extend(self.look(x, Tongue::Bridged, EVERY, 2, 1));
        }
        oldest.into_iter().min()
    }

    /// Somebody whom `x` met lately, when neither has anybody else to wait for.
    fn again_for(&mut self, x: usize) -> Option<usize> {
        if self.people[x].waited < PATIENCE {
            return None;
        }
        let lately = self.met.lately.get(&self.people[x].ticket.visitor)?;
        let mut known: Vec<usize> = lately.keys().filter_map(|visitor| self.by_visitor.get(visitor).copied()).collect();
        known.retain(|&y| {
            y != x && self.free[y] && self.people[y].waited >= PATIENCE && self.may_meet(x, y) && !self.is_blocked(x, y)
        });
        if known.is_empty() || self.has_another(x) {
            return None;
        }
        known.sort_unstable_by_key(|y| self.rank(x, *y));
        known.into_iter().find(|y| !self.has_another(*y))
    }

    /// Whether anybody waits whom `x` could meet, now or after waiting longer, and has not met lately.
    fn has_another(&mut self, x: usize) -> bool {
        !self.look(x, Tongue::Shared, EVERY, 0, 1).is_empty()
            || (self.people[x].ticket.seek.translate && !self.look(x, Tongue::Bridged, EVERY, 0, 1).is_empty())
    }

    /// Free seekers of an interest with a language in common with `x`, or bridged, down to a stage: the oldest of each.
    fn look(&mut self, x: usize, tongue: Tongue, interest: u32, least: u8, most: usize) -> Vec<usize> {
        let Self { people, free, met, now, lists, .. } = self;
        let keys: &[u32] = match tongue {
            Tongue::Bridged => &[BRIDGE],
            Tongue::Shared if people[x].languages.is_empty() => &[ALL],
            Tongue::Shared => &people[x].languages,
        };
        let any = if matches!(tongue, Tongue::Shared) && !people[x].languages.is_empty() { Some(ANY) } else { None };
        let mut found = Vec::new();
        for language in keys.iter().copied().chain(any) {
            if let Some(list) = lists.get_mut(&(language, interest)) {
                found.extend(list.look(people, free, least, most, |y| y != x && !is_apart(people, met, *now, x, y)));
            }
        }
        found
    }

    /// Whether both have waited long enough for what they lack.
    fn may_meet(&self, x: usize, y: usize) -> bool {
        let (x, y) = (&self.people[x], &self.people[y]);
        let agree = |mine: &[u32], theirs: &[u32]| {
            mine.is_empty() || theirs.is_empty() || mine.iter().any(|key| theirs.contains(key))
        };
        let needed = if agree(&x.languages, &y.languages) {
            u8::from(!agree(&x.interests, &y.interests))
        } else if x.ticket.seek.translate && y.ticket.seek.translate {
            2
        } else {
            return false;
        };
        x.stage.min(y.stage) >= needed
    }

    fn is_blocked(&self, x: usize, y: usize) -> bool {
        self.met.is_blocked(self.people[x].ticket.visitor, self.people[y].ticket.visitor)
    }

    /// More shared interests first, then the rarest of them, then who has waited longest.
    fn rank(&self, x: usize, y: usize) -> (Reverse<usize>, u32, usize) {
        let (mine, theirs) = (&self.people[x].interests, &self.people[y].interests);
        let (mut count, mut rarest) = (0, u32::MAX);
        for interest in mine.iter().filter(|interest| theirs.contains(interest)) {
            count += 1;
            rarest = rarest.min(self.seekers[*interest as usize]);
        }
        (Reverse(count), rarest, y)
    }

    fn join(&mut self, x: usize, y: usize, relaxed: bool) -> Match {
        self.free[x] = false;
        self.free[y] = false;
        let (a, b) = (self.people[x.min(y)].ticket, self.people[x.max(y)].ticket);
        let shared = a.seek.interests.iter().filter(|interest| b.seek.interests.contains(interest)).cloned().collect();
        let (mut languages, theirs) = (languages_of(&a.seek), languages_of(&b.seek));
        if languages.is_empty() {
            languages = theirs;
        } else if !theirs.is_empty() {
            languages.retain(|tag| theirs.contains(tag));
        }
        Match { a: a.visitor, b: b.visitor, shared, languages, relaxed }
    }
}

/// Whether two may not meet, or not while anybody else is there.
fn is_apart(people: &[Person<'_>], met: &Met, now: OffsetDateTime, x: usize, y: usize) -> bool {
    let (x, y) = (people[x].ticket.visitor, people[y].ticket.visitor);
    x == y || met.is_blocked(x, y) || met.is_recent(x, y, now)
}

fn intern(known: &mut HashMap<String, u32>, text: String) -> u32 {
    let next = u32::try_from(known.len()).unwrap_or(u32::MAX - FIRST) + FIRST;
    *known.entry(text).or_insert(next)
}

/// Everybody under each of their languages and interests, in order of waiting.
fn index(people: &[Person<'_>]) -> HashMap<(u32, u32), List> {
    let mut lists: HashMap<(u32, u32), List> = HashMap::with_capacity(people.len() * 4);
    for (at, person) in people.iter().enumerate() {
        let languages = if person.languages.is_empty() { &[ANY][..] } else { &person.languages };
        let interests = if person.interests.is_empty() { &[OPEN][..] } else { &person.interests };
        let bridge = person.ticket.seek.translate.then_some(BRIDGE);
        for language in languages.iter().copied().chain([ALL]).chain(bridge) {
            for interest in interests.iter().copied().chain([EVERY]) {
                lists.entry((language, interest)).or_default().0.push(at);
            }
        }
    }
    lists
}
