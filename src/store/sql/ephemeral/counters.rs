//! The queue for counting attempts by unknown clients.
//!
//! SQLite has a single writer at a time, in order of arrival. A flood of attempts would delay every
//! session that has to be stored, so only one attempt at a time may wait for the write connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::ports::{StoreError, Stored};

/// Maximum attempts waiting to be counted.
const MOST_WAITING: usize = 1024;
/// Maximum waiting time.
const PATIENCE: Duration = Duration::from_secs(3);

/// The queue and its length.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    store: &'static str,
}

struct QueuePlace(Arc<AtomicUsize>);

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Counters {
    pub(super) fn new(store: &'static str) -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), waiting: Arc::default(), store }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Stored<OwnedSemaphorePermit> {
        let full = || StoreError {
            store: self.store,
            reason: "too many sign-in attempts are queued".to_owned(),
        };
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = QueuePlace(Arc::clone(&self.waiting));
        if waiting >= MOST_WAITING {
            return Err(full());
        }
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_counted_one_at_a_time_and_the_queue_is_bounded() {
        let counters = Counters::new("the store");
        let held = counters.turn().await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..MOST_WAITING + 5 {
            let counters = counters.clone();
            waiting.spawn(async move { counters.turn().await.is_ok() });
        }
        let mut refused = 0;
        for _ in 0..5 {
            refused += usize::from(!waiting.join_next().await.unwrap().unwrap());
        }
        assert_eq!(refused, 5, "those beyond are refused at once");
        drop(held);
        while let Some(counted) = waiting.join_next().await {
            assert!(counted.unwrap());
        }
        assert_eq!(counters.waiting.load(Ordering::Acquire), 0);
    }
}
