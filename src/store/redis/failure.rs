//! Errors of the store.

use redis::RedisError;

use crate::auth::ports::StoreError;
use crate::store::count_error;

use super::reason::reason;

/// The name of the store in errors.
pub(super) const STORE: &str = "the session store (Redis)";

/// Builds the error for a reason.
pub(super) fn error(reason: impl Into<String>) -> StoreError {
    count_error(STORE);
    StoreError { store: STORE, reason: reason.into() }
}

/// Builds the error for a failed command.
pub(super) fn failure(failed: &RedisError) -> StoreError {
    error(reason(failed))
}

/// Builds the error for a record that cannot be parsed. It never quotes the record.
pub(super) fn damaged(what: &str) -> StoreError {
    error(format!("the record of a {what} is invalid; was it written by another version?"))
}
