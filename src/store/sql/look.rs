//! A look at a database that changes nothing: no file is made, no table and no row.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;
use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;

use super::audit::TAKE_HEAD;
use super::database::within;
use super::file;
use super::opening::{FORGET_STATEMENTS, OPENING, Step, migrator, options, postgres_options};
use super::reason::{failure, migration_failure};

/// Where the driver notes which steps were made.
const MADE: &str = "_sqlx_migrations";
/// The questions whether it does.
const IN_SQLITE: &str =
    "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const IN_POSTGRES: &str = "SELECT 1 FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";
/// The first start begins with the like of this. It is rolled back.
const MAKE_TABLE: &str = "CREATE TABLE vestibule_trial (id BIGINT)";

/// Makes a connection refuse to write: to SQLite, and to PostgreSQL.
const QUERY_ONLY: &str = "PRAGMA query_only = ON";
const READ_ONLY: &str = "SET default_transaction_read_only = on";

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All tables, as this version has them.
    UpToDate,
    /// No file, which the next start makes.
    NoFile,
    /// Tables that so many steps are missing from, which the next start makes.
    Behind(usize),
}

/// Looks at a SQLite file.
pub(super) async fn sqlite(store: &'static str, path: &Path, schema: &[Step]) -> Stored<Found> {
    let io = |error: std::io::Error| StoreError {
        store,
        reason: format!("{} cannot be read: {error}", path.display()),
    };
    if !path.try_exists().map_err(io)? {
        return Ok(Found::NoFile);
    }
    let options = sqlite_options(store, path)?;
    within(store, OPENING, look_at_file(&options, schema)).await
}

/// How to read a file that is there.
fn sqlite_options(store: &'static str, path: &Path) -> Stored<AnyConnectOptions> {
    let io = |error: std::io::Error| StoreError {
        store,
        reason: format!("{} cannot be read: {error}", path.display()),
    };
    let path = path.canonicalize().map_err(io)?;
    fs::File::open(&path).map_err(io)?;
    fs::OpenOptions::new().append(true).open(&path).map_err(|error| StoreError {
        store,
        reason: format!("{} cannot be written to: {error}", path.display()),
    })?;
    // While nobody has the file open there is nothing beside it, and a reader would make what it
    // needs there: it is told that nothing changes.
    let alone = !beside(&path, "-shm").exists();
    let how = if alone { "mode=ro&immutable=true" } else { "mode=ro" };
    let options = options(&format!("{}?{how}", file::url(&path)));
    options.map_err(|e| failure(store, &e))
}

/// Those of `names` that no account in a SQLite file has.
pub(super) async fn unknown_in_sqlite(
    store: &'static str,
    path: &Path,
    names: &[String],
) -> Stored<Vec<String>> {
    let options = sqlite_options(store, path)?;
    within(store, OPENING, unknown(&options, QUERY_ONLY, names)).await
}

/// Those of `names` that no account in a database on a PostgreSQL server has.
pub(super) async fn unknown_in_postgres(
    store: &'static str,
    url: &Secret,
    names: &[String],
) -> Stored<Vec<String>> {
    let options = postgres_options(store, url)?;
    within(store, OPENING, unknown(&options, READ_ONLY, names)).await
}

async fn unknown(
    options: &AnyConnectOptions,
    read_only: &'static str,
    names: &[String],
) -> sqlx::Result<Vec<String>> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(read_only).await?;
    let mut unknown = Vec::new();
    for name in names {
        let statement = sqlx::query("SELECT 1 FROM accounts WHERE name = $1").bind(name.as_str());
        if connection.fetch_optional(statement).await?.is_none() {
            unknown.push(name.clone());
        }
    }
    connection.close().await?;
    Ok(unknown)
}

/// Looks at a database on a PostgreSQL server, and tries whether it takes what signing in writes.
pub(super) async fn postgres(store: &'static str, url: &Secret, schema: &[Step]) -> Stored<Found> {
    let options = postgres_options(store, url)?;
    within(store, OPENING, look_at_server(&options, schema)).await
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

async fn look_at_file(options: &AnyConnectOptions, schema: &[Step]) -> sqlx::Result<Found> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(QUERY_ONLY).await?;
    let found = look(&mut connection, IN_SQLITE, schema).await?;
    connection.close().await?;
    Ok(found)
}

/// All of it is one transaction that is rolled back, so that a pooler leads it to one connection.
async fn look_at_server(options: &AnyConnectOptions, schema: &[Step]) -> sqlx::Result<Found> {
    let mut connection = AnyConnection::connect_with(options).await?;
    let mut t = connection.begin().await?;
    t.execute(FORGET_STATEMENTS).await?;
    let found = look(&mut t, IN_POSTGRES, schema).await?;
    t.execute(FORGET_STATEMENTS).await?;
    t.execute(if found == Found::UpToDate { TAKE_HEAD } else { MAKE_TABLE }).await?;
    t.rollback().await?;
    connection.close().await?;
    Ok(found)
}

async fn look(
    connection: &mut AnyConnection,
    has_tables: &'static str,
    schema: &[Step],
) -> sqlx::Result<Found> {
    let missing = if connection.fetch_optional(has_tables).await?.is_some() {
        missing(connection, schema).await.map_err(migration_failure)?
    } else {
        schema.len()
    };
    Ok(if missing == 0 { Found::UpToDate } else { Found::Behind(missing) })
}

/// How many steps are still to be made; those made must be ours.
async fn missing(connection: &mut AnyConnection, schema: &[Step]) -> Result<usize, MigrateError> {
    if let Some(version) = connection.dirty_version(MADE).await? {
        return Err(MigrateError::Dirty(version));
    }
    let made = connection.list_applied_migrations(MADE).await?;
    let ours = migrator(schema);
    for step in &made {
        match ours.iter().find(|our| our.version == step.version) {
            None => return Err(MigrateError::VersionMissing(step.version)),
            Some(our) if our.checksum != step.checksum => {
                return Err(MigrateError::VersionMismatch(step.version));
            }
            Some(_) => {}
        }
    }
    Ok(schema.len().saturating_sub(made.len()))
}
