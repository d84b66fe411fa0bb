//! A database: its connections and time limits. This module knows no table.
//!
//! SQLite has a single writer at a time. Writers of this process queue for one connection, in order
//! of arrival. SQLite itself waits for writers of other processes. A transaction takes the write
//! lock when it begins, so it never fails half-way for lack of it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyQueryResult, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;
use crate::store::heartbeat::Heartbeat;
use crate::store::{PATIENCE, TOO_SLOW};

use super::file;
use super::loan::{Loan, Transaction};
use super::opening::{OPENING, Route, Step, options, postgres_options, prepare_postgres};
use super::opening::{prepare_sqlite, route};
use super::reason::failure;

/// A statement with its bound values.
pub(super) type Statement<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

/// Time limit for SQLite. A local file does not hang, it is only busy: one wait for the connection
/// and one for the lock.
const BUSY: Duration = Duration::from_secs(5);
/// Time limit for connecting. The rest of the patience is left to find out why a connection failed.
const CONNECTING: Duration = Duration::from_millis(1500);
const ASKING_WHY: Duration = Duration::from_millis(500);
const POSTGRES_CONNECTIONS: u32 = 10;

/// Connections to a database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Database {
    store: &'static str,
    begin: &'static str,
    limit: Duration,
    pooled: bool,
    readers: AnyPool,
    writers: AnyPool,
    diagnosis: Arc<Diagnosis>,
    heartbeat: Arc<Heartbeat>,
}

impl Database {
    /// Opens a SQLite file. `synchronous` is `FULL` if no data may be lost in a power failure.
    pub(super) async fn sqlite(
        store: &'static str,
        path: &Path,
        schema: &[Step],
        synchronous: &'static str,
    ) -> Stored<Self> {
        let io = |error: std::io::Error| StoreError {
            store,
            reason: format!("failed to open {}: {error}", path.display()),
        };
        let path = file::prepare(path).map_err(io)?;
        let options = options(&file::url(&path)).map_err(|e| failure(store, &e))?;
        let preparing = file::lock(&path).await.map_err(io)?;
        within(store, OPENING, prepare_sqlite(&options, schema)).await?;
        drop(preparing);
        let setup = format!(
            "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA synchronous = {synchronous}",
            PATIENCE.as_millis()
        );
        let pool = |size| {
            let setup = setup.clone();
            let pool = AnyPoolOptions::new().max_connections(size).acquire_timeout(PATIENCE);
            let pool = pool.after_connect(move |connection, _meta| {
                let setup = setup.clone();
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(setup)).await?;
                    Ok(())
                })
            });
            pool.connect_lazy_with(options.clone())
        };
        Ok(Self {
            store,
            begin: "BEGIN IMMEDIATE",
            limit: BUSY,
            pooled: false,
            readers: pool(4),
            writers: pool(1),
            diagnosis: Arc::new(Diagnosis { server: None, latest: Mutex::new(None) }),
            heartbeat: Arc::default(),
        })
    }

    /// Opens a database on a PostgreSQL server.
    pub(super) async fn postgres(
        store: &'static str,
        url: &Secret,
        schema: &[Step],
    ) -> Stored<Self> {
        let plain = postgres_options(store, url)?;
        let Route { options, pooled } = within(store, OPENING, route(&plain)).await?;
        within(store, OPENING, prepare_postgres(&plain, schema)).await?;
        let pool = AnyPoolOptions::new().max_connections(POSTGRES_CONNECTIONS);
        let pool = pool.acquire_timeout(CONNECTING).connect_lazy_with(options.clone());
        Ok(Self {
            store,
            begin: if pooled { "BEGIN; SET LOCAL statement_timeout = 2000" } else { "BEGIN" },
            limit: PATIENCE,
            pooled,
            readers: pool.clone(),
            writers: pool,
            diagnosis: Arc::new(Diagnosis { server: Some(options), latest: Mutex::new(None) }),
            heartbeat: Arc::default(),
        })
    }

    /// Runs a reading statement and returns all rows.
    pub(super) async fn fetch(&self, statement: Statement<'_>) -> Stored<Vec<AnyRow>> {
        self.timed(self.rows(&self.readers, statement)).await
    }

    /// Runs a reading statement and returns one row.
    pub(super) async fn fetch_one(&self, statement: Statement<'_>) -> Stored<Option<AnyRow>> {
        Ok(self.fetch(statement).await?.pop())
    }

    /// Runs a changing statement and returns the number of rows changed.
    pub(super) async fn change(&self, statement: Statement<'_>) -> Stored<u64> {
        self.timed(async {
            let done = if self.pooled {
                let mut t = self.begin().await?;
                let done = statement.execute(&mut *t).await?;
                t.commit().await?;
                done
            } else {
                let mut loan = Loan::of(&self.writers, true).await?;
                let done = statement.execute(&mut loan).await?;
                loan.give_back();
                done
            };
            Ok(AnyQueryResult::rows_affected(&done))
        })
        .await
    }

    /// Runs a changing statement with `RETURNING` and returns its row.
    pub(super) async fn change_returning(
        &self,
        statement: Statement<'_>,
    ) -> Stored<Option<AnyRow>> {
        Ok(self.timed(self.rows(&self.writers, statement)).await?.pop())
    }

    async fn rows(&self, pool: &AnyPool, statement: Statement<'_>) -> sqlx::Result<Vec<AnyRow>> {
        if self.pooled {
            let mut t = self.begin().await?;
            let rows = statement.fetch_all(&mut *t).await?;
            t.commit().await?;
            return Ok(rows);
        }
        let mut loan = Loan::of(pool, true).await?;
        let rows = statement.fetch_all(&mut loan).await?;
        loan.give_back();
        Ok(rows)
    }

    /// Begins a transaction, on SQLite with the write lock. Call it within [`Self::timed`].
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        let loan = Loan::of(&self.writers, !self.pooled).await?;
        Transaction::begin(loan, self.begin).await
    }

    /// Runs several statements within the time limit of one operation.
    pub(super) async fn timed<T>(
        &self,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Stored<T> {
        let done = tokio::time::timeout(self.limit, work).await;
        match done {
            Ok(Err(sqlx::Error::PoolTimedOut)) => Err(self.diagnosis.error(self.store).await),
            Ok(done) => done.map_err(|error| failure(self.store, &error)),
            Err(_elapsed) => Err(StoreError { store: self.store, reason: TOO_SLOW.to_owned() }),
        }
    }

    /// Checks with `write` that the database accepts writes, at most once a second.
    pub(super) async fn ping(&self, write: Statement<'_>) -> Stored<()> {
        self.heartbeat.beat(async { self.change(write).await.map(drop) }).await
    }

    /// Builds the error for a record that cannot be parsed.
    pub(super) fn damaged(&self, what: &str) -> StoreError {
        StoreError {
            store: self.store,
            reason: format!("{what} is damaged; restore the database from a backup"),
        }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// Diagnoses connection failures. A pool keeps retrying while a server rejects connections, and
/// does not report the server's error.
#[derive(Debug)]
struct Diagnosis {
    /// The server to diagnose. `None` for a file, which connects or fails at once.
    server: Option<AnyConnectOptions>,
    latest: Mutex<Option<(Instant, String)>>,
}

impl Diagnosis {
    /// Returns the error to report. Of several concurrent callers one connects.
    async fn error(&self, store: &'static str) -> StoreError {
        let reason = tokio::time::timeout(ASKING_WHY, self.reason(store)).await;
        StoreError { store, reason: reason.unwrap_or_else(|_elapsed| TOO_SLOW.to_owned()) }
    }

    async fn reason(&self, store: &'static str) -> String {
        let Some(server) = &self.server else { return TOO_SLOW.to_owned() };
        let mut latest = self.latest.lock().await;
        if let Some((at, reason)) = latest.as_ref()
            && at.elapsed() < ASKING_WHY
        {
            return reason.clone();
        }
        let reason = match AnyConnection::connect_with(server).await {
            Ok(connection) => {
                // Closing may fail without any meaning for the pool.
                drop(connection.close().await);
                format!("all {POSTGRES_CONNECTIONS} connections to it stayed busy for too long")
            }
            Err(error) => failure(store, &error).reason,
        };
        *latest = Some((Instant::now(), reason.clone()));
        reason
    }
}

/// Runs `work` within `limit`.
pub(super) async fn within<T>(
    store: &'static str,
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>> + Send,
) -> Stored<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| failure(store, &error)),
        Err(_elapsed) => Err(StoreError { store, reason: TOO_SLOW.to_owned() }),
    }
}
