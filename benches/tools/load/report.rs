//! Latencies into one line of numbers.

use std::time::Duration;

/// What the requests of one run took.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// One for each request that was answered as it should be.
    pub(crate) latencies: Vec<Duration>,
    /// Requests that were not.
    pub(crate) failed: usize,
}

impl Report {
    /// `requests=7500 failed=0 p50_ms=0.91 p99_ms=2.04 max_ms=4.80`.
    pub(crate) fn line(mut self) -> String {
        self.latencies.sort_unstable();
        let at = |percent| millis(percentile(&self.latencies, percent));
        format!(
            "requests={} failed={} p50_ms={:.3} p99_ms={:.3} max_ms={:.3}",
            self.latencies.len(),
            self.failed,
            at(50),
            at(99),
            at(100)
        )
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The smallest value that `percent` of all do not exceed; `sorted` ascending.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(198));
        assert_eq!(percentile(&sorted, 100), Duration::from_millis(200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
