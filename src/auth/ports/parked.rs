//! The store of requests that wait for their sender to sign in again.

use std::time::Duration;

use async_trait::async_trait;

use super::Stored;
use crate::auth::parked::{FormerSession, ParkedLimits, ParkedRecord};
use crate::auth::token::{HashedToken, ParkedToken, SessionToken};
use crate::base::clock::Timestamp;

/// Kept requests, and the sessions that they may have belonged to. Short-lived.
#[async_trait]
pub trait ParkedRequests: Send + Sync {
    /// Remembers a session for `lives`, which is longer than it can be alive, in place of what was remembered
    /// under its token.
    async fn remember_session(
        &self,
        token: &HashedToken<SessionToken>,
        former: &FormerSession,
        lives: Duration,
        now: Timestamp,
    ) -> Stored<()>;
    /// Returns the session that was remembered under this token, whether or not it is alive.
    async fn former_session(
        &self,
        token: &HashedToken<SessionToken>,
        now: Timestamp,
    ) -> Stored<Option<FormerSession>>;
    /// Keeps a request until it expires, in place of an earlier one under the same id. Removes the
    /// oldest of the account if there are too many. Returns false, without keeping it, if too many
    /// are kept in all.
    async fn park(
        &self,
        id: &HashedToken<ParkedToken>,
        record: &ParkedRecord,
        limits: ParkedLimits,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Returns a kept request, unless it has expired by `now`.
    async fn parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>>;
    /// Removes a kept request. Returns it to exactly one caller, and `None` to all others, or if it
    /// has expired by `now`.
    async fn take_parked(
        &self,
        id: &HashedToken<ParkedToken>,
        now: Timestamp,
    ) -> Stored<Option<ParkedRecord>>;
}
