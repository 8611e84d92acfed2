//! Who meets whom: the published rule (docs/MATCHING.md) as a pure function over the waiting
//! tickets.
//!
//! No I/O, no clock and no randomness. The longest wait chooses first. Two visitors with a common
//! language and a common interest (or one of them open to anyone) meet at once. Without a common
//! interest both must have waited for [`LANGUAGE_ONLY_WAIT`], and without a common language for
//! [`TRANSLATION_WAIT`]. Among compatible candidates the order is: more shared interests, then the
//! rarest shared interest, then the longest wait. Candidates are in lists by language and interest
//! (`pool.rs`), so that they are not compared with all others.
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::limits::{LANGUAGE_ONLY_WAIT, REMATCH_COOLDOWN, REMATCH_WAIT, TRANSLATION_WAIT};
use super::model::Ticket;
use super::pool::{EVERY_INTEREST, EVERY_LANGUAGE, NO_INTEREST, NO_LANGUAGE, NumberHasher, TRANSLATION, WaitingPool};
use crate::faults::{self, Fault};
use crate::ids::VisitorId;

/// The number of candidates that are compared for each interest and language, longest wait first.
/// It keeps a round fast in a large waiting pool.
const MAX_COMPARED_CANDIDATES: usize = 32;

/// Pairs that must not be matched: blocked, or met recently.
#[derive(Clone, Debug, Default)]
pub(super) struct Exclusions {
    recent: HashMap<VisitorId, HashMap<VisitorId, OffsetDateTime, NumberHasher>, NumberHasher>,
    blocked: HashSet<(VisitorId, VisitorId), NumberHasher>,
}

impl Exclusions {
    /// Adds two visitors whose talk ended.
    pub(super) fn add_recent(&mut self, one: VisitorId, other: VisitorId, ended: OffsetDateTime) {
        for (from, to) in [(one, other), (other, one)] {
            let at = self.recent.entry(from).or_default().entry(to).or_insert(ended);
            *at = ended.max(*at);
        }
    }

    /// Adds a block. It is mutual.
    pub(super) fn add_block(&mut self, one: VisitorId, other: VisitorId) {
        self.blocked.insert((one.min(other), one.max(other)));
    }

    /// Removes all blocks, before they are read again: some can have been taken back.
    pub(super) fn clear_blocks(&mut self) {
        self.blocked.clear();
    }

    /// Removes what concerns only visitors who do not wait.
    pub(super) fn retain_waiting(&mut self, waits: impl Fn(VisitorId) -> bool) {
        self.recent.retain(|visitor, _| waits(*visitor));
        self.blocked.retain(|(low, high)| waits(*low) && waits(*high));
    }

    /// Returns all visitors that have an exclusion. Some can occur more than once.
    fn visitors(&self) -> impl Iterator<Item = VisitorId> {
        let recent = self.recent.iter().flat_map(|(visitor, others)| others.keys().chain([visitor]).copied());
        recent.chain(self.blocked.iter().flat_map(|(low, high)| [*low, *high]))
    }

    /// Returns `true` if one of the two visitors has blocked the other.
    pub(super) fn is_blocked(&self, one: VisitorId, other: VisitorId) -> bool {
        !self.blocked.is_empty() && self.blocked.contains(&(one.min(other), one.max(other)))
    }

    /// Returns `true` if a talk of the two visitors ended less than [`REMATCH_COOLDOWN`] ago.
    pub(super) fn met_recently(&self, one: VisitorId, other: VisitorId, now: OffsetDateTime) -> bool {
        let at = |from: VisitorId, to: VisitorId| self.recent.get(&from)?.get(&to);
        at(one, other).or_else(|| at(other, one)).is_some_and(|at| now - *at < REMATCH_COOLDOWN)
            && !faults::on(Fault::MetLatelyForgotten)
    }
}

/// Two visitors who meet. `a` has waited longer. The slots are drawn elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub a: VisitorId,
    pub b: VisitorId,
    /// The number of interests that both named.
    pub shared: usize,
    /// The primary subtags of the languages that both speak. Empty if they need a translation or
    /// both take any language.
    pub languages: Vec<String>,
    /// They met recently, and neither has another possible partner.
    pub relaxed: bool,
}

/// Returns the pairs of one round over tickets, one for each visitor.
///
/// A visitor is in at most one pair, never with itself and never with a blocked visitor.
pub(super) fn pair<'a>(
    tickets: impl IntoIterator<Item = &'a Ticket>,
    exclusions: &'a Exclusions,
    now: OffsetDateTime,
) -> Vec<Match> {
    let mut round = Round::new(tickets, exclusions, now);
    let mut matches = Vec::with_capacity(round.free.len() / 2);
    for x in 0..round.free.len() {
        if round.free[x]
            && let Some(y) = round.best_new_partner(x)
        {
            matches.push(round.take_pair(x, y, false));
        }
    }
    for x in 0..round.free.len() {
        if round.free[x]
            && let Some(y) = round.best_recent_partner(x)
        {
            matches.push(round.take_pair(x, y, true));
        }
    }
    matches
}

/// Returns how far a waiting time has widened the choice: 0, 1 (a language alone is enough) or 2
/// (a translation is enough).
pub(super) fn stage(waited: Duration) -> u8 {
    u8::from(waited >= LANGUAGE_ONLY_WAIT) + u8::from(waited >= TRANSLATION_WAIT)
}

/// Which languages a search accepts.
#[derive(Clone, Copy)]
enum LanguageMode {
    /// A language in common.
    Same,
    /// Any language of a candidate that welcomes a translation.
    Translated,
}

/// The order of candidates: more shared interests first, then the rarest of them, then the longest
/// wait.
type Rank = (Reverse<usize>, u32, usize);

/// One round of matching. Candidates are named by their index in the pool.
struct Round<'a> {
    pool: WaitingPool<'a>,
    free: Vec<bool>,
    exclusions: &'a Exclusions,
    now: OffsetDateTime,
    /// Which candidates have an exclusion. For all others no exclusion is looked up.
    has_exclusions: Vec<bool>,
    /// The indexes of the candidates with an exclusion.
    by_visitor: HashMap<VisitorId, usize, NumberHasher>,
    /// The result of the last search.
    found: Vec<usize>,
}

impl<'a> Round<'a> {
    fn new(tickets: impl IntoIterator<Item = &'a Ticket>, exclusions: &'a Exclusions, now: OffsetDateTime) -> Self {
        let pool = WaitingPool::new(tickets, |since| stage(now - since));
        let excluded: HashSet<VisitorId, NumberHasher> = exclusions.visitors().collect();
        let is_excluded = |visitor| !excluded.is_empty() && excluded.contains(&visitor);
        let has_exclusions: Vec<bool> =
            pool.candidates.iter().map(|candidate| is_excluded(candidate.visitor)).collect();
        let indexes = pool.candidates.iter().enumerate().filter(|(at, _)| has_exclusions[*at]);
        let by_visitor = indexes.map(|(at, candidate)| (candidate.visitor, at)).collect();
        let free = vec![true; pool.candidates.len()];
        Self { pool, free, exclusions, now, has_exclusions, by_visitor, found: Vec::new() }
    }

    /// Returns the best candidate that `x` can meet now and has not met recently.
    fn best_new_partner(&mut self, x: usize) -> Option<usize> {
        let (stage, open) = (self.pool.candidates[x].stage, self.pool.interests(x).is_empty());
        let translates = stage >= 2 && self.pool.candidates[x].translate;
        if let Some((_, _, best)) = self.best_with_shared_interest(x, translates) {
            return Some(best);
        }
        self.found.clear();
        self.search(x, LanguageMode::Same, if open { EVERY_INTEREST } else { NO_INTEREST }, 0, 1);
        if !open && stage >= 1 {
            self.search(x, LanguageMode::Same, EVERY_INTEREST, 1, 1);
        }
        if translates {
            self.search(x, LanguageMode::Translated, EVERY_INTEREST, 2, 1);
        }
        self.found.iter().copied().min()
    }

    /// Returns the best candidate that shares an interest with `x`.
    fn best_with_shared_interest(&mut self, x: usize, translates: bool) -> Option<Rank> {
        let mut best: Option<Rank> = None;
        for at in 0..self.pool.interests(x).len() {
            let interest = self.pool.interests(x)[at];
            self.found.clear();
            self.search(x, LanguageMode::Same, interest, 0, MAX_COMPARED_CANDIDATES);
            if translates {
                self.search(x, LanguageMode::Translated, interest, 2, MAX_COMPARED_CANDIDATES);
            }
            for &y in &self.found {
                let most = self.pool.max_shared_interests(x, y);
                if best.is_some_and(|(Reverse(count), _, _)| count > most) {
                    continue;
                }
                let rank =
                    if most == 1 { (Reverse(1), self.pool.interest_count(interest), y) } else { self.rank(x, y) };
                best = Some(best.map_or(rank, |best| best.min(rank)));
            }
        }
        best
    }

    /// Returns a candidate that `x` met recently, if neither has another possible partner.
    fn best_recent_partner(&mut self, x: usize) -> Option<usize> {
        if !self.has_exclusions[x] || self.waited(x) < REMATCH_WAIT {
            return None;
        }
        let recent = self.exclusions.recent.get(&self.pool.candidates[x].visitor)?;
        let mut known: Vec<usize> = recent.keys().filter_map(|visitor| self.by_visitor.get(visitor).copied()).collect();
        known.retain(|&y| {
            y != x && self.free[y] && self.waited(y) >= REMATCH_WAIT && self.can_meet(x, y) && !self.is_blocked(x, y)
        });
        if known.is_empty() || self.has_new_partner(x) {
            return None;
        }
        known.sort_unstable_by_key(|y| self.rank(x, *y));
        known.into_iter().find(|y| !self.has_new_partner(*y))
    }

    /// Returns `true` if a candidate waits that `x` can meet, now or later, and has not met
    /// recently.
    fn has_new_partner(&mut self, x: usize) -> bool {
        self.found.clear();
        self.search(x, LanguageMode::Same, EVERY_INTEREST, 0, 1);
        if self.found.is_empty() && self.pool.candidates[x].translate {
            self.search(x, LanguageMode::Translated, EVERY_INTEREST, 0, 1);
        }
        !self.found.is_empty()
    }

    /// Searches for free candidates with an interest and a language that `x` can meet, down to the
    /// stage `least`. Finds at most `most` of each language, the longest wait first.
    fn search(&mut self, x: usize, mode: LanguageMode, interest: u32, least: u8, most: usize) {
        match mode {
            LanguageMode::Translated => self.search_list(x, (TRANSLATION, interest), (least, most)),
            LanguageMode::Same if self.pool.languages(x).is_empty() => {
                self.search_list(x, (EVERY_LANGUAGE, interest), (least, most));
            }
            LanguageMode::Same => {
                for at in 0..self.pool.languages(x).len() {
                    self.search_list(x, (self.pool.languages(x)[at], interest), (least, most));
                }
                self.search_list(x, (NO_LANGUAGE, interest), (least, most));
            }
        }
    }

    fn search_list(&mut self, x: usize, (language, interest): (u32, u32), limits: (u8, usize)) {
        let Self { pool, free, exclusions, now, has_exclusions, found, .. } = self;
        let Some((list, candidates)) = pool.list_mut(language, interest) else { return };
        let is_excluded = |y: usize| {
            let (one, other) = (candidates[x].visitor, candidates[y].visitor);
            exclusions.is_blocked(one, other) || exclusions.met_recently(one, other, *now)
        };
        let passes = |y: usize| y != x && !((has_exclusions[x] && has_exclusions[y]) && is_excluded(y));
        list.search((candidates, free), limits, passes, found);
    }

    /// Returns `true` if both have waited long enough for what they lack.
    fn can_meet(&self, x: usize, y: usize) -> bool {
        let agree = |mine: &[u32], theirs: &[u32]| {
            mine.is_empty() || theirs.is_empty() || mine.iter().any(|key| theirs.contains(key))
        };
        let (one, other) = (&self.pool.candidates[x], &self.pool.candidates[y]);
        let needed = if agree(self.pool.languages(x), self.pool.languages(y)) {
            u8::from(!agree(self.pool.interests(x), self.pool.interests(y)))
        } else if one.translate && other.translate {
            2
        } else {
            return false;
        };
        one.stage.min(other.stage) >= needed
    }

    fn is_blocked(&self, x: usize, y: usize) -> bool {
        self.exclusions.is_blocked(self.pool.candidates[x].visitor, self.pool.candidates[y].visitor)
    }

    fn waited(&self, x: usize) -> Duration {
        self.now - self.pool.candidates[x].ticket.since
    }

    fn rank(&self, x: usize, y: usize) -> Rank {
        let (rarest, count) = self.shared_interests(x, y);
        (Reverse(count), rarest, y)
    }

    /// Returns the number of candidates that named the rarest interest that two share, and how many
    /// interests they share.
    fn shared_interests(&self, x: usize, y: usize) -> (u32, usize) {
        let (mine, theirs) = (self.pool.interests(x), self.pool.interests(y));
        let (mut count, mut rarest) = (0, u32::MAX);
        for interest in mine.iter().filter(|interest| theirs.contains(interest)) {
            count += 1;
            rarest = rarest.min(self.pool.interest_count(*interest));
        }
        (rarest, count)
    }

    /// Takes two candidates out of the round and returns their match.
    fn take_pair(&mut self, x: usize, y: usize, relaxed: bool) -> Match {
        self.free[x] = false;
        self.free[y] = false;
        let (x, y) = (x.min(y), x.max(y));
        let (mine, theirs) = (self.pool.languages(x), self.pool.languages(y));
        let in_common = |language: &&u32| mine.is_empty() || theirs.is_empty() || theirs.contains(language);
        let either = if mine.is_empty() { theirs } else { mine };
        let mut languages: Vec<String> =
            either.iter().filter(in_common).map(|language| self.pool.language_name(*language).to_owned()).collect();
        languages.sort_unstable();
        let (_, shared) = self.shared_interests(x, y);
        let visitor = |at: usize| self.pool.candidates[at].visitor;
        Match { a: visitor(x), b: visitor(y), shared, languages, relaxed }
    }
}
