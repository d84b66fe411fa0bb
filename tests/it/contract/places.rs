//! Where the stores under test keep their records.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vestibule::auth::authenticator::{Authenticator, AuthenticatorUse, app_of};
use vestibule::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, Audit, Authenticators, Challenges,
    EndedSessions, Guesses, HandOvers, Nodes, ParkedRequests, PasswordResets, PendingLogins,
    RecoveryCodes, Refusals, SeenNetworks, SessionEnds, SessionLookup, Sessions, StoreHealth,
    Tickets, UsedChallenges,
};
use vestibule::auth::session::{PendingLogin, Session};
use vestibule::auth::token::{HashedToken, PendingToken, SessionToken};
use vestibule::base::clock::Timestamp;
use vestibule::base::id::{AccountId, FactorId};
use vestibule::base::secret::Secret;
use vestibule::store::redis::{Address, Login, RedisStore, Sentinels, Servers};
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::samples::START;
use crate::support::redis_ha::{Monitored, RedisCluster, SERVICE, Shape};
use crate::support::servers::{Pooler, PostgresServer, RedisServer, damage_embedded_session};

/// What a durable store does.
pub(crate) trait DurablePorts:
    AccessTokens
    + Accounts
    + EndedSessions
    + AppAccounts
    + Authenticators
    + RecoveryCodes
    + Guesses
    + Tickets
    + PasswordResets
    + Audit
    + Nodes
    + UsedChallenges
    + Clone
    + 'static
{
    /// The authenticator app of an account.
    fn app(&self, account: AccountId) -> impl Future<Output = Option<Authenticator>> + Send {
        async move { app_of(&self.authenticators(account).await.unwrap()).cloned() }
    }

    /// Returns true if this call used up the code of this time step.
    fn use_step(
        &self,
        account: AccountId,
        id: FactorId,
        counter: u64,
        at: Timestamp,
    ) -> impl Future<Output = bool> + Send {
        let used = AuthenticatorUse { account, id, counter, sealed: None, at };
        async move { self.use_authenticator(&used).await.unwrap() }
    }
}
impl<S> DurablePorts for S where
    S: AccessTokens
        + Accounts
        + EndedSessions
        + AppAccounts
        + Authenticators
        + RecoveryCodes
        + Guesses
        + Tickets
        + PasswordResets
        + Audit
        + Nodes
        + UsedChallenges
        + Clone
        + 'static
{
}

/// What a short-lived store does. Where two ports have an operation of one name, each has a name of
/// its own here.
pub(crate) trait ShortLivedPorts:
    PendingLogins
    + Sessions
    + AppTokens
    + Attempts
    + Challenges
    + HandOvers
    + ParkedRequests
    + Refusals
    + SeenNetworks
    + Clone
    + 'static
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
        async move { SessionLookup::load(self, id).await.unwrap() }
    }

    fn end_session(&self, id: &HashedToken<SessionToken>) -> impl Future<Output = bool> + Send {
        async move { SessionEnds::end(self, id).await.unwrap() }
    }

    fn ping_sessions(&self) -> impl Future<Output = ()> + Send {
        async move { StoreHealth::ping(self).await.unwrap() }
    }
}
impl<S> ShortLivedPorts for S where
    S: PendingLogins
        + Sessions
        + AppTokens
        + Attempts
        + Challenges
        + HandOvers
        + ParkedRequests
        + Refusals
        + SeenNetworks
        + Clone
        + 'static
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
    redis: Vec<Arc<RedisServer>>,
    /// The file of an embedded store.
    file: Option<PathBuf>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl<S: Clone + Sync> ShortLived<S> {
    fn new(one: S, two: S, redis: Vec<Arc<RedisServer>>, kept: Box<dyn Any + Send + Sync>) -> Self {
        Self { one, two, now: AtomicU64::new(START), redis, file: None, _kept: kept }
    }

    /// Makes the record of a session unreadable.
    pub(crate) async fn damage(&self, id: &HashedToken<SessionToken>) {
        for redis in &self.redis {
            redis.damage_session(&id.to_hex()).await;
        }
        if let Some(file) = &self.file {
            damage_embedded_session(file, &id.to_hex()).await;
        }
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
        for redis in &self.redis {
            redis.pass(time).await;
        }
    }
}

/// The settings of a store for these servers.
pub(crate) fn sentinels(monitored: &Monitored) -> Sentinels {
    let addresses = monitored.addresses().into_iter();
    let addresses = addresses.map(|(host, port)| Address { host, port });
    Sentinels {
        service: SERVICE.to_owned(),
        addresses: addresses.collect(),
        login: Login::default(),
        sentinel_login: Login::default(),
        database: 0,
        tls: false,
    }
}

impl ShortLived<EmbeddedStore> {
    pub(crate) async fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file: PathBuf = dir.path().join("sessions.db");
        let (one, two) = tokio::join!(EmbeddedStore::open(&file), EmbeddedStore::open(&file));
        let place = Self::new(one.unwrap(), two.unwrap(), Vec::new(), Box::new(dir));
        Self { file: Some(file), ..place }
    }
}

impl ShortLived<RedisStore> {
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start();
        let url = Secret::new(server.url());
        let open = || RedisStore::open(&url, "vestibule [test]").unwrap();
        Self::new(open(), open(), vec![Arc::new(server)], Box::new(()))
    }

    /// A primary that a sentinel monitors.
    pub(crate) async fn monitored() -> Self {
        let monitored = Monitored::start(&Shape { sentinels: 1, ..Shape::default() }).await;
        let servers = Servers::Sentinel(sentinels(&monitored));
        let open = || RedisStore::open_at(&servers, "vestibule [test]", None).unwrap();
        Self::new(open(), open(), monitored.servers.clone(), Box::new(monitored))
    }

    /// A cluster for several places.
    pub(crate) async fn cluster() -> Arc<RedisCluster> {
        Arc::new(RedisCluster::start(&Shape::default()).await)
    }

    /// An empty place in a cluster. The address of any node is enough.
    pub(crate) async fn in_cluster(cluster: &Arc<RedisCluster>, prefix: &str) -> Self {
        for server in &cluster.servers {
            server.flush().await;
        }
        let urls = cluster.urls();
        let open = |at: usize| {
            let servers = Servers::Cluster(vec![Secret::new(urls[at].clone())]);
            RedisStore::open_at(&servers, prefix, None).unwrap()
        };
        Self::new(open(0), open(1), cluster.servers.clone(), Box::new(Arc::clone(cluster)))
    }
}
