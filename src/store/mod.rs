//! The stores: adapters of [`crate::auth::ports`].
//!
//! | data | one machine | a cluster |
//! |---|---|---|
//! | accounts, factors, recovery codes (durable) | [`sql::SqlStore`] on SQLite | [`sql::SqlStore`] on PostgreSQL |
//! | pending logins, sessions, counters (ephemeral) | [`sql::ephemeral::EmbeddedStore`] | [`redis::RedisStore`] |
//!
//! Stores depend only on `base` and `auth`. Only [`redis`] uses the redis crate, only [`sql`] uses
//! sqlx. Every check-and-change is one statement, one transaction that takes its lock first, or one
//! server-side script. An error says which store failed and what to do, and never contains an address
//! with credentials, a record or a key.

use std::time::Duration;

mod heartbeat;
pub mod redis;
pub mod sql;

/// Time after which an unanswered store counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reason given when a store exceeds [`PATIENCE`].
const TOO_SLOW: &str =
    "it did not answer within 2 seconds; check that it runs and is not overloaded";
