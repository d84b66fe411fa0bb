//! Requests that wait for their sender, in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::parked::{FormerSession, ParkedLimits, ParkedRecord};
use crate::auth::ports::{ParkedRequests, Stored};
use crate::auth::token::{HashedToken, ParkedToken, SessionToken};
use crate::base::clock::Timestamp;

use super::super::values::{at, json, moment, number, text};
use super::EmbeddedStore;

const RECORD: &str = "the record of a kept request";

impl EmbeddedStore {
    fn parked_record(&self, row: Option<AnyRow>) -> Stored<Option<ParkedRecord>> {
        let Some(row) = row else { return Ok(None) };
        let read = |row: &AnyRow| {
            Ok::<_, sqlx::Error>((
                text(row, "account_id")?,
                text(row, "sealed")?,
                at(row, "expires_at")?,
            ))
        };
        let (account, sealed, expires_at) =
            read(&row).map_err(|_values| self.db.damaged(RECORD))?;
        let account = account.parse().map_err(|_id| self.db.damaged(RECORD))?;
        Ok(Some(ParkedRecord { account, sealed, expires_at }))
    }
}

#[async_trait]
impl ParkedRequests for EmbeddedStore {
    async fn remember_session(
        &self,
        token: &HashedToken<SessionToken>,
        former: &FormerSession,
        lives: Duration,
        now: Timestamp,
    ) -> Stored<()> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM former_sessions WHERE expires_at <= $1")
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
                query(
                    "INSERT INTO former_sessions (id, record, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (id) DO UPDATE SET record = $2, expires_at = $3",
                )
                .bind(token.to_hex())
                .bind(serde_json::json!(former).to_string())
                .bind(moment(now.plus(lives)))
                .execute(&mut *t)
                .await?;
                t.commit().await
            })
            .await
    }

    async fn former_session(
        &self,
        token: &HashedToken<SessionToken>,
        now: Timestamp,
    ) -> Stored<Option<FormerSession>> {
        let statement =
            query("SELECT record FROM former_sessions WHERE id = $1 AND expires_at > $2")
                .bind(token.to_hex())
                .bind(moment(now));
        let row = self.db.fetch_one(statement).await?;
        let former = row.map(|row| json(&row, "record")).transpose();
        former.map_err(|_values| self.db.damaged("the record of a former session"))
    }

    async fn park(
        &self,
        id: &HashedToken<ParkedToken>,
        record: &ParkedRecord,
        limits: ParkedLimits,
        now: Timestamp,
    ) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM parked_requests WHERE expires_at <= $1 OR id = $2")
                    .bind(moment(now))
                    .bind(id.to_hex())
                    .execute(&mut *t)
                    .await?;
                query(
                    "DELETE FROM parked_requests WHERE id IN (SELECT id FROM parked_requests \
                     WHERE account_id = $1 ORDER BY expires_at DESC, rowid DESC \
                     LIMIT -1 OFFSET $2)",
                )
                .bind(record.account.to_string())
                .bind(i64::from(limits.of_account) - 1)
                .execute(&mut *t)
                .await?;
                let count = query("SELECT COUNT(*) AS number FROM parked_requests");
                let kept: u64 = number(&count.fetch_one(&mut *t).await?, "number")?;
                if kept >= u64::from(limits.all) {
                    t.commit().await?;
                    return Ok(false);
                }
                query(
                    "INSERT INTO parked_requests (id, account_id, sealed, expires_at) \
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(id.to_hex())
                .bind(record.account.to_string())
                .bind(record.sealed.as_str())
                .bind(moment(record.expires_at))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>> {
        let statement = query(
            "SELECT account_id, sealed, expires_at FROM parked_requests \
             WHERE id = $1 AND expires_at > $2",
        );
        let statement = statement.bind(id.to_hex()).bind(moment(now));
        let row = self.db.fetch_one(statement).await?;
        self.parked_record(row)
    }

    async fn take_parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>> {
        let statement = query(
            "DELETE FROM parked_requests WHERE id = $1 AND expires_at > $2 \
             RETURNING account_id, sealed, expires_at",
        );
        let statement = statement.bind(id.to_hex()).bind(moment(now));
        let row = self.db.change_returning(statement).await?;
        self.parked_record(row)
    }
}
