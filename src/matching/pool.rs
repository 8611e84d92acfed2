//! The waiting pool: the waiting tickets, indexed for one round of matching.
//!
//! Interests and languages become numbers. Each candidate is in one list for each of its pairs of
//! language and interest; lists are in order of waiting time. The rule of who meets whom is not
//! here.
use std::collections::HashMap;
use std::ops::Range;

use rustc_hash::FxBuildHasher;
use time::OffsetDateTime;

use super::model::Ticket;
use crate::ids::VisitorId;

/// Key of the lists of candidates that named no language and take any.
pub(super) const NO_LANGUAGE: u32 = 0;
/// Key of the lists of all candidates, whatever their languages.
pub(super) const EVERY_LANGUAGE: u32 = 1;
/// Key of the lists of candidates that welcome a translation.
pub(super) const TRANSLATION: u32 = 2;
/// Key of the lists of candidates that named no interest and are open to anyone.
pub(super) const NO_INTEREST: u32 = 0;
/// Key of the lists of all candidates, whatever their interests.
pub(super) const EVERY_INTEREST: u32 = 1;
/// The first key of a language or an interest that somebody named.
const FIRST_NAMED_KEY: u32 = 3;
/// The number of taken candidates passed in one search from which it pays to skip them for good.
const MIN_TAKEN_TO_SKIP: usize = 16;

/// Hashes numbers that the server gave out: it is fast, and nobody can choose them to collide.
/// Texts could be chosen, so they are hashed with a secret.
pub(super) type NumberHasher = FxBuildHasher;

/// A waiting ticket, prepared for a round.
#[derive(Clone)]
pub(super) struct Candidate<'a> {
    pub ticket: &'a Ticket,
    pub visitor: VisitorId,
    pub stage: u8,
    pub translate: bool,
    interests: Range<u32>,
    languages: Range<u32>,
    /// One of 64 bits for each interest. Two masks show for most pairs how many interests they
    /// share, without reading the interests.
    interest_mask: u64,
}

/// Keys for interests, in the order in which they are first seen. Interests with the same topic
/// have the same key.
#[derive(Default)]
struct InterestKeys<'a>(HashMap<&'a str, u32>);

impl<'a> InterestKeys<'a> {
    fn key(&mut self, topic: &'a str) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX - FIRST_NAMED_KEY) + FIRST_NAMED_KEY;
        *self.0.entry(topic).or_insert(next)
    }
}

/// Keys for languages. All tags with the same primary subtag have the same key.
#[derive(Default)]
struct LanguageKeys<'a> {
    by_tag: HashMap<&'a str, u32>,
    by_name: HashMap<String, u32>,
    /// The primary subtags, by key.
    names: Vec<String>,
}

impl<'a> LanguageKeys<'a> {
    fn key(&mut self, tag: &'a str) -> u32 {
        if let Some(key) = self.by_tag.get(tag) {
            return *key;
        }
        let name = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX - FIRST_NAMED_KEY) + FIRST_NAMED_KEY;
        let key = *self.by_name.entry(name.clone()).or_insert(next);
        if key == next {
            self.names.push(name);
        }
        self.by_tag.insert(tag, key);
        key
    }

    fn name(&self, key: u32) -> &str {
        &self.names[(key - FIRST_NAMED_KEY) as usize]
    }
}

/// All waiting tickets, indexed by language and interest. The longest wait comes first.
pub(super) struct WaitingPool<'a> {
    pub candidates: Vec<Candidate<'a>>,
    /// The keys of all interests and languages. Each candidate has a range for each of the two.
    keys: Vec<u32>,
    languages: LanguageKeys<'a>,
    /// The number of candidates that named each interest, by its key.
    interest_counts: Vec<u32>,
    lists: HashMap<u64, CandidateList, NumberHasher>,
}

impl<'a> WaitingPool<'a> {
    /// Indexes tickets, one for each visitor. `stage` returns how far a waiting time has widened
    /// the choice.
    pub(super) fn new(tickets: impl IntoIterator<Item = &'a Ticket>, stage: impl Fn(OffsetDateTime) -> u8) -> Self {
        let mut pool = Self {
            candidates: Vec::new(),
            keys: Vec::new(),
            languages: LanguageKeys::default(),
            interest_counts: Vec::new(),
            lists: HashMap::default(),
        };
        let mut interests = InterestKeys::default();
        // They are read in the order of memory and sorted afterwards: that is faster.
        let add = |ticket: &'a Ticket| pool.add(ticket, stage(ticket.since), &mut interests);
        let candidates: Vec<Candidate<'a>> = tickets.into_iter().map(add).collect();
        pool.candidates = sorted_by_wait(candidates);
        pool.build_lists();
        pool
    }

    fn add(&mut self, ticket: &'a Ticket, stage: u8, known: &mut InterestKeys<'a>) -> Candidate<'a> {
        let seek = &ticket.seek;
        let interests = self.push_keys(seek.topics().iter().map(|topic| known.key(topic)));
        self.interest_counts.resize(known.0.len() + FIRST_NAMED_KEY as usize, 0);
        let mut interest_mask = 0;
        for key in &self.keys[usize_range(&interests)] {
            self.interest_counts[*key as usize] += 1;
            interest_mask |= 1 << (key % 64);
        }
        let mut known_languages = std::mem::take(&mut self.languages);
        let languages = self.push_keys(seek.languages().iter().map(|tag| known_languages.key(tag)));
        self.languages = known_languages;
        let translate = seek.translate();
        Candidate { ticket, visitor: ticket.visitor, stage, translate, interests, languages, interest_mask }
    }

    /// Stores a candidate's keys sorted and without duplicates, and returns their range.
    fn push_keys(&mut self, keys: impl Iterator<Item = u32>) -> Range<u32> {
        let start = self.keys.len();
        self.keys.extend(keys);
        self.keys[start..].sort_unstable();
        let mut end = start;
        for at in start..self.keys.len() {
            if end == start || self.keys[end - 1] != self.keys[at] {
                self.keys[end] = self.keys[at];
                end += 1;
            }
        }
        self.keys.truncate(end);
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        bound(start)..bound(end)
    }

    /// Adds all candidates to the lists of each of their languages and interests.
    fn build_lists(&mut self) {
        let Self { candidates, keys, lists, .. } = self;
        for (at, candidate) in (0..).zip(candidates) {
            let own = |range: &Range<u32>| &keys[usize_range(range)];
            let languages = if candidate.languages.is_empty() { &[NO_LANGUAGE][..] } else { own(&candidate.languages) };
            let interests = if candidate.interests.is_empty() { &[NO_INTEREST][..] } else { own(&candidate.interests) };
            let translation = candidate.translate.then_some(TRANSLATION);
            for language in languages.iter().copied().chain([EVERY_LANGUAGE]).chain(translation) {
                for interest in interests.iter().copied().chain([EVERY_INTEREST]) {
                    lists.entry(list_key(language, interest)).or_default().candidates.push(at);
                }
            }
        }
    }

    /// Returns the interests of candidate `x`, sorted.
    pub(super) fn interests(&self, x: usize) -> &[u32] {
        &self.keys[usize_range(&self.candidates[x].interests)]
    }

    /// Returns the languages of candidate `x`, sorted.
    pub(super) fn languages(&self, x: usize) -> &[u32] {
        &self.keys[usize_range(&self.candidates[x].languages)]
    }

    /// Returns the primary subtag of a language.
    pub(super) fn language_name(&self, language: u32) -> &str {
        self.languages.name(language)
    }

    /// Returns the number of candidates that named an interest.
    pub(super) fn interest_count(&self, interest: u32) -> u32 {
        self.interest_counts[interest as usize]
    }

    /// Returns an upper bound of the number of interests that two candidates share, without reading
    /// the interests.
    pub(super) fn max_shared_interests(&self, x: usize, y: usize) -> usize {
        let (one, other) = (&self.candidates[x], &self.candidates[y]);
        let count = one.interests.len();
        // The mask is exact only if each of the candidate's own interests has a bit of its own.
        if one.interest_mask.count_ones() as usize == count {
            (one.interest_mask & other.interest_mask).count_ones() as usize
        } else {
            count
        }
    }

    /// Returns the list of a language and an interest, with all candidates. `None` if the list is
    /// empty.
    pub(super) fn list_mut(&mut self, language: u32, interest: u32) -> Option<(&mut CandidateList, &[Candidate<'a>])> {
        let Self { lists, candidates, .. } = self;
        Some((lists.get_mut(&list_key(language, interest))?, candidates))
    }
}

/// Sorts candidates by waiting time, the longest first.
fn sorted_by_wait(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let sort_key = |(at, candidate): (u32, &Candidate<'_>)| {
        let (since, id) = (candidate.ticket.since, candidate.ticket.id);
        (since.unix_timestamp(), since.nanosecond(), id, candidate.visitor, at)
    };
    let mut order: Vec<_> = (0..).zip(&candidates).map(sort_key).collect();
    order.sort_unstable();
    order.into_iter().map(|(.., at)| candidates[at as usize].clone()).collect()
}

fn list_key(language: u32, interest: u32) -> u64 {
    u64::from(language) << 32 | u64::from(interest)
}

fn usize_range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Candidates in the order of their waiting time.
#[derive(Default)]
pub(super) struct CandidateList {
    candidates: Vec<u32>,
    /// The first position that is still searched. All candidates before it are taken.
    start: usize,
}

impl CandidateList {
    /// Adds to `found` the first `most` free candidates that pass, down to the stage `least`. The
    /// stage only falls along the list.
    pub(super) fn search(
        &mut self,
        (candidates, free): (&[Candidate<'_>], &[bool]),
        (least, most): (u8, usize),
        passes: impl Fn(usize) -> bool,
        found: &mut Vec<usize>,
    ) {
        let (mut end, mut taken, full) = (self.start, 0, found.len() + most);
        for y in self.candidates[self.start..].iter().map(|y| *y as usize) {
            if candidates[y].stage < least || found.len() == full {
                break;
            }
            end += 1;
            if !free[y] {
                taken += 1;
            } else if passes(y) {
                found.push(y);
            }
        }
        if taken > MIN_TAKEN_TO_SKIP {
            self.skip_taken(end, free);
        }
    }

    /// Moves the free candidates before `end` directly in front of it and starts with them. Taken
    /// candidates are not read again, and the rest of a long list is not touched.
    fn skip_taken(&mut self, end: usize, free: &[bool]) {
        let mut start = end;
        for at in (self.start..end).rev() {
            let y = self.candidates[at];
            if free[y as usize] {
                start -= 1;
                self.candidates[start] = y;
            }
        }
        self.start = start;
    }
}
