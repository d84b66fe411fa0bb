//! Step-up: a fresh proof within a session. It gives the session a new id, so a token stolen before
//! it becomes invalid.

use std::time::Duration;

use super::app_again::Checked;
use super::events::throttled;
use super::second::CodeCheck;
use super::service::count_failure;
use super::{LoginError, LoginService, Renewed};
use crate::auth::account::Account;
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Caller, Context, Ended, Event, Guess};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::{Offers, Session};
use crate::auth::stage::{Factor, PasswordProof, SecondFactorProof};
use crate::auth::throttle::{AttemptKey, Budget, Counted, Verdict};
use crate::auth::token::{PlainToken, SessionToken};
use crate::auth::totp::Code;
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::id::SessionId;

/// A typed second factor.
#[derive(Debug)]
pub enum TypedCode {
    /// Six digits from the authenticator.
    App(Code),
    /// A recovery code.
    Recovery(RecoveryCode),
    /// A typo, which does not count as an attempt.
    Neither,
}

impl TypedCode {
    /// Recognises the kind of code.
    pub fn parse(typed: &str) -> Self {
        match (Code::parse(typed), RecoveryCode::parse(typed)) {
            (Ok(code), _) => Self::App(code),
            (Err(_), Ok(code)) => Self::Recovery(code),
            (Err(_), Err(_)) => Self::Neither,
        }
    }
}

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
    /// The text is neither a code nor a recovery code. It does not count as an attempt.
    Typo,
    /// The factor is suspended.
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

impl LoginService {
    /// Verifies the second factor again and, if one is typed, the password before it. The typed
    /// name only matters at an app that checks passwords itself.
    pub async fn step_up(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        typed: Option<Typed>,
        code: &TypedCode,
        caller: &Caller,
    ) -> Result<StepUp, LoginError> {
        let asked_at = self.now();
        let Some(account) = self.owner(session).await? else { return Ok(StepUp::Ended) };
        let mut password_at = session.password_at;
        let guess = if typed.is_some() { Guess::StepUp } else { Guess::SecondFactor };
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
        match self.prove_second_factor(token, session, &account, code, caller).await? {
            ProofResult::Yes(_) => {}
            ProofResult::Wrong | ProofResult::AppCodeWanted => return Ok(StepUp::WrongCode),
            ProofResult::UsedUp => return Ok(StepUp::UsedCode),
            ProofResult::Typo => return Ok(StepUp::Typo),
            ProofResult::Suspended => return Ok(StepUp::Suspended),
            ProofResult::Wait(wait) => return Ok(StepUp::Wait(wait)),
            ProofResult::Ended => return Ok(StepUp::Ended),
        }
        // Written before the session has a new token, which a failure would lose.
        let context = Context::person(caller, &account.identity);
        self.record(Event::SteppedUp { guess }, &context).await?;
        let next = Session { second_factor_at: asked_at, password_at, ..session.clone() };
        let Some(renewed) = self.renew(token, &next, None, asked_at).await? else {
            return Ok(StepUp::Ended);
        };
        Ok(StepUp::Done(renewed.token))
    }

    /// Returns the account of a session, unless it was disabled, removed, or its sessions ended.
    pub(super) async fn owner(&self, session: &Session) -> Result<Option<Account>, LoginError> {
        let account = self.deps.accounts.by_id(session.identity.account).await?;
        Ok(account.filter(|a| !a.disabled && session.started_at >= a.sessions_valid_from))
    }

    /// Continues the session under a new id and token, with the fields of `next`. It counts as
    /// started at `started_at`, so an end of all sessions after that time still ends it. Returns
    /// `None` if the session has ended.
    pub(super) async fn renew(
        &self,
        token: &PlainToken<SessionToken>,
        next: &Session,
        offers: Option<&Offers>,
        started_at: Timestamp,
    ) -> Result<Option<Renewed>, LoginError> {
        let now = self.now();
        let session = Session {
            id: SessionId::random(self.random())?,
            renewed_since: Some(next.signed_in_at()),
            started_at,
            last_seen_at: now,
            ..next.clone()
        };
        let ttl = self.deps.limits.time_to_live(&session, now);
        let new = PlainToken::<SessionToken>::generate(&self.deps.keys, self.random())?;
        let won =
            self.deps.sessions.renew(token.hashed(), new.hashed(), &session, offers, ttl).await?;
        Ok(won.then_some(Renewed { token: new, session }))
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
        let checked = self.check_own_password(session, typed, caller).await;
        if !matches!(checked, Ok(Checked::Wrong)) {
            self.deps.attempts.forgive(&counted).await?;
        }
        match checked? {
            Checked::Right(proof) => Ok(ProofResult::Yes(proof)),
            Checked::CodeWanted => Ok(ProofResult::AppCodeWanted),
            Checked::Wrong => {
                count_failure("password");
                let context = Context::person(caller, &session.identity);
                self.record(Event::StepUpWrong { guess: Guess::Password }, &context).await?;
                Ok(ProofResult::Wrong)
            }
        }
    }

    /// Checks the password with Vestibule or with the app of the session.
    async fn check_own_password(
        &self,
        session: &Session,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Checked, LoginError> {
        let who = &session.identity;
        if self.app_policy(&session.app).is_some() {
            return self.ask_app_again(&session.app, who.account, typed, caller).await;
        }
        let checked = self.check_password(Some(&who.name), &typed.password, Asker::Known);
        let (account, proof) = checked.await?;
        // The name may belong to another account by now, whose password proves nothing here.
        let own = account.is_some_and(|a| a.id() == who.account);
        Ok(proof.filter(|_| own).into())
    }

    async fn prove_second_factor(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        account: &Account,
        code: &TypedCode,
        caller: &Caller,
    ) -> Result<ProofResult<SecondFactorProof>, LoginError> {
        let factor = match code {
            TypedCode::App(_) => Factor::Totp,
            TypedCode::Recovery(_) => Factor::RecoveryCode,
            TypedCode::Neither => return Ok(ProofResult::Typo),
        };
        if !self.count_within_session(token, session, caller).await? {
            return Ok(ProofResult::Ended);
        }
        let who = &account.identity;
        let failures = match self.count_factor_guess(who, factor, caller).await? {
            Counted::Go { failures } => failures,
            Counted::Wait(wait) => {
                self.forgive_within_session(session).await?;
                return Ok(ProofResult::Wait(wait));
            }
            Counted::Suspended { .. } => return Ok(ProofResult::Suspended),
            Counted::NoFactor => return Ok(ProofResult::Wrong),
        };
        let checked = match code {
            TypedCode::App(code) => self.check_totp(account, code).await?,
            TypedCode::Recovery(code) => self.check_recovery(account, code, caller).await?,
            TypedCode::Neither => CodeCheck::Wrong,
        };
        let proof = match checked {
            CodeCheck::Right(proof) => proof,
            not @ (CodeCheck::UsedUp | CodeCheck::Wrong) => {
                count_failure("second_factor");
                let context = Context::person(caller, &session.identity);
                self.record(Event::StepUpWrong { guess: Guess::SecondFactor }, &context).await?;
                if matches!(not, CodeCheck::UsedUp) {
                    self.take_back_guess(account, factor, failures).await?;
                    return Ok(ProofResult::UsedUp);
                }
                self.factor_was_wrong(who, factor, failures, caller).await?;
                return Ok(ProofResult::Wrong);
            }
        };
        self.factor_was_right(account, factor).await?;
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
        let (tries, window) = (self.deps.budgets.login, self.deps.limits.absolute);
        let budget = [(own, Budget { tries, window })];
        if let Verdict::Wait(_) = self.deps.attempts.count(&budget, self.now()).await? {
            self.sign_out(token, caller, Ended::TooManyTries).await?;
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
        let budget = [(key.clone(), self.deps.budgets.device)];
        if let Verdict::Wait(wait) = self.deps.attempts.count(&budget, self.now()).await? {
            self.forgive_within_session(session).await?;
            let context = Context::person(caller, &session.identity);
            let event = throttled(Guess::Password, wait, None);
            self.record_throttled(&[key], event, wait, &context).await?;
            return Ok(MayGuess::Wait(wait));
        }
        Ok(MayGuess::Yes)
    }
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
