//! A model of several nodes, a table and its talks, driven at random: seeks, sockets that come and go, crashes, lost news,
//! passing time. The rule, the registry, the upkeep and the deadlines are the real ones; only the tables are simulated.
//!
//! Checked: nobody in two talks or with themselves or somebody blocked, nobody forgotten, no ticket without a seeker.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Dice, seek, start};
use crate::matching::model::{
    ENTRY, EndReason, Ending, RETURN, Row, Seek, Side, Talk, Ticket, Upkeep, overdue, upkeep,
};
use crate::matching::pair::{Met, pair};
use crate::matching::registry::{Registry, Seeker};
use crate::rooms::Slot;

/// Random sequences, in as many threads as there are; the seed can be given to see one again.
const SEQUENCES: u64 = 120_000;
const STEPS: u64 = 24;
const PEOPLE: i64 = 5;
const NODES: usize = 2;

struct Node {
    id: Uuid,
    registry: Registry,
    seen_at: OffsetDateTime,
}

struct Stored {
    id: i64,
    ticket: Uuid,
    node: Uuid,
    seek: Seek,
    since: OffsetDateTime,
    cancelled_at: Option<OffsetDateTime>,
}

struct Held {
    talk: Talk,
    tickets: [Uuid; 2],
    ended_at: Option<OffsetDateTime>,
}

/// What the test knows of a person, apart from the code.
#[derive(Default)]
struct Person {
    /// Sockets by node.
    sockets: [u32; NODES],
    /// The nodes that were told of the seek on a socket which has been open since.
    told: BTreeSet<usize>,
    waits: bool,
}

struct World {
    dice: Dice,
    now: OffsetDateTime,
    nodes: Vec<Node>,
    table: BTreeMap<i64, Stored>,
    talks: Vec<Held>,
    people: BTreeMap<i64, Person>,
    blocked: BTreeSet<(i64, i64)>,
    /// Who cancelled on one node while the news to the other was lost, or was put back by another node, until the next
    /// second. Known limit, left out: a second fault in that very second (a crash of Postgres, a seek of unknown outcome).
    unheard: BTreeSet<i64>,
    next: u128,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |n| Node { id: Uuid::from_u128(n), registry: Registry::default(), seen_at: start() };
        Self {
            dice: Dice(seed),
            now: start(),
            nodes: (1..=NODES).map(|n| node(n as u128)).collect(),
            table: BTreeMap::new(),
            talks: Vec::new(),
            people: (1..=PEOPLE).map(|visitor| (visitor, Person::default())).collect(),
            blocked: BTreeSet::new(),
            unheard: BTreeSet::new(),
            next: 1_000,
            log: Vec::new(),
        }
    }

    fn fresh(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    fn open_talk(&self, visitor: i64) -> Option<usize> {
        self.talks.iter().position(|held| !held.talk.ended && held.talk.slot_of(visitor).is_some())
    }

    fn is_alive(&self, node: Uuid) -> bool {
        self.nodes.iter().any(|known| known.id == node && self.now - known.seen_at < Duration::seconds(3))
    }

    fn side(&mut self, at: usize, visitor: i64) -> &mut Side {
        let talk = &mut self.talks[at].talk;
        if talk.a.visitor == visitor { &mut talk.a } else { &mut talk.b }
    }

    /// One thing that may happen.
    fn step(&mut self) {
        self.pass(Duration::milliseconds(1)); // no two seeks of a person at the very same moment
        let visitor = 1 + self.dice.below(PEOPLE as u64) as i64;
        let node = self.dice.below(NODES as u64) as usize;
        let what = self.dice.below(22);
        self.log.push(format!("{what} visitor {visitor} node {node}"));
        let has_socket = self.people[&visitor].sockets[node] > 0;
        match what {
            0..=2 => self.connect(visitor, node),
            3 | 4 if has_socket => self.disconnect(visitor, node),
            5..=9 if has_socket => self.seek(visitor, node, None),
            10 if has_socket => self.cancel(visitor, node),
            11 | 12 if has_socket => self.end_own(visitor, node, EndReason::Next),
            13 if has_socket => self.end_own(visitor, node, EndReason::Left),
            14 if has_socket => self.end_own(visitor, node, EndReason::Block),
            15 if has_socket => self.enter(visitor, node),
            16 if self.dice.below(4) == 0 => self.crash(node),
            17 if self.unheard.is_empty() => self.table.clear(), // Postgres crashes
            18 => {
                let by = self.dice.one_of(&[100, 1_600, 3_500]);
                self.pass(Duration::milliseconds(by));
            }
            3..=15 => self.connect(visitor, node), // somebody without a socket can do nothing else
            19 => (0..self.dice.one_of(&[3, 11, 16, 31])).for_each(|_| self.second()),
            _ => self.second(),
        }
        self.check_always();
    }

    fn pass(&mut self, by: Duration) {
        self.now += by;
    }

    fn connect(&mut self, visitor: i64, node: usize) {
        self.people.get_mut(&visitor).unwrap().sockets[node] += 1;
        self.nodes[node].registry.connected(visitor);
        // hello
        if self.open_talk(visitor).is_some() {
            if self.dice.below(4) > 0 {
                self.enter(visitor, node);
            }
        } else if self.take_up(visitor, node) {
            let person = self.people.get_mut(&visitor).unwrap();
            person.waits = true; // hello says so
            person.told.insert(node);
        }
    }

    fn take_up(&mut self, visitor: i64, node: usize) -> bool {
        let id = self.nodes[node].id;
        let Some(row) = self.table.get_mut(&visitor).filter(|row| row.cancelled_at.is_none()) else { return false };
        row.node = id;
        let seeker = Seeker { ticket: row.ticket, seek: row.seek.clone(), since: row.since };
        self.nodes[node].registry.hold(visitor, seeker, self.now);
        true
    }

    fn disconnect(&mut self, visitor: i64, node: usize) {
        let person = self.people.get_mut(&visitor).unwrap();
        person.sockets[node] -= 1;
        if person.sockets[node] == 0 {
            person.told.remove(&node);
        }
        self.nodes[node].registry.disconnected(visitor, self.now);
    }

    fn seek(&mut self, visitor: i64, node: usize, again: Option<Seek>) {
        if self.open_talk(visitor).is_some() {
            self.nodes[node].registry.release(visitor);
            return;
        }
        let sought = again.unwrap_or_else(|| {
            let interests: &[&str] = self.dice.one_of(&[&[][..], &[], &["a"], &["a", "b"]]);
            seek(interests, self.dice.one_of(&[&["ko"][..], &["ko", "en"], &["en"]]), self.dice.below(2) == 0)
        });
        let ticket = self.fresh();
        let (since, unsure) = (self.now, self.dice.below(12) == 0 && !self.unheard.contains(&visitor));
        self.write(visitor, self.nodes[node].id, ticket, &sought, since);
        if unsure {
            // Committed, but the seeker was told `unavailable`: who waited before waits as before.
            self.nodes[node].registry.doubt([ticket]);
        } else {
            let person = self.people.get_mut(&visitor).unwrap();
            (person.waits, person.told) = (true, BTreeSet::from([node]));
            self.nodes[node].registry.hold(visitor, Seeker { ticket, seek: sought, since }, self.now);
        }
        if self.dice.below(3) > 0 {
            self.round();
        }
    }

    fn write(&mut self, visitor: i64, node: Uuid, ticket: Uuid, seek: &Seek, since: OffsetDateTime) {
        self.next += 1;
        let id = self.next as i64;
        self.table.insert(visitor, Stored { id, ticket, node, seek: seek.clone(), since, cancelled_at: None });
    }

    fn cancel(&mut self, visitor: i64, node: usize) {
        let (id, now, ticket) = (self.nodes[node].id, self.now, self.fresh());
        if !self.table.contains_key(&visitor) {
            self.write(visitor, id, ticket, &seek(&[], &[], false), now);
        }
        self.table.get_mut(&visitor).unwrap().cancelled_at = Some(now);
        self.nodes[node].registry.release(visitor);
        if self.dice.below(4) > 0 {
            self.nodes.iter().for_each(|other| other.registry.release(visitor));
        } else {
            self.unheard.insert(visitor);
        }
        self.stop_waiting(visitor);
    }

    fn stop_waiting(&mut self, visitor: i64) {
        let person = self.people.get_mut(&visitor).unwrap();
        (person.waits, person.told) = (false, BTreeSet::new());
    }

    fn end_own(&mut self, visitor: i64, node: usize, reason: EndReason) {
        let Some(at) = self.open_talk(visitor) else { return };
        let talk = &self.talks[at].talk;
        let (by, own) = (talk.slot_of(visitor), talk.slot_of(visitor).map(|slot| talk.side(slot).seek.clone()));
        let (a, b) = (talk.a.visitor, talk.b.visitor);
        self.end(at, Ending { reason, by, free: None });
        match reason {
            EndReason::Next => self.seek(visitor, node, own),
            EndReason::Block => _ = self.blocked.insert((a.min(b), a.max(b))),
            _ => {}
        }
    }

    fn end(&mut self, at: usize, ending: Ending) {
        self.talks[at].talk.ended = true;
        self.talks[at].ended_at = Some(self.now);
        let Some(slot) = ending.free else { return };
        let side = self.talks[at].talk.side(slot).clone();
        let Some(node) = side.node.filter(|node| self.is_alive(*node)) else { return };
        let ticket = self.fresh();
        self.write(side.visitor, node, ticket, &side.seek, side.since);
        let at = self.nodes.iter().position(|known| known.id == node).unwrap();
        if at == 0 {
            let seeker = Seeker { ticket, seek: side.seek.clone(), since: side.since };
            self.nodes[0].registry.hold(side.visitor, seeker, self.now);
        } else {
            self.unheard.insert(side.visitor);
        }
        let person = self.people.get_mut(&side.visitor).unwrap();
        person.waits = true;
        person.told = if person.sockets[at] > 0 { BTreeSet::from([at]) } else { BTreeSet::new() };
    }

    fn enter(&mut self, visitor: i64, node: usize) {
        let Some(at) = self.open_talk(visitor) else { return };
        let id = self.nodes[node].id;
        let side = self.side(at, visitor);
        (side.node, side.away_since) = (Some(id), None);
        self.nodes[node].registry.entered(visitor, at as i64, self.now);
    }

    fn crash(&mut self, node: usize) {
        self.next += 1;
        self.nodes[node] = Node { id: Uuid::from_u128(self.next), registry: Registry::default(), seen_at: self.now };
        for person in self.people.values_mut() {
            person.sockets[node] = 0;
            person.told.remove(&node);
        }
    }

    /// A second passes: each node's upkeep, the sweep before or after it, and a round.
    fn second(&mut self) {
        self.pass(Duration::seconds(1));
        let swept = self.dice.below(3) > 0;
        if swept {
            self.sweep();
        }
        self.unheard.clear(); // every node compares what it holds below
        for node in 0..NODES {
            self.mark_away(node);
            self.nodes[node].seen_at = self.now;
            let doubted = self.nodes[node].registry.doubted();
            self.table.retain(|_, row| row.cancelled_at.is_some() || !doubted.contains(&row.ticket));
            self.nodes[node].registry.settle_doubts(&doubted);
            let id = self.nodes[node].id;
            for (visitor, ticket) in self.nodes[node].registry.lapse(self.now) {
                self.delete_own(visitor, ticket, id);
            }
        }
        for node in 0..NODES {
            self.compare(node);
            self.bring_back(node);
        }
        if !swept {
            self.sweep();
        }
        self.round();
        if swept {
            self.check_settled(); // else the upkeep of the next second has something left to do
        }
    }

    fn delete_own(&mut self, visitor: i64, ticket: Uuid, node: Uuid) {
        let own = |row: &Stored| row.ticket == ticket && row.node == node && row.cancelled_at.is_none();
        if self.table.get(&visitor).is_some_and(own) {
            self.table.remove(&visitor);
        }
    }

    fn mark_away(&mut self, node: usize) {
        let due = self.nodes[node].registry.to_mark_away(self.now);
        for visitor in &due {
            if let Some(at) = self.open_talk(*visitor) {
                let (id, now) = (self.nodes[node].id, self.now);
                let side = self.side(at, *visitor);
                if side.node == Some(id) && side.away_since.is_none() {
                    side.away_since = Some(now);
                }
            }
        }
        self.nodes[node].registry.marked_away(&due);
    }

    fn bring_back(&mut self, node: usize) {
        for (visitor, talk) in self.nodes[node].registry.inside() {
            let at = talk as usize;
            if self.open_talk(visitor) == Some(at) && self.side(at, visitor).away_since.is_some() {
                self.enter(visitor, node);
            }
        }
    }

    /// `upkeep::compare`, over the simulated table.
    fn compare(&mut self, node: usize) {
        let id = self.nodes[node].id;
        let seekers = self.nodes[node].registry.seekers();
        for (visitor, seeker) in &seekers {
            let row =
                self.table.get(visitor).map(|row| Row { ticket: row.ticket, cancelled: row.cancelled_at.is_some() });
            let was_matched = self.talks.iter().any(|held| {
                let since = held.talk.slot_of(*visitor).map(|slot| held.talk.side(slot).since);
                held.tickets.contains(&seeker.ticket) || since.is_some_and(|since| since > seeker.since)
            });
            match upkeep(seeker.ticket, row, self.open_talk(*visitor).is_some(), was_matched) {
                Upkeep::Keep => {}
                Upkeep::Adopt => self.adopt(*visitor, node),
                Upkeep::Drop | Upkeep::Deliver => self.nodes[node].registry.release_ticket(*visitor, seeker.ticket),
                Upkeep::WriteAgain => self.write(*visitor, id, seeker.ticket, &seeker.seek, seeker.since),
            }
        }
        let held: BTreeSet<i64> = seekers.iter().map(|(visitor, _)| *visitor).collect();
        let own = |(visitor, row): (&i64, &Stored)| {
            (row.node == id && row.cancelled_at.is_none() && !held.contains(visitor)).then_some((*visitor, row.ticket))
        };
        for (visitor, ticket) in self.table.iter().filter_map(own).collect::<Vec<_>>() {
            if self.nodes[node].registry.is_present(visitor) {
                self.adopt(visitor, node);
            } else {
                self.delete_own(visitor, ticket, id);
            }
        }
    }

    fn adopt(&mut self, visitor: i64, node: usize) {
        let row = &self.table[&visitor];
        let seeker = Seeker { ticket: row.ticket, seek: row.seek.clone(), since: row.since };
        self.nodes[node].registry.hold(visitor, seeker, self.now);
    }

    fn sweep(&mut self) {
        let alive: Vec<Uuid> = self.nodes.iter().map(|node| node.id).filter(|node| self.is_alive(*node)).collect();
        let now = self.now;
        self.table.retain(|_, row| match row.cancelled_at {
            Some(at) => now - at <= Duration::seconds(10),
            None => alive.contains(&row.node),
        });
        for held in self.talks.iter_mut().filter(|held| !held.talk.ended) {
            for side in [&mut held.talk.a, &mut held.talk.b] {
                if side.away_since.is_none() && side.node.is_some_and(|node| !alive.contains(&node)) {
                    side.away_since = Some(now);
                }
            }
        }
        for at in 0..self.talks.len() {
            if !self.talks[at].talk.ended
                && let Some(ending) = overdue(&self.talks[at].talk, now)
            {
                self.end(at, ending);
            }
        }
    }

    /// A round of the matcher, on node 0 or 1; the other may not hear of it.
    fn round(&mut self) {
        let live: Vec<Ticket> = self
            .table
            .iter()
            .filter(|(_, row)| row.cancelled_at.is_none() && self.is_alive(row.node))
            .map(|(visitor, row)| Ticket {
                id: row.id,
                public_id: row.ticket,
                visitor: *visitor,
                seek: row.seek.clone(),
                since: row.since,
            })
            .collect();
        let mut met = Met::default();
        for held in &self.talks {
            if let Some(ended) = held.ended_at {
                met.met(held.talk.a.visitor, held.talk.b.visitor, ended);
            }
        }
        self.blocked.iter().for_each(|(low, high)| met.block(*low, *high));
        for one in pair(&live, &met, self.now) {
            assert_ne!(one.a, one.b, "with oneself");
            assert!(!self.blocked.contains(&(one.a.min(one.b), one.a.max(one.b))), "with somebody blocked");
            if self.open_talk(one.a).is_some() || self.open_talk(one.b).is_some() {
                panic!("a ticket of somebody in a talk: {one:?}");
            }
            let (a, b) = (self.table.remove(&one.a).unwrap(), self.table.remove(&one.b).unwrap());
            let (public_id, room, heard) = (self.fresh(), self.fresh(), self.dice.below(2) == 0);
            let side = |visitor, row: &Stored| Side {
                visitor,
                seek: row.seek.clone(),
                since: row.since,
                node: None,
                away_since: None,
            };
            let (a_side, b_side) = (side(one.a, &a), side(one.b, &b));
            let talk = Talk { public_id, room_id: 0, room, a: a_side, b: b_side, created_at: self.now, ended: false };
            self.talks.push(Held { talk, tickets: [a.ticket, b.ticket], ended_at: None });
            for visitor in [one.a, one.b] {
                self.nodes[0].registry.release(visitor);
                if heard {
                    self.nodes[1].registry.release(visitor);
                }
                self.stop_waiting(visitor);
            }
        }
    }

    fn check_always(&self) {
        let mut busy = BTreeSet::new();
        for held in self.talks.iter().filter(|held| !held.talk.ended) {
            assert_ne!(held.talk.a.visitor, held.talk.b.visitor);
            for slot in [Slot::A, Slot::B] {
                assert!(busy.insert(held.talk.side(slot).visitor), "in two talks at once");
            }
        }
    }

    /// What holds whenever every node has had its second.
    fn check_settled(&self) {
        for (visitor, person) in &self.people {
            let row = self.table.get(visitor).filter(|row| row.cancelled_at.is_none());
            if person.waits && !person.told.is_empty() {
                assert!(row.is_some() || self.open_talk(*visitor).is_some(), "visitor {visitor} was forgotten");
            }
            if let Some(row) = row {
                assert!(person.waits, "visitor {visitor} does not wait");
                let node = self.nodes.iter().find(|node| node.id == row.node).expect("a node that is gone");
                assert!(
                    node.registry.is_present(*visitor),
                    "visitor {visitor} has a ticket and nobody to answer for it"
                );
            }
        }
        for held in self.talks.iter().filter(|held| !held.talk.ended) {
            let (talk, late) = (&held.talk, Duration::seconds(4));
            for side in [&talk.a, &talk.b] {
                assert!(
                    side.node.is_some() || self.now - talk.created_at < ENTRY + late,
                    "nobody came, and it goes on"
                );
                assert!(side.away_since.is_none_or(|at| self.now - at < RETURN + late), "away for ever");
            }
        }
    }
}

fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    let steps = 4 + world.dice.below(2 * STEPS - 7);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for visitor in 1..PEOPLE {
            let node = world.dice.below(NODES as u64) as usize;
            world.connect(visitor, node);
        }
        (0..steps).for_each(|_| world.step());
        (0..3).for_each(|_| world.second());
    }));
    if let Err(why) = outcome {
        eprintln!("seed {seed}:\n  {}", world.log.join("\n  "));
        std::panic::resume_unwind(why);
    }
    (steps, world.talks.len() as u64)
}

#[test]
fn nobody_is_forgotten_doubled_or_met_by_a_ghost() {
    let given = std::env::var("MAJU_WORLD_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    if let Some(seed) = given {
        run(seed);
        return;
    }
    let began = Instant::now();
    let lanes = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let (steps, talks) = std::thread::scope(|scope| {
        let lane = |first: u64| {
            move || {
                let seeds = (first..SEQUENCES).step_by(usize::try_from(lanes).unwrap());
                seeds.map(run).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            }
        };
        let lanes: Vec<_> = (0..lanes).map(|first| scope.spawn(lane(first))).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    eprintln!("{SEQUENCES} sequences (seeds 0..{SEQUENCES}), {steps} steps, {talks} talks in {:?}", began.elapsed());
    assert!(talks > SEQUENCES / 2, "too little happened: {talks} talks");
}
