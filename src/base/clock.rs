//! Time, handed in so that a test can hold it still.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, in whole milliseconds since the Unix epoch (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch itself: earlier than any moment the product meets.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the Unix epoch.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// This moment moved forward by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// `2026-01-31T12:00:00Z` (RFC 3339), to the second.
    pub fn rfc3339(self) -> String {
        self.utc().and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_else(|| "unknown".to_owned())
    }

    /// `2026-01-31 12:00Z`, to the minute, for tables.
    pub fn minute(self) -> String {
        self.utc().map_or_else(
            || "unknown".to_owned(),
            |t| format!("{} {:02}:{:02}Z", t.date(), t.hour(), t.minute()),
        )
    }

    fn utc(self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(i64::try_from(self.as_secs()).ok()?).ok()
    }
}

/// Whole milliseconds of `duration`, at most `u64::MAX`.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary fixed point; never goes back, whatever is done to the wall clock.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time is read")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time is read")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp(millis(since_epoch))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both the wall clock and the monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.0 = now.0.plus(by);
        now.1 = now.1.saturating_add(by);
    }
}

impl ManualClock {
    /// Sets the wall clock back, as a time server may; the monotonic time stands.
    pub fn set_back(&self, by: Duration) {
        let mut now = self.now.lock();
        let since_epoch = Duration::from_millis(now.0.as_millis());
        now.0 = Timestamp(millis(since_epoch.saturating_sub(by)));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.now.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_767_225_600_999).rfc3339(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_timestamp_in_a_table_ends_with_the_minute() {
        assert_eq!(Timestamp::from_millis(1_767_225_600_999).minute(), "2026-01-01 00:00Z");
    }

    #[test]
    fn the_past_of_the_future_is_no_time_at_all() {
        let early = Timestamp::from_millis(5);
        assert_eq!(early.since(early.plus(Duration::from_secs(1))), Duration::ZERO);
    }
}
