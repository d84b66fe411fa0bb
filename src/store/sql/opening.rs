//! Opening a database: addresses, schema migrations and connection poolers.
//!
//! A pooler such as `PgBouncer` in transaction mode gives each transaction another server
//! connection, so nothing may depend on the connection: no setting, no lock, no prepared statement.
//! The presence of a pooler is detected when the database is opened. A direct connection accepts
//! startup parameters, among them one of Vestibule's own. A pooler rejects or drops them.

use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor, Row as _, SqlSafeStr};

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;

use super::reason::migration_failure;

/// Time limit for opening, which may wait for another process that is opening.
pub(super) const OPENING: Duration = Duration::from_secs(15);

/// Startup parameters of a direct connection: the statement timeout, and the parameter that shows
/// that there is no pooler.
const PARAMETERS: &str = "-c statement_timeout=2000 -c vestibule.direct=on";
const IS_DIRECT: &str = "SELECT current_setting('vestibule.direct', true) AS direct";
/// Error codes of a pooler that rejects parameters: protocol violation, or not supported.
const TAKES_NO_PARAMETERS: [&str; 2] = ["08P01", "0A000"];

/// Statements that begin the transaction of a schema migration. They discard prepared statements left
/// behind on a pooled connection, and take the lock that keeps other processes out.
const BEGIN_MIGRATION: [&str; 3] = [
    "SET LOCAL statement_timeout = 0",
    // An arbitrary number that identifies Vestibule's lock.
    "SELECT pg_advisory_xact_lock(7378697629)",
    FORGET_STATEMENTS,
];
pub(super) const FORGET_STATEMENTS: &str = "DEALLOCATE ALL";

/// The driver's table of applied migrations.
pub(super) const MADE: &str = "_sqlx_migrations";
const READ_FLOOR: &str = "SELECT version FROM schema_floor WHERE id = 1";

/// A schema migration. Migrations are added, never changed.
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
    let mut migrator = Migrator::with_migrations(steps.iter().map(step).collect());
    // `check_floor` decides about migrations of a newer version. Locking is the caller's.
    migrator.set_ignore_missing(true).set_locking(false);
    migrator
}

/// Returns the newest migration that this version does not know, if this version can run on the
/// database all the same. Fails if the database is too new.
pub(super) async fn check_floor(
    connection: &mut AnyConnection,
    schema: &[Step],
) -> sqlx::Result<Option<i64>> {
    let made = connection.list_applied_migrations(MADE).await.map_err(migration_failure)?;
    let unknown = made.iter().map(|step| step.version);
    let unknown = unknown.filter(|made| schema.iter().all(|step| step.version != *made)).max();
    let Some(newest) = unknown else { return Ok(None) };
    let floor: i64 = match connection.fetch_optional(READ_FLOOR).await {
        Ok(Some(row)) => row.try_get("version")?,
        // The tables of another program, or of a version from before the floor.
        Ok(None) | Err(_) => return Err(migration_failure(MigrateError::VersionMissing(newest))),
    };
    if schema.iter().all(|step| step.version < floor) {
        return Err(migration_failure(MigrateError::VersionMissing(newest)));
    }
    Ok(Some(newest))
}

/// Runs the migrations that are missing, and warns if the database is newer than this version.
async fn migrate(connection: &mut AnyConnection, schema: &[Step]) -> sqlx::Result<()> {
    let migrator = migrator(schema);
    migrator.run_direct(None, &mut *connection, false).await.map_err(migration_failure)?;
    if let Some(newest) = check_floor(connection, schema).await? {
        tracing::warn!(migration = newest, "a newer version has migrated the database");
    }
    Ok(())
}

/// Parses the URL of a database.
pub(super) fn options(url: &str) -> sqlx::Result<AnyConnectOptions> {
    sqlx::any::install_default_drivers();
    Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// Parses the URL of a PostgreSQL server.
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

/// Returns true if the driver accepts each part of an address.
pub(super) fn is_complete(options: &AnyConnectOptions) -> bool {
    sqlx::postgres::PgConnectOptions::from_url(&options.database_url).is_ok()
}

/// Migrates the schema of a SQLite file over a dedicated connection.
pub(super) async fn prepare_sqlite(
    options: &AnyConnectOptions,
    schema: &[Step],
) -> sqlx::Result<()> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute("PRAGMA journal_mode = WAL").await?;
    migrate(&mut connection, schema).await?;
    connection.close().await
}

/// Migrates the schema of a PostgreSQL database in one transaction.
pub(super) async fn prepare_postgres(
    options: &AnyConnectOptions,
    schema: &[Step],
) -> sqlx::Result<()> {
    let mut connection = AnyConnection::connect_with(options).await?;
    let mut t = connection.begin().await?;
    for statement in BEGIN_MIGRATION {
        t.execute(statement).await?;
    }
    migrate(&mut t, schema).await?;
    t.execute(FORGET_STATEMENTS).await?;
    t.commit().await?;
    connection.close().await
}

/// The way to connect to a PostgreSQL server.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) options: AnyConnectOptions,
    /// True if a pooler is in between.
    pub(super) pooled: bool,
}

/// Detects a pooler between Vestibule and the server.
pub(super) async fn route(plain: &AnyConnectOptions) -> sqlx::Result<Route> {
    let mut direct = plain.clone();
    direct.database_url.query_pairs_mut().append_pair("options", PARAMETERS);
    let pooled = Route { options: plain.clone(), pooled: true };
    let mut connection = match AnyConnection::connect_with(&direct).await {
        Ok(connection) => connection,
        Err(sqlx::Error::Database(said))
            if said.code().is_some_and(|code| TAKES_NO_PARAMETERS.contains(&&*code)) =>
        {
            return Ok(pooled);
        }
        Err(error) => return Err(error),
    };
    let row = connection.fetch_one(IS_DIRECT).await?;
    let known: Option<String> = row.try_get("direct")?;
    connection.close().await?;
    Ok(if known.as_deref() == Some("on") {
        Route { options: direct, pooled: false }
    } else {
        pooled
    })
}
