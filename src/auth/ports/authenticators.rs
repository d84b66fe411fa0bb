//! The store of authenticators.

use async_trait::async_trait;

use super::{LinkEnded, Stored};
use crate::auth::authenticator::{
    Authenticator, AuthenticatorKind, AuthenticatorUse, NewAuthenticator,
};
use crate::auth::recovery::NewRecoverySet;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

/// The result of adding an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum AuthenticatorAdded {
    /// It was added.
    Yes,
    /// Another authenticator has its lookup key.
    Registered,
    /// The account has as many as it may have.
    TooMany,
    /// The account does not exist, is disabled, or does not accept the session.
    Ended,
}

/// The result of removing an authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AuthenticatorRemoved {
    /// It was removed.
    Yes {
        /// Its name.
        name: String,
    },
    /// The account has no such authenticator.
    Unknown,
    /// It is the last one.
    Last,
    /// The account does not accept the session.
    Ended,
}

/// A session that removes an authenticator, and the keys that count as remaining ones.
#[derive(Clone, Copy, Debug)]
pub struct RemovedBy<'a> {
    /// Start of the session.
    pub since: Timestamp,
    /// True if keys are accepted at all.
    pub keys: bool,
    /// The only relying party whose keys are accepted, if there is one.
    pub rp_id: Option<&'a str>,
}

/// Authenticators of every kind.
///
/// No operation stores an authenticator whose `lookup` another one has, or a second authenticator
/// app of an account.
#[async_trait]
pub trait Authenticators: Send + Sync {
    /// Returns the authenticators of an account, oldest first.
    async fn authenticators(&self, account: AccountId) -> Stored<Vec<Authenticator>>;
    /// Makes `new` the first authenticator of an account that was never enrolled, and marks the
    /// account as enrolled for good. Returns false, without any change, if the account was ever
    /// enrolled, is disabled, or has ended the logins that started at `since`.
    async fn enrol_first(&self, new: &NewAuthenticator, since: Timestamp) -> Stored<bool>;
    /// Replaces the authenticators of the same kind with `new` and the recovery codes with `codes`,
    /// ends every session that started before `new` was confirmed, and removes the right to enrol
    /// from the account's ticket, in one atomic step. Returns `None`, without any change, if the
    /// account is disabled or no longer accepts sessions that started at `since`.
    async fn replace_authenticator(
        &self,
        new: &NewAuthenticator,
        codes: &NewRecoverySet,
        since: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Returns the authenticator with this lookup key.
    async fn authenticator_by(&self, lookup: &str) -> Stored<Option<Authenticator>>;
    /// Adds `new` to the authenticators of an account, unless it has `most` of that kind already, or no
    /// longer accepts sessions that started at `since`. Marks the account as enrolled for good.
    async fn add_authenticator(
        &self,
        new: &NewAuthenticator,
        most: u32,
        since: Timestamp,
    ) -> Stored<AuthenticatorAdded>;
    /// Renames an authenticator of this kind. Returns true if the account has it.
    async fn rename_authenticator(
        &self,
        account: AccountId,
        which: (AuthenticatorKind, FactorId),
        name: &str,
    ) -> Stored<bool>;
    /// Removes an authenticator of this kind and ends every session that started before `now`, in one
    /// atomic step. For a session, which the account has to accept still, one authenticator stays that
    /// works: it is not suspended, and a key is of a relying party that is accepted. Without a session,
    /// an operator removes it.
    async fn remove_authenticator(
        &self,
        account: AccountId,
        which: (AuthenticatorKind, FactorId),
        by: Option<RemovedBy<'_>>,
        now: Timestamp,
    ) -> Stored<AuthenticatorRemoved>;
    /// Uses up a verified response. Returns true to exactly one caller, and only if its counter is
    /// greater than every used one (RFC 6238 §5.2, WebAuthn §6.1.1). A counter of zero is none: it is
    /// accepted as long as no other was used.
    async fn use_authenticator(&self, used: &AuthenticatorUse) -> Stored<bool>;
}
