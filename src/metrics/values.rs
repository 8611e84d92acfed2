//! The values that are counted: relaxed atomics, which are read when somebody asks for them.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The bounds of durations, in seconds.
pub const DURATIONS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The bounds of the sizes of batches.
pub const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
/// The bounds of the waits of people, in seconds.
pub const WAITS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];
/// The parts of a unit in which sums are kept, because an atomic has no fractions.
const PARTS: f64 = 1_000_000.0;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds a number, which can be negative.
    pub fn add(&self, number: i64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often values were within which bounds, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for the values above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Creates an empty histogram with bounds in ascending order.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Adds a value, which is not negative.
    pub fn observe(&self, value: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add((value * PARTS) as u64, Ordering::Relaxed);
    }

    /// Adds many values with a few atomic operations, whatever their number.
    pub fn observe_all(&self, values: impl IntoIterator<Item = f64>) {
        let (mut counts, mut sum) = ([0_u64; 32], 0.0);
        for value in values {
            counts[self.bounds.partition_point(|bound| *bound < value).min(counts.len() - 1)] += 1;
            sum += value;
        }
        for (own, new) in self.counts.iter().zip(counts).filter(|(_, new)| *new > 0) {
            own.fetch_add(new, Ordering::Relaxed);
        }
        self.sum.fetch_add((sum * PARTS) as u64, Ordering::Relaxed);
    }

    /// Returns each bound with how many values were not above it, and the number and sum of all.
    pub fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        for (bound, count) in self.bounds.iter().zip(&counts) {
            total += count;
            buckets.push((*bound, total));
        }
        total += counts.last().copied().unwrap_or_default();
        (buckets, total, self.sum.load(Ordering::Relaxed) as f64 / PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Histogram, SIZES};

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let (one, many) = (Histogram::new(SIZES), Histogram::new(SIZES));
        let values = [1.0, 1.5, 2.0, 500.0, 501.0, 0.25];
        values.iter().for_each(|value| one.observe(*value));
        many.observe_all(values);
        assert_eq!(one.read(), many.read());
        let (buckets, count, sum) = one.read();
        assert_eq!((buckets[0], buckets[1], buckets[8]), ((1.0, 2), (2.0, 4), (500.0, 5)));
        assert_eq!((count, sum), (6, 1_005.75));
    }

    #[test]
    fn threads_lose_no_count() {
        const TIMES: u32 = 100_000;
        let (counter, histogram) = (Counter::default(), Histogram::new(super::DURATIONS));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..TIMES {
                        counter.increment();
                        histogram.observe(f64::from(n % 100) / 1_000.0);
                    }
                });
            }
        });
        assert_eq!((counter.get(), histogram.read().1), (u64::from(2 * TIMES), u64::from(2 * TIMES)));
    }
}
