//! The store of our own tokens for programs.

use async_trait::async_trait;

use super::Stored;
use crate::auth::access_token::{AccessRecord, NewAccess};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};

/// Tokens of ours for programs. Removing an account or resetting its second factor removes its
/// tokens in the same step.
#[async_trait]
pub trait AccessTokens: Send + Sync {
    /// Files a token. False, and nothing filed, where there is no such account or it is disabled.
    async fn file_token(&self, new: &NewAccess) -> Stored<bool>;
    /// The token with this hash, also one whose time is over.
    async fn token(&self, hash: &HashedToken<AccessToken>) -> Stored<Option<AccessRecord>>;
    /// The tokens of one account or of all, newest first.
    async fn tokens(&self, account: Option<AccountId>) -> Stored<Vec<AccessRecord>>;
    /// Removes a token, where it is the account's, if one is named. What was removed: for exactly
    /// one of several callers.
    async fn revoke_token(
        &self,
        id: TokenId,
        account: Option<AccountId>,
    ) -> Stored<Option<AccessRecord>>;
    /// Notes that a token was used at `at`, unless a use after `before` is noted already. Whether
    /// it was noted now: true for one of several callers.
    async fn note_token_use(&self, id: TokenId, at: Timestamp, before: Timestamp) -> Stored<bool>;
}
