//! Counters of guesses in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query;

use crate::auth::ports::{Attempts, Stored};
use crate::auth::throttle::{AttemptKey, Budget, Pace, Verdict};
use crate::base::clock::Timestamp;

use super::super::loan::Transaction;
use super::super::values::{at, moment, number};
use super::EmbeddedStore;

/// How long a key is exhausted: zero when it is not.
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

/// The key under which the wait of a paced key lies.
fn wait_key(key: &AttemptKey) -> String {
    format!("{}:wait", key.as_str())
}

/// The key of the row that says whose try brought the wait of a paced key. It ends with that wait:
/// where both end at one moment they belong together, as the next wait can only end later.
fn mark_key(key: &AttemptKey) -> Option<String> {
    Some(format!("{}:wait:{}", key.as_str(), key.request()?))
}

/// Takes back one try, and the wait that it brought.
async fn forgive_one(t: &mut Transaction, key: &AttemptKey) -> sqlx::Result<()> {
    query("UPDATE attempts SET tries = tries - 1 WHERE key = $1")
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

/// Counts one paced try, and sets the wait after it.
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

#[async_trait]
impl Attempts for EmbeddedStore {
    async fn count(&self, keys: &[(AttemptKey, Budget)], now: Timestamp) -> Stored<Verdict> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM attempts WHERE expires_at <= $1")
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
                let mut longest = Duration::ZERO;
                for (key, budget) in keys {
                    longest = longest.max(wait(&mut t, key, *budget, now).await?);
                }
                if !longest.is_zero() {
                    return t.rolled_back(Verdict::Wait(longest)).await;
                }
                for (key, budget) in keys {
                    count_one(&mut t, key, *budget, now).await?;
                }
                t.commit().await?;
                Ok(Verdict::Go)
            })
            .await
    }

    async fn pace(&self, keys: &[(AttemptKey, Pace)], now: Timestamp) -> Stored<Verdict> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM attempts WHERE expires_at <= $1")
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
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
                for (key, pace) in keys {
                    pace_one(&mut t, key, pace, now).await?;
                }
                t.commit().await?;
                Ok(Verdict::Go)
            })
            .await
    }

    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                for key in keys {
                    forgive_one(&mut t, key).await?;
                }
                query("DELETE FROM attempts WHERE tries <= 0").execute(&mut *t).await?;
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
