//! The second factor: a code from the authenticator, or a recovery code in its place.

use std::time::Duration;

use super::events::throttled;
use super::service::count_failure;
use super::{AppRef, ClockOff, LoginError, LoginService, SecondFactor};
use crate::auth::account::Account;
use crate::auth::audit::{Caller, Context, Event, Guess as Guessed};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::PendingLogin;
use crate::auth::stage::{Factor, Login, PasswordVerified, SecondFactorProof};
use crate::auth::throttle::{AttemptKey, Counted, ENROLMENT_GUESSES, Verdict, WrongCodes};
use crate::auth::token::{PendingToken, PlainToken};
use crate::auth::totp::{Code, TotpSecret};
use crate::auth::turns::Asker;

/// A counted attempt and the credential it is for.
pub(super) struct Guess {
    pub(super) login: PendingLogin,
    pub(super) account: Account,
    /// Consecutive failures at this factor, including this attempt.
    failures: u32,
    tries_left: u32,
}

/// The result of using a recovery code.
pub(super) enum UsedCode {
    /// The code was used up now; this many are left.
    Now { left: u32 },
    /// The code was used before.
    Before,
    /// The code does not belong to the account.
    Unknown,
}

/// The result of checking a typed code.
pub(super) enum CodeCheck {
    /// The code is correct and proves the second factor, for exactly one request.
    Right(SecondFactorProof),
    /// The code is correct, but an earlier or concurrent request has used it.
    UsedUp,
    /// The code is wrong.
    Wrong,
}

/// The decision on an attempt.
pub(super) enum Admitted {
    Yes(Box<Guess>),
    No(SecondFactor),
}

impl LoginService {
    /// Counts an attempt at a factor, per account and per login, before the comparison.
    async fn admit_guess(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        factor: Factor,
        caller: &Caller,
    ) -> Result<Admitted, LoginError> {
        let again = Ok(Admitted::No(SecondFactor::StartAgain));
        let Some(login) = self.pending(app, token).await? else { return again };
        let Some(account) = self.account_of(&login).await? else { return again };
        if login.spent {
            return again;
        }
        let failures = match self.count_factor_guess(&account.identity, factor, caller).await? {
            Counted::Go { failures } => Some(failures),
            Counted::NoFactor => {
                if let Some(wait) = self.count_without_factor(&account, caller).await? {
                    return Ok(Admitted::No(SecondFactor::Wait(wait)));
                }
                None
            }
            Counted::Wait(wait) => return Ok(Admitted::No(SecondFactor::Wait(wait))),
            Counted::Suspended { .. } => return Ok(Admitted::No(SecondFactor::Suspended)),
        };
        let Some(tries_left) = self.count_in_login(token).await? else {
            match failures {
                Some(counted) => self.take_back_guess(&account, factor, counted).await?,
                None => self.forgive_without_factor(&account).await?,
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

    /// Counts an attempt at the authenticator offered in an enrolment.
    pub(super) async fn admit_enrolment(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        caller: &Caller,
    ) -> Result<Admitted, LoginError> {
        let again = Ok(Admitted::No(SecondFactor::StartAgain));
        let Some(login) = self.pending(app, token).await? else { return again };
        let Some(account) = self.account_of(&login).await? else { return again };
        if login.spent {
            return again;
        }
        if let Some(wait) = self.count_without_factor(&account, caller).await? {
            return Ok(Admitted::No(SecondFactor::Wait(wait)));
        }
        let Some(tries_left) = self.count_in_login(token).await? else {
            self.forgive_without_factor(&account).await?;
            return again;
        };
        Ok(Admitted::Yes(Box::new(Guess { login, account, failures: 0, tries_left })))
    }

    /// Counts an attempt for an account without a factor. Returns the wait if there were too many.
    async fn count_without_factor(
        &self,
        account: &Account,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let key = AttemptKey::second_factor(account.id());
        let budget = [(key.clone(), ENROLMENT_GUESSES)];
        let Verdict::Wait(wait) = self.deps.attempts.count(&budget, self.now()).await? else {
            return Ok(None);
        };
        let event = throttled(Guessed::SecondFactor, wait, None);
        let context = Context::person(caller, &account.identity);
        self.record_throttled(&[key], event, wait, &context).await?;
        Ok(Some(wait))
    }

    async fn forgive_without_factor(&self, account: &Account) -> Result<(), LoginError> {
        let key = AttemptKey::second_factor(account.id());
        Ok(self.deps.attempts.forgive(&[key]).await?)
    }

    /// Counts an attempt in its login. Returns the number of attempts left, or `None` if the login
    /// is gone.
    async fn count_in_login(
        &self,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<u32>, LoginError> {
        let limit = self.deps.budgets.login;
        let made = self.deps.pending.count_guess(token.hashed(), limit, self.now()).await?;
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
        let context = Context::person(caller, who);
        self.record(Event::SecondFactorWrong { factor, tries_left }, &context).await?;
        let noted = WrongCodes {
            login: token.hashed().to_hex(),
            tries: 1,
            last_at: self.now(),
            address: caller.device.address,
        };
        if used_up {
            self.take_back_guess(&guess.account, factor, guess.failures).await?;
            // If the login was finished meanwhile, this was a copy of the form that finished it.
            if self.deps.pending.load(token.hashed(), self.now()).await?.is_some() {
                self.deps.guesses.note_wrong_code(who.account, &noted).await?;
            }
            return Ok(SecondFactor::Wrong { tries_left, used_up, clock });
        }
        self.deps.guesses.note_wrong_code(who.account, &noted).await?;
        self.factor_was_wrong(who, factor, guess.failures, caller).await?;
        if tries_left == 0 {
            self.end_login(&guess.login, token.hashed()).await?;
        }
        Ok(SecondFactor::Wrong { tries_left, used_up, clock })
    }

    /// Checks a code from the authenticator and uses it up.
    pub async fn totp(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        code: &Code,
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        let guess = match self.admit_guess(app, token, Factor::Totp, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(answer),
        };
        let proof = match self.check_totp(&guess.account, code).await? {
            CodeCheck::Right(proof) => proof,
            CodeCheck::UsedUp => {
                return self.wrong(&guess, token, Factor::Totp, (true, None), caller).await;
            }
            CodeCheck::Wrong => {
                let clock = self.clock_of_authenticator(&guess.account, code).await?;
                return self.wrong(&guess, token, Factor::Totp, (false, clock), caller).await;
            }
        };
        self.factor_was_right(&guess.account, Factor::Totp).await?;
        let codes = self.deps.factors.recovery_set(guess.account.id()).await?;
        let due = codes.is_none_or(|set| set.confirmed_at.is_none());
        self.finish(*guess, proof, token, caller, due).await
    }

    pub(super) async fn check_totp(
        &self,
        account: &Account,
        code: &Code,
    ) -> Result<CodeCheck, LoginError> {
        let id = account.id();
        let Some(factor) = self.deps.factors.totp(id).await? else { return Ok(CodeCheck::Wrong) };
        let secret = TotpSecret::open(&self.deps.keys, id, factor.id, &factor.sealed)?;
        let now = self.now();
        let Some(step) = secret.matching_step(code, now) else { return Ok(CodeCheck::Wrong) };
        let first = self.claim_step(factor.id, step).await?
            && self.deps.factors.consume_step(id, factor.id, step, now).await?;
        Ok(if first {
            CodeCheck::Right(SecondFactorProof::verified(id, Factor::Totp))
        } else {
            CodeCheck::UsedUp
        })
    }

    /// Returns the clock error of the phone, if that is why the code is wrong.
    async fn clock_of_authenticator(
        &self,
        account: &Account,
        code: &Code,
    ) -> Result<Option<ClockOff>, LoginError> {
        let id = account.id();
        let Some(factor) = self.deps.factors.totp(id).await? else { return Ok(None) };
        let secret = TotpSecret::open(&self.deps.keys, id, factor.id, &factor.sealed)?;
        self.clock_off(id, (factor.id, &secret), Some(factor.last_used_at), code).await
    }

    /// Checks a recovery code in place of the second factor and uses it up.
    pub async fn recovery_code(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        code: &RecoveryCode,
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        let guess = match self.admit_guess(app, token, Factor::RecoveryCode, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(answer),
        };
        let proof = match self.check_recovery(&guess.account, code, caller).await? {
            CodeCheck::Right(proof) => proof,
            not @ (CodeCheck::UsedUp | CodeCheck::Wrong) => {
                let why = (matches!(not, CodeCheck::UsedUp), None);
                return self.wrong(&guess, token, Factor::RecoveryCode, why, caller).await;
            }
        };
        self.factor_was_right(&guess.account, Factor::RecoveryCode).await?;
        self.finish(*guess, proof, token, caller, false).await
    }

    pub(super) async fn check_recovery(
        &self,
        account: &Account,
        code: &RecoveryCode,
        caller: &Caller,
    ) -> Result<CodeCheck, LoginError> {
        let id = account.id();
        // Checked first: a code that is used up without an audit row would be lost.
        self.may_record().await?;
        Ok(match self.use_recovery_code(Some(id), code, Asker::Known).await? {
            UsedCode::Now { left } => {
                let event = Event::RecoveryCodeUsed { left, instead_of: Guessed::SecondFactor };
                self.record(event, &Context::person(caller, &account.identity)).await?;
                CodeCheck::Right(SecondFactorProof::verified(id, Factor::RecoveryCode))
            }
            UsedCode::Before => CodeCheck::UsedUp,
            UsedCode::Unknown => CodeCheck::Wrong,
        })
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
        self.promote(&finished, account, login, token, caller, recovery_codes_due).await
    }
}
