//! SQL stores on SQLite or PostgreSQL with one set of statements (`$1` placeholders, TEXT and
//! BIGINT columns). They store records and make no decision about passwords, codes or sessions.

mod access_tokens;
mod accounts;
mod app_accounts;
mod audit;
mod database;
pub mod ephemeral;
mod factors;
mod file;
mod guesses;
mod loan;
mod look;
mod opening;
mod reason;
mod resets;
mod ticket_rights;
mod tickets;
mod values;

use std::path::PathBuf;

use crate::auth::ports::Stored;
use crate::base::secret::Secret;

use database::Database;
pub use look::SchemaState;
use opening::Step;

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
    /// `sslrootcert` as query parameters.
    Postgres(Secret),
}

/// The durable store: [`crate::auth::ports::Accounts`], [`crate::auth::ports::Factors`],
/// [`crate::auth::ports::Guesses`], [`crate::auth::ports::Tickets`],
/// [`crate::auth::ports::AccessTokens`] and [`crate::auth::ports::Audit`].
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqlStore {
    db: Database,
}

impl SqlStore {
    /// Opens the database and migrates its schema. Several processes can do so at once. Returns an
    /// error if the database cannot be reached or was created by a newer version.
    pub async fn open(target: SqlTarget) -> Stored<Self> {
        let db = match target {
            SqlTarget::Embedded(path) => {
                Database::sqlite(SQLITE, &path, &sqlite_schema(), "FULL").await?
            }
            SqlTarget::Postgres(url) => {
                Database::postgres(POSTGRES, &url, &postgres_schema()).await?
            }
        };
        Ok(Self { db })
    }

    /// Returns true if `url` is a PostgreSQL address that [`Self::open`] accepts.
    pub fn takes_address(url: &Secret) -> bool {
        opening::postgres_options(POSTGRES, url).is_ok_and(|options| opening::is_complete(&options))
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

    /// Closes all connections for shutdown. Later operations fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
