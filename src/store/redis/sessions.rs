//! Sessions in Redis.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;

use crate::auth::ports::{Sessions, StoreError, Stored};
use crate::auth::session::{Offer, Offers, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

use super::{RedisStore, STORE, damaged, lifetime};

/// Fields of a session as returned by a script: record, last use in milliseconds, codes due,
/// offers, changes to the identity.
type SessionFields =
    (Option<String>, Option<u64>, Option<String>, Option<String>, Option<String>, Option<u64>);
/// Names of these fields.
const FIELDS: [&str; 6] = ["record", "seen", "due", AUTHENTICATOR, RECOVERY_CODES, "changes"];
const AUTHENTICATOR: &str = "authenticator";
const RECOVERY_CODES: &str = "recovery_codes";

fn field(offer: Offer) -> &'static str {
    match offer {
        Offer::Authenticator => AUTHENTICATOR,
        Offer::RecoveryCodes => RECOVERY_CODES,
    }
}

/// Builds the session, or `None` if it ended between two commands.
fn session(fields: SessionFields) -> Stored<Option<Session>> {
    let (record, seen, due, authenticator, recovery_codes, changes) = fields;
    let Some((record, seen)) = record.zip(seen) else { return Ok(None) };
    let mut session: Session = serde_json::from_str(&record).map_err(|_json| damaged("session"))?;
    session.last_seen_at = Timestamp::from_millis(seen);
    session.recovery_codes_due = due;
    session.offers = Offers { authenticator, recovery_codes };
    session.identity_changes = changes.unwrap_or(0);
    Ok(Some(session))
}

impl RedisStore {
    async fn all_sessions(&self) -> Stored<Vec<SessionFields>> {
        let (mut cursor, mut sessions) = (0, Vec::new());
        loop {
            let (next, names) = self.scan("s", cursor).await?;
            let mut batch = redis::pipe();
            for name in &names {
                batch.cmd("HMGET").arg(self.key("s", name)).arg(&FIELDS);
            }
            if !names.is_empty() {
                let batch = &batch;
                let found: Vec<SessionFields> = self
                    .inner
                    .connection
                    .run(|mut manager| async move { batch.query_async(&mut manager).await })
                    .await?;
                sessions.extend(found);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(sessions);
            }
        }
    }

    /// Ends everything of one kind, "p" or "s", and returns the number.
    async fn end_kind(&self, kind: &str) -> Stored<u64> {
        let (mut cursor, mut ended) = (0, 0_u64);
        loop {
            let (next, names) = self.scan(kind, cursor).await?;
            if !names.is_empty() {
                let mut call =
                    self.call(|s| if kind == "s" { &s.end_sessions } else { &s.end_pending });
                call.arg(names);
                ended = ended.saturating_add(self.run::<u64>(&call).await?);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(ended);
            }
        }
    }
}

#[async_trait]
impl Sessions for RedisStore {
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool> {
        let mut call = self.call(|s| &s.promote);
        call.arg(login.to_hex())
            .arg(id.to_hex())
            .arg(session.id.to_string())
            .arg(session.identity.account.to_string())
            .arg(serde_json::json!(session).to_string())
            .arg(session.started_at.as_millis())
            .arg(session.last_seen_at.as_millis())
            .arg(lifetime(ttl));
        if let Some(due) = &session.recovery_codes_due {
            call.arg(due);
        }
        self.run(&call).await
    }

    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool> {
        let mut call = self.call(|s| &s.renew);
        call.arg(old.to_hex())
            .arg(new.to_hex())
            .arg(session.id.to_string())
            .arg(session.identity.account.to_string())
            .arg(serde_json::json!(session).to_string())
            .arg(session.last_seen_at.as_millis())
            .arg(lifetime(ttl))
            .arg(session.recovery_codes_due.as_deref().unwrap_or_default());
        if let Some(offers) = offers {
            call.arg(offers.authenticator.as_deref().unwrap_or_default())
                .arg(offers.recovery_codes.as_deref().unwrap_or_default());
        }
        self.run(&call).await
    }

    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>> {
        let mut call = self.call(|s| &s.offer);
        call.arg(id.to_hex()).arg(field(offer)).arg(sealed);
        self.run(&call).await
    }

    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool> {
        let mut call = self.call(|s| &s.withdraw);
        call.arg(id.to_hex()).arg(field(offer));
        self.run(&call).await
    }

    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        let mut call = self.call(|s| &s.load_session);
        call.arg(id.to_hex());
        let found: Option<SessionFields> = self.run(&call).await?;
        found.map_or(Ok(None), session)
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        let mut call = self.call(|s| &s.touch);
        call.arg(id.to_hex()).arg(now.as_millis()).arg(lifetime(ttl));
        self.run(&call).await
    }

    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        let mut call = self.call(|s| &s.identity_changed);
        call.arg(account.to_string());
        self.run::<u64>(&call).await?;
        Ok(())
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        let mut call = self.call(|s| &s.codes_done);
        call.arg(id.to_hex());
        self.run(&call).await
    }

    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let mut call = self.call(|s| &s.end_sessions);
        call.arg(id.to_hex());
        Ok(self.run::<u64>(&call).await? == 1)
    }

    async fn end_by_id(&self, id: SessionId) -> Stored<bool> {
        let mut call = self.call(|s| &s.end_by_id);
        call.arg(id.to_string());
        self.run(&call).await
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        let mut call = self.call(|s| &s.end_account);
        call.arg(account.to_string());
        self.run(&call).await
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        let mut call = self.call(|s| &s.end_account);
        call.arg(account.to_string()).arg(keep.to_hex());
        self.run(&call).await
    }

    async fn end_all(&self) -> Stored<u64> {
        // End logins first: a login that becomes a session meanwhile is then found among the
        // sessions.
        self.end_kind("p").await?;
        self.end_kind("s").await
    }

    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        let found: Vec<SessionFields> = match account {
            None => self.all_sessions().await?,
            Some(account) => {
                let mut call = self.call(|s| &s.list_account);
                call.arg(account.to_string());
                self.run(&call).await?
            }
        };
        let mut sessions = Vec::with_capacity(found.len());
        for one in found {
            sessions.extend(session(one)?.filter(|s| s.expires_at > now));
        }
        sessions.sort_by_key(|s| (Reverse(s.started_at), s.id));
        // A scan may return a key twice.
        sessions.dedup_by_key(|s| s.id);
        Ok(sessions)
    }

    async fn ping(&self) -> Stored<()> {
        self.inner.heartbeat.beat(async { self.try_writing().await.map(drop) }).await
    }
}

impl RedisStore {
    /// Checks that the server accepts writes and does not evict. Returns false if the user may not
    /// run INFO, so that eviction could not be checked.
    pub(super) async fn try_writing(&self) -> Stored<bool> {
        let mut write = redis::cmd("SET");
        write.arg(self.guard()).arg(1).arg("PX").arg(1000);
        let mut ask = redis::pipe();
        ask.cmd("INFO").arg("memory").cmd("INFO").arg("replication");
        let (write, ask) = (&write, &ask);
        let reply: Option<(String, String)> = self
            .inner
            .connection
            .run(|mut manager| async move {
                write.query_async::<()>(&mut manager).await?;
                match ask.query_async(&mut manager).await {
                    Err(refused) if refused.code() == Some("NOPERM") => Ok(None),
                    reply => reply.map(Some),
                }
            })
            .await?;
        let Some((memory, replication)) = reply else { return Ok(false) };
        health(&memory, &replication)
            .map_err(|reason| StoreError { store: STORE, reason: reason.to_owned() })?;
        Ok(true)
    }
}

fn health(memory: &str, replication: &str) -> Result<(), &'static str> {
    let says = |text: &str, line: &str| text.lines().any(|l| l.trim() == line);
    if !says(replication, "role:master") {
        return Err("it is a replica; give the address of the primary");
    }
    if !says(memory, "maxmemory:0") && !says(memory, "maxmemory_policy:noeviction") {
        return Err("it may evict sessions to save memory; set maxmemory-policy noeviction");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_evicts_is_rejected_as_session_store() {
        let master = "# Replication\r\nrole:master\r\n";
        assert!(health("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", master).is_ok());
        assert!(health("maxmemory:100\r\nmaxmemory_policy:noeviction\r\n", master).is_ok());
        assert!(health("maxmemory:100\r\nmaxmemory_policy:volatile-ttl\r\n", master).is_err());
        assert!(health("maxmemory:0\r\n", "role:slave\r\n").is_err());
    }
}
