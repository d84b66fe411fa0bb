//! Caps on log lines, so that a flood of requests cannot fill the disk.
//!
//! Each place in the source that logs has a limit per minute and per day. Suppressed lines are
//! counted, and the count is logged once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_appender::non_blocking::ErrorCounter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::base::clock::Clock;

/// Maximum lines per minute from one place.
const A_MINUTE: u32 = 600;
/// Maximum lines per day from one place.
const A_DAY: u32 = 50_000;
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Lines written within a window of time.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Duration,
    lines: u32,
}

impl Window {
    fn has_room(&mut self, at: Duration, length: Duration, most: u32) -> bool {
        if at.saturating_sub(self.began) >= length {
            *self = Self { began: at, lines: 0 };
        }
        self.lines < most
    }
}

/// Counts for one place in the source.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: Option<&'static str>,
    line: Option<u32>,
    minute: Window,
    day: Window,
    suppressed: u64,
}

impl Place {
    fn take(&mut self, at: Duration) -> bool {
        let minute = self.minute.has_room(at, MINUTE, A_MINUTE);
        let day = self.day.has_room(at, DAY, A_DAY);
        if minute && day {
            self.minute.lines += 1;
            self.day.lines += 1;
            return true;
        }
        self.suppressed += 1;
        false
    }
}

/// The caps of all places. Clones share the counts.
#[derive(Clone)]
pub(super) struct Caps {
    clock: Arc<dyn Clock>,
    places: Arc<Mutex<HashMap<Identifier, Place>>>,
}

impl Caps {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, places: Arc::default() }
    }

    fn take(&self, metadata: &'static Metadata<'static>) -> bool {
        let at = self.clock.monotonic();
        let mut places = self.places.lock();
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
            file: metadata.file(),
            line: metadata.line(),
            minute: Window { began: at, lines: 0 },
            day: Window { began: at, lines: 0 },
            suppressed: 0,
        });
        place.take(at)
    }

    /// Returns each place with suppressed lines and their number since the last call.
    fn suppressed(&self) -> Vec<(String, u64)> {
        let mut places = self.places.lock();
        let cut = places.values_mut().filter(|place| place.suppressed > 0);
        cut.map(|place| {
            let (file, line) = (place.file.unwrap_or_default(), place.line.unwrap_or_default());
            (format!("{file}:{line}"), std::mem::take(&mut place.suppressed))
        })
        .collect()
    }

    /// Logs the numbers of suppressed and of dropped lines once a minute until the process ends.
    pub(super) async fn report_suppressed(self, dropped: ErrorCounter) {
        let mut ticks = tokio::time::interval(MINUTE);
        let mut reported = 0;
        loop {
            ticks.tick().await;
            let lines = dropped.dropped_lines();
            if lines > reported {
                let lines = lines - reported;
                tracing::warn!(lines, "log lines dropped: standard error is read too slowly");
                reported += lines;
            }
            for (place, lines) in self.suppressed() {
                tracing::warn!(place, lines, "log lines suppressed: too many from one place");
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Caps {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        self.take(event.metadata())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::base::clock::SystemClock;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_flood_from_one_place_is_capped_and_the_rest_counted() {
        let (lines, caps) = (Lines::default(), Caps::new(Arc::new(SystemClock::new())));
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(caps.clone()).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..1000 {
                tracing::info!(n, "flood");
            }
            tracing::info!("another line");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.matches("flood").count(), 600);
        assert!(text.contains("another line"), "other places are not affected");
        let suppressed: Vec<u64> = caps.suppressed().into_iter().map(|(_, lines)| lines).collect();
        assert_eq!(suppressed, [400]);
        assert!(caps.suppressed().is_empty(), "reported once");
    }

    #[test]
    fn a_place_has_a_limit_per_minute_and_one_per_day() {
        let begin = Window::default();
        let mut place = Place { file: None, line: None, minute: begin, day: begin, suppressed: 0 };
        let mut written = 0_u32;
        for minute in 0..200 {
            written += (0..1000).map(|_| u32::from(place.take(MINUTE * minute))).sum::<u32>();
        }
        assert_eq!(written, A_DAY);
        assert!(place.take(DAY));
    }
}
