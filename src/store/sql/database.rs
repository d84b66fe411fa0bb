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
use sqlx::{Any, AnyPool, AssertSqlSafe, Executor as _, query};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::ports::{StoreError, Stored};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::store::heartbeat::Heartbeat;
use crate::store::outage::Outages;
use crate::store::{PATIENCE, TOO_SLOW, count_error};

use super::file;
use super::loan::{Loan, Transaction};
use super::opening::{OPENING, Step, options, prepare_sqlite};
use super::pools::{OpenSettings, POSTGRES_CLOCK, Pools, Primary};
use super::reason::failure;
use super::servers::Servers;
use super::values::at;

/// A statement with its bound values.
pub(super) type Statement<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

/// Time limit for SQLite. A local file does not hang, it is only busy: one wait for the connection
/// and one for the lock.
const BUSY: Duration = Duration::from_secs(5);
/// Time limit for a statement on a copy, which no request waits for.
const COPY: Duration = Duration::from_mins(1);
/// Time limit for finding out why a connection failed.
const ASKING_WHY: Duration = Duration::from_millis(500);
/// Query for the time in milliseconds by the clock of a file, which is that of its host.
const SQLITE_CLOCK: &str =
    "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) AS now";

/// The place of a database.
#[derive(Clone, Debug)]
enum Place {
    File(Arc<Pools>),
    Servers(Arc<Primary>),
}

impl Place {
    fn pools(&self) -> sqlx::Result<Arc<Pools>> {
        match self {
            Self::File(pools) => Ok(Arc::clone(pools)),
            Self::Servers(primary) => primary.pools(),
        }
    }
}

/// Connections to a database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Database {
    store: &'static str,
    clock: &'static str,
    limit: Duration,
    place: Place,
    diagnosis: Arc<Diagnosis>,
    heartbeat: Arc<Heartbeat>,
    outages: Arc<Outages>,
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
            clock: SQLITE_CLOCK,
            limit: BUSY,
            place: Place::File(Arc::new(Pools::of_file(pool(4), pool(1), "BEGIN IMMEDIATE"))),
            diagnosis: Arc::default(),
            heartbeat: Arc::default(),
            outages: Arc::default(),
        })
    }

    /// Opens a SQLite file that no process writes to, for reading.
    pub(super) fn sqlite_copy(store: &'static str, options: &AnyConnectOptions) -> Self {
        let pool = AnyPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let pool = pool.connect_lazy_with(options.clone());
        Self {
            store,
            clock: SQLITE_CLOCK,
            limit: COPY,
            place: Place::File(Arc::new(Pools::of_file(pool.clone(), pool, "BEGIN"))),
            diagnosis: Arc::default(),
            heartbeat: Arc::default(),
            outages: Arc::default(),
        }
    }

    /// Opens a database on a PostgreSQL server, or on the one of several that accepts writes.
    pub(super) async fn postgres(
        store: &'static str,
        url: &Secret,
        schema: Vec<Step>,
        settings: OpenSettings,
    ) -> Stored<Self> {
        let servers = Servers::of(store, url)?;
        let primary = Primary::open((store, servers), schema, settings).await?;
        Ok(Self {
            store,
            clock: POSTGRES_CLOCK,
            limit: PATIENCE,
            place: Place::Servers(primary),
            diagnosis: Arc::default(),
            heartbeat: Arc::default(),
            outages: Arc::default(),
        })
    }

    /// Runs a reading statement and returns all rows.
    pub(super) async fn fetch(&self, statement: Statement<'_>) -> Stored<Vec<AnyRow>> {
        self.timed(async {
            let pools = self.place.pools()?;
            self.rows(&pools, &pools.readers, statement).await
        })
        .await
    }

    /// Runs a reading statement and returns one row.
    pub(super) async fn fetch_one(&self, statement: Statement<'_>) -> Stored<Option<AnyRow>> {
        Ok(self.fetch(statement).await?.pop())
    }

    /// Returns the time by the clock of the database.
    pub(super) async fn now(&self) -> Stored<Timestamp> {
        let row = self.fetch_one(query(self.clock)).await?;
        let now = row.map(|row| at(&row, "now"));
        now.and_then(Result::ok).ok_or_else(|| self.damaged("the time of the database"))
    }

    /// Runs a changing statement and returns the number of rows changed.
    pub(super) async fn change(&self, statement: Statement<'_>) -> Stored<u64> {
        self.timed(async {
            let pools = self.place.pools()?;
            let done = if pools.pooled {
                let mut t = self.begin().await?;
                let done = statement.execute(&mut *t).await?;
                t.commit().await?;
                done
            } else {
                let mut loan = Loan::of(&pools.writers, true).await?;
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
        let rows = self.timed(async {
            let pools = self.place.pools()?;
            self.rows(&pools, &pools.writers, statement).await
        });
        Ok(rows.await?.pop())
    }

    async fn rows(
        &self,
        pools: &Pools,
        pool: &AnyPool,
        statement: Statement<'_>,
    ) -> sqlx::Result<Vec<AnyRow>> {
        if pools.pooled {
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
        let pools = self.place.pools()?;
        let loan = Loan::of(&pools.writers, !pools.pooled).await?;
        Transaction::begin(loan, pools.begin).await
    }

    /// Runs several statements within the time limit of one operation.
    pub(super) async fn timed<T>(
        &self,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Stored<T> {
        let done = match tokio::time::timeout(self.limit, work).await {
            Ok(Ok(done)) => {
                self.outages.worked(self.store);
                return Ok(done);
            }
            Ok(Err(sqlx::Error::PoolTimedOut)) => {
                self.diagnosis.error(self.store, &self.place).await
            }
            Ok(Err(error)) => failure(self.store, &error),
            Err(_elapsed) => StoreError { store: self.store, reason: TOO_SLOW.to_owned() },
        };
        count_error(self.store);
        self.outages.failed(&done);
        if let Place::Servers(primary) = &self.place {
            primary.doubt();
        }
        Err(done)
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
        match &self.place {
            Place::File(pools) => pools.close().await,
            Place::Servers(primary) => primary.close().await,
        }
    }
}

/// Diagnoses connection failures. A pool keeps retrying while a server rejects connections, and
/// does not report the server's error.
#[derive(Debug, Default)]
struct Diagnosis {
    latest: Mutex<Option<(Instant, String)>>,
}

impl Diagnosis {
    /// Returns the error to report. Of several concurrent callers one connects.
    async fn error(&self, store: &'static str, place: &Place) -> StoreError {
        let reason = tokio::time::timeout(ASKING_WHY, self.reason(place)).await;
        StoreError { store, reason: reason.unwrap_or_else(|_elapsed| TOO_SLOW.to_owned()) }
    }

    async fn reason(&self, place: &Place) -> String {
        // A file connects or fails at once.
        let Place::Servers(primary) = place else { return TOO_SLOW.to_owned() };
        let mut latest = self.latest.lock().await;
        if let Some((at, reason)) = latest.as_ref()
            && at.elapsed() < ASKING_WHY
        {
            return reason.clone();
        }
        let reason = primary.why().await;
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
