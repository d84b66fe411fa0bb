//! Inspects a database without changing it: creates no file, no table and no row.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::auth::ports::{Recorded, StoreError, Stored};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

use super::audit::TAKE_HEAD;
use super::database::within;
use super::file;
use super::nodes;
use super::opening::{FORGET_STATEMENTS, MADE, OPENING, Step, check_floor, migrator, options};
use super::reason::{failure, migration_failure};
use super::servers::Servers;
use super::values::{number, text};

/// Queries that find this table.
const IN_SQLITE: &str =
    "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const IN_POSTGRES: &str = "SELECT 1 FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";
/// Like the first statement of the first start. It is rolled back.
const MAKE_TABLE: &str = "CREATE TABLE vestibule_trial (id BIGINT)";

/// Statements that make a connection read-only.
const QUERY_ONLY: &str = "PRAGMA query_only = ON";
const READ_ONLY: &str = "SET default_transaction_read_only = on";

/// The result of an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The schema is that of this version.
    UpToDate,
    /// There is no file. The next start creates it.
    NoFile,
    /// This many migrations are missing. The next start applies them.
    Behind(usize),
    /// A newer version migrated the database. This version can run beside it.
    Ahead,
}

impl SchemaState {
    /// Returns true if this version can read and write all its tables.
    pub fn has_tables(self) -> bool {
        matches!(self, Self::UpToDate | Self::Ahead)
    }
}

/// Inspects a SQLite file.
pub(super) async fn sqlite(
    store: &'static str,
    path: &Path,
    schema: &[Step],
) -> Stored<SchemaState> {
    let io = |error: std::io::Error| StoreError {
        store,
        reason: format!("failed to read {}: {error}", path.display()),
    };
    if !path.try_exists().map_err(io)? {
        return Ok(SchemaState::NoFile);
    }
    let options = sqlite_options(store, path)?;
    within(store, OPENING, inspect_file(&options, schema)).await
}

/// Returns the options for reading an existing file.
fn sqlite_options(store: &'static str, path: &Path) -> Stored<AnyConnectOptions> {
    let io = |error: std::io::Error| StoreError {
        store,
        reason: format!("failed to read {}: {error}", path.display()),
    };
    let path = path.canonicalize().map_err(io)?;
    fs::File::open(&path).map_err(io)?;
    fs::OpenOptions::new().append(true).open(&path).map_err(|error| StoreError {
        store,
        reason: format!("no write access to {}: {error}", path.display()),
    })?;
    // While no process has the file open, its companion files do not exist, and a reader would
    // create them. `immutable` prevents this.
    let alone = !beside(&path, "-shm").exists();
    let how = if alone { "mode=ro&immutable=true" } else { "mode=ro" };
    let options = options(&format!("{}?{how}", file::url(&path)));
    options.map_err(|e| failure(store, &e))
}

/// Returns those of `names` that no account in a SQLite file has.
pub(super) async fn unknown_in_sqlite(
    store: &'static str,
    path: &Path,
    names: &[String],
) -> Stored<Vec<String>> {
    let options = sqlite_options(store, path)?;
    within(store, OPENING, unknown(&options, QUERY_ONLY, names)).await
}

/// Returns those of `names` that no account in a database on a PostgreSQL server has.
pub(super) async fn unknown_in_postgres(
    store: &'static str,
    url: &Secret,
    names: &[String],
) -> Stored<Vec<String>> {
    let servers = Servers::of(store, url)?;
    let looking = async {
        let (_, options) = servers.find(0).await?;
        unknown(&options, READ_ONLY, names).await
    };
    within(store, OPENING, looking).await
}

/// Returns what nodes have recorded in a SQLite file.
pub(super) async fn nodes_in_sqlite(
    store: &'static str,
    path: &Path,
    now: Timestamp,
) -> Stored<Recorded> {
    let options = sqlite_options(store, path)?;
    within(store, OPENING, nodes::read(&options, QUERY_ONLY, now)).await
}

/// Returns what nodes have recorded in a database on a PostgreSQL server.
pub(super) async fn nodes_in_postgres(
    store: &'static str,
    url: &Secret,
    now: Timestamp,
) -> Stored<Recorded> {
    let servers = Servers::of(store, url)?;
    let looking = async {
        let (_, options) = servers.find(0).await?;
        nodes::read(&options, READ_ONLY, now).await
    };
    within(store, OPENING, looking).await
}

/// Returns the number of keys of other relying parties in a SQLite file, by relying party.
pub(super) async fn keys_in_sqlite(
    store: &'static str,
    path: &Path,
    rp_id: &str,
) -> Stored<Vec<(String, u64)>> {
    let options = sqlite_options(store, path)?;
    within(store, OPENING, keys(&options, QUERY_ONLY, rp_id)).await
}

/// Returns the number of keys of other relying parties on a PostgreSQL server, by relying party.
pub(super) async fn keys_in_postgres(
    store: &'static str,
    url: &Secret,
    rp_id: &str,
) -> Stored<Vec<(String, u64)>> {
    let servers = Servers::of(store, url)?;
    let looking = async {
        let (_, options) = servers.find(0).await?;
        keys(&options, READ_ONLY, rp_id).await
    };
    within(store, OPENING, looking).await
}

async fn keys(
    options: &AnyConnectOptions,
    read_only: &'static str,
    rp_id: &str,
) -> sqlx::Result<Vec<(String, u64)>> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(read_only).await?;
    let statement = sqlx::query(
        "SELECT rp_id, COUNT(*) AS held FROM authenticators \
         WHERE rp_id IS NOT NULL AND rp_id <> $1 GROUP BY rp_id ORDER BY rp_id",
    )
    .bind(rp_id);
    let rows = connection.fetch_all(statement).await?;
    let read = |row: &AnyRow| Ok((text(row, "rp_id")?, number(row, "held")?));
    let found = rows.iter().map(read).collect::<sqlx::Result<_>>()?;
    connection.close().await?;
    Ok(found)
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

/// Inspects a database on a PostgreSQL server, and checks that it accepts the writes of a sign-in.
pub(super) async fn postgres(
    store: &'static str,
    url: &Secret,
    schema: &[Step],
) -> Stored<SchemaState> {
    let servers = Servers::of(store, url)?;
    let looking = async {
        let (_, options) = servers.find(0).await?;
        inspect_server(&options, schema).await
    };
    within(store, OPENING, looking).await
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

async fn inspect_file(options: &AnyConnectOptions, schema: &[Step]) -> sqlx::Result<SchemaState> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(QUERY_ONLY).await?;
    let found = inspect(&mut connection, IN_SQLITE, schema).await?;
    connection.close().await?;
    Ok(found)
}

/// Runs everything in one transaction, which is rolled back, so that a pooler uses one server
/// connection for it.
async fn inspect_server(options: &AnyConnectOptions, schema: &[Step]) -> sqlx::Result<SchemaState> {
    let mut connection = AnyConnection::connect_with(options).await?;
    let mut t = connection.begin().await?;
    t.execute(FORGET_STATEMENTS).await?;
    let found = inspect(&mut t, IN_POSTGRES, schema).await?;
    t.execute(FORGET_STATEMENTS).await?;
    t.execute(if found.has_tables() { TAKE_HEAD } else { MAKE_TABLE }).await?;
    t.rollback().await?;
    connection.close().await?;
    Ok(found)
}

async fn inspect(
    connection: &mut AnyConnection,
    has_tables: &'static str,
    schema: &[Step],
) -> sqlx::Result<SchemaState> {
    if connection.fetch_optional(has_tables).await?.is_none() {
        return Ok(SchemaState::Behind(schema.len()));
    }
    let missing = missing(connection, schema).await.map_err(migration_failure)?;
    let newer = check_floor(connection, schema).await?;
    Ok(match (missing, newer) {
        (0, None) => SchemaState::UpToDate,
        (0, Some(_)) => SchemaState::Ahead,
        (missing, _) => SchemaState::Behind(missing),
    })
}

/// Returns the number of missing migrations. Those that were applied must match this version's.
async fn missing(connection: &mut AnyConnection, schema: &[Step]) -> Result<usize, MigrateError> {
    if let Some(version) = connection.dirty_version(MADE).await? {
        return Err(MigrateError::Dirty(version));
    }
    let made = connection.list_applied_migrations(MADE).await?;
    let ours = migrator(schema);
    for step in &made {
        if let Some(our) = ours.iter().find(|our| our.version == step.version)
            && our.checksum != step.checksum
        {
            return Err(MigrateError::VersionMismatch(step.version));
        }
    }
    let missing = |step: &&Step| made.iter().all(|made| made.version != step.version);
    Ok(schema.iter().filter(missing).count())
}
