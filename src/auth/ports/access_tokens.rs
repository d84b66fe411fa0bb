//! The store of access tokens.

use async_trait::async_trait;

use super::Stored;
use crate::auth::access_token::{AccessRecord, NewAccess};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};

/// Access tokens. Removing an account or resetting its second factor removes its tokens in the same
/// step.
#[async_trait]
pub trait AccessTokens: Send + Sync {
    /// Stores a token. Returns false, without storing it, if the account does not exist or is
    /// disabled.
    async fn file_token(&self, new: &NewAccess) -> Stored<bool>;
    /// Returns the token with this hash, even if it has expired.
    async fn token(&self, hash: &HashedToken<AccessToken>) -> Stored<Option<AccessRecord>>;
    /// Returns the tokens of one account or of all, newest first.
    async fn tokens(&self, account: Option<AccountId>) -> Stored<Vec<AccessRecord>>;
    /// Removes a token; if an account is given, only if the token is its own. Returns the removed
    /// record to exactly one of several callers.
    async fn revoke_token(
        &self,
        id: TokenId,
        account: Option<AccountId>,
    ) -> Stored<Option<AccessRecord>>;
    /// Records a use of a token at `at`, unless a use after `before` is recorded. Returns true to
    /// exactly one of several callers.
    async fn note_token_use(&self, id: TokenId, at: Timestamp, before: Timestamp) -> Stored<bool>;
}
