//! The store of the audit log.

use async_trait::async_trait;

use super::Stored;
use crate::auth::account::LoginName;
use crate::auth::audit::{Checkpoint, Head, NewRecord, Record};
use crate::auth::keys::KeyRing;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// A query for audit rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only rows with a greater number.
    pub after: u64,
    /// Only rows from this time on.
    pub since: Timestamp,
    /// Only rows before this time.
    pub before: Option<Timestamp>,
    /// Only rows of this login name.
    pub name: Option<LoginName>,
    /// Only rows of this account.
    pub account: Option<AccountId>,
    /// Only rows of this event type.
    pub event: Option<String>,
    /// Only rows of requests whose id ends with these hexadecimal digits.
    pub reference_end: Option<String>,
    /// Only rows of this client address.
    pub address: Option<ClientIp>,
    /// Maximum number of rows.
    pub limit: u32,
}

impl AuditQuery {
    /// Selects the newest rows.
    pub fn newest(limit: u32) -> Self {
        Self {
            after: 0,
            since: Timestamp::EPOCH,
            before: None,
            name: None,
            account: None,
            event: None,
            reference_end: None,
            address: None,
            limit,
        }
    }
}

/// The rows removed from the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Number of rows.
    pub rows: u64,
    /// Newest removed row.
    pub through: u64,
}

/// The audit log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends a row after the head, as made by [`crate::auth::audit::chain::append`], and a checkpoint
    /// if one is due.
    async fn append(&self, record: &NewRecord, keys: &KeyRing) -> Stored<Record>;
    /// Returns the rows that match the query, newest first.
    async fn find(&self, asked: &AuditQuery) -> Stored<Vec<Record>>;
    /// Returns the rows with greater numbers than `seq`, oldest first, at most `limit`.
    async fn rows_after(&self, seq: u64, limit: u32) -> Stored<Vec<Record>>;
    /// Returns the end of the log.
    async fn head(&self) -> Stored<Head>;
    /// Returns all checkpoints, oldest first.
    async fn checkpoints(&self) -> Stored<Vec<Checkpoint>>;
    /// Removes rows up to a checkpoint from before `before`, a few thousand at most, and signs the
    /// removal. Returns `None` if there is nothing to remove.
    async fn prune(&self, before: Timestamp, keys: &KeyRing) -> Stored<Option<Pruned>>;
}
