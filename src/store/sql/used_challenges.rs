//! Used challenges of passkeys and security keys, in SQL.

use async_trait::async_trait;
use sqlx::query;

use crate::auth::ports::{Stored, UsedChallenges};
use crate::auth::webauthn::challenge::ChallengeId;
use crate::base::clock::Timestamp;

use super::SqlStore;
use super::values::moment;

/// Maximum rows that one sweep deletes, so that a backlog delays no sign-in.
const SWEPT: i64 = 1000;

impl SqlStore {
    /// Deletes some of the expired rows.
    async fn sweep_used(&self, now: Timestamp) -> Stored<u64> {
        let sweep = query(
            "DELETE FROM used_challenges WHERE expires_at <= $1 AND id IN (SELECT id \
             FROM used_challenges WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        self.db.change(sweep.bind(moment(now)).bind(SWEPT)).await
    }
}

#[async_trait]
impl UsedChallenges for SqlStore {
    async fn use_up(&self, id: &ChallengeId, until: Timestamp, now: Timestamp) -> Stored<bool> {
        let insert = query(
            "INSERT INTO used_challenges (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        );
        let used = self.db.change(insert.bind(id.as_str()).bind(moment(until))).await? == 1;
        if used && let Err(error) = self.sweep_used(now).await {
            tracing::debug!(%error, "failed to delete expired records of used challenges");
        }
        Ok(used)
    }

    async fn is_used(&self, id: &ChallengeId) -> Stored<bool> {
        let statement = query("SELECT 1 AS used FROM used_challenges WHERE id = $1");
        Ok(self.db.fetch_one(statement.bind(id.as_str())).await?.is_some())
    }
}
