//! An empty store of access tokens.

use async_trait::async_trait;

use super::Memory;
use crate::auth::access_token::{AccessRecord, NewAccess};
use crate::auth::ports::{AccessTokens, Stored};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};

#[async_trait]
impl AccessTokens for Memory {
    async fn file_token(&self, _new: &NewAccess) -> Stored<bool> {
        Ok(false)
    }
    async fn token(&self, _hash: &HashedToken<AccessToken>) -> Stored<Option<AccessRecord>> {
        Ok(None)
    }
    async fn tokens(&self, _account: Option<AccountId>) -> Stored<Vec<AccessRecord>> {
        Ok(Vec::new())
    }
    async fn revoke_token(
        &self,
        _id: TokenId,
        _account: Option<AccountId>,
    ) -> Stored<Option<AccessRecord>> {
        Ok(None)
    }
    async fn note_token_use(&self, _: TokenId, _: Timestamp, _: Timestamp) -> Stored<bool> {
        Ok(false)
    }
}
