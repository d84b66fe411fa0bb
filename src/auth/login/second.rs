//! The second factor of a login. Attempts are counted before the check, in the login and for the
//! account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::deps::LoginDeps;
use super::events::{Journal, count_failure, throttled};
use super::factor_limits::FactorLimits;
use super::key::Keys;
use super::logins::Logins;
use super::new_sessions::NewSessions;
use super::prove::{Checked, FactorCheck, FactorResponse};
use super::{AppRef, ClockOff, LoginError, SecondFactor};
use crate::auth::account::Account;
use crate::auth::audit::{Caller, Context, Event, Guess as Guessed};
use crate::auth::reset::PasswordReset;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{Factor, Login, PasswordForgotten, PasswordVerified, SecondFactorProof};
use crate::auth::throttle::{AttemptKey, Counted, ENROLMENT_GUESSES, Verdict, WrongCodes};
use crate::auth::token::{PendingToken, PlainToken};

/// A counted attempt and the credential it is for.
pub(super) struct Guess {
    pub(super) login: PendingLogin,
    pub(super) account: Account,
    /// Consecutive failures at this factor, including this attempt; 0 where no ladder counts them.
    failures: u32,
    tries_left: u32,
}

/// The decision on an attempt.
pub(super) enum Admitted {
    Yes(Box<Guess>),
    No(SecondFactor),
}

/// Returns the counter of enrolment attempts in a login.
pub(super) fn enrolment_attempts(login: &PendingLogin) -> AttemptKey {
    match &login.begun_with {
        BegunWith::PasswordAndTicket(ticket) => AttemptKey::enrolment_by_link(ticket),
        BegunWith::Password
        | BegunWith::App
        | BegunWith::AppClient
        | BegunWith::RecoveryCode
        | BegunWith::Passkey => AttemptKey::first_enrolment(login.account),
    }
}

/// The second factor of a login.
pub struct SecondFactors {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) factor_limits: Arc<FactorLimits>,
    pub(super) logins: Arc<Logins>,
    pub(super) keys: Arc<Keys>,
    pub(super) check: Arc<FactorCheck>,
    pub(super) new_sessions: Arc<NewSessions>,
}

impl fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecondFactors(…)")
    }
}

impl SecondFactors {
    /// Grants the right to set a new password to a login that began with a recovery code and has
    /// verified its second factor.
    pub(super) async fn grant_reset(
        &self,
        login: &PendingLogin,
        proof: &SecondFactorProof,
        token: &PlainToken<PendingToken>,
    ) -> Result<SecondFactor, LoginError> {
        let waits = Login::<PasswordForgotten>::resume(login);
        if waits.is_none_or(|login| login.account() != proof.account()) {
            return Err(LoginError::Broken("second factor of another account".to_owned()));
        }
        let reset = PasswordReset {
            login: *token.hashed(),
            account: login.account,
            method: proof.method(),
            started_at: login.started_at,
            expires_at: login.expires_at,
        };
        self.deps.resets.grant_reset(&reset, self.deps.now()).await?;
        Ok(SecondFactor::NewPasswordOwed)
    }

    /// Counts an attempt at a factor, per account and per login, before the comparison.
    async fn admit_guess(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        factor: Factor,
        caller: &Caller,
    ) -> Result<Admitted, LoginError> {
        self.deps.check_clock().await?;
        let again = Ok(Admitted::No(SecondFactor::StartAgain));
        let Some(login) = self.logins.pending(app, token).await? else { return again };
        let Some(account) = self.logins.account_of(&login).await? else { return again };
        if login.spent {
            return again;
        }
        let failures =
            match self.factor_limits.count_factor_guess(&account.identity, factor, caller).await? {
                Counted::Go { failures } => Some(failures),
                Counted::NoFactor => {
                    let key = AttemptKey::second_factor(account.id());
                    if let Some(wait) = self.count_without_factor(key, &account, caller).await? {
                        return Ok(Admitted::No(SecondFactor::Wait(wait)));
                    }
                    None
                }
                Counted::Wait(wait) => return Ok(Admitted::No(SecondFactor::Wait(wait))),
                Counted::Suspended { .. } => return Ok(Admitted::No(SecondFactor::Suspended)),
            };
        let Some(tries_left) = self.count_in_login(token).await? else {
            if let Some(counted) = failures {
                self.factor_limits.take_back_guess(&account, factor, counted).await?;
            } else {
                let key = AttemptKey::second_factor(account.id());
                self.deps.attempts.forgive(&[key]).await?;
            }
            return again;
        };
        let guess = Guess { login, account, failures: failures.unwrap_or(0), tries_left };
        if failures.is_none() {
            let wrong = self.wrong(&guess, token, factor, (false, None), caller);
            return Ok(Admitted::No(wrong.await?));
        }
        Ok(Admitted::Yes(Box::new(guess)))
    }

    /// Counts an attempt at the authenticator offered in an enrolment. Nothing is counted for a login
    /// that may not enrol, and a one-time link has a counter of its own: the password alone never
    /// delays the link.
    pub(super) async fn admit_enrolment(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        caller: &Caller,
    ) -> Result<Admitted, LoginError> {
        self.deps.check_clock().await?;
        let again = Ok(Admitted::No(SecondFactor::StartAgain));
        let Some(login) = self.logins.pending(app, token).await? else { return again };
        let Some(account) = self.logins.account_of(&login).await? else { return again };
        if login.spent || !self.logins.may_enrol(&account, &login) {
            return again;
        }
        let key = enrolment_attempts(&login);
        if let Some(wait) = self.count_without_factor(key, &account, caller).await? {
            return Ok(Admitted::No(SecondFactor::Wait(wait)));
        }
        let Some(tries_left) = self.count_in_login(token).await? else {
            self.forgive_enrolment(&login).await?;
            return again;
        };
        Ok(Admitted::Yes(Box::new(Guess { login, account, failures: 0, tries_left })))
    }

    /// Counts an attempt under `key`, for an account whose factor has no counter yet. Returns the
    /// wait if there were too many.
    async fn count_without_factor(
        &self,
        key: AttemptKey,
        account: &Account,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let budget = [(key.clone(), ENROLMENT_GUESSES)];
        let Verdict::Wait(wait) = self.deps.attempts.count(&budget, self.deps.now()).await? else {
            return Ok(None);
        };
        let event = throttled(Guessed::SecondFactor, wait, None);
        let context = Context::person(caller, &account.identity);
        self.journal.record_throttled(&[key], event, wait, &context).await?;
        Ok(Some(wait))
    }

    /// Takes back an attempt that [`Self::admit_enrolment`] counted.
    pub(super) async fn forgive_enrolment(&self, login: &PendingLogin) -> Result<(), LoginError> {
        Ok(self.deps.attempts.forgive(&[enrolment_attempts(login)]).await?)
    }

    /// Counts an attempt in its login. Returns the number of attempts left, or `None` if the login
    /// is gone.
    async fn count_in_login(
        &self,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<u32>, LoginError> {
        let limit = self.deps.budgets().login;
        let made = self.deps.pending.count_guess(token.hashed(), limit, self.deps.now()).await?;
        Ok(made.map(|made| limit.saturating_sub(made)))
    }

    /// Handles a wrong code. The last attempt of a login ends it, the last of a factor suspends it,
    /// and the user gets a notice at the next sign-in. A `used_up` code counts only in its login:
    /// otherwise several copies of one form would end the login that it opens.
    pub(super) async fn wrong(
        &self,
        guess: &Guess,
        token: &PlainToken<PendingToken>,
        factor: Factor,
        (used_up, clock): (bool, Option<ClockOff>),
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        let (tries_left, who) = (guess.tries_left, &guess.account.identity);
        count_failure("second_factor");
        let event = Event::SecondFactorWrong { factor, tries_left };
        // The ladder bounds the attempts that it counts. Any other costs only a password.
        if guess.failures == 0 || used_up {
            self.journal.record_about(who, event, caller).await?;
        } else {
            self.journal.record(event, &Context::person(caller, who)).await?;
        }
        let noted = WrongCodes {
            login: token.hashed().to_hex(),
            tries: 1,
            last_at: self.deps.now(),
            address: caller.device.address,
        };
        if used_up {
            self.factor_limits.take_back_guess(&guess.account, factor, guess.failures).await?;
            // If the login was finished meanwhile, this was a copy of the form that finished it.
            if self.deps.pending.load(token.hashed(), self.deps.now()).await?.is_some() {
                self.deps.guesses.note_wrong_code(who.account, &noted).await?;
            }
            return Ok(SecondFactor::Wrong { tries_left, used_up, clock });
        }
        self.deps.guesses.note_wrong_code(who.account, &noted).await?;
        self.factor_limits.factor_was_wrong(who, factor, guess.failures, caller).await?;
        if tries_left == 0 {
            self.logins.end_login(&guess.login, token.hashed()).await?;
        }
        Ok(SecondFactor::Wrong { tries_left, used_up, clock })
    }

    /// Checks a response of the second factor in a login, uses it up, and begins the session.
    pub async fn prove(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        response: &FactorResponse,
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        let factor = response.factor();
        let guess = match self.admit_guess(app, token, factor, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(answer),
        };
        let first_proved = guess.login.begun_with != BegunWith::RecoveryCode;
        let checked = self.check.check_response(&guess.account, response, first_proved, caller);
        let proof = match checked.await? {
            Checked::Right(proof) => proof,
            Checked::UsedUp => {
                return self.wrong(&guess, token, factor, (true, None), caller).await;
            }
            Checked::Wrong => {
                let clock = self.check.clock_of(&guess.account, response).await?;
                return self.wrong(&guess, token, factor, (false, clock), caller).await;
            }
        };
        self.factor_limits.factor_was_right(&guess.account, factor).await?;
        let due = match factor {
            Factor::Authenticator(_) => {
                let codes = self.deps.recovery.recovery_set(guess.account.id()).await?;
                codes.is_none_or(|set| set.confirmed_at.is_none())
            }
            Factor::RecoveryCode | Factor::App => false,
        };
        self.finish(*guess, proof, token, caller, due).await
    }

    /// Combines both proofs and begins the session. If the password is forgotten, a new one is
    /// required first.
    pub(super) async fn finish(
        &self,
        guess: Guess,
        proof: SecondFactorProof,
        token: &PlainToken<PendingToken>,
        caller: &Caller,
        recovery_codes_due: bool,
    ) -> Result<SecondFactor, LoginError> {
        let Guess { login, account, .. } = guess;
        let Some(waits) = Login::<PasswordVerified>::resume(&login) else {
            return self.grant_reset(&login, &proof, token).await;
        };
        let finished =
            waits.complete(proof).map_err(|error| LoginError::Broken(error.to_string()))?;
        self.new_sessions
            .promote(&finished, account, login, token, caller, recovery_codes_due)
            .await
    }
}
