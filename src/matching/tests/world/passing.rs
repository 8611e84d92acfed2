//! Time in the model: what nodes, the sweep and the matcher do each second.
use std::collections::BTreeSet;

use time::Duration;
use uuid::Uuid;

use super::{Held, NODES, Stored, World};
use crate::matching::model::{Row, Side, Talk, Ticket, Upkeep, overdue, upkeep};
use crate::matching::pair::{Met, pair};
use crate::matching::registry::Seeker;

impl World {
    /// A second passes: each node's upkeep, the sweep before or after it, and a round.
    pub(super) fn second(&mut self) {
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
            for (visitor, ticket) in self.nodes[node].registry.lapse(self.instant()) {
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
        let due = self.nodes[node].registry.to_mark_away(self.instant());
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
        self.nodes[node].registry.hold(visitor, seeker, self.instant());
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
    pub(super) fn round(&mut self) {
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
}
