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
mod outage;
pub mod redis;
pub mod sql;
mod unreadable;

/// Time after which an unanswered store counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts a failed operation of a store.
#[cold]
fn count_error(store: &'static str) {
    metrics::counter!("vestibule_store_errors_total", "store" => store).increment(1);
}

/// Reason given when a store exceeds [`PATIENCE`].
const TOO_SLOW: &str =
    "it did not answer within 2 seconds; check that it runs and is not overloaded";
