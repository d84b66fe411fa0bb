//! Attempt counters in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query;
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::ports::{Attempts, Stored};
use crate::auth::throttle::{AttemptKey, Budget, Pace, Verdict};
use crate::base::clock::Timestamp;

use super::super::loan::Transaction;
use super::super::values::{at, moment, number};
use super::EmbeddedStore;

/// Maximum expired counters removed per write.
const SWEPT_AT_ONCE: i64 = 100;

/// Returns the remaining time for which a key is exhausted, or zero.
async fn wait(
    t: &mut Transaction,
    key: &AttemptKey,
    budget: Budget,
    now: Timestamp,
) -> sqlx::Result<Duration> {
    let row = query("SELECT tries, expires_at FROM attempts WHERE key = $1 AND expires_at > $2")
        .bind(key.as_str())
        .bind(moment(now))
        .fetch_optional(&mut **t)
        .await?;
    let Some(row) = row else {
        return Ok(if budget.tries == 0 { budget.window } else { Duration::ZERO });
    };
    let exhausted = number::<u64>(&row, "tries")? >= u64::from(budget.tries);
    Ok(if exhausted { at(&row, "expires_at")?.since(now) } else { Duration::ZERO })
}

/// Removes these counters if expired, and some others. Each write removes more than it adds, and
/// none has to remove everything that a flood has left.
async fn forget_lapsed(t: &mut Transaction, keys: Vec<&str>, now: Timestamp) -> sqlx::Result<()> {
    for key in keys {
        query("DELETE FROM attempts WHERE key = $1 AND expires_at <= $2")
            .bind(key)
            .bind(moment(now))
            .execute(&mut **t)
            .await?;
    }
    query(
        "DELETE FROM attempts WHERE key IN \
         (SELECT key FROM attempts WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(moment(now))
    .bind(SWEPT_AT_ONCE)
    .execute(&mut **t)
    .await?;
    Ok(())
}

async fn count_one(
    t: &mut Transaction,
    key: &AttemptKey,
    budget: Budget,
    now: Timestamp,
) -> sqlx::Result<()> {
    query(
        "INSERT INTO attempts (key, tries, expires_at) VALUES ($1, 1, $2) \
         ON CONFLICT (key) DO UPDATE SET tries = attempts.tries + 1",
    )
    .bind(key.as_str())
    .bind(moment(now.plus(budget.window)))
    .execute(&mut **t)
    .await?;
    Ok(())
}

/// Returns the key that stores the backoff of a paced key.
fn wait_key(key: &AttemptKey) -> String {
    format!("{}:wait", key.as_str())
}

/// Returns the key of the row that stores the owner of the attempt that caused the backoff of a
/// paced key. Both rows expire together. If their expiries are equal they belong together, because
/// a later backoff can only expire later.
fn mark_key(key: &AttemptKey) -> Option<String> {
    Some(format!("{}:wait:{}", key.as_str(), key.request()?))
}

/// Takes back one attempt and the backoff it caused.
async fn forgive_one(t: &mut Transaction, key: &AttemptKey) -> sqlx::Result<()> {
    query("UPDATE attempts SET tries = tries - 1 WHERE key = $1")
        .bind(key.as_str())
        .execute(&mut **t)
        .await?;
    query("DELETE FROM attempts WHERE key = $1 AND tries <= 0")
        .bind(key.as_str())
        .execute(&mut **t)
        .await?;
    let Some(mark) = mark_key(key) else { return Ok(()) };
    query(
        "DELETE FROM attempts WHERE key = $1 \
         AND expires_at = (SELECT m.expires_at FROM attempts m WHERE m.key = $2)",
    )
    .bind(wait_key(key))
    .bind(&mark)
    .execute(&mut **t)
    .await?;
    query("DELETE FROM attempts WHERE key = $1").bind(mark).execute(&mut **t).await?;
    Ok(())
}

/// Counts one paced attempt and sets the backoff after it.
async fn pace_one(
    t: &mut Transaction,
    key: &AttemptKey,
    pace: &Pace,
    now: Timestamp,
) -> sqlx::Result<()> {
    let row = query(
        "INSERT INTO attempts (key, tries, expires_at) VALUES ($1, 1, $2) \
         ON CONFLICT (key) DO UPDATE SET tries = attempts.tries + 1, expires_at = $2 \
         RETURNING tries",
    )
    .bind(key.as_str())
    .bind(moment(now.plus(pace.forget)))
    .fetch_one(&mut **t)
    .await?;
    let wait = pace.wait_after(number(&row, "tries")?);
    if wait.is_zero() {
        return Ok(());
    }
    for row in std::iter::once(wait_key(key)).chain(mark_key(key)) {
        query(
            "INSERT INTO attempts (key, tries, expires_at) VALUES ($1, 1, $2) \
             ON CONFLICT (key) DO UPDATE SET expires_at = $2",
        )
        .bind(row)
        .bind(moment(now.plus(wait)))
        .execute(&mut **t)
        .await?;
    }
    Ok(())
}

impl EmbeddedStore {
    /// Makes attempts by unknown clients queue before they can take the write connection.
    async fn turn(&self, of_strangers: bool) -> Stored<Option<OwnedSemaphorePermit>> {
        if of_strangers { self.counters.turn().await.map(Some) } else { Ok(None) }
    }
}

#[async_trait]
impl Attempts for EmbeddedStore {
    async fn count(&self, keys: &[(AttemptKey, Budget)], now: Timestamp) -> Stored<Verdict> {
        let _turn = self.turn(keys.iter().any(|(key, _)| key.is_of_strangers())).await?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let mut longest = Duration::ZERO;
                for (key, budget) in keys {
                    longest = longest.max(wait(&mut t, key, *budget, now).await?);
                }
                if !longest.is_zero() {
                    return t.rolled_back(Verdict::Wait(longest)).await;
                }
                forget_lapsed(&mut t, keys.iter().map(|(key, _)| key.as_str()).collect(), now)
                    .await?;
                for (key, budget) in keys {
                    count_one(&mut t, key, *budget, now).await?;
                }
                t.commit().await?;
                Ok(Verdict::Go)
            })
            .await
    }

    async fn pace(&self, keys: &[(AttemptKey, Pace)], now: Timestamp) -> Stored<Verdict> {
        let _turn = self.turn(keys.iter().any(|(key, _)| key.is_of_strangers())).await?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let mut longest = Duration::ZERO;
                for (key, _) in keys {
                    let row = query("SELECT expires_at FROM attempts WHERE key = $1")
                        .bind(wait_key(key))
                        .fetch_optional(&mut *t)
                        .await?;
                    if let Some(row) = row {
                        longest = longest.max(at(&row, "expires_at")?.since(now));
                    }
                }
                if !longest.is_zero() {
                    return t.rolled_back(Verdict::Wait(longest)).await;
                }
                forget_lapsed(&mut t, keys.iter().map(|(key, _)| key.as_str()).collect(), now)
                    .await?;
                for (key, pace) in keys {
                    pace_one(&mut t, key, pace, now).await?;
                }
                t.commit().await?;
                Ok(Verdict::Go)
            })
            .await
    }

    async fn waits(&self, keys: &[AttemptKey], now: Timestamp) -> Stored<Vec<Duration>> {
        let mut waits = Vec::with_capacity(keys.len());
        for key in keys {
            let statement =
                query("SELECT expires_at FROM attempts WHERE key = $1 AND expires_at > $2")
                    .bind(wait_key(key))
                    .bind(moment(now));
            let row = self.db.fetch_one(statement).await?;
            let until = row.map(|row| at(&row, "expires_at")).transpose();
            let until = until.map_err(|_values| self.db.damaged("a counter"))?;
            waits.push(until.map_or(Duration::ZERO, |until| until.since(now)));
        }
        Ok(waits)
    }

    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()> {
        let _turn = self.turn(keys.iter().any(AttemptKey::is_of_strangers)).await?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                for key in keys {
                    forgive_one(&mut t, key).await?;
                }
                t.commit().await
            })
            .await
    }

    async fn clear(&self, key: &AttemptKey) -> Stored<()> {
        let statement = query("DELETE FROM attempts WHERE key IN ($1, $2)")
            .bind(key.as_str())
            .bind(wait_key(key));
        self.db.change(statement).await?;
        Ok(())
    }
}
