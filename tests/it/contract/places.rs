//! Where the stores under test keep their records.

use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vestibule::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, Audit, Factors, Guesses,
    PasswordResets, PendingLogins, Refusals, SeenNetworks, Sessions, Tickets,
};
use vestibule::auth::session::{PendingLogin, Session};
use vestibule::auth::token::{HashedToken, PendingToken, SessionToken};
use vestibule::base::clock::Timestamp;
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::samples::START;
use crate::support::servers::{Pooler, PostgresServer, RedisServer};

/// What a durable store does.
pub(crate) trait DurablePorts:
    AccessTokens
    + Accounts
    + AppAccounts
    + Factors
    + Guesses
    + Tickets
    + PasswordResets
    + Audit
    + Clone
    + 'static
{
}
impl<S> DurablePorts for S where
    S: AccessTokens
        + Accounts
        + AppAccounts
        + Factors
        + Guesses
        + Tickets
        + PasswordResets
        + Audit
        + Clone
        + 'static
{
}

/// What a short-lived store does. Where two ports have an operation of one name, each has a name of
/// its own here.
pub(crate) trait ShortLivedPorts:
    PendingLogins + Sessions + AppTokens + Attempts + Refusals + SeenNetworks + Clone + 'static
{
    fn load_login(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> impl Future<Output = Option<PendingLogin>> + Send {
        async move { PendingLogins::load(self, id, now).await.unwrap() }
    }

    fn end_login(&self, id: &HashedToken<PendingToken>) -> impl Future<Output = ()> + Send {
        async move { PendingLogins::end(self, id).await.unwrap() }
    }

    fn load_session(
        &self,
        id: &HashedToken<SessionToken>,
    ) -> impl Future<Output = Option<Session>> + Send {
        async move { Sessions::load(self, id).await.unwrap() }
    }

    fn end_session(&self, id: &HashedToken<SessionToken>) -> impl Future<Output = bool> + Send {
        async move { Sessions::end(self, id).await.unwrap() }
    }

    fn ping_sessions(&self) -> impl Future<Output = ()> + Send {
        async move { Sessions::ping(self).await.unwrap() }
    }
}
impl<S> ShortLivedPorts for S where
    S: PendingLogins + Sessions + AppTokens + Attempts + Refusals + SeenNetworks + Clone + 'static
{
}

/// Two stores on one database.
pub(crate) struct Durable<S> {
    pub(crate) one: S,
    pub(crate) two: S,
    /// What an intruder would open.
    pub(crate) url: String,
    _kept: Box<dyn Any + Send + Sync>,
}

impl<S: Clone> Durable<S> {
    /// The one or the other.
    pub(crate) fn either(&self, i: usize) -> S {
        if i.is_multiple_of(2) { self.one.clone() } else { self.two.clone() }
    }
}

impl Durable<SqlStore> {
    /// Opened by two at the same moment, before there is anything.
    async fn opened(target: SqlTarget, url: String, kept: Box<dyn Any + Send + Sync>) -> Self {
        let (one, two) = tokio::join!(SqlStore::open(target.clone()), SqlStore::open(target));
        Self { one: one.unwrap(), two: two.unwrap(), url, _kept: kept }
    }

    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data dir/accounts.db");
        let url = format!("sqlite:{}", file.display());
        Self::opened(SqlTarget::Embedded(file), url, Box::new(dir)).await
    }

    /// PostgreSQL behind `PgBouncer`, which gives each transaction another of its connections.
    pub(crate) async fn pooled() -> Self {
        let server = tokio::task::spawn_blocking(PostgresServer::shared).await.unwrap();
        let direct = server.database().await;
        let (pooler, url) = Pooler::start(&server, &direct);
        let target = SqlTarget::Postgres(Secret::new(url));
        Self::opened(target, direct, Box::new((pooler, server))).await
    }

    pub(crate) async fn postgresql() -> Self {
        let server = tokio::task::spawn_blocking(PostgresServer::shared).await.unwrap();
        let url = server.database().await;
        Self::opened(SqlTarget::Postgres(Secret::new(url.clone())), url, Box::new(server)).await
    }
}

/// Two stores in one place, and its time.
pub(crate) struct ShortLived<S> {
    pub(crate) one: S,
    pub(crate) two: S,
    now: AtomicU64,
    redis: Option<RedisServer>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl<S: Clone + Sync> ShortLived<S> {
    fn new(one: S, two: S, redis: Option<RedisServer>, kept: Box<dyn Any + Send + Sync>) -> Self {
        Self { one, two, now: AtomicU64::new(START), redis, _kept: kept }
    }

    pub(crate) fn either(&self, i: usize) -> S {
        if i.is_multiple_of(2) { self.one.clone() } else { self.two.clone() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    /// Lets time pass, in the store as well, without waiting.
    pub(crate) async fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.now.fetch_add(millis, Ordering::SeqCst);
        if let Some(redis) = &self.redis {
            redis.pass(time).await;
        }
    }
}

impl ShortLived<EmbeddedStore> {
    pub(crate) async fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file: PathBuf = dir.path().join("sessions.db");
        let (one, two) = tokio::join!(EmbeddedStore::open(&file), EmbeddedStore::open(&file));
        Self::new(one.unwrap(), two.unwrap(), None, Box::new(dir))
    }
}

impl ShortLived<RedisStore> {
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start();
        let url = Secret::new(server.url());
        let open = || RedisStore::open(&url, "vestibule [test]").unwrap();
        Self::new(open(), open(), Some(server), Box::new(()))
    }
}
