//! Those who wait, made ready for a round: texts become numbers, and everybody stands in lists by language and interest,
//! in order of waiting. No rule of who meets whom.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use time::OffsetDateTime;

use super::model::Ticket;

/// Keys of the lists that are nobody's own language: takes any, everybody, welcomes a translation.
pub(super) const ANY: u32 = 0;
pub(super) const ALL: u32 = 1;
pub(super) const BRIDGE: u32 = 2;
/// Keys of the lists that are nobody's own interest: open to anyone, everybody.
pub(super) const OPEN: u32 = 0;
pub(super) const EVERY: u32 = 1;
/// The first key that is a language or an interest.
const FIRST: u32 = 3;
/// So many taken in one look are worth being moved out of the way.
const MANY: usize = 16;

/// Hashes numbers that the server gave out. Nobody can choose them to collide, as texts could be chosen: those are hashed
/// with a secret, as usual.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

pub(super) type ByNumber = BuildHasherDefault<NumberHasher>;

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    /// The upper bits of a product are the mixed ones; a table looks at the lower ones first.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// A seeker.
#[derive(Clone)]
pub(super) struct Person<'a> {
    pub ticket: &'a Ticket,
    pub visitor: i64,
    pub stage: u8,
    pub translate: bool,
    interests: Range<u32>,
    languages: Range<u32>,
    /// A bit for each interest, of 64: tells most pairs apart without a look at the interests.
    marks: u64,
}

/// Numbers for texts, in the order in which they are first seen.
#[derive(Default)]
struct Numbers<'a>(HashMap<&'a str, u32>);

impl<'a> Numbers<'a> {
    fn of(&mut self, text: &'a str) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX - FIRST) + FIRST;
        *self.0.entry(text).or_insert(next)
    }
}

/// Languages as tags are written, and the languages themselves, without region or script.
#[derive(Default)]
struct Languages<'a> {
    tags: HashMap<&'a str, u32>,
    known: HashMap<String, u32>,
    names: Vec<String>,
}

impl<'a> Languages<'a> {
    fn of(&mut self, tag: &'a str) -> u32 {
        if let Some(number) = self.tags.get(tag) {
            return *number;
        }
        let name = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX - FIRST) + FIRST;
        let number = *self.known.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        self.tags.insert(tag, number);
        number
    }

    fn name(&self, number: u32) -> &str {
        &self.names[(number - FIRST) as usize]
    }
}

/// Everybody who waits: who has waited longest comes first.
pub(super) struct Crowd<'a> {
    pub people: Vec<Person<'a>>,
    /// Interests and languages of all, one person's after the other's.
    numbers: Vec<u32>,
    languages: Languages<'a>,
    /// How many seek each interest.
    seekers: Vec<u32>,
    lists: HashMap<u64, List, ByNumber>,
}

impl<'a> Crowd<'a> {
    /// Reads the tickets, one a visitor. `stage` says how far a waiting time has widened somebody's choice.
    pub(super) fn new(tickets: impl IntoIterator<Item = &'a Ticket>, stage: impl Fn(OffsetDateTime) -> u8) -> Self {
        let mut crowd = Self {
            people: Vec::new(),
            numbers: Vec::new(),
            languages: Languages::default(),
            seekers: Vec::new(),
            lists: HashMap::default(),
        };
        let mut interests = Numbers::default();
        // Read as they lie in memory, and only then put in order.
        let read = |ticket: &'a Ticket| crowd.read(ticket, stage(ticket.since), &mut interests);
        let people: Vec<Person<'a>> = tickets.into_iter().map(read).collect();
        crowd.people = in_order(people);
        crowd.list();
        crowd
    }

    fn read(&mut self, ticket: &'a Ticket, stage: u8, known: &mut Numbers<'a>) -> Person<'a> {
        let seek = &ticket.seek;
        let interests = self.keep(seek.interests.iter().map(|text| known.of(text)));
        self.seekers.resize(known.0.len() + FIRST as usize, 0);
        let mut marks = 0;
        for number in &self.numbers[usize_range(&interests)] {
            self.seekers[*number as usize] += 1;
            marks |= 1 << (number % 64);
        }
        let mut languages = std::mem::take(&mut self.languages);
        let spoken = self.keep(seek.languages.iter().map(|tag| languages.of(tag)));
        self.languages = languages;
        let translate = seek.translate;
        Person { ticket, visitor: ticket.visitor, stage, translate, interests, languages: spoken, marks }
    }

    /// Keeps a person's numbers, in order, each once.
    fn keep(&mut self, numbers: impl Iterator<Item = u32>) -> Range<u32> {
        let start = self.numbers.len();
        self.numbers.extend(numbers);
        self.numbers[start..].sort_unstable();
        let mut end = start;
        for at in start..self.numbers.len() {
            if end == start || self.numbers[end - 1] != self.numbers[at] {
                self.numbers[end] = self.numbers[at];
                end += 1;
            }
        }
        self.numbers.truncate(end);
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        bound(start)..bound(end)
    }

    /// Puts everybody into the lists of each of their languages and interests.
    fn list(&mut self) {
        let Self { people, numbers, lists, .. } = self;
        for (at, person) in (0..).zip(people) {
            let own = |range: &Range<u32>| &numbers[usize_range(range)];
            let languages = if person.languages.is_empty() { &[ANY][..] } else { own(&person.languages) };
            let interests = if person.interests.is_empty() { &[OPEN][..] } else { own(&person.interests) };
            let bridge = person.translate.then_some(BRIDGE);
            for language in languages.iter().copied().chain([ALL]).chain(bridge) {
                for interest in interests.iter().copied().chain([EVERY]) {
                    lists.entry(key(language, interest)).or_default().seekers.push(at);
                }
            }
        }
    }

    pub(super) fn interests(&self, x: usize) -> &[u32] {
        &self.numbers[usize_range(&self.people[x].interests)]
    }

    pub(super) fn languages(&self, x: usize) -> &[u32] {
        &self.numbers[usize_range(&self.people[x].languages)]
    }

    pub(super) fn language(&self, number: u32) -> &str {
        self.languages.name(number)
    }

    /// How many seek an interest.
    pub(super) fn seekers(&self, interest: u32) -> u32 {
        self.seekers[interest as usize]
    }

    /// No less than the interests that two share, found without reading them.
    pub(super) fn may_share(&self, x: usize, y: usize) -> usize {
        let (one, other) = (&self.people[x], &self.people[y]);
        let has = one.interests.len();
        // Where two of one's own interests have the same mark, it tells nothing.
        if one.marks.count_ones() as usize == has { (one.marks & other.marks).count_ones() as usize } else { has }
    }

    pub(super) fn list_of(&mut self, language: u32, interest: u32) -> Option<(&mut List, &[Person<'a>])> {
        let Self { lists, people, .. } = self;
        Some((lists.get_mut(&key(language, interest))?, people))
    }
}

/// People who have waited longest first.
fn in_order(people: Vec<Person<'_>>) -> Vec<Person<'_>> {
    let of = |(at, person): (u32, &Person<'_>)| {
        let (since, id) = (person.ticket.since, person.ticket.id);
        (since.unix_timestamp(), since.nanosecond(), id, person.visitor, at)
    };
    let mut order: Vec<_> = (0..).zip(&people).map(of).collect();
    order.sort_unstable();
    order.into_iter().map(|(.., at)| people[at as usize].clone()).collect()
}

fn key(language: u32, interest: u32) -> u64 {
    u64::from(language) << 32 | u64::from(interest)
}

fn usize_range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Seekers in the order of their waiting.
#[derive(Default)]
pub(super) struct List {
    seekers: Vec<u32>,
    /// Where it begins: whoever stood before was taken.
    from: usize,
}

impl List {
    /// Adds to `found` the first `most` who are free and pass, down to a stage (which only falls along the list).
    pub(super) fn look(
        &mut self,
        (people, free): (&[Person<'_>], &[bool]),
        (least, most): (u8, usize),
        passes: impl Fn(usize) -> bool,
        found: &mut Vec<usize>,
    ) {
        let (mut upto, mut taken, full) = (self.from, 0, found.len() + most);
        for y in self.seekers[self.from..].iter().map(|y| *y as usize) {
            if people[y].stage < least || found.len() == full {
                break;
            }
            upto += 1;
            if !free[y] {
                taken += 1;
            } else if passes(y) {
                found.push(y);
            }
        }
        if taken > MANY {
            self.pass_over(upto, free);
        }
    }

    /// Moves those before a place who are still free up to it, and begins with them: the taken are not looked at again, and
    /// the rest of a long list is not touched.
    fn pass_over(&mut self, upto: usize, free: &[bool]) {
        let mut begin = upto;
        for at in (self.from..upto).rev() {
            let y = self.seekers[at];
            if free[y as usize] {
                begin -= 1;
                self.seekers[begin] = y;
            }
        }
        self.from = begin;
    }
}
