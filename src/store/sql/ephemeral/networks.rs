//! Networks that accounts have signed in from, in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query;

use crate::auth::ports::{SeenNetworks, Stored};
use crate::auth::throttle::{NetworkDigest, SeenNetwork};
use crate::base::clock::Timestamp;

use super::super::values::{at, moment, parsed};
use super::EmbeddedStore;

const RECORD: &str = "the record of a network";

#[async_trait]
impl SeenNetworks for EmbeddedStore {
    async fn note_network(
        &self,
        network: &NetworkDigest,
        seen: &SeenNetwork,
        most: u32,
        lives: Duration,
    ) -> Stored<()> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM seen_networks WHERE keep_until <= $1")
                    .bind(moment(seen.at))
                    .execute(&mut *t)
                    .await?;
                query(
                    "INSERT INTO seen_networks (name, network, account_id, seen_at, keep_until) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name, network) DO UPDATE SET \
                     account_id = $3, seen_at = $4, keep_until = $5",
                )
                .bind(network.name.as_str())
                .bind(network.network.as_str())
                .bind(seen.account.to_string())
                .bind(moment(seen.at))
                .bind(moment(seen.at.plus(lives)))
                .execute(&mut *t)
                .await?;
                query(
                    "DELETE FROM seen_networks WHERE name = $1 AND network NOT IN (SELECT network \
                     FROM seen_networks WHERE name = $1 ORDER BY seen_at DESC LIMIT $2)",
                )
                .bind(network.name.as_str())
                .bind(i64::from(most))
                .execute(&mut *t)
                .await?;
                t.commit().await
            })
            .await
    }

    async fn seen_network(
        &self,
        network: &NetworkDigest,
        now: Timestamp,
    ) -> Stored<Option<SeenNetwork>> {
        let statement = query(
            "SELECT account_id, seen_at FROM seen_networks \
             WHERE name = $1 AND network = $2 AND keep_until > $3",
        )
        .bind(network.name.as_str())
        .bind(network.network.as_str())
        .bind(moment(now));
        let Some(row) = self.db.fetch_one(statement).await? else { return Ok(None) };
        let read =
            || Ok(SeenNetwork { account: parsed(&row, "account_id")?, at: at(&row, "seen_at")? });
        read().map(Some).map_err(|_values: sqlx::Error| self.db.damaged(RECORD))
    }
}
