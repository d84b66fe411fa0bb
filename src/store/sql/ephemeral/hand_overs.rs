//! Hand-overs from the portal to apps, in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query;

use crate::auth::hand_over::{BranchLimits, HandOver};
use crate::auth::ports::{HandOvers, Stored};
use crate::auth::session::Branch;
use crate::auth::token::{HandOverToken, HashedToken, SessionToken};
use crate::base::clock::Timestamp;

use super::super::values::{json, moment};
use super::EmbeddedStore;

#[async_trait]
impl HandOvers for EmbeddedStore {
    async fn issue_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        hand_over: &HandOver,
        most: u32,
        now: Timestamp,
    ) -> Stored<()> {
        let record = serde_json::json!(hand_over).to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM hand_overs WHERE expires_at <= $1")
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
                query(
                    "INSERT INTO hand_overs (id, record, root, expires_at) VALUES ($1, $2, $3, $4)",
                )
                .bind(id.to_hex())
                .bind(record)
                .bind(hand_over.root.as_str())
                .bind(moment(hand_over.expires_at))
                .execute(&mut *t)
                .await?;
                query(
                    "DELETE FROM hand_overs WHERE id IN (SELECT id FROM hand_overs \
                     WHERE root = $1 ORDER BY expires_at DESC, rowid DESC LIMIT -1 OFFSET $2)",
                )
                .bind(hand_over.root.as_str())
                .bind(i64::from(most))
                .execute(&mut *t)
                .await?;
                t.commit().await
            })
            .await
    }

    async fn take_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        now: Timestamp,
    ) -> Stored<Option<HandOver>> {
        let statement =
            query("DELETE FROM hand_overs WHERE id = $1 AND expires_at > $2 RETURNING record")
                .bind(id.to_hex())
                .bind(moment(now));
        let row = self.db.change_returning(statement).await?;
        let hand_over = row.map(|row| json(&row, "record")).transpose();
        hand_over.map_err(|_values| self.db.damaged("the record of a hand-over"))
    }

    async fn branch(
        &self,
        id: &HashedToken<SessionToken>,
        branch: &Branch,
        most: BranchLimits,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<bool> {
        let (id, root) = (id.to_hex(), branch.root.to_hex());
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let stored = query(
                    "INSERT INTO branches (id, root, tree, app, keep_until, proofs) \
                     SELECT $1, id, $3, $4, $5, $6 FROM sessions WHERE id = $2",
                )
                .bind(id)
                .bind(root.clone())
                .bind(branch.tree.to_string())
                .bind(branch.app.as_str())
                .bind(moment(now.plus(ttl)))
                .bind(serde_json::json!(branch.proofs).to_string())
                .execute(&mut *t)
                .await?;
                if stored.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                query(
                    "DELETE FROM branches WHERE root = $1 AND (id IN (SELECT id FROM branches \
                     WHERE root = $1 ORDER BY rowid DESC LIMIT -1 OFFSET $2) \
                     OR id IN (SELECT id FROM branches WHERE root = $1 AND app = $3 \
                     ORDER BY rowid DESC LIMIT -1 OFFSET $4))",
                )
                .bind(root)
                .bind(i64::from(most.all))
                .bind(branch.app.as_str())
                .bind(i64::from(most.of_app))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn follow_branch(
        &self,
        former: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
    ) -> Stored<()> {
        let statement = query(
            "UPDATE app_tokens SET session_id = $2 WHERE session_id = $1 AND EXISTS \
             (SELECT 1 FROM branches AS old JOIN branches AS new \
             ON new.root = old.root AND new.app = old.app WHERE old.id = $1 AND new.id = $2)",
        );
        self.db.change(statement.bind(former.to_hex()).bind(new.to_hex())).await?;
        Ok(())
    }
}
