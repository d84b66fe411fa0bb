//! The store of ended sessions.

use async_trait::async_trait;

use super::Stored;
use crate::auth::session::{EndOf, Session};
use crate::base::clock::Timestamp;
use crate::base::id::SessionId;

/// Ended sessions, durable like accounts. The store of live sessions may lose its latest writes, and
/// with them the end of a session: after a failover, or when an older copy is restored.
#[async_trait]
pub trait EndedSessions: Send + Sync {
    /// Returns the time by the clock of this store, which all nodes and commands share.
    async fn now(&self) -> Stored<Timestamp>;
    /// Records an end at `now`. The record is deleted at `until`, when none of the sessions can be
    /// alive any more. No earlier end is weakened: what it ended stays ended, even if this end
    /// spares it.
    async fn record_end(&self, end: &EndOf, now: Timestamp, until: Timestamp) -> Stored<()>;
    /// Returns those of `sessions` that were ended.
    async fn ended_among(&self, sessions: &[Session]) -> Stored<Vec<SessionId>>;
}
