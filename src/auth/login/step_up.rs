//! Step-up: proving again, within a session, who one is. It gives the session a new id, so that a
//! token stolen before is worth nothing after.

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

/// What was typed as the second factor.
#[derive(Debug)]
pub enum TypedCode {
    /// Six digits of the authenticator.
    App(Code),
    /// A recovery code.
    Recovery(RecoveryCode),
    /// Neither: a typo, which costs no try.
    Neither,
}

impl TypedCode {
    /// What this is.
    pub fn parse(typed: &str) -> Self {
        match (Code::parse(typed), RecoveryCode::parse(typed)) {
            (Ok(code), _) => Self::App(code),
            (Err(_), Ok(code)) => Self::Recovery(code),
            (Err(_), Err(_)) => Self::Neither,
        }
    }
}

/// What comes of a step-up.
#[derive(Debug)]
#[must_use]
pub enum StepUp {
    /// Right: the session goes on under this token.
    Done(PlainToken<SessionToken>),
    /// The password is wrong. The code was not looked at.
    WrongPassword,
    /// The app that keeps the password wants a code of its own with it. Ours was not looked at.
    AppCodeWanted,
    /// The code is wrong.
    WrongCode,
    /// The code was right once: it is used up.
    UsedCode,
    /// What was typed is neither a code nor a recovery code. It costs no try.
    Typo,
    /// The factor that was tried is suspended.
    Suspended,
    /// Too many tries for this account.
    Wait(Duration),
    /// The session is over: it ended meanwhile, or had too many wrong tries.
    Ended,
}

/// Whether one may guess.
pub(super) enum MayGuess {
    Yes,
    Wait(Duration),
    Ended,
}

impl LoginService {
    /// Proves the second factor again and, where one is typed, the password before it. The name that
    /// was typed counts at an app that keeps passwords, and nowhere else.
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
                Proved::Yes(_) => password_at = asked_at,
                Proved::Wrong | Proved::UsedUp | Proved::Typo | Proved::Suspended => {
                    return Ok(StepUp::WrongPassword);
                }
                Proved::AppCodeWanted => return Ok(StepUp::AppCodeWanted),
                Proved::Wait(wait) => return Ok(StepUp::Wait(wait)),
                Proved::Ended => return Ok(StepUp::Ended),
            }
        }
        match self.prove_second_factor(token, session, &account, code, caller).await? {
            Proved::Yes(_) => {}
            Proved::Wrong | Proved::AppCodeWanted => return Ok(StepUp::WrongCode),
            Proved::UsedUp => return Ok(StepUp::UsedCode),
            Proved::Typo => return Ok(StepUp::Typo),
            Proved::Suspended => return Ok(StepUp::Suspended),
            Proved::Wait(wait) => return Ok(StepUp::Wait(wait)),
            Proved::Ended => return Ok(StepUp::Ended),
        }
        // Written before the session has a new token, which would be lost with a failure.
        let context = Context::person(caller, &account.identity);
        self.record(Event::SteppedUp { guess }, &context).await?;
        let next = Session { second_factor_at: asked_at, password_at, ..session.clone() };
        let Some(renewed) = self.renew(token, &next, None, asked_at).await? else {
            return Ok(StepUp::Ended);
        };
        Ok(StepUp::Done(renewed.token))
    }

    /// The account of a session, unless it was disabled, removed, or its sessions ended.
    pub(super) async fn owner(&self, session: &Session) -> Result<Option<Account>, LoginError> {
        let account = self.deps.accounts.by_id(session.identity.account).await?;
        Ok(account.filter(|a| !a.disabled && session.started_at >= a.sessions_valid_from))
    }

    /// The session goes on under a new id and token, as `next` says. It counts as begun at
    /// `started_at`, so that an end of all sessions after that moment still ends it. `None` when the
    /// session is over.
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

    /// Checks the password of the session's own account. It has a budget of its own, as that of a
    /// known browser: a stranger at the sign-in page cannot use it up.
    pub(super) async fn prove_password(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Proved<PasswordProof>, LoginError> {
        match self.may_guess_password(token, session, caller).await? {
            MayGuess::Yes => {}
            MayGuess::Wait(wait) => return Ok(Proved::Wait(wait)),
            MayGuess::Ended => return Ok(Proved::Ended),
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
            Checked::Right(proof) => Ok(Proved::Yes(proof)),
            Checked::CodeWanted => Ok(Proved::AppCodeWanted),
            Checked::Wrong => {
                count_failure("password");
                let context = Context::person(caller, &session.identity);
                self.record(Event::StepUpWrong { guess: Guess::Password }, &context).await?;
                Ok(Proved::Wrong)
            }
        }
    }

    /// Whoever checks passwords at the app of the session checks this one.
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
        // The name may have been given to another account since: that password proves nothing here.
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
    ) -> Result<Proved<SecondFactorProof>, LoginError> {
        let factor = match code {
            TypedCode::App(_) => Factor::Totp,
            TypedCode::Recovery(_) => Factor::RecoveryCode,
            TypedCode::Neither => return Ok(Proved::Typo),
        };
        if !self.count_within_session(token, session, caller).await? {
            return Ok(Proved::Ended);
        }
        let who = &account.identity;
        let failures = match self.count_factor_guess(who, factor, caller).await? {
            Counted::Go { failures } => failures,
            Counted::Wait(wait) => {
                self.forgive_within_session(session).await?;
                return Ok(Proved::Wait(wait));
            }
            Counted::Suspended { .. } => return Ok(Proved::Suspended),
            Counted::NoFactor => return Ok(Proved::Wrong),
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
                    return Ok(Proved::UsedUp);
                }
                self.factor_was_wrong(who, factor, failures, caller).await?;
                return Ok(Proved::Wrong);
            }
        };
        self.factor_was_right(account, factor).await?;
        Ok(Proved::Yes(proof))
    }

    /// Counts a guess on the session's own counter before anything is compared. False when it is used
    /// up: that ends the session.
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

    /// Counts a password within a session, for the session and for the account.
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

/// What comes of one proof within a session.
pub(super) enum Proved<P> {
    Yes(P),
    Wrong,
    /// Right once, and used up.
    UsedUp,
    /// Nothing that could be a code.
    Typo,
    /// Suspended after too many wrong guesses.
    Suspended,
    /// The app that keeps the password wants a code of its own with it.
    AppCodeWanted,
    Wait(Duration),
    Ended,
}
