//! Choices that a seed repeats, one stream for each client that chooses.
use std::time::Duration;

use maju::simulation::SeededRng;

/// A stream of choices.
#[derive(Clone)]
pub struct Rng(SeededRng);

impl Rng {
    /// Returns the stream of one client: the same seed and label give the same choices.
    pub fn new(seed: u64, label: &str) -> Self {
        let mixed = label.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        Self(SeededRng::new(mixed))
    }

    /// Returns a number from `low` up to, but not including, `high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low)
    }

    /// Returns `true` in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// Returns a time from `low` up to, but not including, `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.range(low, high))
    }

    /// Puts the items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.range(0, last as u64 + 1) as usize);
        }
    }

    /// Returns a random UUID (version 4) as text.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.0.next_u64(), self.0.next_u64());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_same_seed_and_label_give_the_same_choices() {
        let of = |seed, label| Rng::new(seed, label).uuid();
        assert_eq!(of(7, "nemesis"), of(7, "nemesis"));
        assert_ne!(of(7, "nemesis"), of(8, "nemesis"));
        assert_ne!(of(7, "nemesis"), of(7, "company"));
        assert_eq!(of(1, "a").as_bytes()[14], b'4', "the version of the UUID");
    }
}
