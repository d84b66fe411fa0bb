//! The first factor: name and password.

use std::fmt;
use std::sync::Arc;

use super::app_passwords::AppPasswords;
use super::deps::LoginDeps;
use super::events::Journal;
use super::guesses::PasswordLimits;
use super::logins::Logins;
use super::new_sessions::NewSessions;
use super::{AppAttempt, AppRef, ByApp, FirstFactor, LoginError};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::first_factor::FirstFactors;
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

/// The first factor of a login.
pub struct SignIn {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) first_factors: Arc<FirstFactors>,
    pub(super) journal: Arc<Journal>,
    pub(super) limits: Arc<PasswordLimits>,
    pub(super) apps: Arc<AppPasswords>,
    pub(super) logins: Arc<Logins>,
    pub(super) new_sessions: Arc<NewSessions>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIn(…)")
    }
}

impl SignIn {
    /// Checks name and password with the first factor of the app, and begins a login.
    pub async fn first_factor(
        &self,
        app: AppRef<'_>,
        attempt: FirstFactorAttempt,
    ) -> Result<FirstFactor, LoginError> {
        let FirstFactorAttempt { name, password, app_code, caller, return_to } = attempt;
        let typed = Typed { name, password, code: app_code };
        let attempt = AppAttempt { typed, caller, return_to, by_client: false };
        let policy = self.apps.app_policy(app.name).unwrap_or_default();
        Ok(match self.check_first_factor(app, policy, attempt).await? {
            ByApp::Begun { token, enrol, .. } => {
                FirstFactor::Begun { token, lives: self.logins.pending_lives(), enrol }
            }
            ByApp::SignedIn(done, _) => FirstFactor::SignedIn(done),
            ByApp::CodeWanted(_) => FirstFactor::AppCodeWanted,
            ByApp::Refused(_) => FirstFactor::Wrong,
            ByApp::Undecided(answer) => return Err(LoginError::undecided(&answer)),
            ByApp::Stranger => FirstFactor::Stranger,
            ByApp::Disabled => FirstFactor::Disabled,
            ByApp::Wait(wait) => FirstFactor::Wait(wait),
        })
    }

    /// Checks that signing in is possible: both stores answer and accept writes.
    pub async fn is_open(&self) -> Result<(), LoginError> {
        self.deps.sessions.ping().await?;
        Ok(self.deps.accounts.ping().await?)
    }
}
