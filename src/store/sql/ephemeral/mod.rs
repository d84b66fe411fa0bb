//! The short-lived store of one machine: logins in progress, sessions and counters in a SQLite
//! file that several processes share.
//!
//! Time is that of the caller: what has expired is not found, and is swept away by later writes.

mod app_tokens;
mod attempts;
mod counters;
mod networks;
mod pending;
mod refusals;
mod sessions;

use std::path::Path;

use sqlx::query;

use crate::auth::ports::Stored;
use crate::base::clock::Timestamp;

use self::counters::Counters;
use super::database::Database;
use super::look::{self, Found};
use super::opening::Step;
use super::values::moment;

/// The tables, in the order they came to be.
const SCHEMA: &[Step] = &[
    Step { version: 1, name: "sessions", sql: include_str!("../migrations/sessions_0001.sql") },
    Step { version: 4, name: "offers", sql: include_str!("../migrations/offers_0004.sql") },
    Step { version: 5, name: "app tokens", sql: include_str!("../migrations/app_tokens_0005.sql") },
    Step { version: 7, name: "refusals", sql: include_str!("../migrations/refusals_0007.sql") },
    Step {
        version: 10,
        name: "seen networks",
        sql: include_str!("../migrations/seen_networks_0010.sql"),
    },
    Step {
        version: 12,
        name: "identity changes",
        sql: include_str!("../migrations/identity_changes_0012.sql"),
    },
];

const STORE: &str = "the session store (SQLite)";

/// The short-lived store in a file: [`crate::auth::ports::PendingLogins`],
/// [`crate::auth::ports::Sessions`] and [`crate::auth::ports::Attempts`].
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    db: Database,
    counters: Counters,
}

impl EmbeddedStore {
    /// Opens the file, `sessions.db` in the data directory. It and its directory are made when
    /// missing (modes 0600 and 0700). Fails when it cannot be opened, or was made by a newer
    /// version of the product.
    pub async fn open(path: &Path) -> Stored<Self> {
        let db = Database::sqlite(STORE, path, SCHEMA, "NORMAL").await?;
        Ok(Self { db, counters: Counters::new() })
    }

    /// Looks at the file without changing anything. Fails as [`Self::open`] would.
    pub async fn look(path: &Path) -> Stored<Found> {
        look::sqlite(STORE, path, SCHEMA).await
    }

    /// Closes all connections, for an orderly stop. Operations after it fail.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Removes logins and sessions that have expired by `now`.
    async fn sweep(&self, now: Timestamp) -> Stored<()> {
        let logins = query("DELETE FROM pending_logins WHERE expires_at <= $1").bind(moment(now));
        self.db.change(logins).await?;
        let sessions = query("DELETE FROM sessions WHERE keep_until <= $1").bind(moment(now));
        self.db.change(sessions).await?;
        let tokens =
            query("DELETE FROM app_tokens WHERE session_id NOT IN (SELECT id FROM sessions)");
        self.db.change(tokens).await?;
        Ok(())
    }
}
