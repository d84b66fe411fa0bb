//! Password recovery: a recovery code in place of the password, then the second factor, then a new
//! password.
//!
//! No session begins before the new password is set. A recovery code is counted and recorded like a
//! password. Known, unknown and disabled names, with and without codes, take the same path.

use std::fmt;
use std::sync::Arc;

use super::by_recovery_code::UsedCode;
use super::deps::LoginDeps;
use super::events::{Journal, throttled};
use super::guesses::{MayTry, PasswordLimits};
use super::logins::Logins;
use super::new_sessions::NewSessions;
use super::prove::FactorCheck;
use super::sessions::OpenSessions;
use super::{AppRef, FirstFactor, LoginError, SecondFactor};
use crate::auth::account::{Account, LoginName, TypedName};
use crate::auth::audit::{Caller, Context, Event, Guess as Guessed, TicketPurpose};
use crate::auth::first_factor::FirstFactors;
use crate::auth::password::{NewPasswordError, PasswordRefused};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{
    Login, NewPassword, PasswordForgotten, RecoveryProof, SecondCheck, SecondFactorProof,
};
use crate::auth::token::{PendingToken, PlainToken};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

/// The fields of the password recovery page.
#[derive(Debug)]
pub struct ForgotAttempt {
    /// Name as typed.
    pub name: String,
    /// Recovery code without a typo.
    pub code: RecoveryCode,
    /// Client of the request.
    pub caller: Caller,
    /// Path and query on the same host to redirect to after sign-in.
    pub return_to: String,
}

/// The result of setting a new password in place of a forgotten one.
#[derive(Debug)]
#[must_use]
pub enum NewPasswordSet {
    /// The password was set and a session began, or the login has no right to set one and must
    /// start again.
    Login(SecondFactor),
    /// The password does not meet the policy.
    Unfit(PasswordRefused),
}

/// Recovery codes in place of a forgotten password.
pub struct ForgottenPasswords {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) first_factors: Arc<FirstFactors>,
    pub(super) journal: Arc<Journal>,
    pub(super) limits: Arc<PasswordLimits>,
    pub(super) logins: Arc<Logins>,
    pub(super) check: Arc<FactorCheck>,
    pub(super) sessions: Arc<OpenSessions>,
    pub(super) new_sessions: Arc<NewSessions>,
}

impl fmt::Debug for ForgottenPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForgottenPasswords(…)")
    }
}

impl ForgottenPasswords {
    /// Checks a recovery code in place of the password, uses it up, and begins a login.
    pub async fn forgot(
        &self,
        app: AppRef<'_>,
        attempt: ForgotAttempt,
    ) -> Result<FirstFactor, LoginError> {
        // If the app checks passwords, there is no password of Vestibule's to replace.
        if !self.first_factors.of(app.name).kind().is_kept_here() {
            return Ok(FirstFactor::Wrong);
        }
        let name = TypedName::new(&attempt.name);
        let asked_at = self.deps.now();
        let digest = self.deps.keys.name_digest(name.folded());
        let tried = match self.limits.may_try_forgotten(&attempt.caller, &name).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guessed::Recovery, wait, Some(digest));
                let context = Context::unknown(&attempt.caller);
                self.journal.record_throttled(&keys, event, wait, &context).await?;
                return Ok(FirstFactor::Wait(wait));
            }
        };
        let (account, used, used_before) =
            match self.check_forgotten(name.login(), &attempt.code, tried.asker).await {
                Ok(checked) => checked,
                Err(error) => {
                    // The check was not completed, so this was not a wrong guess.
                    self.deps.attempts.forgive(&tried.keys).await?;
                    return Err(error);
                }
            };
        let Some((account, (proof, left))) = account.as_ref().zip(used) else {
            let known = account.as_ref().map(|a| &a.identity);
            self.journal.record_wrong_recovery(&attempt.caller, known, digest).await?;
            if used_before {
                // Not a guess: for example, a second copy of the form that used the code.
                self.deps.attempts.forgive(&tried.keys).await?;
            } else {
                self.limits.watch_for_spray(&tried, &attempt.caller).await?;
            }
            return Ok(FirstFactor::Wrong);
        };
        self.deps.attempts.forgive(&tried.keys).await?;
        let context = Context::person(&attempt.caller, &account.identity);
        let event = Event::RecoveryCodeUsed { left, instead_of: Guessed::Password };
        self.journal.record(event, &context).await?;
        let token = self
            .logins
            .file_login(&self.forgotten(app, &proof, attempt.return_to, asked_at))
            .await?;
        Ok(FirstFactor::Begun { token, lives: self.logins.pending_lives(), enrol: false })
    }

    fn forgotten(
        &self,
        app: AppRef<'_>,
        proof: &RecoveryProof,
        return_to: String,
        asked_at: Timestamp,
    ) -> PendingLogin {
        PendingLogin {
            account: Login::forgotten(proof).account(),
            app: app.name.to_owned(),
            begun_with: BegunWith::RecoveryCode,
            started_at: asked_at,
            expires_at: self.deps.now().plus(self.logins.pending_lives()),
            return_to,
            enrolment: None,
            typed_name: None,
            held: None,
            spent: false,
        }
    }

    /// Returns the account of that name, the proof if the code is one of its own, and true if the
    /// code was used before. An account without a password has none to recover: it is rejected like
    /// an unknown name and keeps its codes.
    async fn check_forgotten(
        &self,
        name: Option<&LoginName>,
        code: &RecoveryCode,
        asker: Asker,
    ) -> Result<(Option<Account>, Option<(RecoveryProof, u32)>, bool), LoginError> {
        let account = match name {
            Some(name) => self.deps.accounts.by_name(name).await?,
            None => None,
        };
        let forgetful = |a: &&Account| !a.disabled && a.password.is_some();
        let able = account.as_ref().filter(forgetful).map(Account::id);
        let used = self.check.use_recovery_code(able, code, asker).await?;
        let proof = match (able, &used) {
            (Some(id), UsedCode::Now { left }) => Some((RecoveryProof::used(id), *left)),
            _ => None,
        };
        Ok((account, proof, matches!(used, UsedCode::Before)))
    }

    /// Sets the new password, ends every other session of the account, and begins one.
    pub async fn set_forgotten_password(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        password: &Secret,
        caller: &Caller,
    ) -> Result<NewPasswordSet, LoginError> {
        let again = Ok(NewPasswordSet::Login(SecondFactor::StartAgain));
        let Some(login) = self.logins.pending(app, token).await? else { return again };
        let Some(account) = self.logins.account_of(&login).await? else { return again };
        let Some(waits) = Login::<PasswordForgotten>::resume(&login) else { return again };
        if self.deps.resets.granted_reset(token.hashed(), self.deps.now()).await?.is_none() {
            return again;
        }
        let record = match self.deps.passwords.hash_new(password, &account.identity).await {
            Ok(record) => record,
            Err(NewPasswordError::Refused(why)) => return Ok(NewPasswordSet::Unfit(why)),
            Err(NewPasswordError::Hash(error)) => return Err(error.into()),
        };
        self.journal.may_record().await?;
        let now = self.deps.now();
        let used = self.deps.resets.reset_password(token.hashed(), &record, now).await?;
        let Some((reset, link)) = used else { return again };
        let context = Context::person(caller, &account.identity);
        let keys = self.deps.remaining_keys(account.id()).await;
        let event = Event::PasswordChanged { by: "recovery_code", keys };
        self.journal.record_done(event, &context).await;
        self.journal.record_ended_link(link, TicketPurpose::Password, &context).await;
        let second = SecondFactorProof::assertion(reset.account, SecondCheck::Reset(reset.method));
        let finished = waits
            .complete(second, NewPassword::set(reset.account))
            .map_err(|error| LoginError::Broken(error.to_string()))?;
        let id = account.id();
        let done =
            self.new_sessions.promote(&finished, account, login, token, caller, false).await?;
        self.sessions.forget_others(id, Some(&done)).await;
        Ok(NewPasswordSet::Login(done))
    }
}
