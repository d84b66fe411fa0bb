//! Tickets of hand-overs, and the sessions at apps that they lead to.

use std::time::Duration;

use async_trait::async_trait;

use super::Stored;
use crate::auth::hand_over::{BranchLimits, HandOver};
use crate::auth::session::Branch;
use crate::auth::token::{HandOverToken, HashedToken, SessionToken};
use crate::base::clock::Timestamp;

/// Hand-overs from the portal to apps.
#[async_trait]
pub trait HandOvers: Send + Sync {
    /// Stores a ticket until it expires. If its session has more than `most` unused tickets, removes
    /// the oldest.
    async fn issue_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        hand_over: &HandOver,
        most: u32,
        now: Timestamp,
    ) -> Stored<()>;
    /// Uses up the ticket. Returns it to exactly one caller, and `None` to all others and if it has
    /// expired by `now`.
    async fn take_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        now: Timestamp,
    ) -> Stored<Option<HandOver>>;
    /// Stores a branch under `id` for `ttl` from `now` on, unless its root is gone. Returns true if
    /// it is stored. Keeps the newest branches of the root, and of the app, up to the limits.
    async fn branch(
        &self,
        id: &HashedToken<SessionToken>,
        branch: &Branch,
        most: BranchLimits,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Binds the app tokens of the branch `former` to `new`, which follows it at the same app in the
    /// same browser. Does nothing unless both have the same root and app.
    async fn follow_branch(
        &self,
        former: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
    ) -> Stored<()>;
}
