//! The turn at counting what strangers try.
//!
//! SQLite takes one writer at a time, in order of arrival. A flood of tries would stand before every
//! session that is to be filed; so of all these counters one at a time queues for the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::ports::{StoreError, Stored};

use super::STORE;

/// Tries that may wait to be counted.
const MOST_WAITING: usize = 1024;
/// The longest that one waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The turn, and how many wait for it.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Counters {
    pub(super) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), waiting: Arc::default() }
    }

    /// Waits for the turn.
    pub(super) async fn turn(&self) -> Stored<OwnedSemaphorePermit> {
        let full = || StoreError {
            store: STORE,
            reason: "too many sign-in tries wait to be counted".to_owned(),
        };
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(Arc::clone(&self.waiting));
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
    async fn one_counts_at_a_time_and_so_many_wait() {
        let counters = Counters::new();
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
