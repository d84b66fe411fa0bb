//! Pending logins: how they begin, their next step, and how they end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::app_passwords::AppPasswords;
use super::deps::LoginDeps;
use super::key::works_at;
use super::{AppRef, LoginError, Owed};
use crate::auth::account::Account;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{Login, PasswordProof};
use crate::auth::ticket::FirstEnrolment;
use crate::auth::token::{HashedToken, PendingToken, PlainToken};
use crate::base::clock::Timestamp;

/// Pending logins.
pub struct Logins {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) apps: Arc<AppPasswords>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logins(…)")
    }
}

impl Logins {
    /// Ends a pending login and revokes the credentials that the app issued at its beginning.
    pub(super) async fn end_login(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<(), LoginError> {
        self.deps.pending.end(id).await?;
        if login.held.is_some() {
            self.apps.give_up(&login.app, self.apps.held_in(login, id)?).await;
        }
        Ok(())
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
            begun_with: proof.begins_with(),
            started_at: asked_at,
            expires_at: self.deps.now().plus(self.pending_lives()),
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
        let token = PlainToken::generate(&self.deps.keys, self.deps.random())?;
        self.deps.pending.begin(token.hashed(), login, self.deps.now()).await?;
        Ok(token)
    }

    /// Returns the login under `token`, if it belongs to this app and is still alive.
    pub(super) async fn pending(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<PendingLogin>, LoginError> {
        let login = self.deps.pending.load(token.hashed(), self.deps.now()).await?;
        Ok(login.filter(|l| l.app == app.name))
    }

    /// Returns the account of a pending login, unless it was disabled or removed, or its logins were
    /// ended, since.
    pub(super) async fn account_of(
        &self,
        login: &PendingLogin,
    ) -> Result<Option<Account>, LoginError> {
        Ok(self.deps.accounts.of_login(login.account, login.started_at).await?)
    }

    /// Returns the next step of the login under `token`, or `None` if it is gone.
    pub async fn owed(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<Owed>, LoginError> {
        let Some(login) = self.pending(app, token).await? else { return Ok(None) };
        let Some(account) = self.account_of(&login).await? else { return Ok(None) };
        let name = account.identity.name.clone();
        if login.begun_with == BegunWith::RecoveryCode
            && self.deps.resets.granted_reset(token.hashed(), self.deps.now()).await?.is_some()
        {
            return Ok(Some(Owed::NewPassword { name }));
        }
        if login.spent {
            return Ok(None);
        }
        Ok(Some(if self.may_enrol(&account, &login) {
            Owed::Enrolment { name }
        } else {
            let all = self.deps.authenticators.authenticators(account.id()).await?;
            let usable = || all.iter().filter(|one| one.suspended_at.is_none());
            let here = usable().filter(|one| works_at(one, app.party));
            let mut kinds: Vec<_> = here.map(|one| one.kind).collect();
            kinds.dedup();
            match (all.is_empty(), usable().next().is_none()) {
                (true, _) => Owed::Help { name },
                (false, false) => Owed::SecondFactor { name, kinds },
                (false, true) => {
                    let codes = self.deps.recovery.recovery_set(account.id()).await?;
                    Owed::Suspended { name, recovery: codes.is_some_and(|set| set.left > 0) }
                }
            }
        }))
    }

    /// Returns true if an authenticator may be enrolled in this login: with a ticket, or as the
    /// account's first if the password alone is enough for that.
    pub(super) fn may_enrol(&self, account: &Account, login: &PendingLogin) -> bool {
        match login.begun_with {
            BegunWith::PasswordAndTicket(_) => true,
            BegunWith::Password | BegunWith::App | BegunWith::AppClient => {
                !account.ever_enrolled && self.deps.enrolment == FirstEnrolment::FirstLogin
            }
            BegunWith::RecoveryCode | BegunWith::Passkey => false,
        }
    }

    /// Ends a pending login, and the session at the app that it began with.
    pub async fn abandon(&self, token: &PlainToken<PendingToken>) -> Result<(), LoginError> {
        self.abandon_hashed(token.hashed()).await
    }

    /// Ends a pending login by the hash of its token, in the same way.
    pub async fn abandon_hashed(&self, id: &HashedToken<PendingToken>) -> Result<(), LoginError> {
        match self.deps.pending.load(id, self.deps.now()).await? {
            Some(login) => self.end_login(&login, id).await,
            None => Ok(()),
        }
    }

    /// Returns the lifetime of a pending login.
    pub(super) fn pending_lives(&self) -> Duration {
        self.deps.limits.pending
    }
}
