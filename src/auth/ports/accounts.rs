//! The store of accounts, as a port for each of its users.

use async_trait::async_trait;

use super::{LinkEnded, StoreHealth, Stored};
use crate::auth::account::{
    Account, AccountStatus, Identity, IdentityChange, LoginName, NewAccount,
};
use crate::auth::password::PasswordRecord;
use crate::auth::session::SessionMark;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// The result of adding an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// The account was added.
    Yes,
    /// The name is taken.
    NameTaken,
}

/// The state of accounts, for the gate.
#[async_trait]
pub trait AccountStatuses: Send + Sync {
    /// Returns the state of the account of `session` for the gate, or `None` if the account was
    /// removed.
    async fn status(&self, id: AccountId, session: &SessionMark) -> Stored<Option<AccountStatus>>;
}

/// Lookup of accounts, for sign-in and administration.
#[async_trait]
pub trait AccountLookup: Send + Sync {
    /// Returns the account with this login name.
    async fn by_name(&self, name: &LoginName) -> Stored<Option<Account>>;
    /// Returns the account with this id.
    async fn by_id(&self, id: AccountId) -> Stored<Option<Account>>;
    /// Returns the account of a pending login that began at `started_at`, unless it may not sign in,
    /// its credentials changed, or its sessions were ended since. The session store ends the login as
    /// well, but may lose that.
    async fn of_login(&self, id: AccountId, started_at: Timestamp) -> Stored<Option<Account>>;
}

/// The list of accounts, for administration.
#[async_trait]
pub trait AccountList: Send + Sync {
    /// Returns all accounts, by name.
    async fn list(&self) -> Stored<Vec<Account>>;
}

/// Changes that sign-in and users make to their own password.
#[async_trait]
pub trait OwnPasswords: Send + Sync {
    /// Sets the password that its user chose, ends every session that started before `now`, and
    /// removes the right to set one from the account's ticket, in one atomic step. Returns `None`,
    /// without any change, if the account is disabled or no longer accepts sessions that started at
    /// `since`.
    async fn change_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Replaces the password hash after a change of parameters, if it is still `old`.
    async fn rehash_password(
        &self,
        id: AccountId,
        old: &PasswordRecord,
        new: &PasswordRecord,
    ) -> Stored<()>;
}

/// Changes that an operator makes to accounts.
#[async_trait]
pub trait AccountManagement: Send + Sync {
    /// Adds an account unless its name is taken.
    async fn add(&self, account: &NewAccount) -> Stored<Added>;
    /// Sets the password. If `sessions_valid_from` is given, ends every session that started before
    /// it, and removes the right to set a password from the account's ticket, in one atomic step.
    /// Returns `None` if the account does not exist.
    async fn set_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        sessions_valid_from: Option<Timestamp>,
    ) -> Stored<Option<LinkEnded>>;
    /// Disables or enables an account. Disabling ends every session that started before `now` and
    /// removes the account's ticket. Returns true if the account exists.
    async fn set_disabled(&self, id: AccountId, disabled: bool, now: Timestamp) -> Stored<bool>;
    /// Makes browsers that became known to the account up to `now` unknown. Returns true if the
    /// account exists.
    async fn forget_devices(&self, id: AccountId, now: Timestamp) -> Stored<bool>;
    /// Changes email address, display name and groups in one step. Returns the identity before and
    /// after, or `None` if the account does not exist.
    async fn change_identity(
        &self,
        id: AccountId,
        change: &IdentityChange,
    ) -> Stored<Option<(Identity, Identity)>>;
    /// Removes the account with its factors, recovery codes and ticket. Returns true if it existed.
    async fn remove(&self, id: AccountId) -> Stored<bool>;
}

/// Everything that the store of accounts does, for the composition root.
pub trait Accounts:
    AccountStatuses + AccountLookup + AccountList + OwnPasswords + AccountManagement + StoreHealth
{
}

impl<S> Accounts for S where
    S: AccountStatuses
        + AccountLookup
        + AccountList
        + OwnPasswords
        + AccountManagement
        + StoreHealth
{
}
