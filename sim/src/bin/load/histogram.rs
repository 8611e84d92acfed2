//! A histogram of times with a constant relative error.

/// Buckets for times in nanoseconds: exact below 64, then 32 for each power of two.
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: vec![0; 64 + 58 * 32], count: 0, max: 0 }
    }

    /// Adds a time in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        let bucket = if ns < 64 {
            ns as usize
        } else {
            let power = 63 - ns.leading_zeros() as usize;
            64 + (power - 6) * 32 + ((ns >> (power - 5)) & 31) as usize
        };
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(ns);
    }

    /// Returns a quantile in milliseconds; 0 if there are no times.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let wanted = (self.count as f64 * quantile).ceil() as u64;
        let mut sum = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            sum += count;
            if sum >= wanted && sum > 0 {
                let ns = if bucket < 64 {
                    bucket as u64
                } else {
                    let power = (bucket - 64) / 32 + 6;
                    (32 + ((bucket - 64) % 32) as u64) << (power - 5)
                };
                return ns as f64 / 1e6;
            }
        }
        0.0
    }

    /// Returns the largest time in nanoseconds.
    pub fn max(&self) -> u64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn quantiles_are_right_within_a_thirty_second() {
        let mut histogram = Histogram::new();
        (1..=1_000).for_each(|ms| histogram.add(ms * 1_000_000));
        for (quantile, ms) in [(0.5, 500.0), (0.99, 990.0)] {
            let found = histogram.quantile(quantile);
            assert!((found - ms).abs() <= ms / 32.0, "{found} for {ms}");
        }
        assert_eq!(histogram.max(), 1_000_000_000);
    }
}
