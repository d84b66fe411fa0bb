//! Time, behind a trait so that tests can control it.

use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in whole milliseconds since the Unix epoch (UTC).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch, earlier than any time that the gateway records.
    pub const EPOCH: Self = Self(0);

    /// Creates a timestamp from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the Unix epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the time `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns true if the time is at most `age` before `now`. A time in the future, after the clock
    /// was set back, is not.
    pub fn is_within(self, age: Duration, now: Self) -> bool {
        self <= now && now.since(self) <= age
    }

    /// Formats the time as RFC 3339 to the second, for example `2026-01-31T12:00:00Z`.
    pub fn rfc3339(self) -> String {
        self.utc().and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_else(|| "unknown".to_owned())
    }

    /// Formats the time to the minute for tables, for example as `2026-01-31 12:00Z`.
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

/// Returns the whole milliseconds of `duration`, at most `u64::MAX`.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;
    /// Returns the time since an arbitrary fixed point. It never goes back, even if the wall clock
    /// does.
    fn monotonic(&self) -> Duration;
}

/// The clock of this machine. Its monotonic time goes on while the machine sleeps.
#[derive(Debug)]
pub struct SystemClock {
    start: Duration,
}

impl SystemClock {
    /// Creates a clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { start: since_boot() }
    }
}

/// Returns the time since the machine was started, sleep included.
fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
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
        since_boot().saturating_sub(self.start)
    }
}

/// A clock for tests. It advances only when a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// Creates a clock that shows `now`.
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
    /// Sets the wall clock. The monotonic time does not change.
    pub fn set(&self, to: Timestamp) {
        self.now.lock().0 = to;
    }

    /// Sets the wall clock back, as a time server may. The monotonic time does not change.
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
    fn the_time_since_a_future_time_is_zero() {
        let early = Timestamp::from_millis(5);
        assert_eq!(early.since(early.plus(Duration::from_secs(1))), Duration::ZERO);
    }
}
