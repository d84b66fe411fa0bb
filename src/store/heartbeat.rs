//! Write checks of a store, cached so that frequent readiness checks add no load.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::ports::Stored;

/// Lifetime of a good result.
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// Lifetime of a bad result, so that people can sign in as soon as the store is back.
const BAD_COUNTS_FOR: Duration = Duration::from_millis(100);

/// The latest result.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    latest: Mutex<Option<(Instant, Stored<()>)>>,
    /// True if an operation failed after the latest result.
    doubted: AtomicBool,
}

impl Heartbeat {
    /// Voids the latest result if it was good, because an operation has failed since.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// Returns the result of `attempt`, or a cached one. Of several concurrent callers one runs the
    /// attempt and the others wait for it.
    pub(super) async fn beat(
        &self,
        attempt: impl Future<Output = Stored<()>> + Send,
    ) -> Stored<()> {
        let mut latest = self.latest.lock().await;
        if let Some((at, answer)) = latest.as_ref() {
            let counts_for = match answer {
                Ok(()) if self.doubted.load(Ordering::Relaxed) => Duration::ZERO,
                Ok(()) => COUNTS_FOR,
                Err(_) => BAD_COUNTS_FOR,
            };
            if at.elapsed() < counts_for {
                return answer.clone();
            }
        }
        self.doubted.store(false, Ordering::Relaxed);
        let answer = attempt.await;
        *latest = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::auth::ports::StoreError;

    #[tokio::test(start_paused = true)]
    async fn a_store_is_checked_at_most_once_a_second() {
        let (heartbeat, tries) = (Heartbeat::default(), AtomicU32::new(0));
        let down = || StoreError { store: "the store", reason: "it is full".to_owned() };
        let attempt = || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            tries.fetch_add(1, Ordering::Relaxed);
            Err(down())
        };
        let all = futures_util::future::join_all((0..100).map(|_| heartbeat.beat(attempt()))).await;
        assert!(all.iter().all(|answer| answer.as_ref().unwrap_err().reason == "it is full"));
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        tokio::time::advance(COUNTS_FOR).await;
        heartbeat.beat(async { Ok(()) }).await.unwrap();
        heartbeat.beat(attempt()).await.unwrap();
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        heartbeat.doubt();
        heartbeat.beat(attempt()).await.unwrap_err();
        assert_eq!(tries.load(Ordering::Relaxed), 2, "a good result is void after a failure");
        heartbeat.doubt();
        heartbeat.beat(attempt()).await.unwrap_err();
        assert_eq!(tries.load(Ordering::Relaxed), 2, "a bad one is not");
    }
}
