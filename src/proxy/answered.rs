//! Counts the answers of an app by status class and by duration. All handles are made once, so
//! counting needs no lookup and no memory.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, counter};

const NAME: &str = "vestibule_request_duration_seconds";
/// Upper bounds of the buckets, in microseconds and as they are written in seconds.
const BOUNDS: [(u64, &str); 13] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

/// Durations of requests, in buckets that are added up when they are read.
#[derive(Debug, Default)]
struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// The answers of one app. They outlive a reload.
pub(super) struct Answered {
    app: String,
    classes: [Counter; 5],
    durations: Durations,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("app", &self.app).finish_non_exhaustive()
    }
}

impl Durations {
    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, app: &str, page: &mut String) -> fmt::Result {
        let app = app.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        let mut all = 0;
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            all += bucket.load(Ordering::Relaxed);
            writeln!(page, "{NAME}_bucket{{app=\"{app}\",le=\"{bound}\"}} {all}")?;
        }
        let micros = self.micros.load(Ordering::Relaxed);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        writeln!(page, "{NAME}_sum{{app=\"{app}\"}} {seconds}.{rest:06}")?;
        writeln!(page, "{NAME}_count{{app=\"{app}\"}} {all}")
    }
}

impl Answered {
    pub(super) fn new(app: &str) -> Self {
        let class = |class: &'static str| {
            let app = app.to_owned();
            counter!("vestibule_responses_total", "app" => app, "status" => class)
        };
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class);
        Self { app: app.to_owned(), classes, durations: Durations::default() }
    }

    /// Counts a request. The time of a WebSocket is not one of a request.
    pub(super) fn count(&self, status: Option<StatusCode>, took: Duration) {
        let Some(status) = status else { return };
        let class = usize::from(status.as_u16() / 100).wrapping_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.increment(1);
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.durations.add(took);
        }
    }
}

/// Returns true if no other response can follow one of this status. After `101` the bytes are those
/// of a tunnel.
pub(super) fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// Writes the histogram of all apps in the text format of Prometheus.
pub(super) fn write(apps: &[Arc<Answered>], page: &mut String) -> fmt::Result {
    writeln!(page, "# HELP {NAME} Time of a request, from its header block to its log line.")?;
    writeln!(page, "# TYPE {NAME} histogram")?;
    apps.iter().try_for_each(|app| app.durations.write(&app.app, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_added_up_from_bucket_to_bucket() {
        let answered = Arc::new(Answered::new("a\"b"));
        for millis in [0, 1, 2, 3000, 100_000] {
            answered.count(Some(StatusCode::OK), Duration::from_millis(millis));
        }
        answered.count(Some(StatusCode::SWITCHING_PROTOCOLS), Duration::from_hours(1));
        answered.count(None, Duration::from_hours(1));
        let mut page = String::new();
        write(&[answered], &mut page).unwrap();
        let line = |start: &str| {
            let found = page.lines().find_map(|line| line.strip_prefix(start));
            found.unwrap_or_else(|| panic!("no {start} in {page}")).trim().to_owned()
        };
        let bucket = |le: &str| line(&format!("{NAME}_bucket{{app=\"a\\\"b\",le=\"{le}\"}}"));
        assert_eq!([bucket("0.001"), bucket("0.0025"), bucket("1")], ["2", "3", "3"]);
        assert_eq!([bucket("10"), bucket("60"), bucket("+Inf")], ["4", "4", "5"]);
        assert_eq!(line(&format!("{NAME}_count{{app=\"a\\\"b\"}}")), "5");
        assert_eq!(line(&format!("{NAME}_sum{{app=\"a\\\"b\"}}")), "103.003000");
    }
}
