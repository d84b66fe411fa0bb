//! The first factor: name and password.

use super::events::throttled;
use super::guesses::MayTry;
use super::{AppRef, FirstFactor, LoginError, LoginService};
use crate::auth::account::{Account, LoginName, TypedName};
use crate::auth::audit::{Caller, Context, Guess};
use crate::auth::password::PasswordVerdict;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{Login, PasswordProof};
use crate::auth::ticket::FirstEnrolment;
use crate::auth::token::{PendingToken, PlainToken};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

/// The fields of the sign-in page.
#[derive(Debug)]
pub struct FirstFactorAttempt {
    /// Name as typed.
    pub name: String,
    /// Password as typed.
    pub password: Secret,
    /// Code of the app's own second factor, if the app checks the password and one was typed.
    pub app_code: Option<Secret>,
    /// Client of the request.
    pub caller: Caller,
    /// Path and query on the same host to redirect to after sign-in.
    pub return_to: String,
}

impl LoginService {
    /// Checks name and password and begins a login. Unknown, disabled and known accounts take the
    /// same path at the same cost.
    pub async fn first_factor(
        &self,
        app: AppRef<'_>,
        attempt: FirstFactorAttempt,
    ) -> Result<FirstFactor, LoginError> {
        if let Some(policy) = self.app_policy(app.name) {
            return self.first_factor_of_page(app, policy, attempt).await;
        }
        let name = TypedName::new(&attempt.name);
        let digest = || self.deps.keys.name_digest(name.folded());
        let tried = match self.may_try_password(&attempt.caller, &name).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guess::Password, wait, Some(digest()));
                let context = Context::unknown(&attempt.caller);
                self.record_throttled(&keys, event, wait, &context).await?;
                return Ok(FirstFactor::Wait(wait));
            }
        };
        // Read before the account, so that a password change while this one is hashed also ends
        // this login.
        let asked_at = self.now();
        let checked = self.check_password(name.login(), &attempt.password, tried.asker).await;
        match checked {
            Ok((Some(account), Some(proof))) => {
                self.deps.attempts.forgive(&tried.keys).await?;
                let login = self.begin(app, &proof, attempt.return_to, asked_at);
                let enrol =
                    !account.ever_enrolled && self.deps.enrolment == FirstEnrolment::FirstLogin;
                let token = self.file_login(&login).await?;
                self.record_right_password(&attempt.caller, &account.identity).await?;
                Ok(FirstFactor::Begun { token, lives: self.pending_lives(), enrol })
            }
            Ok((account, _)) => {
                let known = account.as_ref().map(|a| &a.identity);
                self.record_wrong_password(&attempt.caller, known, digest()).await?;
                self.watch_for_spray(&tried, &attempt.caller).await?;
                Ok(FirstFactor::Wrong)
            }
            Err(error) => {
                // The check was not completed, so this was not a wrong guess.
                self.deps.attempts.forgive(&tried.counters()).await?;
                Err(error)
            }
        }
    }

    /// Returns the account of that name, and the proof if the password is correct.
    pub(super) async fn check_password(
        &self,
        name: Option<&LoginName>,
        password: &Secret,
        asker: Asker,
    ) -> Result<(Option<Account>, Option<PasswordProof>), LoginError> {
        let account = match name {
            Some(name) => self.deps.accounts.by_name(name).await?,
            None => None,
        };
        let stored = account.as_ref().and_then(|a| a.password.as_ref());
        let verdict = self.deps.passwords.verify(password, stored, asker).await?;
        let (Some(known), PasswordVerdict::Right { outdated }) = (&account, verdict) else {
            return Ok((account, None));
        };
        if known.disabled {
            return Ok((account, None));
        }
        if outdated {
            self.rehash(known, password).await?;
        }
        let proof = PasswordProof::verified(known.id());
        Ok((account, Some(proof)))
    }

    /// Rehashes a verified password with the current parameters.
    async fn rehash(&self, account: &Account, password: &Secret) -> Result<(), LoginError> {
        let Some(old) = &account.password else { return Ok(()) };
        let new = self.deps.passwords.hash(password).await?;
        Ok(self.deps.accounts.rehash_password(account.id(), old, &new).await?)
    }

    /// Creates the record of a login that the first factor begins.
    pub(super) fn begin(
        &self,
        app: AppRef<'_>,
        proof: &PasswordProof,
        return_to: String,
        asked_at: Timestamp,
    ) -> PendingLogin {
        PendingLogin {
            account: Login::begin(proof).account(),
            app: app.name.to_owned(),
            begun_with: BegunWith::Password,
            started_at: asked_at,
            expires_at: self.now().plus(self.pending_lives()),
            return_to,
            enrolment: None,
            typed_name: None,
            held: None,
            spent: false,
        }
    }

    /// Stores a pending login under a new token.
    pub(super) async fn file_login(
        &self,
        login: &PendingLogin,
    ) -> Result<PlainToken<PendingToken>, LoginError> {
        let token = PlainToken::generate(&self.deps.keys, self.random())?;
        self.deps.pending.begin(token.hashed(), login, self.now()).await?;
        Ok(token)
    }
}
