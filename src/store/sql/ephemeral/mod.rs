//! The ephemeral store of one machine: pending logins, sessions and counters in a SQLite file that
//! several processes can share.
//!
//! The caller supplies the time. Expired rows are never returned, and later writes remove them.

mod app_tokens;
mod attempts;
mod challenges;
mod counters;
mod hand_overs;
mod networks;
mod parked;
mod pending;
mod refusals;
mod sessions;

use std::path::Path;

use sqlx::query;

use crate::auth::ports::Stored;
use crate::base::clock::Timestamp;

use self::counters::Counters;
use super::database::Database;
use super::look::{self, SchemaState};
use super::opening::Step;
use super::values::moment;

/// Schema migrations in order.
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
    Step {
        version: 16,
        name: "challenges",
        sql: include_str!("../migrations/challenges_0016.sql"),
    },
    Step { version: 20, name: "floor", sql: include_str!("../migrations/floor_0020.sql") },
    Step { version: 22, name: "branches", sql: include_str!("../migrations/branches_0022.sql") },
    Step {
        version: 23,
        name: "parked requests",
        sql: include_str!("../migrations/parked_0023.sql"),
    },
];

const STORE: &str = "the session store (SQLite)";

/// The ephemeral store in a file: [`crate::auth::ports::PendingLogins`],
/// [`crate::auth::ports::Sessions`] and [`crate::auth::ports::Attempts`].
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    db: Database,
    counters: Counters,
}

impl EmbeddedStore {
    /// Opens the file, `sessions.db` in the data directory. Creates it and its directory if they do
    /// not exist (modes 0600 and 0700). Returns an error if the file cannot be opened or was
    /// created by a newer version.
    pub async fn open(path: &Path) -> Stored<Self> {
        let db = Database::sqlite(STORE, path, SCHEMA, "NORMAL").await?;
        Ok(Self { db, counters: Counters::new(STORE) })
    }

    /// Inspects the file without changing it. Fails as [`Self::open`] would.
    pub async fn look(path: &Path) -> Stored<SchemaState> {
        look::sqlite(STORE, path, SCHEMA).await
    }

    /// Closes all connections for shutdown. Later operations fail.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Removes pending logins and sessions that have expired by `now`.
    async fn sweep(&self, now: Timestamp) -> Stored<()> {
        let logins = query("DELETE FROM pending_logins WHERE expires_at <= $1").bind(moment(now));
        self.db.change(logins).await?;
        let sessions = query("DELETE FROM sessions WHERE keep_until <= $1").bind(moment(now));
        self.db.change(sessions).await?;
        let branches = query(
            "DELETE FROM branches WHERE keep_until <= $1 OR root NOT IN (SELECT id FROM sessions)",
        );
        self.db.change(branches.bind(moment(now))).await?;
        let tokens =
            query("DELETE FROM app_tokens WHERE session_id NOT IN (SELECT id FROM token_holders)");
        self.db.change(tokens).await?;
        Ok(())
    }
}
