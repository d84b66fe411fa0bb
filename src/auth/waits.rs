//! Backoff cached in this process: while a network or a name is in backoff, its attempts do not
//! reach the store.
//!
//! A refusal is cached for at most a second, so a backoff that another node lifts ends here within
//! a second. The store counts every attempt that is allowed, in one atomic step over all nodes. The
//! cache can refuse an attempt but never allow one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;

use super::ports::{Attempts, Stored};
use super::throttle::{AttemptKey, Budget, Pace, Verdict};
use crate::base::clock::Timestamp;

/// Lifetime of a cached refusal.
const BELIEVED: Duration = Duration::from_secs(1);
/// Maximum number of cached refusals.
const CAPACITY: usize = 20_000;

/// A refusal of the store.
#[derive(Clone, Copy)]
struct Refusal {
    learned: Timestamp,
    until: Timestamp,
}

impl Refusal {
    /// Returns the remaining wait; zero if it is over or the entry has expired.
    fn left(self, now: Timestamp) -> Duration {
        let believed = now >= self.learned && now.since(self.learned) < BELIEVED;
        if believed { self.until.since(now) } else { Duration::ZERO }
    }
}

/// Attempt counters with a cache of refusals.
pub struct RememberedWaits {
    store: Arc<dyn Attempts>,
    refusals: Cache<String, Refusal>,
}

impl fmt::Debug for RememberedWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusals = self.refusals.len();
        f.debug_struct("RememberedWaits").field("refusals", &refusals).finish_non_exhaustive()
    }
}

/// Returns the cache key for the exhaustion of all these budgets together.
fn together(keys: &[(AttemptKey, Budget)]) -> String {
    let texts: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
    texts.join("\n")
}

impl RememberedWaits {
    /// Caches the refusals of `store`.
    pub fn new(store: Arc<dyn Attempts>) -> Self {
        Self { store, refusals: Cache::new(CAPACITY) }
    }

    fn left(&self, text: &str, now: Timestamp) -> Duration {
        self.refusals.get(text).map_or(Duration::ZERO, |refusal| refusal.left(now))
    }

    fn remember(&self, text: String, wait: Duration, now: Timestamp) {
        if !wait.is_zero() {
            self.refusals.insert(text, Refusal { learned: now, until: now.plus(wait) });
        }
    }
}

#[async_trait]
impl Attempts for RememberedWaits {
    async fn count(&self, keys: &[(AttemptKey, Budget)], now: Timestamp) -> Stored<Verdict> {
        let text = together(keys);
        let left = self.left(&text, now);
        if !left.is_zero() {
            return Ok(Verdict::Wait(left));
        }
        let verdict = self.store.count(keys, now).await?;
        if let Verdict::Wait(wait) = verdict {
            self.remember(text, wait, now);
        }
        Ok(verdict)
    }

    async fn pace(&self, keys: &[(AttemptKey, Pace)], now: Timestamp) -> Stored<Verdict> {
        let left = keys.iter().map(|(key, _)| self.left(key.as_str(), now)).max();
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Ok(Verdict::Wait(left));
        }
        let verdict = self.store.pace(keys, now).await?;
        if let Verdict::Wait(wait) = verdict {
            if let [(key, _)] = keys {
                self.remember(key.as_str().to_owned(), wait, now);
            } else {
                let plain: Vec<_> = keys.iter().map(|(key, _)| key.clone()).collect();
                for (key, wait) in plain.iter().zip(self.store.waits(&plain, now).await?) {
                    self.remember(key.as_str().to_owned(), wait, now);
                }
            }
        }
        Ok(verdict)
    }

    async fn waits(&self, keys: &[AttemptKey], now: Timestamp) -> Stored<Vec<Duration>> {
        self.store.waits(keys, now).await
    }

    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()> {
        let forgiven = self.store.forgive(keys).await;
        for key in keys {
            self.refusals.remove(key.as_str());
        }
        forgiven
    }

    async fn clear(&self, key: &AttemptKey) -> Stored<()> {
        let cleared = self.store.clear(key).await;
        self.refusals.remove(key.as_str());
        cleared
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::auth::keys::KeyRing;
    use crate::auth::keys::testing::material;
    use crate::base::address::ClientIp;

    /// A store that refuses all attempts under the given keys and counts its calls.
    #[derive(Default)]
    struct Refusing {
        held: Mutex<Vec<String>>,
        asked: Mutex<u32>,
    }

    const WAIT: Duration = Duration::from_secs(30);

    impl Refusing {
        fn verdict<T>(&self, keys: &[(AttemptKey, T)]) -> Verdict {
            *self.asked.lock() += 1;
            let held = self.held.lock();
            let waits = keys.iter().any(|(key, _)| held.iter().any(|h| h == key.as_str()));
            if waits { Verdict::Wait(WAIT) } else { Verdict::Go }
        }
    }

    #[async_trait]
    impl Attempts for Refusing {
        async fn count(&self, keys: &[(AttemptKey, Budget)], _now: Timestamp) -> Stored<Verdict> {
            Ok(self.verdict(keys))
        }
        async fn pace(&self, keys: &[(AttemptKey, Pace)], _now: Timestamp) -> Stored<Verdict> {
            Ok(self.verdict(keys))
        }
        async fn waits(&self, keys: &[AttemptKey], _now: Timestamp) -> Stored<Vec<Duration>> {
            let held = self.held.lock();
            let wait = |key: &AttemptKey| {
                if held.iter().any(|h| h == key.as_str()) { WAIT } else { Duration::ZERO }
            };
            Ok(keys.iter().map(wait).collect())
        }
        async fn forgive(&self, _keys: &[AttemptKey]) -> Stored<()> {
            self.held.lock().clear();
            Ok(())
        }
        async fn clear(&self, _key: &AttemptKey) -> Stored<()> {
            self.held.lock().clear();
            Ok(())
        }
    }

    struct World {
        store: Arc<Refusing>,
        waits: RememberedWaits,
        keys: KeyRing,
    }

    fn world() -> World {
        let store = Arc::new(Refusing::default());
        let waits = RememberedWaits::new(Arc::<Refusing>::clone(&store));
        World { store, waits, keys: KeyRing::new(&material()).unwrap() }
    }

    impl World {
        fn network(&self, last: u8) -> AttemptKey {
            AttemptKey::address(&self.keys, ClientIp::new([192, 0, 2, last].into()))
        }

        async fn tries(&self, key: &AttemptKey, name: &str, at: u64) -> Verdict {
            let pace = crate::auth::throttle::Budgets::default().address;
            let name = AttemptKey::name(&self.keys, name);
            let keys = [(key.clone(), pace), (name, pace)];
            self.waits.pace(&keys, Timestamp::from_millis(at)).await.unwrap()
        }
    }

    #[tokio::test]
    async fn the_store_is_asked_once_a_second_for_a_network_that_waits() {
        let world = world();
        let (one, other) = (world.network(1), world.network(2));
        world.store.held.lock().push(one.as_str().to_owned());
        let verdicts: Vec<Verdict> = [1000, 1500, 1999]
            .map(|at| (at, format!("name{at}")))
            .map(|(at, name)| futures_util::FutureExt::now_or_never(world.tries(&one, &name, at)))
            .map(Option::unwrap)
            .into();
        let left = |ms| Verdict::Wait(WAIT.saturating_sub(Duration::from_millis(ms)));
        assert_eq!(verdicts, [left(0), left(500), left(999)]);
        assert_eq!(*world.store.asked.lock(), 1, "another name from there costs nothing");
        assert_eq!(world.tries(&other, "name1000", 1500).await, Verdict::Go);
        assert_eq!(world.tries(&one, "x", 2000).await, left(0));
        assert_eq!(*world.store.asked.lock(), 3, "another network, and a second later");
    }

    #[tokio::test]
    async fn forgiving_clears_the_local_backoff_at_once() {
        let world = world();
        let one = world.network(1);
        world.store.held.lock().push(one.as_str().to_owned());
        assert_ne!(world.tries(&one, "a", 1000).await, Verdict::Go);
        world.waits.forgive(std::slice::from_ref(&one)).await.unwrap();
        assert_eq!(world.tries(&one, "a", 1001).await, Verdict::Go);
    }

    #[tokio::test]
    async fn a_refusal_from_a_time_to_come_is_not_believed() {
        let world = world();
        let one = world.network(1);
        world.store.held.lock().push(one.as_str().to_owned());
        assert_ne!(world.tries(&one, "a", 1000).await, Verdict::Go);
        world.store.held.lock().clear();
        assert_eq!(world.tries(&one, "a", 900).await, Verdict::Go);
    }
}
