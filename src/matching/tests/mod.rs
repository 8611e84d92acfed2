//! Matching, tested: the rule itself, a model with crashes and lost news, and the verbs on a real Postgres.
mod pairing;
mod seeks;
mod world;

use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Seek, Ticket};

/// A fixed moment; tests count from here.
fn start() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)
}

fn seek(interests: &[&str], languages: &[&str], translate: bool) -> Seek {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Seek { interests: owned(interests), languages: owned(languages), translate }
}

fn ticket(visitor: i64, seek: Seek, waited_ms: i64) -> Ticket {
    let since = start() - time::Duration::milliseconds(waited_ms);
    Ticket { id: visitor, public_id: Uuid::from_u128(visitor.unsigned_abs().into()), visitor, seek, since }
}

/// A small generator of our own: a seed gives the same sequence for ever.
struct Dice(u64);

impl Dice {
    /// A number below `n` (SplitMix64).
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}
