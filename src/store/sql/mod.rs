//! The SQL stores, on SQLite or PostgreSQL through one set of statements (`$1` placeholders, TEXT
//! and BIGINT columns). They know records, not what a password, a code or a session is worth.

mod accounts;
mod database;
pub mod ephemeral;
mod factors;
mod file;
mod values;

use std::path::PathBuf;

use crate::auth::ports::Stored;
use crate::base::secret::Secret;

use database::{Database, Schema};

const SQLITE: &str = "the account database (SQLite)";
const POSTGRES: &str = "the account database (PostgreSQL)";

/// Where the account database is.
#[derive(Clone, Debug)]
pub enum SqlTarget {
    /// A SQLite file, `accounts.db` in the data directory. It and its directory are made when
    /// missing (modes 0600 and 0700); several processes of one machine may share it.
    Embedded(PathBuf),
    /// A PostgreSQL server: `postgres://user:password@host:port/database`, with `sslmode` and
    /// `sslrootcert` as query parameters.
    Postgres(Secret),
}

/// The durable store: [`crate::auth::ports::Accounts`] and [`crate::auth::ports::Factors`].
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqlStore {
    db: Database,
}

impl SqlStore {
    /// Opens the database and brings its tables up to date; several openers at once are safe. Fails
    /// when it cannot be reached, or was made by a newer version of the product.
    pub async fn open(target: SqlTarget) -> Stored<Self> {
        let schema = Schema {
            version: 1,
            name: "accounts",
            sql: include_str!("migrations/accounts_0001.sql"),
        };
        let db = match target {
            SqlTarget::Embedded(path) => Database::sqlite(SQLITE, &path, schema, "FULL").await?,
            SqlTarget::Postgres(url) => Database::postgres(POSTGRES, &url, schema).await?,
        };
        Ok(Self { db })
    }

    /// Closes all connections, for an orderly stop. Operations after it fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
