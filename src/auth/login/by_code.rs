//! Codes from an authenticator app (RFC 6238), and the clock errors that explain wrong ones.

use std::time::Duration;

use super::prove::{FactorCheck, Verdict};
use super::{ClockOff, LoginError};
use crate::auth::authenticator::{AuthenticatorUse, app_of};
use crate::auth::throttle::{AttemptKey, Budget, CLOCK_ANSWERS, Verdict as Attempt};
use crate::auth::totp::{Code, PERIOD, TimeStep, TotpSecret};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

impl FactorCheck {
    /// Checks a code from the authenticator app of the account and uses it up.
    pub(super) async fn check_code(
        &self,
        account: AccountId,
        code: &Code,
    ) -> Result<Verdict, LoginError> {
        let all = self.deps.authenticators.authenticators(account).await?;
        let Some(app) = app_of(&all) else { return Ok(Verdict::Wrong) };
        let secret = TotpSecret::open(&self.deps.keys, account, app.id, &app.sealed)?;
        let now = self.deps.now();
        let Some(step) = secret.matching_step(code, now) else { return Ok(Verdict::Wrong) };
        let used =
            AuthenticatorUse { account, id: app.id, counter: step.number(), sealed: None, at: now };
        let first = self.claim_step(app.id, step).await?
            && self.deps.authenticators.use_authenticator(&used).await?;
        Ok(if first { Verdict::Accepted } else { Verdict::UsedUp })
    }

    /// Returns the clock error of the phone, if that is why the code is wrong.
    pub(super) async fn clock_of_app(
        &self,
        account: AccountId,
        code: &Code,
    ) -> Result<Option<ClockOff>, LoginError> {
        let all = self.deps.authenticators.authenticators(account).await?;
        let Some(app) = app_of(&all) else { return Ok(None) };
        let secret = TotpSecret::open(&self.deps.keys, account, app.id, &app.sealed)?;
        self.clock_off(account, (app.id, &secret), app.last_used_at, code).await
    }

    /// Returns the clock error of the phone, if that is why the code is wrong. An attacker learns
    /// nothing useful: a code reported as being from the future is rejected when its time comes,
    /// and codes from before the last sign-in are not reported.
    pub(super) async fn clock_off(
        &self,
        account: AccountId,
        (factor, secret): (FactorId, &TotpSecret),
        last_used_at: Option<Timestamp>,
        code: &Code,
    ) -> Result<Option<ClockOff>, LoginError> {
        let now = self.deps.now();
        let Some(steps) = secret.steps_off(code, now) else { return Ok(None) };
        let step = TimeStep::from_number(TimeStep::at(now).number().saturating_add_signed(steps));
        let used_up = |at: Timestamp| step.number() <= TimeStep::at(at).number().saturating_add(1);
        if last_used_at.is_some_and(used_up) {
            return Ok(None);
        }
        let answers = [(AttemptKey::clock(account), CLOCK_ANSWERS)];
        if let Attempt::Wait(_) = self.deps.attempts.count(&answers, now).await? {
            return Ok(None);
        }
        if !self.claim_step(factor, step).await? {
            return Ok(None);
        }
        let by = PERIOD.saturating_mul(u32::try_from(steps.unsigned_abs()).unwrap_or(0));
        Ok(Some(if steps > 0 { ClockOff::Fast(by) } else { ClockOff::Slow(by) }))
    }

    /// Claims a time step for one answer, "clock error" or "correct". Returns true to the first
    /// caller.
    pub(super) async fn claim_step(
        &self,
        factor: FactorId,
        step: TimeStep,
    ) -> Result<bool, LoginError> {
        let once = Budget { tries: 1, window: Duration::from_mins(30) };
        let key = [(AttemptKey::answered_step(factor, step), once)];
        Ok(self.deps.attempts.count(&key, self.deps.now()).await? == Attempt::Go)
    }
}
