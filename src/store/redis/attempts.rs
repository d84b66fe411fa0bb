//! Attempt counters in Redis. Their windows use the clock of the server, which all nodes share.

use std::time::Duration;

use async_trait::async_trait;

use crate::auth::ports::{Attempts, Stored};
use crate::auth::throttle::{AttemptKey, Budget, Pace, Verdict};
use crate::base::clock::Timestamp;

use super::{RedisStore, lifetime};

/// Returns the owner of the attempt, or an empty string for attempts that are never forgiven.
fn owner(key: &AttemptKey) -> String {
    key.request().map(|request| request.to_string()).unwrap_or_default()
}

impl RedisStore {
    /// Returns the keys of a counter and of its backoff.
    fn paced(&self, key: &AttemptKey) -> [String; 2] {
        let counter = self.key("c", key.as_str());
        let wait = format!("{counter}:wait");
        [counter, wait]
    }
}

#[async_trait]
impl Attempts for RedisStore {
    async fn count(&self, keys: &[(AttemptKey, Budget)], _now: Timestamp) -> Stored<Verdict> {
        let mut call =
            self.call(|s| &s.count, keys.iter().map(|(key, _)| self.key("c", key.as_str())));
        for (key, budget) in keys {
            call.arg(key.as_str()).arg(budget.tries).arg(lifetime(budget.window));
        }
        let wait: u64 = self.run(&call).await?;
        Ok(if wait == 0 { Verdict::Go } else { Verdict::Wait(Duration::from_millis(wait)) })
    }

    async fn pace(&self, keys: &[(AttemptKey, Pace)], _now: Timestamp) -> Stored<Verdict> {
        let mut call = self.call(|s| &s.pace, keys.iter().flat_map(|(key, _)| self.paced(key)));
        for (key, pace) in keys {
            call.arg(key.as_str())
                .arg(owner(key))
                .arg(pace.free)
                .arg(lifetime(pace.first))
                .arg(lifetime(pace.longest))
                .arg(lifetime(pace.forget));
        }
        let wait: u64 = self.run(&call).await?;
        Ok(if wait == 0 { Verdict::Go } else { Verdict::Wait(Duration::from_millis(wait)) })
    }

    async fn waits(&self, keys: &[AttemptKey], _now: Timestamp) -> Stored<Vec<Duration>> {
        let mut call = self.call(|s| &s.waits, keys.iter().flat_map(|key| self.paced(key)));
        for key in keys {
            call.arg(key.as_str());
        }
        let waits: Vec<u64> = self.run(&call).await?;
        Ok(waits.into_iter().map(Duration::from_millis).collect())
    }

    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()> {
        let mut call = self.call(|s| &s.forgive, keys.iter().flat_map(|key| self.paced(key)));
        for key in keys {
            call.arg(key.as_str()).arg(owner(key));
        }
        self.run(&call).await
    }

    async fn clear(&self, key: &AttemptKey) -> Stored<()> {
        let mut call = self.call(|s| &s.clear, self.paced(key));
        call.arg(key.as_str());
        self.run(&call).await
    }
}
