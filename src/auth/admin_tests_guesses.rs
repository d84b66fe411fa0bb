//! No second factor is guessed at in these tests; only that wrong guesses are forgotten is noted.

use async_trait::async_trait;

use super::Memory;
use crate::auth::ports::{Guesses, StoreError, Stored};
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
