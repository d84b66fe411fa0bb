//! The short-lived store of a cluster: logins in progress, sessions and counters in Redis (6.0 or
//! newer), the same for all nodes.
//!
//! | key | holds |
//! |---|---|
//! | `{prefix}:p:<hash of the token>` | a login in progress: record, enrolment, guesses |
//! | `{prefix}:s:<hash of the token>` | a session: record, last use, codes due, offers |
//! | `{prefix}:i:<public id>` | the hash of the session's token |
//! | `{prefix}:a:<account>` | which of the first two are the account's, by the time they lapse |
//! | `{prefix}:t:<hash of an app's token>` | the hash of the token of the session it is bound to |
//! | `{prefix}:b:<hash of the token>` | the app's tokens bound to that session, oldest first |
//! | `{prefix}:c:<what is counted>` | a counter of guesses |
//! | `{prefix}:n:<digest of a name>` | networks from which that name has signed in |
//! | `{prefix}:r`, `{prefix}:rt` | refused requests by their references, and the moments of those |
//! | `{prefix}:w` | nothing: writing it shows that writing is possible |
//!
//! Every key expires by itself. Every operation is one script or one command, and refuses on a
//! server that takes no writes. All keys of an installation must lie on one server; on a Redis
//! cluster that is so when the prefix is a hash tag such as `{vestibule}`.

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

use connection::Connection;
use scripts::Scripts;

const STORE: &str = "the session store (Redis)";

/// The short-lived store in Redis: [`crate::auth::ports::PendingLogins`],
/// [`crate::auth::ports::Sessions`] and [`crate::auth::ports::Attempts`].
///
/// Clones share one connection, which is made when first needed and again when lost.
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
    /// A store at `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS checked
    /// against the public certificate authorities. Keys start with `prefix`. Nothing is connected
    /// yet: it fails only when the address is not valid.
    pub fn open(url: &Secret, prefix: &str) -> Stored<Self> {
        Self::open_with_ca(url, prefix, None)
    }

    /// As [`Self::open`], but a `rediss://` server is checked against the certificates in `ca`
    /// (PEM) alone.
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

    /// The name of a key.
    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.inner.prefix)
    }

    fn guard(&self) -> String {
        format!("{}:w", self.inner.prefix)
    }

    /// A call of one of the scripts, to which its arguments are still to be added.
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

    /// The names of all keys of a kind, a batch at a time: the cursor to go on with, zero at the
    /// end, and the names.
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

/// What to say of a record that does not read. The record itself is never quoted.
fn damaged(what: &str) -> StoreError {
    StoreError {
        store: STORE,
        reason: format!("the record of a {what} does not read; was it made by another version?"),
    }
}

/// Milliseconds to live, at least one: a record that lives for no time at all is an error to Redis.
fn lifetime(ttl: Duration) -> u64 {
    millis(ttl).clamp(1, 1 << 52)
}
