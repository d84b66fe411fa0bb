//! One database: its connections, its limits in time, its errors. Knows no table.
//!
//! SQLite takes one writer at a time. Writers of this process queue for a single connection, in
//! order of arrival; those of other processes are waited for by SQLite itself. A transaction takes
//! the write lock when it begins, so it never fails half-way for want of it.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyQueryResult, AnyRow};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::query::Query;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, SqlSafeStr,
    Transaction,
};

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;
use crate::store::{PATIENCE, TOO_SLOW};

use super::file;

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

/// Opening may wait for another process that is opening.
pub(super) const OPENING: Duration = Duration::from_secs(15);
/// A local file is not hung, only busy: one honest wait for the connection and one for the lock.
const BUSY: Duration = Duration::from_secs(5);

/// One step in the making of the tables; steps are added, never changed.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

pub(super) fn migrator(steps: &[Step]) -> Migrator {
    let step = |step: &Step| {
        let sql = step.sql.into_sql_str();
        Migration::new(step.version, step.name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(steps.iter().map(step).collect())
}

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Database {
    store: &'static str,
    begin: &'static str,
    limit: Duration,
    readers: AnyPool,
    writers: AnyPool,
}

impl Database {
    /// Opens a SQLite file; `synchronous` is `FULL` where nothing may be lost to a power cut.
    pub(super) async fn sqlite(
        store: &'static str,
        path: &Path,
        schema: &[Step],
        synchronous: &'static str,
    ) -> Stored<Self> {
        let io = |error: std::io::Error| StoreError {
            store,
            reason: format!("{} cannot be opened: {error}", path.display()),
        };
        let path = file::prepare(path).map_err(io)?;
        let options = options(&file::url(&path)).map_err(|e| failure(store, &e))?;
        let preparing = file::lock(&path).await.map_err(io)?;
        within(store, OPENING, prepare(&options, "PRAGMA journal_mode = WAL", schema)).await?;
        drop(preparing);
        let setup = format!(
            "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA synchronous = {synchronous}",
            PATIENCE.as_millis()
        );
        let pool = |size| pool(size, setup.clone()).connect_lazy_with(options.clone());
        Ok(Self {
            store,
            begin: "BEGIN IMMEDIATE",
            limit: BUSY,
            readers: pool(4),
            writers: pool(1),
        })
    }

    /// Opens a database on a PostgreSQL server.
    pub(super) async fn postgres(
        store: &'static str,
        url: &Secret,
        schema: &[Step],
    ) -> Stored<Self> {
        let options = postgres_options(store, url)?;
        within(store, OPENING, prepare(&options, "SELECT 1", schema)).await?;
        let setup = format!("SET statement_timeout = {}", PATIENCE.as_millis());
        let pool = pool(10, setup).connect_lazy_with(options);
        Ok(Self { store, begin: "BEGIN", limit: PATIENCE, readers: pool.clone(), writers: pool })
    }

    /// The rows that a reading statement finds.
    pub(super) async fn fetch(&self, statement: Statement<'_>) -> Stored<Vec<AnyRow>> {
        within(self.store, self.limit, statement.fetch_all(&self.readers)).await
    }

    /// The one row that a reading statement finds.
    pub(super) async fn fetch_one(&self, statement: Statement<'_>) -> Stored<Option<AnyRow>> {
        Ok(self.fetch(statement).await?.pop())
    }

    /// Changes rows by one statement: how many.
    pub(super) async fn change(&self, statement: Statement<'_>) -> Stored<u64> {
        let done = within(self.store, self.limit, statement.execute(&self.writers)).await?;
        Ok(AnyQueryResult::rows_affected(&done))
    }

    /// The row that one changing statement (`RETURNING`) gives back.
    pub(super) async fn change_returning(
        &self,
        statement: Statement<'_>,
    ) -> Stored<Option<AnyRow>> {
        Ok(within(self.store, self.limit, statement.fetch_all(&self.writers)).await?.pop())
    }

    /// Begins a transaction that holds the write lock of SQLite from the start. Dropped, it is
    /// rolled back. To be used within [`Self::timed`].
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.writers.begin_with(self.begin).await
    }

    /// Runs several statements within the limit in time of one operation.
    pub(super) async fn timed<T>(
        &self,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Stored<T> {
        within(self.store, self.limit, work).await
    }

    /// What to say of a record that does not read.
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

/// How to connect to the database at `url`.
pub(super) fn options(url: &str) -> sqlx::Result<AnyConnectOptions> {
    sqlx::any::install_default_drivers();
    Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// How to connect to a PostgreSQL server.
pub(super) fn postgres_options(store: &'static str, url: &Secret) -> Stored<AnyConnectOptions> {
    let invalid = || StoreError {
        store,
        reason: "its address is not valid; write postgres://user:password@host:port/database"
            .to_owned(),
    };
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme)) {
        return Err(invalid());
    }
    options(url.reveal()).map_err(|_may_hold_the_address| invalid())
}

fn pool(size: u32, setup: String) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(size).acquire_timeout(PATIENCE).after_connect(
        move |connection, _meta| {
            let setup = setup.clone();
            Box::pin(async move {
                connection.execute(AssertSqlSafe(setup)).await?;
                Ok(())
            })
        },
    )
}

/// What made a migration fail.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open; the rest is passed on")]
pub(super) fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => inner,
        other => sqlx::Error::from(other),
    }
}

/// Brings the tables up to date over a connection of its own, without the limits of the pools.
async fn prepare(
    options: &AnyConnectOptions,
    first: &'static str,
    schema: &[Step],
) -> sqlx::Result<()> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(first).await?;
    let migrated = migrator(schema).run_direct(None, &mut connection, false).await;
    migrated.map_err(migration_failure)?;
    connection.close().await
}

/// Does `work` within `limit`.
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

/// What an error says to the operator. Messages of the driver that could quote an address or a
/// record are replaced.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open: what is new is kept quiet")]
pub(super) fn failure(store: &'static str, error: &sqlx::Error) -> StoreError {
    let reason = match error {
        sqlx::Error::PoolTimedOut => TOO_SLOW.to_owned(),
        sqlx::Error::PoolClosed => "it was closed because the program is stopping".to_owned(),
        sqlx::Error::Io(io) => {
            format!("it cannot be reached ({}); check that it runs", io.kind())
        }
        sqlx::Error::Tls(_) => {
            "its TLS certificate is not trusted; set sslrootcert in its address".to_owned()
        }
        sqlx::Error::Database(said) => format!("it said: {}", said.message()),
        sqlx::Error::Migrate(why) => match why.as_ref() {
            MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
                "its tables were made by another version; run that version or a newer one"
                    .to_owned()
            }
            _ => "its tables cannot be brought up to date; see its own log".to_owned(),
        },
        sqlx::Error::ColumnDecode { index, .. } => {
            format!("column {index} holds something unexpected; restore it from a backup")
        }
        sqlx::Error::Protocol(_) => "it broke off or answered out of turn".to_owned(),
        _ => "its driver failed; check the address and the version of the server".to_owned(),
    };
    StoreError { store, reason }
}
