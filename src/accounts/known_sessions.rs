//! A cache of the sessions that were found lately, each with its visitor.
//!
//! A visitor's rate limit is checked before Postgres is queried, and a known session is looked up
//! even while its address prefix sends many cookies that name no session.
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use tower_sessions::session::Id;

use crate::ids::VisitorId;

/// Sessions in one generation. Two generations are kept, about 2 MB at most.
const MAX_GENERATION_SESSIONS: usize = 50_000;

/// Visitors by a keyed hash of their session's id. A forgotten session only takes a token from its
/// address prefix for one lookup.
#[derive(Default)]
pub(super) struct KnownSessions {
    hasher: RandomState,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    new: HashMap<u64, VisitorId>,
    old: HashMap<u64, VisitorId>,
}

impl KnownSessions {
    /// Returns the visitor of a session when it was last found. `None` if it is not in the cache.
    pub(super) fn visitor(&self, session: Id) -> Option<VisitorId> {
        let key = self.hasher.hash_one(session);
        let generations = self.generations.lock();
        generations.new.get(&key).or_else(|| generations.old.get(&key)).copied()
    }

    /// Adds a session that was found.
    pub(super) fn insert(&self, session: Id, visitor: VisitorId) {
        let key = self.hasher.hash_one(session);
        let mut generations = self.generations.lock();
        if generations.new.len() >= MAX_GENERATION_SESSIONS && !generations.new.contains_key(&key) {
            generations.old = std::mem::take(&mut generations.new);
        }
        generations.new.insert(key, visitor);
    }
}

#[cfg(test)]
mod tests {
    use tower_sessions::session::Id;

    use super::{KnownSessions, MAX_GENERATION_SESSIONS, VisitorId};

    #[test]
    fn sessions_are_remembered_in_bounded_memory() {
        let sessions = KnownSessions::default();
        let in_use = Id(1);
        assert_eq!(sessions.visitor(in_use), None);
        sessions.insert(in_use, VisitorId(7));
        for other in 0..3 * MAX_GENERATION_SESSIONS {
            sessions.insert(Id(1_000 + i128::try_from(other).unwrap()), VisitorId(8));
            if other.is_multiple_of(1_000) {
                sessions.insert(in_use, VisitorId(7));
            }
        }
        assert_eq!(sessions.visitor(in_use), Some(VisitorId(7)));
        assert_eq!(sessions.visitor(Id(1_000)), None);
        let generations = sessions.generations.lock();
        assert!(generations.new.len() + generations.old.len() <= 2 * MAX_GENERATION_SESSIONS);
    }
}
