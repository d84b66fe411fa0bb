//! The store of failed attempts at second factors.

use async_trait::async_trait;

use super::Stored;
use crate::auth::stage::Factor;
use crate::auth::throttle::{Counted, Ladder, WrongCodes};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Failed attempts at second factors. Durable, so that clearing the short-lived store grants no
/// further attempts.
#[async_trait]
pub trait Guesses: Send + Sync {
    /// Counts an attempt as failed before the comparison, unless the factor is suspended, has
    /// reached the limit of `ladder`, or is in backoff. One atomic step over all nodes: the limit
    /// is never exceeded.
    async fn count_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        now: Timestamp,
    ) -> Stored<Counted>;
    /// Resets the failure counter after a successful attempt, unless the factor is suspended.
    async fn factor_guess_was_right(&self, account: AccountId, factor: Factor) -> Stored<()>;
    /// Takes back an attempt that was counted but not compared, or whose code had been used, and
    /// the backoff that it caused. Does nothing if the factor is suspended, or if the counter was
    /// reset after it stood at `counted`.
    async fn take_back_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        counted: u32,
    ) -> Stored<()>;
    /// Suspends a factor after `most` consecutive failures. Returns true to exactly one caller.
    async fn suspend_factor(
        &self,
        account: AccountId,
        factor: Factor,
        most: u32,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Resets the failure counters of all factors of an account and lifts their suspension. Returns
    /// true if there were failures.
    async fn lift_suspension(&self, account: AccountId) -> Stored<bool>;
    /// Records a wrong code after a correct password, for a notice to the user. Of many logins of an
    /// account, the newest have a record each. One more record has the sum of the others.
    async fn note_wrong_code(&self, account: AccountId, wrong: &WrongCodes) -> Stored<()>;
    /// Returns the recorded wrong codes: a bounded number of records, because each sign-in reads them.
    async fn wrong_codes(&self, account: AccountId) -> Stored<Vec<WrongCodes>>;
    /// Deletes the wrong codes recorded up to `until`, after the notice was shown.
    async fn forget_wrong_codes(&self, account: AccountId, until: Timestamp) -> Stored<()>;
}
