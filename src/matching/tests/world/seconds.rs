//! Time in the model: what the nodes, the sweep and the matcher do each second.
use std::collections::BTreeSet;

use time::Duration;
use uuid::Uuid;

use super::{NODES, SimulatedTalk, SimulatedTicket, World, ordered};
use crate::ids::{RoomId, VisitorId};
use crate::matching::limits::REMATCH_COOLDOWN;
use crate::matching::local_visitors::TrackedTicket;
use crate::matching::model::Ticket;
use crate::matching::pair::pair;
use crate::matching::reconcile::{Reconciliation, TicketState, reconcile};
use crate::matching::talks::{Side, Talk, timeout_ending};

impl World {
    /// Lets a second pass: the reconciliation of each node, the sweep before or after it, and a
    /// round.
    pub(super) fn second(&mut self) {
        self.pass(Duration::seconds(1));
        let swept = self.rng.below(3) > 0;
        if swept {
            self.sweep();
        }
        self.undelivered.clear(); // every node reconciles below
        for node in 0..NODES {
            self.mark_away(node);
            self.nodes[node].seen_at = self.now;
            let uncertain = self.nodes[node].local.uncertain();
            self.table.retain(|_, row| row.cancelled_at.is_some() || !uncertain.contains(&row.ticket));
            self.nodes[node].local.remove_uncertain(&uncertain);
            let id = self.nodes[node].id;
            for (visitor, ticket) in self.nodes[node].local.expire(self.instant()) {
                self.delete_own(visitor, ticket, id);
            }
        }
        for node in 0..NODES {
            self.reconcile(node);
            self.mark_returned(node);
        }
        if !swept {
            self.sweep();
        }
        self.round();
        if swept {
            self.check_settled(); // otherwise the next second still has work to do
        }
    }

    fn delete_own(&mut self, visitor: VisitorId, ticket: Uuid, node: Uuid) {
        let own = |row: &SimulatedTicket| row.ticket == ticket && row.node == node && row.cancelled_at.is_none();
        if self.table.get(&visitor).is_some_and(own) {
            self.table.remove(&visitor);
        }
    }

    fn mark_away(&mut self, node: usize) {
        let due = self.nodes[node].local.due_away(self.instant());
        for visitor in &due {
            if let Some(at) = self.open_talk(*visitor) {
                let (id, now) = (self.nodes[node].id, self.now);
                let side = self.side(at, *visitor);
                if side.node == Some(id) && side.away_since.is_none() {
                    side.away_since = Some(now);
                }
            }
        }
        self.nodes[node].local.set_marked_away(&due);
    }

    fn mark_returned(&mut self, node: usize) {
        for (visitor, talk) in self.nodes[node].local.entered_talks() {
            let at = talk.0 as usize;
            if self.open_talk(visitor) == Some(at) && self.side(at, visitor).away_since.is_some() {
                self.enter(visitor, node);
            }
        }
    }

    /// Does what `reconcile::reconcile_tickets` does, on the simulated table.
    fn reconcile(&mut self, node: usize) {
        let id = self.nodes[node].id;
        let seekers = self.nodes[node].local.tracked();
        for (visitor, seeker) in &seekers {
            let row = self
                .table
                .get(visitor)
                .map(|row| TicketState { ticket: row.ticket, cancelled: row.cancelled_at.is_some() });
            let was_matched = self.talks.iter().any(|held| {
                let since = held.talk.slot_of(*visitor).map(|slot| held.talk.side(slot).since);
                held.tickets.contains(&seeker.ticket) || since.is_some_and(|since| since > seeker.since)
            });
            match reconcile(seeker.ticket, row, self.open_talk(*visitor).is_some(), was_matched) {
                Reconciliation::Keep => {}
                Reconciliation::Adopt => self.adopt(*visitor, node),
                Reconciliation::Untrack | Reconciliation::Redeliver => {
                    self.nodes[node].local.untrack_ticket(*visitor, seeker.ticket)
                }
                Reconciliation::Restore => self.write(*visitor, id, seeker.ticket, &seeker.seek, seeker.since),
            }
        }
        let held: BTreeSet<VisitorId> = seekers.iter().map(|(visitor, _)| *visitor).collect();
        let own = |(visitor, row): (&VisitorId, &SimulatedTicket)| {
            (row.node == id && row.cancelled_at.is_none() && !held.contains(visitor)).then_some((*visitor, row.ticket))
        };
        for (visitor, ticket) in self.table.iter().filter_map(own).collect::<Vec<_>>() {
            if self.nodes[node].local.is_present(visitor) {
                self.adopt(visitor, node);
            } else {
                self.delete_own(visitor, ticket, id);
            }
        }
    }

    fn adopt(&mut self, visitor: VisitorId, node: usize) {
        let row = &self.table[&visitor];
        let seeker = TrackedTicket { ticket: row.ticket, seek: row.seek.clone(), since: row.since };
        self.nodes[node].local.track(visitor, seeker, self.instant());
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
                && let Some(ending) = timeout_ending(&self.talks[at].talk, now)
            {
                self.end(at, ending);
            }
        }
    }

    /// Runs a round of the matcher on node 0. The message to node 1 can be lost.
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
        for held in &self.talks {
            if let Some(ended) = held.ended_at {
                self.exclusions.add_recent(held.talk.a.visitor, held.talk.b.visitor, ended);
            }
        }
        self.exclusions.clear_blocks();
        self.blocked.iter().for_each(|(by, other)| self.exclusions.add_block(*by, *other));
        for one in pair(&live, &self.exclusions, self.now) {
            assert_ne!(one.a, one.b, "paired with itself");
            let blocks = [(one.a, one.b), (one.b, one.a)];
            assert!(!blocks.iter().any(|block| self.blocked.contains(block)), "paired with a blocked visitor");
            let met_lately = |held: &SimulatedTalk| {
                ordered(held.talk.a.visitor, held.talk.b.visitor) == ordered(one.a, one.b)
                    && held.ended_at.is_some_and(|at| self.now - at < REMATCH_COOLDOWN)
            };
            assert_eq!(one.relaxed, self.talks.iter().any(met_lately), "the cooldown holds after a block, too");
            self.met_again += u64::from(self.reconciled.remove(&ordered(one.a, one.b)));
            if self.open_talk(one.a).is_some() || self.open_talk(one.b).is_some() {
                panic!("a visitor in a talk has a ticket: {one:?}");
            }
            let (a, b) = (self.table.remove(&one.a).unwrap(), self.table.remove(&one.b).unwrap());
            let (public_id, room, received) = (self.fresh(), self.fresh(), self.rng.below(2) == 0);
            let side = |visitor, row: &SimulatedTicket| Side {
                visitor,
                seek: row.seek.clone(),
                since: row.since,
                node: None,
                away_since: None,
            };
            let (a_side, b_side) = (side(one.a, &a), side(one.b, &b));
            let talk =
                Talk { public_id, room_id: RoomId(0), room, a: a_side, b: b_side, created_at: self.now, ended: false };
            self.talks.push(SimulatedTalk { talk, tickets: [a.ticket, b.ticket], ended_at: None });
            for visitor in [one.a, one.b] {
                self.nodes[0].local.untrack(visitor);
                if received {
                    self.nodes[1].local.untrack(visitor);
                }
                self.stop_waiting(visitor);
            }
        }
    }
}
