//! Outages of a store: one log line when its operations begin to fail, and one when they work again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::ports::StoreError;

/// Time without a failure after which a success ends an outage. Some operations may fail while
/// others succeed, such as writes and reads.
const QUIET: Duration = Duration::from_secs(2);

/// An outage that is under way.
#[derive(Debug)]
struct UnderWay {
    began: Instant,
    latest: Instant,
    failures: u64,
}

/// The outages of one store.
#[derive(Debug, Default)]
pub(super) struct Outages {
    failing: AtomicBool,
    under_way: Mutex<Option<UnderWay>>,
}

impl Outages {
    /// Records an operation that succeeded. Costs one read of an atomic while nothing fails.
    pub(super) fn worked(&self, store: &'static str) {
        if self.failing.load(Ordering::Relaxed) {
            self.end(store);
        }
    }

    /// Records an operation that failed.
    #[cold]
    pub(super) fn failed(&self, error: &StoreError) {
        let now = Instant::now();
        let mut under_way = self.under_way.lock();
        if let Some(outage) = &mut *under_way {
            outage.latest = now;
            outage.failures += 1;
            return;
        }
        *under_way = Some(UnderWay { began: now, latest: now, failures: 1 });
        self.failing.store(true, Ordering::Relaxed);
        let StoreError { store, reason } = error;
        tracing::error!(store, reason, "store unavailable");
    }

    #[cold]
    fn end(&self, store: &'static str) {
        let mut under_way = self.under_way.lock();
        if under_way.as_ref().is_none_or(|outage| outage.latest.elapsed() < QUIET) {
            return;
        }
        self.failing.store(false, Ordering::Relaxed);
        if let Some(UnderWay { began, failures, .. }) = under_way.take() {
            let seconds = began.elapsed().as_secs();
            tracing::info!(store, seconds, failures, "store available again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_lasts_until_nothing_has_failed_for_a_while() {
        let outages = Outages::default();
        let error = StoreError { store: "the store", reason: "it is full".to_owned() };
        let failing = || outages.failing.load(Ordering::Relaxed);
        outages.worked("the store");
        assert!(!failing());
        outages.failed(&error);
        tokio::time::advance(QUIET / 2).await;
        outages.worked("the store");
        assert!(failing(), "reads may work while writes fail");
        outages.failed(&error);
        assert_eq!(outages.under_way.lock().as_ref().unwrap().failures, 2);
        tokio::time::advance(QUIET).await;
        outages.worked("the store");
        assert!(!failing() && outages.under_way.lock().is_none());
    }
}
