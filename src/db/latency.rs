//! How long something took: counted by length on the hot path, without a lock, and read as a
//! quantile.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lengths are told apart by a factor of the square root of 2.
const BUCKETS: usize = 40;
/// Everything up to this length is in the first bucket, in microseconds.
const FIRST_MICROS: f64 = 100.0;

/// Counts of durations since the start.
#[derive(Debug)]
pub struct Latencies([AtomicU64; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The counts at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyCounts(Vec<u64>);

impl Latencies {
    /// Counts a duration: one relaxed addition.
    pub fn record(&self, took: Duration) {
        self.0[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts since the start.
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts(self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl LatencyCounts {
    /// Returns what was counted after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |index: usize| earlier.0.get(index).copied().unwrap_or_default();
        Self(self.0.iter().enumerate().map(|(index, count)| count.saturating_sub(before(index))).collect())
    }

    /// Returns how many durations were counted.
    pub fn amount(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the duration that a share of them (0 to 1) did not exceed, rounded up to the next
    /// bucket. `None` if nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let amount = self.amount();
        let wanted = ((amount as f64 * share).ceil() as u64).max(1);
        let mut passed = 0;
        let found = self.0.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        found.filter(|_| amount > 0).map(|index| {
            let micros = FIRST_MICROS * 2_f64.powf(index as f64 / 2.0);
            Duration::from_secs_f64(micros / 1e6)
        })
    }
}

fn bucket(took: Duration) -> usize {
    let ratio = took.as_secs_f64() * 1e6 / FIRST_MICROS;
    if ratio <= 1.0 { 0 } else { ((ratio.log2() * 2.0).ceil() as usize).min(BUCKETS - 1) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn a_quantile_is_at_most_a_bucket_above_the_real_one() {
        let latencies = Latencies::default();
        assert_eq!(latencies.counts().quantile(0.99), None);
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let before = latencies.counts();
        for (share, ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = before.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!(found >= ms && found <= ms * 1.42, "{share}: {found} ms");
        }
        latencies.record(Duration::from_secs(3_600));
        latencies.record(Duration::ZERO);
        let later = latencies.counts().since(&before);
        assert_eq!((later.amount(), later.quantile(0.5)), (2, Some(Duration::from_micros(100))));
    }
}
