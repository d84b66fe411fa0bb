//! Requests that wait for their sender, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use crate::auth::parked::{FormerSession, ParkedLimits, ParkedRecord};
use crate::auth::ports::{ParkedRequests, Stored};
use crate::auth::token::{HashedToken, ParkedToken, SessionToken};
use crate::base::clock::Timestamp;

use super::failure::damaged;
use super::{RedisStore, lifetime};

/// The fields of a kept request: account, sealed request, expiry.
type Fields = (String, String, u64);

fn record(fields: Option<Fields>, now: Timestamp) -> Stored<Option<ParkedRecord>> {
    let Some((account, sealed, expires)) = fields else { return Ok(None) };
    let account = account.parse().map_err(|_id| damaged("kept request"))?;
    let expires_at = Timestamp::from_millis(expires);
    Ok((expires_at > now).then_some(ParkedRecord { account, sealed, expires_at }))
}

#[async_trait]
impl ParkedRequests for RedisStore {
    async fn remember_session(
        &self,
        token: &HashedToken<SessionToken>,
        former: &FormerSession,
        lives: Duration,
        _now: Timestamp,
    ) -> Stored<()> {
        let mut call = self.call_on(|s| &s.remember_session, [self.key("f", &token.to_hex())]);
        call.arg(token.to_hex()).arg(serde_json::json!(former).to_string()).arg(lifetime(lives));
        self.run(&call).await
    }

    async fn former_session(
        &self,
        token: &HashedToken<SessionToken>,
        _now: Timestamp,
    ) -> Stored<Option<FormerSession>> {
        let mut call = self.call_on(|s| &s.former_session, [self.key("f", &token.to_hex())]);
        call.arg(token.to_hex());
        let found: Option<String> = self.run(&call).await?;
        let former = found.map(|text| serde_json::from_str(&text)).transpose();
        former.map_err(|_json| damaged("former session"))
    }

    async fn park(
        &self,
        id: &HashedToken<ParkedToken>,
        record: &ParkedRecord,
        limits: ParkedLimits,
        now: Timestamp,
    ) -> Stored<bool> {
        let account = record.account.to_string();
        let keys = [
            self.key("q", &id.to_hex()),
            self.key("qg", &account),
            format!("{}:qa", self.inner.prefix),
        ];
        let mut call = self.call_on(|s| &s.park, keys);
        call.arg(id.to_hex())
            .arg(account)
            .arg(&record.sealed)
            .arg(record.expires_at.as_millis())
            .arg(now.as_millis())
            .arg(lifetime(record.expires_at.since(now)))
            .arg(limits.of_account)
            .arg(limits.all);
        self.run(&call).await
    }

    async fn parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>> {
        let mut call = self.call_on(|s| &s.parked, [self.key("q", &id.to_hex())]);
        call.arg(id.to_hex());
        record(self.run(&call).await?, now)
    }

    async fn take_parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>> {
        let mut call = self.call_on(|s| &s.take_parked, [self.key("q", &id.to_hex())]);
        call.arg(id.to_hex());
        record(self.run(&call).await?, now)
    }
}
