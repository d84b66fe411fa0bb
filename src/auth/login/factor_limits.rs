//! Limits on attempts at second factors, counted per account in the durable store, over all browsers,
//! sessions and nodes.

use std::sync::Arc;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::{Journal, count_failure, throttled};
use crate::auth::account::{Account, Identity};
use crate::auth::audit::{Caller, Context, Event, Guess as Guessed};
use crate::auth::stage::Factor;
use crate::auth::throttle::{AttemptKey, Counted, Ladder, RECOVERY_MOST};

/// Limits on attempts at second factors.
pub(super) struct FactorLimits {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
}

impl FactorLimits {
    /// Returns the ladder of a factor, or `None` if its responses cannot be guessed, or an app
    /// counts them.
    pub(super) fn ladder(&self, factor: Factor) -> Option<Ladder> {
        let ladder = self.deps.budgets().second_factor;
        match factor {
            Factor::Authenticator(kind) => kind.is_guessable().then_some(ladder),
            Factor::RecoveryCode => Some(ladder.up_to(RECOVERY_MOST)),
            Factor::App => None,
        }
    }

    /// Counts an attempt at a second factor before the comparison, and records a refusal.
    pub(super) async fn count_factor_guess(
        &self,
        who: &Identity,
        factor: Factor,
        caller: &Caller,
    ) -> Result<Counted, LoginError> {
        let account = who.account;
        let Some(ladder) = self.ladder(factor) else { return Ok(Counted::Go { failures: 0 }) };
        let counted =
            self.deps.guesses.count_factor_guess(account, factor, &ladder, self.deps.now()).await?;
        match counted {
            Counted::Wait(wait) => {
                let context = Context::person(caller, who);
                let event = throttled(Guessed::SecondFactor, wait, None);
                let key = [AttemptKey::second_factor(account)];
                self.journal.record_throttled(&key, event, wait, &context).await?;
            }
            Counted::Suspended { failures } => {
                count_failure("suspended");
                self.suspend(who, factor, failures, caller).await?;
            }
            Counted::Go { .. } | Counted::NoFactor => {}
        }
        Ok(counted)
    }

    /// Takes back a counted attempt that was not compared, or whose code had been used.
    pub(super) async fn take_back_guess(
        &self,
        account: &Account,
        factor: Factor,
        counted: u32,
    ) -> Result<(), LoginError> {
        let Some(ladder) = self.ladder(factor) else { return Ok(()) };
        let id = account.id();
        Ok(self.deps.guesses.take_back_factor_guess(id, factor, &ladder, counted).await?)
    }

    /// Handles a wrong second factor: the last allowed failure suspends the factor.
    pub(super) async fn factor_was_wrong(
        &self,
        who: &Identity,
        factor: Factor,
        failures: u32,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        match self.ladder(factor) {
            Some(ladder) if failures >= ladder.most => {
                self.suspend(who, factor, failures, caller).await
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn suspend(
        &self,
        who: &Identity,
        factor: Factor,
        failures: u32,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let Some(Ladder { most, .. }) = self.ladder(factor) else { return Ok(()) };
        if self.deps.guesses.suspend_factor(who.account, factor, most, self.deps.now()).await? {
            let event = Event::FactorSuspended { factor, failures: failures.into() };
            self.journal.record(event, &Context::person(caller, who)).await?;
        }
        Ok(())
    }

    /// Resets the failure counter of a factor after a correct code.
    pub(super) async fn factor_was_right(
        &self,
        account: &Account,
        factor: Factor,
    ) -> Result<(), LoginError> {
        Ok(self.deps.guesses.factor_guess_was_right(account.id(), factor).await?)
    }
}
