//! Pending logins in Redis.

use async_trait::async_trait;

use crate::auth::ports::{PendingLogins, Stored};
use crate::auth::session::{PendingLogin, ProvisionalSecret};
use crate::auth::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;

use super::failure::damaged;
use super::{RedisStore, lifetime};

const WHAT: &str = "pending login";

fn login(record: &str, enrolment: Option<&str>) -> serde_json::Result<PendingLogin> {
    let mut login: PendingLogin = serde_json::from_str(record)?;
    login.enrolment = enrolment.map(serde_json::from_str).transpose()?;
    Ok(login)
}

#[async_trait]
impl PendingLogins for RedisStore {
    async fn begin(
        &self,
        id: &HashedToken<PendingToken>,
        login: &PendingLogin,
        now: Timestamp,
    ) -> Stored<()> {
        let mut call = self.call_on(
            |s| &s.begin,
            [self.key("p", &id.to_hex()), self.key("a", &login.account.to_string())],
        );
        call.arg(id.to_hex())
            .arg(login.account.to_string())
            .arg(serde_json::json!(login).to_string())
            .arg(login.expires_at.as_millis())
            .arg(lifetime(login.expires_at.since(now)));
        if let Some(enrolment) = &login.enrolment {
            call.arg(serde_json::json!(enrolment).to_string());
        }
        self.run(&call).await
    }

    async fn load(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PendingLogin>> {
        let mut call = self.call_on(|s| &s.load_pending, [self.key("p", &id.to_hex())]);
        call.arg(id.to_hex()).arg(now.as_millis());
        let found: Option<(String, Option<String>, Option<String>)> = self.run(&call).await?;
        let login = found.map(|(record, enrolment, spent)| {
            let mut login = login(&record, enrolment.as_deref())?;
            login.spent = spent.is_some();
            Ok(login)
        });
        login.transpose().map_err(|_json: serde_json::Error| damaged(WHAT))
    }

    async fn count_guess(
        &self,
        id: &HashedToken<PendingToken>,
        limit: u32,
        now: Timestamp,
    ) -> Stored<Option<u32>> {
        let mut call = self.call_on(|s| &s.count_guess, [self.key("p", &id.to_hex())]);
        call.arg(id.to_hex()).arg(limit).arg(now.as_millis());
        self.run(&call).await
    }

    async fn offer_enrolment(
        &self,
        id: &HashedToken<PendingToken>,
        new: &ProvisionalSecret,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalSecret>> {
        let mut call = self.call_on(|s| &s.offer_enrolment, [self.key("p", &id.to_hex())]);
        call.arg(id.to_hex()).arg(serde_json::json!(new).to_string()).arg(now.as_millis());
        let held: Option<String> = self.run(&call).await?;
        let held = held.map(|text| serde_json::from_str(&text)).transpose();
        held.map_err(|_json| damaged(WHAT))
    }

    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()> {
        let mut call = self.call_on(|s| &s.end_pending, [self.key("p", &id.to_hex())]);
        call.arg(id.to_hex());
        self.run(&call).await
    }
}
