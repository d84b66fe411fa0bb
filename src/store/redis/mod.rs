//! The ephemeral store of a cluster: pending logins, sessions and counters in Redis (6.0 or
//! newer), the same for all nodes.
//!
//! | key | holds |
//! |---|---|
//! | `{prefix}:p:<hash of the token>` | a pending login: record, enrolment, failures |
//! | `{prefix}:s:<hash of the token>` | a session: record, last use, codes due, offers |
//! | `{prefix}:i:<public id>` | the hash of the session's token |
//! | `{prefix}:a:<account>` | the account's pending logins and sessions, by expiry |
//! | `{prefix}:t:<hash of an app's token>` | the hash of the token of the session it is bound to |
//! | `{prefix}:b:<hash of the token>` | the app tokens bound to that session, oldest first |
//! | `{prefix}:c:<what is counted>` | an attempt counter |
//! | `{prefix}:n:<digest of a name>` | networks that the user has signed in from |
//! | `{prefix}:r`, `{prefix}:rt` | rejected requests by reference, and their times |
//! | `{prefix}:w` | nothing: written to check that the server accepts writes |
//!
//! Every key expires by itself. Every operation is one script or one command and fails on a server
//! that accepts no writes. All keys of an installation must be on one server. On a Redis cluster,
//! use a hash tag such as `{vestibule}` as the prefix.

mod app_tokens;
mod attempts;
mod connection;
mod networks;
mod pending;
mod reason;
mod refusals;
mod rights;
mod scripts;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::auth::ports::{StoreError, Stored};
use crate::base::clock::millis;
use crate::base::secret::Secret;
use crate::store::heartbeat::Heartbeat;

use connection::{Connection, STORE};
use scripts::Scripts;

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
    user: String,
    heartbeat: Heartbeat,
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
        Self::open_with_ca(url, prefix, None)
    }

    /// Like [`Self::open`], but verifies a `rediss://` server only against the certificates in `ca`
    /// (PEM).
    pub fn open_with_ca(url: &Secret, prefix: &str, ca: Option<&[u8]>) -> Stored<Self> {
        let connection = Connection::new(url, ca)?;
        let inner = Inner {
            user: connection.user(),
            connection,
            scripts: Scripts::new(),
            prefix: prefix.to_owned(),
            heartbeat: Heartbeat::default(),
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

    /// Returns a call of a script. The caller adds the arguments.
    fn call(&self, pick: impl FnOnce(&Scripts) -> &Script) -> ScriptInvocation<'_> {
        let mut call = pick(&self.inner.scripts).prepare_invoke();
        call.key(self.guard()).arg(&self.inner.prefix);
        call
    }

    async fn run<T: FromRedisValue + Send>(&self, call: &ScriptInvocation<'_>) -> Stored<T> {
        self.inner
            .connection
            .run(|mut manager| async move { call.invoke_async(&mut manager).await })
            .await
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
            .run(|mut manager| async move { scan.query_async(&mut manager).await })
            .await?;
        let start = self.key(kind, "");
        let names = keys.iter().filter_map(|k| k.strip_prefix(&start)).map(str::to_owned);
        Ok((next, names.collect()))
    }
}

/// Builds the error for a record that cannot be parsed. It never quotes the record.
fn damaged(what: &str) -> StoreError {
    StoreError {
        store: STORE,
        reason: format!("the record of a {what} is invalid; was it written by another version?"),
    }
}

/// Returns a TTL in milliseconds, at least one, because Redis rejects zero.
fn lifetime(ttl: Duration) -> u64 {
    millis(ttl).clamp(1, 1 << 52)
}
