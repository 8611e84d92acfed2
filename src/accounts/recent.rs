//! Sessions that were found lately: their visitor's limit is known before Postgres is asked, and they are looked up even while
//! their address prefix sends many cookies that name no session.
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use tower_sessions::session::Id;

/// Sessions in a generation; two are kept, about 2 MB at most.
const GENERATION: usize = 50_000;

/// Visitors by a keyed hash of their session's id. Forgetting one costs nothing but a token for a while.
#[derive(Default)]
pub(super) struct Recent {
    hasher: RandomState,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    new: HashMap<u64, i64>,
    old: HashMap<u64, i64>,
}

impl Recent {
    /// Returns the visitor whom a session named when it was last found.
    pub(super) fn visitor(&self, session: Id) -> Option<i64> {
        let key = self.hasher.hash_one(session);
        let known = self.generations.lock();
        known.new.get(&key).or_else(|| known.old.get(&key)).copied()
    }

    /// Remembers a session that was found.
    pub(super) fn remember(&self, session: Id, visitor: i64) {
        let key = self.hasher.hash_one(session);
        let mut known = self.generations.lock();
        if known.new.len() >= GENERATION && !known.new.contains_key(&key) {
            known.old = std::mem::take(&mut known.new);
        }
        known.new.insert(key, visitor);
    }
}

#[cfg(test)]
mod tests {
    use tower_sessions::session::Id;

    use super::{GENERATION, Recent};

    #[test]
    fn sessions_are_remembered_in_bounded_memory() {
        let recent = Recent::default();
        let session = Id(1);
        assert_eq!(recent.visitor(session), None);
        recent.remember(session, 7);
        for other in 0..3 * GENERATION {
            recent.remember(Id(1_000 + i128::try_from(other).unwrap()), 8);
            if other.is_multiple_of(1_000) {
                recent.remember(session, 7); // in use
            }
        }
        assert_eq!(recent.visitor(session), Some(7));
        assert_eq!(recent.visitor(Id(1_000)), None);
        let known = recent.generations.lock();
        assert!(known.new.len() + known.old.len() <= 2 * GENERATION);
    }
}
