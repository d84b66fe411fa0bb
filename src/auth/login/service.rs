//! The service behind all use cases, and the use cases of a session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::omitted_rows::OmittedRows;
use super::{AppRef, DeviceCookie, LoginError, Owed, Profile, SecondFactor, SignedIn};
use crate::auth::account::{Account, AccountStatus, Identity, folded};
use crate::auth::app_sign_in::{AppSignIn, Held, ReservedNames};
use crate::auth::audit::{Caller, Context, Ended, Event, Trail};
use crate::auth::browser::KnownBrowser;
use crate::auth::keys::KeyRing;
use crate::auth::notice::Notice;
use crate::auth::password::PasswordPool;
use crate::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, AuditQuery, Factors, Guesses,
    PasswordResets, PendingLogins, SeenNetworks, Sessions, Tickets,
};
use crate::auth::recovery::FEW_CODES;
use crate::auth::session::{BegunWith, Offers, PendingLogin, Session, SessionLimits};
use crate::auth::stage::{Factor, FullyAuthenticated, Login};
use crate::auth::throttle::{Budgets, NETWORK_LIVES, NETWORKS_MOST, NetworkDigest, SeenNetwork};
use crate::auth::ticket::FirstEnrolment;
use crate::auth::token::{HashedToken, PendingToken, PlainToken, SessionToken};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{AccountId, SessionId};
use crate::base::random::Random;
use crate::base::secret::Secret;

/// Counts a refused attempt.
pub(super) fn count_failure(what: &'static str) {
    metrics::counter!("vestibule_sign_in_failures_total", "what" => what).increment(1);
}

/// Dependencies of the service.
#[derive(Clone)]
pub struct LoginDeps {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Second factors and recovery codes.
    pub factors: Arc<dyn Factors>,
    /// One-time links.
    pub tickets: Arc<dyn Tickets>,
    /// Rights to set a new password in place of a forgotten one.
    pub resets: Arc<dyn PasswordResets>,
    /// Pending logins.
    pub pending: Arc<dyn PendingLogins>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Failed attempts at second factors.
    pub guesses: Arc<dyn Guesses>,
    /// Links between accounts and users of apps.
    pub app_accounts: Arc<dyn AppAccounts>,
    /// Tokens that apps issued.
    pub app_tokens: Arc<dyn AppTokens>,
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Apps that check the first factor themselves.
    pub apps: Arc<dyn AppSignIn>,
    /// Login names that provisioning never assigns.
    pub reserved: Arc<ReservedNames>,
    /// Attempt counters.
    pub attempts: Arc<dyn Attempts>,
    /// Networks from which accounts have signed in.
    pub networks: Arc<dyn SeenNetworks>,
    /// Audit log.
    pub trail: Arc<Trail>,
    /// Password hashing pool.
    pub passwords: Arc<PasswordPool>,
    /// Key ring.
    pub keys: Arc<KeyRing>,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Requirement for the first enrolment of an account.
    pub enrolment: FirstEnrolment,
    /// Lifetimes of sessions and pending logins.
    pub limits: SessionLimits,
    /// Attempt budgets.
    pub budgets: Budgets,
}

impl fmt::Debug for LoginDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginDeps")
    }
}

/// Signing in and out.
pub struct LoginService {
    pub(super) deps: LoginDeps,
    pub(super) omitted_rows: OmittedRows,
}

impl fmt::Debug for LoginService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginService")
    }
}

/// Selects the audit rows that the owner of an account can see.
fn recent(account: AccountId, limit: u32) -> AuditQuery {
    AuditQuery { account: Some(account), ..AuditQuery::newest(limit) }
}

impl LoginService {
    /// Creates the service over these stores.
    pub fn new(deps: LoginDeps) -> Self {
        Self { deps, omitted_rows: OmittedRows::default() }
    }

    /// Returns the key ring, for CSRF tokens and for reading cookies.
    pub fn keys(&self) -> &KeyRing {
        &self.deps.keys
    }

    /// Returns the source of random bytes.
    pub fn random(&self) -> &dyn Random {
        &*self.deps.random
    }

    /// Returns the minimum length of a new password.
    pub fn password_length(&self) -> usize {
        self.deps.passwords.policy().min_length()
    }

    /// Returns the lifetimes of sessions and pending logins.
    pub fn limits(&self) -> SessionLimits {
        self.deps.limits
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Returns the login under `token`, if it belongs to this app and is still alive.
    pub(super) async fn pending(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<PendingLogin>, LoginError> {
        let login = self.deps.pending.load(token.hashed(), self.now()).await?;
        Ok(login.filter(|l| l.app == app.name))
    }

    /// Returns the account of a pending login, unless it was disabled or removed since.
    pub(super) async fn account_of(
        &self,
        login: &PendingLogin,
    ) -> Result<Option<Account>, LoginError> {
        let account = self.deps.accounts.by_id(login.account).await?;
        Ok(account.filter(|a| !a.disabled && login.started_at >= a.sessions_valid_from))
    }

    /// Checks that signing in is possible: both stores answer and accept writes.
    pub async fn is_open(&self) -> Result<(), LoginError> {
        self.deps.sessions.ping().await?;
        Ok(self.deps.accounts.ping().await?)
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
            && self.deps.resets.granted_reset(token.hashed(), self.now()).await?.is_some()
        {
            return Ok(Some(Owed::NewPassword { name }));
        }
        if login.spent {
            return Ok(None);
        }
        Ok(Some(if self.may_enrol(&account, &login) {
            Owed::Enrolment { name }
        } else {
            match self.deps.factors.totp(account.id()).await? {
                None => Owed::Help { name },
                Some(totp) if totp.suspended_at.is_none() => Owed::SecondFactor { name },
                Some(_suspended) => {
                    let codes = self.deps.factors.recovery_set(account.id()).await?;
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
            BegunWith::RecoveryCode => false,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a session come from different places"
    )]
    /// Turns a login with both proofs into a session under a new id.
    pub(super) async fn promote(
        &self,
        finished: &Login<FullyAuthenticated>,
        account: Account,
        login: PendingLogin,
        token: &PlainToken<PendingToken>,
        caller: &Caller,
        recovery_codes_due: bool,
    ) -> Result<SecondFactor, LoginError> {
        if finished.account() != account.id() {
            return Err(LoginError::Broken("login finished for another account".to_owned()));
        }
        let (now, factor) = (self.now(), finished.method());
        let read = login.begun_with != BegunWith::AppClient;
        let notices = if read {
            let hex = token.hashed().to_hex();
            self.notices(&account, &hex, login.started_at, factor).await?
        } else {
            Vec::new()
        };
        let new_browser = self.is_new(&account, &login, caller).await?;
        let browser = self.make_known(&account.identity, caller, now)?;
        let held = self.held_in(&login, token.hashed())?;
        let session = Session {
            id: SessionId::random(self.random())?,
            identity: account.identity,
            app: login.app,
            method: factor,
            started_at: now,
            renewed_since: None,
            second_factor_at: now,
            password_at: match login.begun_with {
                BegunWith::Password
                | BegunWith::PasswordAndTicket(_)
                | BegunWith::App
                | BegunWith::AppClient => login.started_at,
                BegunWith::RecoveryCode => Timestamp::EPOCH,
            },
            last_seen_at: now,
            expires_at: now.plus(self.deps.limits.absolute),
            device: caller.device.clone(),
            recovery_codes_due: recovery_codes_due.then(|| login.return_to.clone()),
            offers: Offers::default(),
            notices,
            identity_changes: 0,
        };
        let ttl = self.deps.limits.time_to_live(&session, now);
        let plain = PlainToken::<SessionToken>::generate(&self.deps.keys, self.random())?;
        if !self.deps.sessions.promote(token.hashed(), plain.hashed(), &session, ttl).await? {
            return Ok(SecondFactor::StartAgain);
        }
        let (app, has_notices) = (session.app.clone(), !session.notices.is_empty());
        let event = Event::SignedIn { session: session.id, factor, app, new_browser };
        self.note_sign_in(&session, event, &held, &plain, caller).await?;
        self.note_network(&session, login.typed_name, caller).await;
        if read {
            self.clear_shown_notices(session.identity.account, login.started_at, now).await?;
        }
        metrics::counter!("vestibule_sign_ins_total", "method" => factor.as_str()).increment(1);
        Ok(SecondFactor::SignedIn(SignedIn {
            token: plain,
            return_to: login.return_to,
            recovery_codes_due,
            browser,
            has_notices,
            app_cookies: held.set_cookies.iter().cloned().map(Secret::new).collect(),
        }))
    }

    /// Records that the account verified both factors from this network, under its name and under
    /// the typed one. A failure does not affect the sign-in: the network stays unknown.
    async fn note_network(&self, session: &Session, typed: Option<String>, caller: &Caller) {
        if !caller.device.address.is_known() {
            return;
        }
        let name = folded(session.identity.name.as_str());
        let own = NetworkDigest::new(&self.deps.keys, &name, caller.device.address);
        let typed = typed.filter(|typed| *typed != own.name);
        let typed = typed.map(|name| NetworkDigest { name, ..own.clone() });
        let seen = SeenNetwork { account: session.identity.account, at: session.started_at };
        for network in std::iter::once(own).chain(typed) {
            let noted =
                self.deps.networks.note_network(&network, &seen, NETWORKS_MOST, NETWORK_LIVES);
            if let Err(error) = noted.await {
                tracing::warn!(%error, "failed to record the network of a sign-in");
            }
        }
    }

    /// Clears the notices that were shown by a session that began with a login at `since`.
    async fn clear_shown_notices(
        &self,
        account: AccountId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), LoginError> {
        let cleared = self.deps.guesses.forget_wrong_codes(account, now).await;
        // On failure, the next sign-in shows the notice again.
        cleared.unwrap_or_else(|error| tracing::warn!(%error, "failed to clear the wrong-code notice; it will be shown again"));
        Ok(self.deps.factors.recovery_told(account, since).await?)
    }

    /// Returns the cookie that makes the browser known to the account, after both factors were
    /// verified in it.
    pub(super) fn make_known(
        &self,
        who: &Identity,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Option<DeviceCookie>, LoginError> {
        let former = caller.browser.as_ref();
        let text = KnownBrowser::cookie(former, who, &self.deps.keys, self.random(), now)?;
        let lives = self.deps.budgets.device_lives;
        Ok(text.map(|text| DeviceCookie { text, lives }))
    }

    /// Binds the credentials that the app issued to a new session and records the sign-in. If that
    /// fails, the client does not get the session's token.
    async fn note_sign_in(
        &self,
        session: &Session,
        event: Event,
        held: &Held,
        token: &PlainToken<SessionToken>,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let noted = match self.bind_held(held, token.hashed(), session, self.now()).await {
            Ok(()) => self.record(event, &Context::person(caller, &session.identity)).await,
            failed @ Err(_) => failed,
        };
        if noted.is_err() {
            // If the session cannot be ended either, it expires unused.
            drop(self.deps.sessions.end(token.hashed()).await);
        }
        noted
    }

    /// Returns the notices for a sign-in. `login` is the hash of this login's token: typos in it
    /// are not reported. `since` is its start: recovery codes used in it are not reported either.
    async fn notices(
        &self,
        account: &Account,
        login: &str,
        since: Timestamp,
        method: Factor,
    ) -> Result<Vec<Notice>, LoginError> {
        let wrong = self.deps.guesses.wrong_codes(account.id()).await?;
        let totp = self.deps.factors.totp(account.id()).await?;
        let suspended = totp.is_some_and(|t| t.suspended_at.is_some());
        // Both cases lead to enrolling an authenticator again.
        let again = match (suspended, method) {
            (true, _) => Some(Notice::AuthenticatorSuspended),
            (false, Factor::RecoveryCode) => Some(Notice::SignedInWithRecoveryCode),
            (false, Factor::Totp | Factor::App) => None,
        };
        let used = self.deps.factors.untold_recovery(account.id(), since).await?;
        let used = used.map(|at| Notice::RecoveryCodeUsed { at, address: None });
        let codes = self.deps.factors.recovery_set(account.id()).await?;
        let few = codes.filter(|set| set.left <= FEW_CODES);
        let few = few.map(|set| Notice::FewRecoveryCodes { left: set.left });
        let wrong = Notice::of_wrong_codes(&wrong, login);
        Ok(wrong.into_iter().chain(used).chain(again).chain(few).collect())
    }

    /// Returns the session under `token`, if it belongs to this app, is alive, and its account
    /// still accepts it.
    pub async fn session(
        &self,
        app: &str,
        token: &PlainToken<SessionToken>,
    ) -> Result<Option<Session>, LoginError> {
        let Some(session) = self.deps.sessions.load(token.hashed()).await? else {
            return Ok(None);
        };
        if session.app != app || !self.deps.limits.is_alive(&session, self.now()) {
            return Ok(None);
        }
        let status = self.deps.accounts.status(session.identity.account).await?;
        let honoured = status.filter(|status| status.honours(session.started_at));
        let identity = |status: AccountStatus| (*status.identity).clone();
        Ok(honoured.map(|status| Session { identity: identity(status), ..session }))
    }

    /// Returns the state of the account for its owner, with the newest `events`.
    pub async fn profile(&self, session: &Session, events: u32) -> Result<Profile, LoginError> {
        let id = session.identity.account;
        let account = self.deps.accounts.by_id(id).await?;
        let account = account.ok_or_else(|| {
            LoginError::Broken("account removed while its session was in use".to_owned())
        })?;
        Ok(Profile {
            account,
            totp: self.deps.factors.totp(id).await?,
            recovery: self.deps.factors.recovery_set(id).await?,
            sessions: self.deps.sessions.list(Some(id), self.now()).await?,
            tokens: self.deps.access_tokens.tokens(Some(id)).await?,
            events: self.deps.trail.find(&recent(id, events)).await?,
        })
    }

    /// Ends the session, if there is one.
    pub async fn sign_out(
        &self,
        token: &PlainToken<SessionToken>,
        caller: &Caller,
        why: Ended,
    ) -> Result<(), LoginError> {
        let session = self.deps.sessions.load(token.hashed()).await?;
        let ended = self.deps.sessions.end(token.hashed()).await?;
        // Only one of several concurrent requests ends the session.
        let Some(session) = session.filter(|_| ended) else { return Ok(()) };
        let event = Event::SessionEnded { session: session.id, why };
        self.record_done(event, &Context::person(caller, &session.identity)).await;
        Ok(())
    }

    /// Ends a known session after the user has signed out.
    pub async fn end_known(
        &self,
        id: &HashedToken<SessionToken>,
        session: &Session,
        caller: &Caller,
        why: Ended,
    ) -> Result<(), LoginError> {
        self.deps.sessions.end(id).await?;
        let event = Event::SessionEnded { session: session.id, why };
        self.record_done(event, &Context::person(caller, &session.identity)).await;
        Ok(())
    }

    /// Ends a pending login, and the session at the app that it began with.
    pub async fn abandon(&self, token: &PlainToken<PendingToken>) -> Result<(), LoginError> {
        self.abandon_hashed(token.hashed()).await
    }

    /// Ends a pending login by the hash of its token, in the same way.
    pub async fn abandon_hashed(&self, id: &HashedToken<PendingToken>) -> Result<(), LoginError> {
        match self.deps.pending.load(id, self.now()).await? {
            Some(login) => self.end_login(&login, id).await,
            None => Ok(()),
        }
    }

    /// Returns the lifetime of a pending login.
    pub(super) fn pending_lives(&self) -> Duration {
        self.deps.limits.pending
    }
}
