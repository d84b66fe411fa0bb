//! Guesses at passwords and second factors: who has to wait, what a wrong one leads to.
//!
//! A browser that the account knows has a budget of its own, and so has a network from which the
//! account has signed in. All others share budgets, per network and per name: so a stranger slows
//! strangers, never the owner. Second factors are counted per
//! account in the durable store, whatever the browser, the session or the node.

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

/// Whether a password may be compared.
pub(super) enum MayTry {
    /// It may; this was counted.
    Yes(Tried),
    /// Not yet.
    Wait { wait: Duration, keys: Vec<AttemptKey> },
}

/// What was counted for a password.
pub(super) struct Tried {
    /// For this try alone: what is taken back under these takes its wait along.
    pub(super) keys: Vec<AttemptKey>,
    /// On whose behalf the password is compared.
    pub(super) asker: Asker,
}

impl Tried {
    /// The same counters without the wait: for a try that came to no verdict, so that the next one
    /// comes no sooner.
    pub(super) fn counters(&self) -> Vec<AttemptKey> {
        self.keys.iter().map(AttemptKey::by_any).collect()
    }
}

impl LoginService {
    /// Counts a password before it is compared. Where the browser's own budget is used up, it is a
    /// stranger like any other.
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

    /// Counts a password that an app checks: the hashing pool has no part in it.
    pub(super) async fn may_try_at_app(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        let of_name = (AttemptKey::name(&self.deps.keys, name.folded()), self.deps.budgets.name);
        self.may_try(caller, name, (Some(of_name), false)).await
    }

    /// Counts a recovery code in place of the password. It is far too long to be guessed, so a name
    /// has no pace of its own: nobody can keep its owner from the way back.
    pub(super) async fn may_try_forgotten(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        self.may_try(caller, name, (None, self.deps.passwords.sheds_strangers())).await
    }

    /// Counts a password that is typed behind a ticket: whoever holds that is no stranger, and has a
    /// budget of their own.
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
        // Nothing is counted for a stranger whose guess will not be compared anyway.
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

    /// The counter of this browser for the account of that name, if the account knows it. The
    /// account is looked up only where the cookie holds its name already.
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

    /// The counter of this network for the account that signs in by that name from there, if one
    /// does. Known and unknown names cost the same question.
    async fn budget_of_network(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<Option<AttemptKey>, LoginError> {
        // Clients of unknown address share a network: that one is nobody's.
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

    /// Which account of that name knows the browser, and since when, as its cookie says.
    fn says_known(
        &self,
        browser: &KnownBrowser,
        name: &LoginName,
    ) -> Option<(AccountId, Timestamp)> {
        browser.known_to(name, &self.deps.keys, self.now(), self.deps.budgets.device_lives)
    }

    /// Whether the account knows the browser: its owner proved both factors in it.
    pub(super) fn knows_browser(&self, account: &Account, caller: &Caller) -> bool {
        let browser = caller.browser.as_ref();
        let said = browser.and_then(|b| self.says_known(b, &account.identity.name));
        said.is_some_and(|(id, since)| id == account.id() && account.knows_browsers_since(since))
    }

    /// A wrong password of a stranger: too many over all names are a spray, which is told to the
    /// operator and slows nobody, as the next stranger may be an owner.
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

    /// Counts a guess at a second factor before it is compared; a refusal is on record.
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

    /// A counted guess was not compared, or was of a code that is used up.
    pub(super) async fn take_back_guess(
        &self,
        account: &Account,
        factor: Factor,
        counted: u32,
    ) -> Result<(), LoginError> {
        let (id, ladder) = (account.id(), self.ladder(factor));
        Ok(self.deps.guesses.take_back_factor_guess(id, factor, &ladder, counted).await?)
    }

    /// A counted guess was wrong: the last one suspends the factor.
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

    /// A guess was right: the factor's count starts afresh.
    pub(super) async fn factor_was_right(
        &self,
        account: &Account,
        factor: Factor,
    ) -> Result<(), LoginError> {
        Ok(self.deps.guesses.factor_guess_was_right(account.id(), factor).await?)
    }

    /// How far the clock of the phone is off, if that is why the code is wrong. A guesser learns
    /// nothing of use: a code that is told to be of a time to come is refused at that time, and one
    /// from before the last sign-in is not told of.
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

    /// Takes a step for one answer, "of another time" or "right": true for the first who asks.
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
