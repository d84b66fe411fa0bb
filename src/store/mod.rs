//! The stores: adapters of [`crate::auth::ports`].
//!
//! | what | one machine | a cluster |
//! |---|---|---|
//! | accounts, factors, recovery codes (durable) | [`sql::SqlStore`] on SQLite | [`sql::SqlStore`] on PostgreSQL |
//! | logins in progress, sessions, counters (short-lived) | [`sql::ephemeral::EmbeddedStore`] | [`redis::RedisStore`] |
//!
//! Only `base` and `auth` are known here; only [`redis`] names the redis crate, only [`sql`] names
//! sqlx. Every check-and-change is one statement, one transaction that takes its lock first, or one
//! script in the server. An error says which store failed and what to do, and never holds an
//! address with credentials, a record or a key.

use std::time::Duration;

mod heartbeat;
pub mod redis;
pub mod sql;

/// How long a store may take before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is said of a store that took longer.
const TOO_SLOW: &str =
    "it did not answer within 2 seconds; check that it runs and is not overloaded";
