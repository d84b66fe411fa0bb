//! The store of recovery codes.

use async_trait::async_trait;

use super::Stored;
use crate::auth::recovery::{NewRecoverySet, RecoveryHash, RecoverySet};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Recovery codes: at most one set for each account.
#[async_trait]
pub trait RecoveryCodes: Send + Sync {
    /// Returns the recovery codes of an account, without their hashes.
    async fn recovery_set(&self, account: AccountId) -> Stored<Option<RecoverySet>>;
    /// Replaces all recovery codes of an account with `set`, for a session that started at `since`.
    /// Returns false, without any change, if the account no longer accepts that session.
    async fn replace_recovery(&self, set: &NewRecoverySet, since: Timestamp) -> Stored<bool>;
    /// Replaces the recovery codes as [`Self::replace_recovery`] does, but only if the current ones
    /// have the salt `instead_of`, or if there are none and it is `None`.
    async fn file_recovery(
        &self,
        set: &NewRecoverySet,
        instead_of: Option<&str>,
        since: Timestamp,
    ) -> Stored<bool>;
    /// Records that the user has saved the codes if `code` is an unused code of the account.
    /// Returns true if so. The code stays valid.
    async fn confirm_recovery_by(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Uses up a recovery code of this account. Returns the number of remaining codes to exactly
    /// one caller, and `None` to all others and for a code of another account.
    async fn consume_recovery(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<Option<u32>>;
    /// Returns true if this is a used recovery code of this account.
    async fn recovery_was_used(&self, account: AccountId, code: &RecoveryHash) -> Stored<bool>;
    /// Returns the time before `before` at which a recovery code of the account was last used, if
    /// the user has not been notified of it. Later changes to the codes do not matter.
    async fn untold_recovery(
        &self,
        account: AccountId,
        before: Timestamp,
    ) -> Stored<Option<Timestamp>>;
    /// Records that the user was notified of the uses before `before`.
    async fn recovery_told(&self, account: AccountId, before: Timestamp) -> Stored<()>;
}
