//! What the load generator measured, and medians of it.
use serde::Deserialize;

/// A phase of `pairs` or `fanout`: closed (so many messages in flight) or open (so many a second).
#[derive(Clone, Deserialize)]
pub struct Phase {
    pub mode: String,
    /// Messages and deliveries a second.
    pub sent_s: f64,
    pub deliv_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Microseconds of CPU a delivery: of the server, and of what is counted beside it.
    #[serde(rename = "cpu_s_per_M")]
    pub cpu: f64,
    #[serde(rename = "back_cpu_s_per_M")]
    pub back_cpu: f64,
    /// Percent of the messages that were delivered within the measurement.
    pub got_pct: f64,
    pub dead: f64,
}

impl Phase {
    /// Returns `true` if so many messages were kept in flight.
    pub fn is_closed(&self) -> bool {
        self.mode == "closed"
    }
}

/// Returns the median; the upper one of two. 0 for nothing.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Returns the least figure.
pub fn least(figures: impl IntoIterator<Item = f64>) -> f64 {
    figures.into_iter().fold(f64::INFINITY, f64::min)
}

/// Returns the median and the range: `1.02 (0.98 to 1.10)`.
pub fn spread(figures: impl IntoIterator<Item = f64>) -> String {
    let figures: Vec<f64> = figures.into_iter().collect();
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({:.2} to {most:.2})", median(figures.iter().copied()), least(figures.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::{median, spread};

    #[test]
    fn medians_and_ranges_are_of_all_figures() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0]) - 4.0).abs() < f64::EPSILON);
        assert_eq!(spread([1.0, 0.5, 1.25]), "1.00 (0.50 to 1.25)");
    }
}
