//! Store lookups that concurrent requests with one credential share.
//!
//! A page that loads forty images after a pause, or a script with a hundred requests at once, has
//! one session or token, and the cache has no fresh entry of it. One request asks the stores, the
//! others wait for its answer. A shared answer is not older than a cached one may be: a request
//! joins a lookup only within the lifetime of its answer, and not after a session has ended on this
//! node since the lookup began.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

use super::recent::is_fresh;
use crate::auth::ports::Stored;

type Load<V> = Shared<BoxFuture<'static, Answer<V>>>;
/// The answer to a lookup.
pub(super) type Answer<V> = Stored<Option<Arc<V>>>;

/// The lookups under way, by what they look up. Each is removed when it is answered, or when no
/// request waits for it any more.
pub(super) struct SharedLoads<K, V> {
    under_way: Arc<Mutex<UnderWay<K, V>>>,
}

struct UnderWay<K, V> {
    loads: HashMap<K, Begun<V>>,
    /// Number of lookups so far.
    begun: u64,
}

struct Begun<V> {
    number: u64,
    asked_at: Duration,
    ends: u64,
    load: WeakShared<BoxFuture<'static, Answer<V>>>,
}

/// Removes a lookup when it is dropped.
struct Leave<K: Eq + Hash, V> {
    under_way: Arc<Mutex<UnderWay<K, V>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Drop for Leave<K, V> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        if under_way.loads.get(&self.key).is_some_and(|begun| begun.number == self.number) {
            under_way.loads.remove(&self.key);
        }
    }
}

impl<K, V> Default for SharedLoads<K, V> {
    fn default() -> Self {
        let under_way = UnderWay { loads: HashMap::new(), begun: 0 };
        Self { under_way: Arc::new(Mutex::new(under_way)) }
    }
}

impl<K, V> fmt::Debug for SharedLoads<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLoads").finish_non_exhaustive()
    }
}

impl<K, V> SharedLoads<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
{
    /// Returns the answer of a lookup of `key` under way, or of a new one. `at` is the monotonic
    /// time, `ends` the number of ends on this node before which an answer must not be used.
    /// `lookup` gets both for the new lookup.
    pub(super) async fn load<F>(
        &self,
        key: K,
        (at, ends): (Duration, u64),
        lookup: impl FnOnce() -> F,
    ) -> Answer<V>
    where
        F: Future<Output = Answer<V>> + Send + 'static,
    {
        self.join(key, (at, ends), lookup).await
    }

    fn join<F>(&self, key: K, (at, ends): (Duration, u64), lookup: impl FnOnce() -> F) -> Load<V>
    where
        F: Future<Output = Answer<V>> + Send + 'static,
    {
        let mut under_way = self.under_way.lock();
        let useful = |begun: &Begun<V>| begun.ends == ends && is_fresh(begun.asked_at, at);
        let found = under_way.loads.get(&key).filter(|begun| useful(begun));
        if let Some(load) = found.and_then(|begun| begun.load.upgrade()) {
            return load;
        }
        under_way.begun = under_way.begun.wrapping_add(1);
        let number = under_way.begun;
        let leave = Leave { under_way: Arc::clone(&self.under_way), key: key.clone(), number };
        let lookup = lookup();
        let load = async move {
            let answer = lookup.await;
            drop(leave);
            answer
        };
        let load = load.boxed().shared();
        if let Some(weak) = load.downgrade() {
            let begun = Begun { number, asked_at: at, ends, load: weak };
            under_way.loads.insert(key, begun);
        }
        load
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::poll;
    use tokio::sync::Semaphore;

    use super::*;

    /// Lookups that wait until the store answers.
    struct Stage {
        loads: SharedLoads<u8, usize>,
        lookups: Arc<AtomicUsize>,
        answers: Arc<Semaphore>,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                loads: SharedLoads::default(),
                lookups: Arc::default(),
                answers: Arc::new(Semaphore::new(0)),
            }
        }

        fn join(&self, at: u64, ends: u64) -> Load<usize> {
            let (lookups, answers) = (Arc::clone(&self.lookups), Arc::clone(&self.answers));
            self.loads.join(7, (Duration::from_millis(at), ends), || async move {
                let number = lookups.fetch_add(1, Ordering::Relaxed);
                answers.acquire().await.unwrap().forget();
                Ok(Some(Arc::new(number)))
            })
        }

        fn lookups(&self) -> usize {
            self.lookups.load(Ordering::Relaxed)
        }

        fn under_way(&self) -> usize {
            self.loads.under_way.lock().loads.len()
        }
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_lookup() {
        let stage = Stage::new();
        let (mut first, mut second) = (stage.join(0, 0), stage.join(899, 0));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        stage.answers.add_permits(1);
        let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((stage.lookups(), stage.under_way()), (1, 0));
        stage.answers.add_permits(1);
        assert_eq!(*stage.join(0, 0).await.unwrap().unwrap(), 1, "an answer is not kept");
    }

    #[tokio::test]
    async fn a_request_joins_no_lookup_that_began_before_an_end_or_too_long_ago() {
        for (at, ends) in [(0, 1), (900, 0)] {
            let stage = Stage::new();
            let (mut first, mut second) = (stage.join(0, 0), stage.join(at, ends));
            assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
            assert_eq!(stage.lookups(), 2, "{at} ms, {ends} ends");
            stage.answers.add_permits(1);
            first.await.unwrap();
            assert_eq!(stage.under_way(), 1, "the second can still be joined");
            stage.answers.add_permits(1);
            assert_eq!(*second.await.unwrap().unwrap(), 1);
            assert_eq!(stage.under_way(), 0);
        }
    }

    #[tokio::test]
    async fn a_lookup_outlives_the_request_that_began_it_and_not_the_last_one() {
        let stage = Stage::new();
        let (mut first, mut second) = (stage.join(0, 0), stage.join(0, 0));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(first);
        stage.answers.add_permits(1);
        assert_eq!(*second.await.unwrap().unwrap(), 0);
        let (mut first, second) = (stage.join(0, 0), stage.join(0, 0));
        assert!(poll!(&mut first).is_pending());
        drop((first, second));
        assert_eq!((stage.lookups(), stage.under_way()), (2, 0));
    }
}
