//! Challenges of passkeys and security keys, in a file.

use async_trait::async_trait;
use sqlx::query;

use crate::auth::ports::{ChallengeGroup, Challenges, Stored};
use crate::auth::webauthn::challenge::{ChallengeId, IssuedChallenge};
use crate::base::clock::Timestamp;

use super::super::values::{json, moment};
use super::EmbeddedStore;

#[async_trait]
impl Challenges for EmbeddedStore {
    async fn issue_challenge(
        &self,
        id: &ChallengeId,
        challenge: &IssuedChallenge,
        group: ChallengeGroup<'_>,
        now: Timestamp,
    ) -> Stored<()> {
        let record = serde_json::json!(challenge).to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM challenges WHERE expires_at <= $1")
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
                query(
                    "INSERT INTO challenges (id, record, origin_group, expires_at) \
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(id.as_str())
                .bind(record)
                .bind(group.name)
                .bind(moment(challenge.expires_at))
                .execute(&mut *t)
                .await?;
                query(
                    "DELETE FROM challenges WHERE id IN (SELECT id FROM challenges \
                     WHERE origin_group = $1 ORDER BY expires_at DESC, rowid DESC \
                     LIMIT -1 OFFSET $2)",
                )
                .bind(group.name)
                .bind(i64::from(group.most))
                .execute(&mut *t)
                .await?;
                t.commit().await
            })
            .await
    }

    async fn use_challenge(
        &self,
        id: &ChallengeId,
        now: Timestamp,
    ) -> Stored<Option<IssuedChallenge>> {
        let statement =
            query("DELETE FROM challenges WHERE id = $1 AND expires_at > $2 RETURNING record")
                .bind(id.as_str())
                .bind(moment(now));
        let row = self.db.change_returning(statement).await?;
        let challenge = row.map(|row| json(&row, "record")).transpose();
        challenge.map_err(|_values| self.db.damaged("the record of a challenge"))
    }
}
