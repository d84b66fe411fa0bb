//! What is stored of wrong guesses at second factors.

use async_trait::async_trait;

use super::Stored;
use crate::auth::stage::Factor;
use crate::auth::throttle::{Counted, Ladder, WrongCodes};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Wrong guesses at second factors. Durable: emptying the short-lived store buys nobody a guess.
#[async_trait]
pub trait Guesses: Send + Sync {
    /// Counts one guess as wrong before it is compared, unless the factor is suspended, has had as
    /// many as `ladder` allows, or has to wait. One step over all nodes: no more guesses than that
    /// are ever let through.
    async fn count_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        now: Timestamp,
    ) -> Stored<Counted>;
    /// A guess was right: the count starts afresh, unless the factor is suspended.
    async fn factor_guess_was_right(&self, account: AccountId, factor: Factor) -> Stored<()>;
    /// Takes back one guess that was counted and not compared, or was of a code that is used up, and
    /// the wait that it brought, if it did; unless the factor is suspended, or the count has been
    /// started afresh since it was `counted` as so many.
    async fn take_back_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        counted: u32,
    ) -> Stored<()>;
    /// Suspends a factor that has had `most` wrong guesses in a row: true for exactly one caller.
    async fn suspend_factor(
        &self,
        account: AccountId,
        factor: Factor,
        most: u32,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Forgets the wrong guesses at all factors of an account; none is suspended any more. Whether
    /// there was anything to forget.
    async fn lift_suspension(&self, account: AccountId) -> Stored<bool>;
    /// Notes one wrong code after a right password, for the person to be told of.
    async fn note_wrong_code(&self, account: AccountId, wrong: &WrongCodes) -> Stored<()>;
    /// What there is to tell.
    async fn wrong_codes(&self, account: AccountId) -> Stored<Vec<WrongCodes>>;
    /// Forgets what was noted up to `until`: it was told.
    async fn forget_wrong_codes(&self, account: AccountId, until: Timestamp) -> Stored<()>;
}
