//! Who meets whom: the published rule (docs/MATCHING.md) as a pure function over the waiting tickets. No I/O, no clock, no chance.
//!
//! Oldest first; a pair must have waited long enough, on both sides, for what it lacks: a shared interest (or somebody open
//! to anyone) and a language at once, a language alone after 10 s, a translation after 20 s. Among compatible ones: more
//! shared interests, then the rarest, then the oldest. Seekers stand in lists by language and interest (`crowd.rs`), so that
//! nobody is compared with everybody.
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::crowd::{ALL, ANY, BRIDGE, ByNumber, Crowd, EVERY, OPEN};
use super::model::Ticket;
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
    lately: HashMap<i64, HashMap<i64, OffsetDateTime, ByNumber>, ByNumber>,
    blocked: HashSet<(i64, i64), ByNumber>,
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

    /// Whoever met or blocked anybody, and whom.
    fn concerned(&self) -> impl Iterator<Item = i64> {
        let lately = self.lately.iter().flat_map(|(visitor, others)| others.keys().chain([visitor]).copied());
        lately.chain(self.blocked.iter().flat_map(|(low, high)| [*low, *high]))
    }

    pub(super) fn is_blocked(&self, one: i64, other: i64) -> bool {
        !self.blocked.is_empty() && self.blocked.contains(&(one.min(other), one.max(other)))
    }

    pub(super) fn is_recent(&self, one: i64, other: i64, now: OffsetDateTime) -> bool {
        let at = |from: i64, to: i64| self.lately.get(&from)?.get(&to);
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

/// The pairs of a round over tickets, one a visitor. Nobody is in two, nobody is paired with themselves or somebody blocked.
pub(super) fn pair<'a>(tickets: impl IntoIterator<Item = &'a Ticket>, met: &'a Met, now: OffsetDateTime) -> Vec<Match> {
    let mut round = Round::new(tickets, met, now);
    let mut matches = Vec::with_capacity(round.free.len() / 2);
    for x in 0..round.free.len() {
        if round.free[x]
            && let Some(y) = round.best_for(x)
        {
            matches.push(round.join(x, y, false));
        }
    }
    for x in 0..round.free.len() {
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

/// Under which languages to look.
#[derive(Clone, Copy)]
enum Tongue {
    /// One's own.
    Shared,
    /// Any that a translation bridges.
    Bridged,
}

/// More shared interests first, then the rarest of them, then who has waited longest.
type Rank = (Reverse<usize>, u32, usize);

struct Round<'a> {
    crowd: Crowd<'a>,
    free: Vec<bool>,
    met: &'a Met,
    now: OffsetDateTime,
    /// Those who met or blocked anybody: all others need not be looked up.
    wary: Vec<bool>,
    /// Where those stand.
    by_visitor: HashMap<i64, usize, ByNumber>,
    /// Whom a look has found.
    found: Vec<usize>,
}

impl<'a> Round<'a> {
    fn new(tickets: impl IntoIterator<Item = &'a Ticket>, met: &'a Met, now: OffsetDateTime) -> Self {
        let crowd = Crowd::new(tickets, |since| stage(now - since));
        let concerned: HashSet<i64, ByNumber> = met.concerned().collect();
        let is_wary = |visitor| !concerned.is_empty() && concerned.contains(&visitor);
        let wary: Vec<bool> = crowd.people.iter().map(|person| is_wary(person.visitor)).collect();
        let places = crowd.people.iter().enumerate().filter(|(at, _)| wary[*at]);
        let by_visitor = places.map(|(at, person)| (person.visitor, at)).collect();
        let free = vec![true; crowd.people.len()];
        Self { crowd, free, met, now, wary, by_visitor, found: Vec::new() }
    }

    /// The best candidate whom `x` may meet now and has not met lately.
    fn best_for(&mut self, x: usize) -> Option<usize> {
        let (stage, open) = (self.crowd.people[x].stage, self.crowd.interests(x).is_empty());
        let bridges = stage >= 2 && self.crowd.people[x].translate;
        if let Some((_, _, best)) = self.best_sharing(x, bridges) {
            return Some(best);
        }
        self.found.clear();
        self.look(x, Tongue::Shared, if open { EVERY } else { OPEN }, 0, 1);
        if !open && stage >= 1 {
            self.look(x, Tongue::Shared, EVERY, 1, 1);
        }
        if bridges {
            self.look(x, Tongue::Bridged, EVERY, 2, 1);
        }
        self.found.iter().copied().min()
    }

    /// The best of those who share an interest.
    fn best_sharing(&mut self, x: usize, bridges: bool) -> Option<Rank> {
        let mut best: Option<Rank> = None;
        for at in 0..self.crowd.interests(x).len() {
            let interest = self.crowd.interests(x)[at];
            self.found.clear();
            self.look(x, Tongue::Shared, interest, 0, LOOK);
            if bridges {
                self.look(x, Tongue::Bridged, interest, 2, LOOK);
            }
            for &y in &self.found {
                let most = self.crowd.may_share(x, y);
                if best.is_some_and(|(Reverse(count), _, _)| count > most) {
                    continue;
                }
                let rank = if most == 1 { (Reverse(1), self.crowd.seekers(interest), y) } else { self.rank(x, y) };
                best = Some(best.map_or(rank, |best| best.min(rank)));
            }
        }
        best
    }

    /// Somebody whom `x` met lately, when neither has anybody else to wait for.
    fn again_for(&mut self, x: usize) -> Option<usize> {
        if !self.wary[x] || self.waited(x) < PATIENCE {
            return None;
        }
        let lately = self.met.lately.get(&self.crowd.people[x].visitor)?;
        let mut known: Vec<usize> = lately.keys().filter_map(|visitor| self.by_visitor.get(visitor).copied()).collect();
        known.retain(|&y| {
            y != x && self.free[y] && self.waited(y) >= PATIENCE && self.may_meet(x, y) && !self.is_blocked(x, y)
        });
        if known.is_empty() || self.has_another(x) {
            return None;
        }
        known.sort_unstable_by_key(|y| self.rank(x, *y));
        known.into_iter().find(|y| !self.has_another(*y))
    }

    /// Whether anybody waits whom `x` could meet, now or after waiting longer, and has not met lately.
    fn has_another(&mut self, x: usize) -> bool {
        self.found.clear();
        self.look(x, Tongue::Shared, EVERY, 0, 1);
        if self.found.is_empty() && self.crowd.people[x].translate {
            self.look(x, Tongue::Bridged, EVERY, 0, 1);
        }
        !self.found.is_empty()
    }

    /// Finds free seekers of an interest with a language in common with `x`, or bridged, down to a stage: the oldest of each.
    fn look(&mut self, x: usize, tongue: Tongue, interest: u32, least: u8, most: usize) {
        match tongue {
            Tongue::Bridged => self.look_in(x, (BRIDGE, interest), (least, most)),
            Tongue::Shared if self.crowd.languages(x).is_empty() => self.look_in(x, (ALL, interest), (least, most)),
            Tongue::Shared => {
                for at in 0..self.crowd.languages(x).len() {
                    self.look_in(x, (self.crowd.languages(x)[at], interest), (least, most));
                }
                self.look_in(x, (ANY, interest), (least, most));
            }
        }
    }

    fn look_in(&mut self, x: usize, (language, interest): (u32, u32), limits: (u8, usize)) {
        let Self { crowd, free, met, now, wary, found, .. } = self;
        let Some((list, people)) = crowd.list_of(language, interest) else { return };
        let is_apart = |y: usize| {
            let (one, other) = (people[x].visitor, people[y].visitor);
            met.is_blocked(one, other) || met.is_recent(one, other, *now)
        };
        list.look((people, free), limits, |y| y != x && !((wary[x] && wary[y]) && is_apart(y)), found);
    }

    /// Whether both have waited long enough for what they lack.
    fn may_meet(&self, x: usize, y: usize) -> bool {
        let agree = |mine: &[u32], theirs: &[u32]| {
            mine.is_empty() || theirs.is_empty() || mine.iter().any(|key| theirs.contains(key))
        };
        let (one, other) = (&self.crowd.people[x], &self.crowd.people[y]);
        let needed = if agree(self.crowd.languages(x), self.crowd.languages(y)) {
            u8::from(!agree(self.crowd.interests(x), self.crowd.interests(y)))
        } else if one.translate && other.translate {
            2
        } else {
            return false;
        };
        one.stage.min(other.stage) >= needed
    }

    fn is_blocked(&self, x: usize, y: usize) -> bool {
        self.met.is_blocked(self.crowd.people[x].visitor, self.crowd.people[y].visitor)
    }

    fn waited(&self, x: usize) -> Duration {
        self.now - self.crowd.people[x].ticket.since
    }

    fn rank(&self, x: usize, y: usize) -> Rank {
        let (mine, theirs) = (self.crowd.interests(x), self.crowd.interests(y));
        let (mut count, mut rarest) = (0, u32::MAX);
        for interest in mine.iter().filter(|interest| theirs.contains(interest)) {
            count += 1;
            rarest = rarest.min(self.crowd.seekers(*interest));
        }
        (Reverse(count), rarest, y)
    }

    fn join(&mut self, x: usize, y: usize, relaxed: bool) -> Match {
        self.free[x] = false;
        self.free[y] = false;
        let (x, y) = (x.min(y), x.max(y));
        let (mine, theirs) = (self.crowd.languages(x), self.crowd.languages(y));
        let common = |language: &&u32| mine.is_empty() || theirs.is_empty() || theirs.contains(language);
        let either = if mine.is_empty() { theirs } else { mine };
        let mut languages: Vec<String> =
            either.iter().filter(common).map(|language| self.crowd.language(*language).to_owned()).collect();
        languages.sort_unstable();
        let (a, b) = (&self.crowd.people[x], &self.crowd.people[y]);
        let mut shared = Vec::new();
        if self.crowd.may_share(x, y) > 0 {
            let theirs = &b.ticket.seek.interests;
            shared.extend(a.ticket.seek.interests.iter().filter(|interest| theirs.contains(interest)).cloned());
        }
        Match { a: a.visitor, b: b.visitor, shared, languages, relaxed }
    }
}
