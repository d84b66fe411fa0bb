//! Limits on attempts at passwords and second factors.
//!
//! A known browser has an attempt budget of its own, and so has a network from which the account
//! has signed in. All other clients share budgets per network and per name, so strangers slow down
//! strangers and never the owner. Attempts at second factors are counted per account in the durable
//! store, over all browsers, sessions and nodes.

use std::time::Duration;

use super::events::{once, throttled};
use super::service::count_failure;
use super::{ClockOff, LoginError, LoginService};
use crate::auth::account::{Account, Identity, LoginName, TypedName};
use crate::auth::audit::{Caller, Context, Event, Guess as Guessed};
use crate::auth::browser::KnownBrowser;
use crate::auth::stage::Factor;
use crate::auth::throttle::{
    AttemptKey, Budget, CLOCK_ANSWERS, Counted, Ladder, NetworkDigest, Pace, RECOVERY_MOST, Verdict,
};
use crate::auth::token::{HashedToken, TicketToken};
use crate::auth::totp::{Code, PERIOD, TimeStep, TotpSecret};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

/// The decision on a password attempt.
pub(super) enum MayTry {
    /// The attempt is allowed and was counted.
    Yes(Tried),
    /// The attempt is refused until the wait is over.
    Wait { wait: Duration, keys: Vec<AttemptKey> },
}

/// The counters of an allowed attempt.
pub(super) struct Tried {
    /// Keys of this attempt only: taking it back under these also removes the backoff it caused.
    pub(super) keys: Vec<AttemptKey>,
    /// Kind of caller, for the hashing queue.
    pub(super) asker: Asker,
}

impl Tried {
    /// Returns the same counters without the backoff, for an attempt that was not completed: the
    /// next one is not allowed any sooner.
    pub(super) fn counters(&self) -> Vec<AttemptKey> {
        self.keys.iter().map(AttemptKey::by_any).collect()
    }
}

impl LoginService {
    /// Counts a password attempt before the comparison. A browser whose own budget is exhausted
    /// counts as a stranger.
    pub(super) async fn may_try_password(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        let pace = self.deps.budgets.name;
        let of_name = (AttemptKey::name(&self.deps.keys, name.folded()), pace);
        let sheds = self.deps.passwords.sheds_strangers();
        self.may_try(caller, name, (Some(of_name), sheds)).await
    }

    /// Counts a password attempt that an app checks. The hashing pool is not involved.
    pub(super) async fn may_try_at_app(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        let of_name = (AttemptKey::name(&self.deps.keys, name.folded()), self.deps.budgets.name);
        self.may_try(caller, name, (Some(of_name), false)).await
    }

    /// Counts a recovery code in place of the password. It is too long to be guessed, so there is
    /// no limit per name: an attacker cannot keep the owner from recovery.
    pub(super) async fn may_try_forgotten(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        self.may_try(caller, name, (None, self.deps.passwords.sheds_strangers())).await
    }

    /// Counts a password attempt with a ticket. Its holder is not a stranger and has a budget of
    /// their own.
    pub(super) async fn may_try_with_ticket(
        &self,
        ticket: &HashedToken<TicketToken>,
    ) -> Result<MayTry, LoginError> {
        let key = AttemptKey::behind_ticket(ticket);
        let own = [(key.clone(), self.deps.budgets.device)];
        Ok(match self.deps.attempts.count(&own, self.now()).await? {
            Verdict::Go => MayTry::Yes(Tried { keys: vec![key], asker: Asker::Known }),
            Verdict::Wait(wait) => MayTry::Wait { wait, keys: vec![key] },
        })
    }

    async fn may_try(
        &self,
        caller: &Caller,
        name: &TypedName,
        (of_name, sheds): (Option<(AttemptKey, Pace)>, bool),
    ) -> Result<MayTry, LoginError> {
        let (budgets, now) = (self.deps.budgets, self.now());
        let own = match self.budget_of_browser(caller, name.login()).await? {
            Some(key) => Some(key),
            None => self.budget_of_network(caller, name).await?,
        };
        if let Some(key) = own {
            let own = [(key.clone(), budgets.device)];
            if self.deps.attempts.count(&own, now).await? == Verdict::Go {
                return Ok(MayTry::Yes(Tried { keys: vec![key], asker: Asker::Known }));
            }
        }
        // Count nothing for a stranger whose attempt will be shed anyway.
        if sheds {
            return Err(LoginError::Busy);
        }
        let address = AttemptKey::address(&self.deps.keys, caller.device.address);
        let mut paces = vec![(address, budgets.address)];
        paces.extend(of_name);
        let paces: Vec<_> =
            paces.into_iter().map(|(key, pace)| (key.by(caller.reference), pace)).collect();
        let verdict = self.deps.attempts.pace(&paces, now).await?;
        let keys = paces.into_iter().map(|(key, _)| key).collect();
        Ok(match verdict {
            Verdict::Go => MayTry::Yes(Tried { keys, asker: Asker::Stranger }),
            Verdict::Wait(wait) => MayTry::Wait { wait, keys },
        })
    }

    /// Returns the counter of this browser for the account of that name, if the account knows the
    /// browser. Looks up the account only if the cookie contains its name.
    async fn budget_of_browser(
        &self,
        caller: &Caller,
        name: Option<&LoginName>,
    ) -> Result<Option<AttemptKey>, LoginError> {
        let (Some(browser), Some(name)) = (&caller.browser, name) else { return Ok(None) };
        if self.says_known(browser, name).is_none() {
            return Ok(None);
        }
        let account = self.deps.accounts.by_name(name).await?;
        let knows = account.filter(|account| self.knows_browser(account, caller));
        Ok(knows.map(|account| AttemptKey::device(account.id(), browser.id())))
    }

    /// Returns the counter of this network for the account that signs in under that name from it,
    /// if any. Known and unknown names cost the same query.
    async fn budget_of_network(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<Option<AttemptKey>, LoginError> {
        // Clients of unknown address share one network, which is never known to an account.
        if !caller.device.address.is_known() {
            return Ok(None);
        }
        let network = NetworkDigest::new(&self.deps.keys, name.folded(), caller.device.address);
        let seen = self.deps.networks.seen_network(&network, self.now()).await?;
        let Some(seen) = seen else { return Ok(None) };
        let account = self.deps.accounts.by_id(seen.account).await?;
        let knows = account.is_some_and(|a| !a.disabled && a.knows_browsers_since(seen.at));
        Ok(knows.then(|| AttemptKey::from_network(seen.account, &network)))
    }

    /// Returns the account of that name in the cookie of the browser, and the time since when it
    /// knows the browser.
    fn says_known(
        &self,
        browser: &KnownBrowser,
        name: &LoginName,
    ) -> Option<(AccountId, Timestamp)> {
        browser.known_to(name, &self.deps.keys, self.now(), self.deps.budgets.device_lives)
    }

    /// Returns true if the account knows the browser: both factors were verified in it.
    pub(super) fn knows_browser(&self, account: &Account, caller: &Caller) -> bool {
        let browser = caller.browser.as_ref();
        let said = browser.and_then(|b| self.says_known(b, &account.identity.name));
        said.is_some_and(|(id, since)| id == account.id() && account.knows_browsers_since(since))
    }

    /// Counts a wrong password of a stranger. Too many over all names are a spray: alert only; no
    /// throttling, as the next stranger may be an owner.
    pub(super) async fn watch_for_spray(
        &self,
        tried: &Tried,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        if tried.asker == Asker::Known {
            return Ok(());
        }
        let budget = self.deps.budgets.spray;
        let key = AttemptKey::spray();
        match self.deps.attempts.count(&[(key.clone(), budget)], self.now()).await? {
            Verdict::Go => Ok(()),
            Verdict::Wait(rest) => {
                let event =
                    Event::PasswordSpray { wrong: budget.tries, seconds: budget.window.as_secs() };
                self.record_within(&[(key.refused(), once(rest))], event, &Context::unknown(caller))
                    .await
            }
        }
    }

    fn ladder(&self, factor: Factor) -> Ladder {
        let ladder = self.deps.budgets.second_factor;
        match factor {
            Factor::Totp | Factor::App => ladder,
            Factor::RecoveryCode => ladder.up_to(RECOVERY_MOST),
        }
    }

    /// Counts an attempt at a second factor before the comparison, and records a refusal.
    pub(super) async fn count_factor_guess(
        &self,
        who: &Identity,
        factor: Factor,
        caller: &Caller,
    ) -> Result<Counted, LoginError> {
        let (account, ladder) = (who.account, self.ladder(factor));
        let counted =
            self.deps.guesses.count_factor_guess(account, factor, &ladder, self.now()).await?;
        match counted {
            Counted::Wait(wait) => {
                let context = Context::person(caller, who);
                let event = throttled(Guessed::SecondFactor, wait, None);
                let key = [AttemptKey::second_factor(account)];
                self.record_throttled(&key, event, wait, &context).await?;
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
        let (id, ladder) = (account.id(), self.ladder(factor));
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
        if failures < self.ladder(factor).most {
            return Ok(());
        }
        self.suspend(who, factor, failures, caller).await
    }

    async fn suspend(
        &self,
        who: &Identity,
        factor: Factor,
        failures: u32,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let (most, now) = (self.ladder(factor).most, self.now());
        if self.deps.guesses.suspend_factor(who.account, factor, most, now).await? {
            let event = Event::FactorSuspended { failures: failures.into() };
            self.record(event, &Context::person(caller, who)).await?;
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
        let now = self.now();
        let Some(steps) = secret.steps_off(code, now) else { return Ok(None) };
        let step = TimeStep::from_number(TimeStep::at(now).number().saturating_add_signed(steps));
        let used_up = |at: Timestamp| step.number() <= TimeStep::at(at).number().saturating_add(1);
        if last_used_at.is_some_and(used_up) {
            return Ok(None);
        }
        let answers = [(AttemptKey::clock(account), CLOCK_ANSWERS)];
        if let Verdict::Wait(_) = self.deps.attempts.count(&answers, now).await? {
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
        Ok(self.deps.attempts.count(&key, self.now()).await? == Verdict::Go)
    }
}
