//! Caps on log lines: a flood of requests fills no disk.
//!
//! Each place in the source that logs may write so many lines in a minute and in a day. What is left
//! out is counted, and one line a minute tells how many were.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::base::clock::Clock;

/// Lines of one place in a minute.
const A_MINUTE: u32 = 600;
/// Lines of one place in a day.
const A_DAY: u32 = 50_000;
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Lines within a window of time.
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

/// The lines of one place in the source.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: Option<&'static str>,
    line: Option<u32>,
    minute: Window,
    day: Window,
    left_out: u64,
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
        self.left_out += 1;
        false
    }
}

/// The caps on all places. Clones share their counts.
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
            left_out: 0,
        });
        place.take(at)
    }

    /// The places whose lines were left out since this was last asked, and how many.
    fn left_out(&self) -> Vec<(String, u64)> {
        let mut places = self.places.lock();
        let cut = places.values_mut().filter(|place| place.left_out > 0);
        cut.map(|place| {
            let (file, line) = (place.file.unwrap_or_default(), place.line.unwrap_or_default());
            (format!("{file}:{line}"), std::mem::take(&mut place.left_out))
        })
        .collect()
    }

    /// Tells once a minute, for ever, how many lines were left out.
    pub(super) async fn tell_for_ever(self) {
        let mut ticks = tokio::time::interval(MINUTE);
        loop {
            ticks.tick().await;
            for (place, lines) in self.left_out() {
                tracing::warn!(place, lines, "log lines left out: too many of one kind");
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
    fn of_a_flood_of_one_line_the_first_are_written_and_the_rest_counted() {
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
        assert!(text.contains("another line"), "other places are not kept from writing");
        let left_out: Vec<u64> = caps.left_out().into_iter().map(|(_, lines)| lines).collect();
        assert_eq!(left_out, [400]);
        assert!(caps.left_out().is_empty(), "told once");
    }

    #[test]
    fn a_place_writes_again_in_the_next_minute_and_no_more_than_so_many_in_a_day() {
        let begin = Window::default();
        let mut place = Place { file: None, line: None, minute: begin, day: begin, left_out: 0 };
        let mut written = 0_u32;
        for minute in 0..200 {
            written += (0..1000).map(|_| u32::from(place.take(MINUTE * minute))).sum::<u32>();
        }
        assert_eq!(written, A_DAY);
        assert!(place.take(DAY));
    }
}
