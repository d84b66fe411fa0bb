//! The store of sessions, as a port for each of its users.

use std::time::Duration;

use async_trait::async_trait;

use super::{StoreHealth, Stored};
use crate::auth::session::{Offer, Offers, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

/// The record of a session cannot be read. Callers must fail closed, for this session only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of a session cannot be read")]
pub struct Unreadable;

/// A session as read from its record. `None` if there is none.
pub type ReadSession = Result<Option<Session>, Unreadable>;

/// Lookup and use of sessions, for the gate.
#[async_trait]
pub trait SessionLookup: Send + Sync {
    /// Returns the session under this token. It may have just expired: check
    /// [`crate::auth::session::SessionLimits::is_alive`].
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>>;
    /// Returns the sessions under these tokens, in their order, as [`Self::load`] does for one. A
    /// record that cannot be read fails in its own place. A store answers for all of them in one round
    /// trip; the caller bounds their number.
    async fn load_all(&self, ids: &[HashedToken<SessionToken>]) -> Stored<Vec<ReadSession>>;
    /// Records a use of the session and keeps it for another `ttl`. Never restores an ended
    /// session.
    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()>;
}

/// Sessions that begin or continue under a new id, for sign-in and step-up.
#[async_trait]
pub trait SessionStarts: Send + Sync {
    /// Ends the pending login and stores the session in one atomic step. Returns true to exactly
    /// one caller, and false, without storing the session, if the login is gone. If the account has
    /// more than [`crate::auth::session::SESSIONS_MOST`] sessions, ends in the same step those that
    /// would expire first, except the new one.
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Ends the session `old` and stores `session` under `new` in one atomic step. Returns true to
    /// exactly one caller, and false, without storing it, if the old one is gone. The new session
    /// has the offers in `offers`. If that is `None`, it has the offers of the old one at that
    /// moment, not those in `session`.
    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool>;
}

/// Offers within a session, for the account pages.
#[async_trait]
pub trait SessionOffers: Send + Sync {
    /// Stores an offer in the session unless it has one of that kind already. Returns the current
    /// offer, or `None` if the session is gone.
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>>;
    /// Removes an offer. Returns true to exactly one caller.
    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool>;
    /// Records that the due recovery codes were confirmed.
    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()>;
}

/// Ends that a user brings about.
#[async_trait]
pub trait SessionEnds: Send + Sync {
    /// Ends one session. Returns true to exactly one caller, and false if there is none.
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool>;
    /// Ends all sessions and pending logins of an account except the session `keep`. Returns the
    /// number of sessions ended.
    async fn end_others(&self, account: AccountId, keep: &HashedToken<SessionToken>)
    -> Stored<u64>;
}

/// Sessions as listed, for the account pages and for administration.
#[async_trait]
pub trait SessionOverview: Send + Sync {
    /// Returns the sessions of one account or of all, newest first. Records that cannot be read are
    /// left out, and logged.
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>>;
    /// Ends the session with this public id, if it is `of` this account or that is `None`. Returns
    /// true if there was one.
    async fn end_by_id(&self, id: SessionId, of: Option<AccountId>) -> Stored<bool>;
}

/// Changes that an operator makes to sessions.
#[async_trait]
pub trait SessionManagement: Send + Sync {
    /// Counts a change to the account's identity in each of its sessions, so that every node reads
    /// the identity again.
    async fn identity_changed(&self, account: AccountId) -> Stored<()>;
    /// Ends all sessions and pending logins of an account. Returns the number of sessions ended.
    async fn end_account(&self, account: AccountId) -> Stored<u64>;
    /// Ends all sessions and pending logins. Returns the number of sessions ended.
    async fn end_all(&self) -> Stored<u64>;
}

/// Everything that the store of sessions does, for the composition root.
pub trait Sessions:
    SessionLookup
    + SessionStarts
    + SessionOffers
    + SessionEnds
    + SessionOverview
    + SessionManagement
    + StoreHealth
{
}

impl<S> Sessions for S where
    S: SessionLookup
        + SessionStarts
        + SessionOffers
        + SessionEnds
        + SessionOverview
        + SessionManagement
        + StoreHealth
{
}
