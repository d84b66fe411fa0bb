//! SQL stores on SQLite or PostgreSQL with one set of statements (`$1` placeholders, TEXT and
//! BIGINT columns). They store records and make no decision about passwords, codes or sessions.

mod access_tokens;
mod accounts;
mod app_accounts;
mod audit;
mod authenticators;
mod copy;
mod database;
mod ended;
pub mod ephemeral;
mod file;
mod guesses;
mod loan;
mod look;
mod nodes;
mod opening;
mod pools;
mod reason;
mod recovery;
mod resets;
mod servers;
mod ticket_rights;
mod tickets;
mod used_challenges;
mod values;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::ports::{Recorded, StoreError, Stored};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

pub use copy::Rows;
use database::Database;
pub use look::SchemaState;
use opening::Step;
pub use pools::OpenSettings;
use servers::Servers;

const SQLITE: &str = "the account database (SQLite)";
const POSTGRES: &str = "the account database (PostgreSQL)";

/// Schema migrations in order.
///
/// The guard of the audit log differs between databases: `audit`.
fn schema(audit: &'static str) -> Vec<Step> {
    vec![
        Step { version: 1, name: "accounts", sql: include_str!("migrations/accounts_0001.sql") },
        Step { version: 2, name: "audit", sql: audit },
        Step { version: 3, name: "tickets", sql: include_str!("migrations/tickets_0003.sql") },
        Step { version: 4, name: "passwords", sql: include_str!("migrations/passwords_0004.sql") },
        Step { version: 5, name: "throttle", sql: include_str!("migrations/throttle_0005.sql") },
        Step {
            version: 6,
            name: "recovery uses",
            sql: include_str!("migrations/recovery_uses_0006.sql"),
        },
        Step {
            version: 7,
            name: "app accounts",
            sql: include_str!("migrations/app_accounts_0007.sql"),
        },
        Step {
            version: 8,
            name: "access tokens",
            sql: include_str!("migrations/access_tokens_0008.sql"),
        },
        Step {
            version: 9,
            name: "authenticators",
            sql: include_str!("migrations/authenticators_0009.sql"),
        },
        Step { version: 11, name: "nodes", sql: include_str!("migrations/nodes_0011.sql") },
        Step { version: 12, name: "keys", sql: include_str!("migrations/keys_0012.sql") },
        Step {
            version: 14,
            name: "ended sessions",
            sql: include_str!("migrations/ended_sessions_0014.sql"),
        },
        Step { version: 20, name: "floor", sql: include_str!("migrations/floor_0020.sql") },
        Step {
            version: 21,
            name: "used challenges",
            sql: include_str!("migrations/used_challenges_0021.sql"),
        },
    ]
}

fn sqlite_schema() -> Vec<Step> {
    schema(concat!(
        include_str!("migrations/audit_0002.sql"),
        include_str!("migrations/audit_0002_sqlite.sql")
    ))
}

fn postgres_schema() -> Vec<Step> {
    schema(concat!(
        include_str!("migrations/audit_0002.sql"),
        include_str!("migrations/audit_0002_postgres.sql")
    ))
}

/// The location of the account database.
#[derive(Clone, Debug)]
pub enum SqlTarget {
    /// A SQLite file, `accounts.db` in the data directory. It and its directory are created if they
    /// do not exist (modes 0600 and 0700). Several processes of one machine can share it.
    Embedded(PathBuf),
    /// A PostgreSQL server: `postgres://user:password@host:port/database`, with `sslmode` and
    /// `sslrootcert` as query parameters. Several hosts are separated by commas; the one that accepts
    /// writes is used.
    Postgres(Secret),
}

/// The durable store: [`crate::auth::ports::Accounts`], [`crate::auth::ports::Authenticators`],
/// [`crate::auth::ports::RecoveryCodes`], [`crate::auth::ports::Guesses`],
/// [`crate::auth::ports::Tickets`], [`crate::auth::ports::AccessTokens`],
/// [`crate::auth::ports::UsedChallenges`] and [`crate::auth::ports::Audit`].
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqlStore {
    db: Database,
    /// Keeps an embedded database from being replaced while it is in use.
    _in_use: Option<Arc<File>>,
}

impl SqlStore {
    /// Opens the database and migrates its schema. Several processes can do so at once. Returns an
    /// error if the database cannot be reached or was migrated by a version more than one release
    /// newer.
    pub async fn open(target: SqlTarget) -> Stored<Self> {
        Self::open_with(target, OpenSettings::default()).await
    }

    /// Like [`Self::open`], with these settings.
    pub async fn open_with(target: SqlTarget, settings: OpenSettings) -> Stored<Self> {
        match target {
            SqlTarget::Embedded(path) => {
                let opened = file::prepare(&path).and_then(|path| file::share(&path));
                let in_use = opened.map_err(|error| StoreError {
                    store: SQLITE,
                    reason: format!("failed to open {}: {error}", path.display()),
                })?;
                let db = Database::sqlite(SQLITE, &path, &sqlite_schema(), "FULL").await?;
                Ok(Self { db, _in_use: Some(Arc::new(in_use)) })
            }
            SqlTarget::Postgres(url) => {
                let db = Database::postgres(POSTGRES, &url, postgres_schema(), settings).await?;
                Ok(Self { db, _in_use: None })
            }
        }
    }

    /// Returns true if `url` is a PostgreSQL address that [`Self::open`] accepts.
    pub fn takes_address(url: &Secret) -> bool {
        Servers::of(POSTGRES, url).is_ok_and(|servers| servers.are_complete())
    }

    /// Returns the address of each host of a PostgreSQL address with several.
    pub fn addresses(url: &Secret) -> Result<Vec<Secret>, &'static str> {
        servers::addresses(url)
    }

    /// Inspects the database without changing it. Fails as [`Self::open`] would.
    pub async fn look(target: &SqlTarget) -> Stored<SchemaState> {
        match target {
            SqlTarget::Embedded(path) => look::sqlite(SQLITE, path, &sqlite_schema()).await,
            SqlTarget::Postgres(url) => look::postgres(POSTGRES, url, &postgres_schema()).await,
        }
    }

    /// Returns those of `names` that no account has. Changes nothing. The tables must exist.
    pub async fn unknown_names(target: &SqlTarget, names: &[String]) -> Stored<Vec<String>> {
        match target {
            SqlTarget::Embedded(path) => look::unknown_in_sqlite(SQLITE, path, names).await,
            SqlTarget::Postgres(url) => look::unknown_in_postgres(POSTGRES, url, names).await,
        }
    }

    /// Returns what the nodes of a cluster have recorded until `now`. Changes nothing. The tables
    /// must exist.
    pub async fn recorded_nodes(target: &SqlTarget, now: Timestamp) -> Stored<Recorded> {
        match target {
            SqlTarget::Embedded(path) => look::nodes_in_sqlite(SQLITE, path, now).await,
            SqlTarget::Postgres(url) => look::nodes_in_postgres(POSTGRES, url, now).await,
        }
    }

    /// Returns the number of keys that are registered with a relying party other than `rp_id`, by
    /// relying party. Changes nothing. The tables must exist.
    pub async fn keys_elsewhere(target: &SqlTarget, rp_id: &str) -> Stored<Vec<(String, u64)>> {
        match target {
            SqlTarget::Embedded(path) => look::keys_in_sqlite(SQLITE, path, rp_id).await,
            SqlTarget::Postgres(url) => look::keys_in_postgres(POSTGRES, url, rp_id).await,
        }
    }

    /// Closes all connections for shutdown. Later operations fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
