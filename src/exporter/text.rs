//! Writes metrics in Prometheus's text format, version 0.0.4.
use std::fmt::Write as _;

use crate::metrics::Histogram;

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The name and the value of a label.
pub(super) type Label<'a> = (&'static str, &'a str);

/// The text while it is written: each family once, with all its samples.
#[derive(Default)]
pub(super) struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family. The samples that follow belong to it.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
    }

    /// Adds a sample of the family.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        self.line("", labels, None, value);
    }

    /// Adds the samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let (buckets, count, sum) = histogram.read();
        for (bound, count) in buckets {
            self.line("_bucket", labels, Some(&bound.to_string()), count as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), count as f64);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count as f64);
    }

    /// Begins a family with a single sample.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    fn line(&mut self, ending: &str, labels: &[Label<'_>], bound: Option<&str>, value: f64) {
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.out, "{}{ending}{labels} {value}", self.family);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Kind, Text};
    use crate::metrics::Metrics;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "Things.");
        text.sample(&[("route", "/{id}"), ("odd", "\"\\\n")], 3.0);
        let metrics = Metrics::default();
        metrics.writer.batch_entries.observe(2.0);
        text.family("b", Kind::Histogram, "Sizes.");
        text.histogram(&[], &metrics.writer.batch_entries);
        let text = text.finish();
        assert!(text.starts_with(
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{route=\"/{id}\",odd=\"\\\"\\\\\\n\"} 3\n"
        ));
        for line in ["b_bucket{le=\"1\"} 0", "b_bucket{le=\"2\"} 1", "b_bucket{le=\"+Inf\"} 1", "b_sum 2", "b_count 1"]
        {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
    }
}
