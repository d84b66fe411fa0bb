//! The connections to a database. Those to one of several PostgreSQL servers move to the server that
//! accepts writes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};
use tokio::sync::Notify;

use crate::auth::database_clock::DatabaseClock;
use crate::auth::ports::{StoreError, Stored};

use super::opening::{OPENING, Route, Step, prepare_postgres, route};
use super::reason::failure;
use super::servers::{Servers, accepts_writes, may_pass, place};
use super::values::at;

/// Time limit for connecting. The rest of the patience is left to find out why a connection failed.
const CONNECTING: Duration = Duration::from_millis(1500);
/// Interval of checks that the server in use accepts writes, if there are several.
const CHECK: Duration = Duration::from_secs(1);
/// Pause between two searches for a server.
const SEARCH: Duration = Duration::from_millis(500);
/// Query for the time in milliseconds by the clock of a server.
pub(super) const POSTGRES_CLOCK: &str =
    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
/// Query for the times at which nodes last reported.
const REPORTS: &str = "SELECT seen_at FROM nodes";

/// The connections to a server or a file.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) readers: AnyPool,
    pub(super) writers: AnyPool,
    /// True if a pooler is in between.
    pub(super) pooled: bool,
    /// The statement that begins a transaction.
    pub(super) begin: &'static str,
    /// The index of the server.
    server: usize,
}

impl Pools {
    pub(super) fn of_file(readers: AnyPool, writers: AnyPool, begin: &'static str) -> Self {
        Self { readers, writers, pooled: false, begin, server: 0 }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// The settings for opening a database.
#[derive(Clone, Debug)]
pub struct OpenSettings {
    /// Maximum connections to a PostgreSQL server.
    pub pool: u32,
    /// True if a PostgreSQL server that cannot be used at present is no error: operations fail until
    /// it can.
    pub wait: bool,
    /// The clock that follows that of a PostgreSQL server.
    pub clock: Option<Arc<DatabaseClock>>,
}

impl Default for OpenSettings {
    fn default() -> Self {
        Self { pool: 10, wait: false, clock: None }
    }
}

/// The connections to a PostgreSQL database.
#[derive(Debug)]
pub(super) struct Primary {
    store: &'static str,
    servers: Servers,
    size: u32,
    clock: Option<Arc<DatabaseClock>>,
    pools: ArcSwapOption<Pools>,
    /// The reason why no server is open.
    reason: Mutex<String>,
    failed: Notify,
}

impl Primary {
    /// Opens the database on a usable server, and keeps looking for one.
    pub(super) async fn open(
        (store, servers): (&'static str, Servers),
        schema: Vec<Step>,
        settings: OpenSettings,
    ) -> Stored<Arc<Self>> {
        let several = servers.are_several();
        let this = Arc::new(Self {
            store,
            servers,
            size: settings.pool,
            clock: settings.clock,
            pools: ArcSwapOption::empty(),
            reason: Mutex::default(),
            failed: Notify::new(),
        });
        if let Err(error) = this.open_first(&schema).await {
            let reason = failure(store, &error).reason;
            if !settings.wait || !may_pass(&error) {
                return Err(StoreError { store, reason });
            }
            tracing::warn!(reason, "the account database cannot be used yet, waiting for it");
            *this.reason.lock() = reason;
        }
        if several || this.pools.load().is_none() {
            tokio::spawn(watch(Arc::downgrade(&this), schema));
        }
        Ok(this)
    }

    /// Returns the connections, or the error of a pool without any.
    pub(super) fn pools(&self) -> sqlx::Result<Arc<Pools>> {
        self.pools.load_full().ok_or(sqlx::Error::PoolTimedOut)
    }

    /// Notes that an operation failed, so that the server is checked soon.
    pub(super) fn doubt(&self) {
        self.failed.notify_one();
    }

    /// Finds out why no connection was to be had.
    pub(super) async fn why(&self) -> String {
        let current = self.pools.load_full();
        let Some(current) = current else { return self.reason.lock().clone() };
        match self.servers.find(current.server).await {
            Ok(_) => format!("all {} connections to it stayed busy for too long", self.size),
            Err(error) => failure(self.store, &error).reason,
        }
    }

    pub(super) async fn close(&self) {
        if let Some(pools) = self.pools.load_full() {
            pools.close().await;
        }
    }

    async fn open_first(&self, schema: &[Step]) -> sqlx::Result<()> {
        let opening = async {
            let (index, plain) = self.servers.find(0).await?;
            let found = route(&plain).await?;
            prepare_postgres(&plain, schema).await?;
            self.take_time(&plain).await?;
            self.use_server(index, found);
            Ok(())
        };
        tokio::time::timeout(OPENING, opening).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Reads the clock of a server before its first use, so that no session is judged by that of this
    /// node.
    async fn take_time(&self, options: &AnyConnectOptions) -> sqlx::Result<()> {
        let Some(clock) = &self.clock else { return Ok(()) };
        let mut connection = AnyConnection::connect_with(options).await?;
        let mut peers = Vec::new();
        let reading = clock.read(async {
            let row = connection.fetch_one(POSTGRES_CLOCK).await?;
            at(&row, "now")
        });
        let reading = reading.await?.ok_or(sqlx::Error::PoolTimedOut)?;
        for row in connection.fetch_all(REPORTS).await? {
            peers.push(at(&row, "seen_at")?);
        }
        connection.close().await?;
        clock.take(reading, &peers);
        Ok(())
    }

    fn use_server(&self, server: usize, Route { options, pooled }: Route) {
        let pool = self.pool(options);
        let begin = if pooled { "BEGIN; SET LOCAL statement_timeout = 2000" } else { "BEGIN" };
        let pools = Pools { readers: pool.clone(), writers: pool, pooled, begin, server };
        if let Some(former) = self.pools.swap(Some(Arc::new(pools))) {
            // Waits for the operations under way.
            tokio::spawn(async move { former.close().await });
        }
    }

    fn pool(&self, options: AnyConnectOptions) -> AnyPool {
        let pool = AnyPoolOptions::new().max_connections(self.size).acquire_timeout(CONNECTING);
        let pool = if self.servers.read_write() {
            pool.after_connect(|connection, _meta| Box::pin(accepts_writes(connection)))
        } else {
            pool
        };
        pool.connect_lazy_with(options)
    }

    /// Returns true if the server in use accepts writes.
    async fn is_right(&self, pools: &Pools) -> bool {
        let asking = async {
            let mut connection = pools.readers.acquire().await?;
            accepts_writes(&mut connection).await
        };
        matches!(tokio::time::timeout(CONNECTING, asking).await, Ok(Ok(())))
    }

    /// Moves to another server if the one in use is not found to be right. Returns false if there is
    /// none.
    async fn search(&self, current: &Pools) -> bool {
        let (index, options) = match self.servers.find(current.server).await {
            Ok(found) => found,
            Err(error) => {
                let reason = failure(self.store, &error).reason;
                tracing::debug!(reason, "no server of the account database accepts writes");
                return false;
            }
        };
        if index == current.server {
            return true;
        }
        let server = place(&options);
        let opening = async {
            let found = route(&options).await?;
            self.take_time(&options).await?;
            Ok::<_, sqlx::Error>(found)
        };
        match tokio::time::timeout(OPENING, opening).await {
            Ok(Ok(found)) => {
                self.use_server(index, found);
                tracing::warn!(server, "moved to another server of the account database");
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// Opens the database once it can be used, and follows the server that accepts writes.
async fn watch(weak: Weak<Primary>, schema: Vec<Step>) {
    let mut lost = false;
    loop {
        let Some(this) = weak.upgrade() else { return };
        let Some(current) = this.pools.load_full() else {
            tokio::time::sleep(SEARCH).await;
            match this.open_first(&schema).await {
                Ok(()) => tracing::info!("the account database can be used"),
                Err(error) => *this.reason.lock() = failure(this.store, &error).reason,
            }
            continue;
        };
        if !this.servers.are_several() {
            return;
        }
        // Without a failure, one check a second.
        drop(tokio::time::timeout(CHECK, this.failed.notified()).await);
        let good = this.is_right(&current).await || this.search(&current).await;
        if !good && !lost {
            tracing::error!("no server of the account database accepts writes");
        }
        lost = !good;
        if lost {
            tokio::time::sleep(SEARCH).await;
        }
    }
}
