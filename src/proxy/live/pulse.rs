//! A clock that costs one load to read. Body bytes need the time to within a moment only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::base::clock::{Clock, millis};

/// Interval at which the time is read.
const EVERY: Duration = Duration::from_millis(250);

/// The monotonic time, as of the last tick.
#[derive(Debug)]
pub(in crate::proxy) struct Pulse(AtomicU64);

impl Pulse {
    pub(in crate::proxy) fn new(clock: &dyn Clock) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis(clock.monotonic()))))
    }

    /// Returns the time of the last tick.
    pub(in crate::proxy) fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Ticks until dropped.
    pub(in crate::proxy) async fn run(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.0.store(millis(clock.monotonic()), Ordering::Relaxed);
        }
    }
}
