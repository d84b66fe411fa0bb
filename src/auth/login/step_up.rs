//! Step-up: a fresh proof within a session. It gives the session a new id, so a token stolen before
//! it becomes invalid.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::{Journal, count_failure, throttled};
use super::factor_limits::FactorLimits;
use super::first_again::{Checked, FirstAgain};
use super::new_sessions::{Branches, NewSessions};
use super::prove::{self, FactorCheck, FactorResponse};
use super::sessions::OpenSessions;
use crate::auth::account::Account;
use crate::auth::amr::KeyEvidence;
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Caller, Context, Ended, Event, Guess};
use crate::auth::session::Session;
use crate::auth::stage::{PasswordProof, SecondFactorProof};
use crate::auth::throttle::{AttemptKey, Budget, Counted, Verdict};
use crate::auth::token::{PlainToken, SessionToken};

/// The result of a step-up.
#[derive(Debug)]
#[must_use]
pub enum StepUp {
    /// The proof is correct. The session continues under this token.
    Done(PlainToken<SessionToken>),
    /// The password is wrong. The code was not checked.
    WrongPassword,
    /// The app that checks the password also requires a code of its own. Vestibule's code was not
    /// checked.
    AppCodeWanted,
    /// The code is wrong.
    WrongCode,
    /// The code was correct but has been used.
    UsedCode,
    /// The response is a typo. It does not count as an attempt.
    Typo,
    /// The second factor is suspended after too many wrong codes.
    Suspended,
    /// Too many attempts for this account: the remaining wait.
    Wait(Duration),
    /// The session has ended, also because of too many failures.
    Ended,
}

/// The decision on an attempt.
pub(super) enum MayGuess {
    Yes,
    Wait(Duration),
    Ended,
}

/// Fresh proofs within a session.
pub struct StepUps {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) factor_limits: Arc<FactorLimits>,
    pub(super) first_again: Arc<FirstAgain>,
    pub(super) check: Arc<FactorCheck>,
    pub(super) sessions: Arc<OpenSessions>,
    pub(super) new_sessions: Arc<NewSessions>,
}

impl fmt::Debug for StepUps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepUps(…)")
    }
}

impl StepUps {
    /// Verifies the second factor again and, if one is typed, the password before it. The typed
    /// name only matters at an app that checks passwords itself. The response is `None` if the user
    /// made a typo.
    pub async fn step_up(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        typed: Option<Typed>,
        response: Option<&FactorResponse>,
        caller: &Caller,
    ) -> Result<StepUp, LoginError> {
        let asked_at = self.deps.now();
        let Some(account) = self.owner(session).await? else { return Ok(StepUp::Ended) };
        let mut password_at = session.password_at;
        let first_proved = typed.is_some();
        let guess = if first_proved { Guess::StepUp } else { Guess::SecondFactor };
        if let Some(typed) = typed {
            match self.prove_password(token, session, typed, caller).await? {
                ProofResult::Yes(_) => password_at = asked_at,
                ProofResult::Wrong
                | ProofResult::UsedUp
                | ProofResult::Typo
                | ProofResult::Suspended => {
                    return Ok(StepUp::WrongPassword);
                }
                ProofResult::AppCodeWanted => return Ok(StepUp::AppCodeWanted),
                ProofResult::Wait(wait) => return Ok(StepUp::Wait(wait)),
                ProofResult::Ended => return Ok(StepUp::Ended),
            }
        }
        let proof = match self
            .prove_second_factor(token, session, &account, (response, first_proved), caller)
            .await?
        {
            ProofResult::Yes(proof) => proof,
            ProofResult::Wrong | ProofResult::AppCodeWanted => return Ok(StepUp::WrongCode),
            ProofResult::UsedUp => return Ok(StepUp::UsedCode),
            ProofResult::Typo => return Ok(StepUp::Typo),
            ProofResult::Suspended => return Ok(StepUp::Suspended),
            ProofResult::Wait(wait) => return Ok(StepUp::Wait(wait)),
            ProofResult::Ended => return Ok(StepUp::Ended),
        };
        if self.key_is_both(session) && proof.key().is_some_and(|key| key.user_verified) {
            password_at = asked_at;
        }
        // Written before the session has a new token, which a failure would lose.
        let context = Context::person(caller, &account.identity);
        let key = proof.key().and_then(|key| key.id);
        self.journal.record(Event::SteppedUp { guess, key }, &context).await?;
        let next = Session { second_factor_at: asked_at, password_at, ..session.clone() };
        let next = rests_on(next, &proof, first_proved);
        let Some(renewed) =
            self.new_sessions.renew(token, &next, None, Branches::Continue, asked_at).await?
        else {
            return Ok(StepUp::Ended);
        };
        Ok(StepUp::Done(renewed.token))
    }

    /// Returns true if a key that verifies its user is both factors in this session: where passkeys
    /// sign in alone. Not at an app that checks passwords itself, which has to be asked.
    pub fn key_is_both(&self, session: &Session) -> bool {
        self.deps.key_settings.passkey_sign_in && self.first_again.is_kept_here(&session.app)
    }

    /// Returns the account of a session, unless it was disabled, removed, or its sessions ended.
    pub(super) async fn owner(&self, session: &Session) -> Result<Option<Account>, LoginError> {
        let account = self.deps.accounts.by_id(session.identity.account).await?;
        Ok(account.filter(|a| !a.disabled && session.started_at >= a.sessions_valid_from))
    }

    /// Checks the password of the session's own account. It has an attempt budget of its own, which
    /// strangers at the sign-in page cannot exhaust.
    pub(super) async fn prove_password(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        typed: Typed,
        caller: &Caller,
    ) -> Result<ProofResult<PasswordProof>, LoginError> {
        match self.may_guess_password(token, session, caller).await? {
            MayGuess::Yes => {}
            MayGuess::Wait(wait) => return Ok(ProofResult::Wait(wait)),
            MayGuess::Ended => return Ok(ProofResult::Ended),
        }
        let counted = [
            AttemptKey::in_sessions(session.identity.account),
            AttemptKey::within_session(session.id),
        ];
        let checked =
            self.first_again.check_again(&session.app, &session.identity, typed, caller).await;
        if !matches!(checked, Ok(Checked::Wrong)) {
            self.deps.attempts.forgive(&counted).await?;
        }
        match checked? {
            Checked::Right(proof) => Ok(ProofResult::Yes(proof)),
            Checked::CodeWanted => Ok(ProofResult::AppCodeWanted),
            Checked::Wrong => {
                count_failure("password");
                let context = Context::person(caller, &session.identity);
                self.journal
                    .record(Event::StepUpWrong { guess: Guess::Password }, &context)
                    .await?;
                Ok(ProofResult::Wrong)
            }
        }
    }

    async fn prove_second_factor(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        account: &Account,
        (response, first_proved): (Option<&FactorResponse>, bool),
        caller: &Caller,
    ) -> Result<ProofResult<SecondFactorProof>, LoginError> {
        let Some(response) = response else { return Ok(ProofResult::Typo) };
        self.deps.check_clock().await?;
        let factor = response.factor();
        if !self.count_within_session(token, session, caller).await? {
            return Ok(ProofResult::Ended);
        }
        let who = &account.identity;
        let failures = match self.factor_limits.count_factor_guess(who, factor, caller).await? {
            Counted::Go { failures } => failures,
            Counted::Wait(wait) => {
                self.forgive_within_session(session).await?;
                return Ok(ProofResult::Wait(wait));
            }
            Counted::Suspended { .. } => return Ok(ProofResult::Suspended),
            Counted::NoFactor => return Ok(ProofResult::Wrong),
        };
        let checked = self.check.check_response(account, response, first_proved, caller);
        let proof = match checked.await? {
            prove::Checked::Right(proof) => proof,
            not @ (prove::Checked::UsedUp | prove::Checked::Wrong) => {
                count_failure("second_factor");
                let context = Context::person(caller, &session.identity);
                self.journal
                    .record(Event::StepUpWrong { guess: Guess::SecondFactor }, &context)
                    .await?;
                if matches!(not, prove::Checked::UsedUp) {
                    self.factor_limits.take_back_guess(account, factor, failures).await?;
                    return Ok(ProofResult::UsedUp);
                }
                self.factor_limits.factor_was_wrong(who, factor, failures, caller).await?;
                return Ok(ProofResult::Wrong);
            }
        };
        self.factor_limits.factor_was_right(account, factor).await?;
        Ok(ProofResult::Yes(proof))
    }

    /// Counts an attempt on the session's own counter before the comparison. Returns false if the
    /// counter is exhausted, which ends the session.
    pub(super) async fn count_within_session(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let own = AttemptKey::within_session(session.id);
        let (tries, window) = (self.deps.budgets().login, self.deps.limits.absolute);
        let budget = [(own, Budget { tries, window })];
        if let Verdict::Wait(_) = self.deps.attempts.count(&budget, self.deps.now()).await? {
            self.sessions.sign_out(token, caller, Ended::TooManyTries).await?;
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) async fn forgive_within_session(&self, session: &Session) -> Result<(), LoginError> {
        Ok(self.deps.attempts.forgive(&[AttemptKey::within_session(session.id)]).await?)
    }

    /// Counts a password attempt within a session, for the session and for the account.
    async fn may_guess_password(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        caller: &Caller,
    ) -> Result<MayGuess, LoginError> {
        if !self.count_within_session(token, session, caller).await? {
            return Ok(MayGuess::Ended);
        }
        let key = AttemptKey::in_sessions(session.identity.account);
        let budget = [(key.clone(), self.deps.budgets().device)];
        if let Verdict::Wait(wait) = self.deps.attempts.count(&budget, self.deps.now()).await? {
            self.forgive_within_session(session).await?;
            let context = Context::person(caller, &session.identity);
            let event = throttled(Guess::Password, wait, None);
            self.journal.record_throttled(&[key], event, wait, &context).await?;
            return Ok(MayGuess::Wait(wait));
        }
        Ok(MayGuess::Yes)
    }
}

/// Returns the session with the methods of its newest proof. After a code it no longer counts as one by
/// key, because a code can be phished. The passkey that was both factors at sign-in remains the first
/// factor until the password is entered.
fn rests_on(session: Session, proof: &SecondFactorProof, first_proved: bool) -> Session {
    let alone = session.alone && !first_proved;
    let former = session.key.filter(|_| alone);
    let key = match (proof.key(), former) {
        (Some(key), former) => {
            let verified = key.user_verified || former.is_some_and(|former| former.user_verified);
            Some(KeyEvidence { user_verified: verified, ..key })
        }
        (None, former) => former,
    };
    Session { method: proof.method(), key, alone, ..session }
}

/// The result of one proof within a session.
pub(super) enum ProofResult<P> {
    Yes(P),
    Wrong,
    /// The code was correct but has been used.
    UsedUp,
    /// The text cannot be a code.
    Typo,
    /// The factor is suspended after too many failures.
    Suspended,
    /// The app that checks the password also requires a code of its own.
    AppCodeWanted,
    Wait(Duration),
    Ended,
}
