//! Sessions in Redis.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use redis::{FromRedisValue, Value, from_redis_value};

use crate::auth::ports::{
    ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers, SessionOverview,
    SessionStarts, StoreError, StoreHealth, Stored, Unreadable,
};
use crate::auth::session::{Branch, Offer, Offers, SESSIONS_MOST, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

use super::failure::{STORE, damaged};
use super::{RedisStore, lifetime};
use crate::store::unreadable::left_out;

/// Fields of a session as returned by a script: record, last use in milliseconds, codes due,
/// offers, changes to the identity.
type SessionFields =
    (Option<String>, Option<u64>, Option<String>, Option<String>, Option<String>, Option<u64>);
/// The same, with the branches of the session.
type ListedFields = (
    Option<String>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u64>,
    Vec<String>,
);
/// The same, with root, tree, app and proofs of the branch that it was looked up by.
type LoadedFields = (
    Option<String>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);
/// Root, tree, app and proofs of a branch.
type BranchFields = (Option<String>, Option<String>, Option<String>, Option<String>);
const AUTHENTICATOR: &str = "authenticator";
const RECOVERY_CODES: &str = "recovery_codes";

fn field(offer: Offer) -> &'static str {
    match offer {
        Offer::Authenticator => AUTHENTICATOR,
        Offer::RecoveryCodes => RECOVERY_CODES,
    }
}

/// Builds the session, or `None` if it ended between two commands.
fn session(fields: SessionFields) -> ReadSession {
    let (record, seen, due, authenticator, recovery_codes, changes) = fields;
    let Some((record, seen)) = record.zip(seen) else { return Ok(None) };
    let mut session: Session = serde_json::from_str(&record).map_err(|_json| Unreadable)?;
    session.last_seen_at = Timestamp::from_millis(seen);
    session.recovery_codes_due = due;
    session.offers = Offers { authenticator, recovery_codes };
    session.identity_changes = changes.unwrap_or(0);
    Ok(Some(session))
}

/// Builds a session with the apps of its branches.
fn listed(fields: ListedFields) -> ReadSession {
    let (record, seen, due, authenticator, recovery_codes, changes, branches) = fields;
    let found = session((record, seen, due, authenticator, recovery_codes, changes))?;
    Ok(found.map(|session| {
        let tree = session.tree.map(|tree| tree.to_string());
        let apps = branches.iter().filter_map(|member| {
            let (_hash, rest) = member.split_once(' ')?;
            let (of, app) = rest.split_once(' ')?;
            (tree.as_deref() == Some(of)).then(|| app.to_owned())
        });
        let mut apps: Vec<String> = apps.collect();
        apps.sort_unstable();
        apps.dedup();
        Session { apps, ..session }
    }))
}

/// Splits the reply to a lookup into the session and the branch that it was looked up by.
fn split(reply: Value) -> Result<(Option<Session>, Option<Branch>), Unreadable> {
    let Some(found) = fields::<Option<LoadedFields>>(reply)? else { return Ok((None, None)) };
    let (record, seen, due, authenticator, recovery_codes, changes, root, tree, app, proofs) =
        found;
    let session = session((record, seen, due, authenticator, recovery_codes, changes))?;
    Ok((session, branch((root, tree, app, proofs))?))
}

/// Builds the branch that a session was looked up by, if any.
fn branch(fields: BranchFields) -> Result<Option<Branch>, Unreadable> {
    let (root, tree, app, proofs) = fields;
    let Some(root) = root else { return Ok(None) };
    let read = || {
        let (root, tree) = (HashedToken::from_hex(&root)?, tree?.parse().ok()?);
        let proofs = serde_json::from_str(&proofs?).ok()?;
        Some(Branch { root, tree, app: app?, proofs })
    };
    read().map(Some).ok_or(Unreadable)
}

/// Reads the fields of one record from the reply of a script.
fn fields<T: FromRedisValue>(reply: Value) -> Result<T, Unreadable> {
    from_redis_value(reply).map_err(|_type| Unreadable)
}

impl RedisStore {
    /// Loads the fields of the session under a token or, if that is a branch, of its root.
    async fn load_fields(&self, id: &HashedToken<SessionToken>) -> Stored<Value> {
        let mut call = self.call_on(|s| &s.load_session, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex());
        self.run(&call).await
    }

    /// Builds the session under a token from the reply with its fields.
    async fn loaded(&self, id: &HashedToken<SessionToken>, reply: Value) -> Stored<ReadSession> {
        let (session, branch) = match split(reply) {
            Ok((session, Some(branch))) => (session, branch),
            Ok((session, None)) => return Ok(Ok(session)),
            Err(Unreadable) => return Ok(Err(Unreadable)),
        };
        let root = match session {
            Some(root) => Ok(Some(root)),
            // The root has ended. Or a cluster moves its slot, and it is on the other node already:
            // a lookup that names it is sent there.
            None => split(self.load_fields(&branch.root).await?).map(|(root, _)| root),
        };
        Ok(root.map(|root| root.and_then(|root| root.seen_from(branch, id))))
    }

    async fn all_sessions(&self) -> Stored<Vec<Value>> {
        let (mut cursor, mut sessions) = (0, Vec::new());
        loop {
            let (next, names) = self.scan("s", cursor).await?;
            if !names.is_empty() {
                let keys = names.iter().map(|name| self.key("s", name));
                let mut call = self.call_on(|s| &s.list_sessions, keys);
                call.arg(names);
                sessions.extend(self.run::<Vec<Value>>(&call).await?);
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
                let keys = names.iter().map(|name| self.key(kind, name));
                let mut call = self
                    .call_on(|s| if kind == "s" { &s.end_sessions } else { &s.end_pending }, keys);
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
impl SessionLookup for RedisStore {
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        let reply = self.load_fields(id).await?;
        self.loaded(id, reply).await?.map_err(|Unreadable| damaged("session"))
    }

    async fn load_all(&self, ids: &[HashedToken<SessionToken>]) -> Stored<Vec<ReadSession>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = ids.iter().map(HashedToken::to_hex).collect();
        let keys = names.iter().map(|name| self.key("s", name));
        let mut call = self.call_on(|s| &s.load_sessions, keys);
        call.arg(&names);
        let found: Vec<Value> = self.run(&call).await?;
        let mut sessions = Vec::with_capacity(ids.len());
        for (id, reply) in ids.iter().zip(found) {
            sessions.push(self.loaded(id, reply).await?);
        }
        Ok(sessions)
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        let mut call = self.call_on(|s| &s.touch, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex()).arg(now.as_millis()).arg(lifetime(ttl));
        self.run(&call).await
    }
}

#[async_trait]
impl SessionStarts for RedisStore {
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool> {
        let account = session.identity.account.to_string();
        let keys = [
            self.key("p", &login.to_hex()),
            self.key("s", &id.to_hex()),
            self.key("i", &session.id.to_string()),
            self.key("a", &account),
        ];
        let mut call = self.call_on(|s| &s.promote, keys);
        call.arg(login.to_hex())
            .arg(id.to_hex())
            .arg(session.id.to_string())
            .arg(account)
            .arg(serde_json::json!(session).to_string())
            .arg(session.started_at.as_millis())
            .arg(session.last_seen_at.as_millis())
            .arg(lifetime(ttl))
            .arg(SESSIONS_MOST);
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
        let account = session.identity.account.to_string();
        let keys = [
            self.key("s", &old.to_hex()),
            self.key("s", &new.to_hex()),
            self.key("i", &session.id.to_string()),
            self.key("a", &account),
            self.key("b", &old.to_hex()),
            self.key("b", &new.to_hex()),
        ];
        let mut call = self.call_on(|s| &s.renew, keys);
        call.arg(old.to_hex())
            .arg(new.to_hex())
            .arg(session.id.to_string())
            .arg(account)
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
}

#[async_trait]
impl SessionOffers for RedisStore {
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>> {
        let mut call = self.call_on(|s| &s.offer, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex()).arg(field(offer)).arg(sealed);
        self.run(&call).await
    }

    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool> {
        let mut call = self.call_on(|s| &s.withdraw, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex()).arg(field(offer));
        self.run(&call).await
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        let mut call = self.call_on(|s| &s.codes_done, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex());
        self.run(&call).await
    }
}

#[async_trait]
impl SessionEnds for RedisStore {
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let mut call = self.call_on(|s| &s.end_sessions, [self.key("s", &id.to_hex())]);
        call.arg(id.to_hex());
        Ok(self.run::<u64>(&call).await? == 1)
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        let mut call = self.call_on(|s| &s.end_account, [self.key("a", &account.to_string())]);
        call.arg(account.to_string()).arg(keep.to_hex());
        self.run(&call).await
    }
}

#[async_trait]
impl SessionOverview for RedisStore {
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        let found: Vec<Value> = match account {
            None => self.all_sessions().await?,
            Some(account) => {
                let mut call =
                    self.call_on(|s| &s.list_account, [self.key("a", &account.to_string())]);
                call.arg(account.to_string());
                self.run(&call).await?
            }
        };
        let (mut sessions, mut unreadable) = (Vec::with_capacity(found.len()), 0);
        for one in found {
            match fields(one).and_then(listed) {
                Ok(session) => sessions.extend(session.filter(|s| s.expires_at > now)),
                Err(Unreadable) => unreadable += 1,
            }
        }
        left_out(unreadable);
        sessions.sort_by_key(|s| (Reverse(s.started_at), s.id));
        // A scan may return a key twice.
        sessions.dedup_by_key(|s| s.id);
        Ok(sessions)
    }

    async fn end_by_id(&self, id: SessionId, of: Option<AccountId>) -> Stored<bool> {
        let mut call = self.call_on(|s| &s.end_by_id, [self.key("i", &id.to_string())]);
        call.arg(id.to_string());
        if let Some(of) = of {
            call.arg(of.to_string());
        }
        self.run(&call).await
    }
}

#[async_trait]
impl SessionManagement for RedisStore {
    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        let mut call = self.call_on(|s| &s.identity_changed, [self.key("a", &account.to_string())]);
        call.arg(account.to_string());
        self.run::<u64>(&call).await?;
        Ok(())
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        let mut call = self.call_on(|s| &s.end_account, [self.key("a", &account.to_string())]);
        call.arg(account.to_string());
        self.run(&call).await
    }

    async fn end_all(&self) -> Stored<u64> {
        // End logins first: a login that becomes a session meanwhile is then found among the
        // sessions.
        self.end_kind("p").await?;
        self.end_kind("s").await
    }
}

#[async_trait]
impl StoreHealth for RedisStore {
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
            .run(|mut link| async move {
                write.query_async::<()>(&mut link).await?;
                match ask.query_async(&mut link).await {
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
