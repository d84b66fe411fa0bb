//! The ephemeral store of a cluster: pending logins, sessions and counters in Redis (6.0 or
//! newer), the same for all nodes.
//!
//! | key | holds |
//! |---|---|
//! | `{prefix}:p:<hash of the token>` | a pending login: record, enrolment, failures |
//! | `{prefix}:s:<hash of the token>` | a session: record, last use, codes due, offers; or a branch: root, tree, app |
//! | `{prefix}:i:<public id>` | the hash of the session's token |
//! | `{prefix}:a:<account>` | the account's pending logins and sessions, by expiry |
//! | `{prefix}:t:<hash of an app's token>` | the hash of the token of the session it is bound to |
//! | `{prefix}:b:<hash of the token>` | the app tokens bound to that session, oldest first |
//! | `{prefix}:c:<what is counted>` | an attempt counter |
//! | `{prefix}:n:<digest of a name>` | networks that the user has signed in from |
//! | `{prefix}:h:<hash of a challenge>` | a challenge of a passkey: record, group |
//! | `{prefix}:hg:<group>` | the challenges of one page in one browser, by expiry |
//! | `{prefix}:k:<hash of the token>` | the branches of that session, oldest first |
//! | `{prefix}:x:<hash of a ticket>` | a ticket of a hand-over: record, session |
//! | `{prefix}:xg:<hash of the token>` | the tickets of that session, by expiry |
//! | `{prefix}:f:<hash of the token>` | a session as remembered beyond its expiry |
//! | `{prefix}:q:<hash of a token>` | a request that waits for its sender: account, sealed request, expiry |
//! | `{prefix}:qg:<account>`, `{prefix}:qa` | the kept requests of an account, and all, by expiry |
//! | `{prefix}:r`, `{prefix}:rt` | rejected requests by reference, and their times |
//! | `{prefix}:w` | nothing: written to check that the server accepts writes |
//!
//! Every key expires by itself. Every operation is one script or one command and fails on a server
//! that accepts no writes. All keys of an installation are on one server. In a Redis Cluster the
//! prefix is a hash tag, such as `{vestibule}`, which puts them into one slot.

mod advice;
mod app_tokens;
mod attempts;
mod challenges;
mod connection;
mod failure;
mod hand_overs;
mod issued;
mod networks;
mod parked;
mod pending;
mod reason;
mod refusals;
mod rights;
mod scripts;
mod servers;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::auth::ports::Stored;
use crate::base::clock::millis;
use crate::base::secret::Secret;
use crate::store::heartbeat::Heartbeat;
use crate::store::outage::Outages;

use connection::Connection;
use failure::STORE;
use scripts::Scripts;
pub use servers::{Address, Login, Sentinels, Servers};

/// The ephemeral store in Redis: [`crate::auth::ports::PendingLogins`],
/// [`crate::auth::ports::Sessions`] and [`crate::auth::ports::Attempts`].
///
/// Clones share one connection, opened on first use and reopened when lost.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    scripts: Scripts,
    prefix: String,
    heartbeat: Heartbeat,
    outages: Outages,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Opens a store at `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS with the
    /// public CAs. Keys start with `prefix`. No connection is made yet. Returns an error only if
    /// the address is invalid.
    pub fn open(url: &Secret, prefix: &str) -> Stored<Self> {
        Self::open_at(&Servers::One(url.clone()), prefix, None)
    }

    /// Like [`Self::open`], on any servers. Verifies their certificates only against those in `ca`
    /// (PEM), if given.
    pub fn open_at(servers: &Servers, prefix: &str, ca: Option<&[u8]>) -> Stored<Self> {
        let prefix = match servers {
            Servers::Cluster(_) => format!("{{{prefix}}}"),
            Servers::One(_) | Servers::Sentinel(_) => prefix.to_owned(),
        };
        let inner = Inner {
            connection: Connection::new(servers, ca, &prefix)?,
            scripts: Scripts::new(),
            prefix,
            heartbeat: Heartbeat::default(),
            outages: Outages::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the full name of a key.
    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.inner.prefix)
    }

    fn guard(&self) -> String {
        format!("{}:w", self.inner.prefix)
    }

    /// Returns a call of a script on records, which checks by them that the server accepts writes.
    /// The caller adds the arguments.
    ///
    /// Keys that the caller knows are named, the looked-up one first: while a cluster moves the
    /// slot to another node, the server that has this key runs the script. A key that only the
    /// script knows may then be missing.
    fn call_on(
        &self,
        pick: impl FnOnce(&Scripts) -> &Script,
        keys: impl IntoIterator<Item = String>,
    ) -> ScriptInvocation<'_> {
        let mut call = pick(&self.inner.scripts).prepare_invoke();
        for key in keys {
            call.key(key);
        }
        call.arg(&self.inner.prefix);
        call
    }

    /// Returns a call of a script that checks by the guard key that the server accepts writes. The
    /// caller adds the arguments.
    fn call(
        &self,
        pick: impl FnOnce(&Scripts) -> &Script,
        keys: impl IntoIterator<Item = String>,
    ) -> ScriptInvocation<'_> {
        self.call_on(pick, [self.guard()].into_iter().chain(keys))
    }

    async fn run<T: FromRedisValue + Send>(&self, call: &ScriptInvocation<'_>) -> Stored<T> {
        let done = self
            .inner
            .connection
            .run(|mut link| async move { call.invoke_async(&mut link).await })
            .await;
        match &done {
            Ok(_) => self.inner.outages.worked(STORE),
            Err(error) => {
                self.inner.heartbeat.doubt();
                self.inner.outages.failed(error);
            }
        }
        done
    }

    /// Scans the keys of a kind. Returns one batch of names and the next cursor, which is zero at
    /// the end.
    async fn scan(&self, kind: &str, cursor: u64) -> Stored<(u64, Vec<String>)> {
        let escaped: String = self
            .inner
            .prefix
            .chars()
            .flat_map(|c| ['\\'].into_iter().filter(move |_| "*?[]\\^".contains(c)).chain([c]))
            .collect();
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{escaped}:{kind}:*")).arg("COUNT").arg(500);
        let scan = &scan;
        let (next, keys): (u64, Vec<String>) = self
            .inner
            .connection
            .run(|mut link| async move { scan.query_async(&mut link).await })
            .await?;
        let start = self.key(kind, "");
        let names = keys.iter().filter_map(|k| k.strip_prefix(&start)).map(str::to_owned);
        Ok((next, names.collect()))
    }
}

/// Returns a TTL in milliseconds, at least one, because Redis rejects zero.
fn lifetime(ttl: Duration) -> u64 {
    millis(ttl).clamp(1, 1 << 52)
}
