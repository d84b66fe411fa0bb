//! Store of failed attempts that only records resets, and an empty store of links to apps.

use async_trait::async_trait;

use super::Memory;
use crate::auth::account::{Account, NewAccount};
use crate::auth::app_sign_in::{Linked, Subject};
use crate::auth::ports::{AppAccounts, Guesses, StoreError, Stored};
use crate::auth::stage::Factor;
use crate::auth::throttle::{Counted, Ladder, WrongCodes};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

pub(super) fn down<T>() -> Stored<T> {
    Err(StoreError { store: "the test store", reason: "it is down".to_owned() })
}

#[async_trait]
impl Guesses for Memory {
    async fn count_factor_guess(
        &self,
        _: AccountId,
        _: Factor,
        _: &Ladder,
        _: Timestamp,
    ) -> Stored<Counted> {
        down()
    }
    async fn factor_guess_was_right(&self, _: AccountId, _: Factor) -> Stored<()> {
        down()
    }
    async fn take_back_factor_guess(
        &self,
        _: AccountId,
        _: Factor,
        _: &Ladder,
        _: u32,
    ) -> Stored<()> {
        down()
    }
    async fn suspend_factor(&self, _: AccountId, _: Factor, _: u32, _: Timestamp) -> Stored<bool> {
        down()
    }
    async fn lift_suspension(&self, id: AccountId) -> Stored<bool> {
        Ok(self.change(id, "lift_suspension", |_| {}))
    }
    async fn note_wrong_code(&self, _: AccountId, _: &WrongCodes) -> Stored<()> {
        down()
    }
    async fn wrong_codes(&self, _: AccountId) -> Stored<Vec<WrongCodes>> {
        down()
    }
    async fn forget_wrong_codes(&self, _: AccountId, _: Timestamp) -> Stored<()> {
        down()
    }
}

#[async_trait]
impl AppAccounts for Memory {
    async fn by_subject(&self, _: &str, _: &Subject) -> Stored<Option<Account>> {
        down()
    }
    async fn link(&self, _: AccountId, _: &str, _: &Subject, _: Timestamp) -> Stored<Linked> {
        down()
    }
    async fn link_or_add(&self, _: &str, _: &Subject, _: &NewAccount) -> Stored<Option<Account>> {
        down()
    }
    async fn unlink(&self, _: AccountId, _: &str, _: Timestamp) -> Stored<bool> {
        down()
    }
    async fn links_of(&self, _: AccountId) -> Stored<Vec<(String, Subject)>> {
        Ok(self.links.lock().clone())
    }
}
