//! Sessions that begin with both proofs, or continue under a new id.

use std::sync::Arc;
use std::time::Duration;

use super::app_passwords::AppPasswords;
use super::deps::LoginDeps;
use super::events::Journal;
use super::guesses::PasswordLimits;
use super::parked::Parking;
use super::{DeviceCookie, LoginError, Renewed, SecondFactor, SignedIn};
use crate::auth::account::{Account, Identity, folded};
use crate::auth::app_sign_in::Held;
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::authenticator::keys_of;
use crate::auth::browser::KnownBrowser;
use crate::auth::notice::Notice;
use crate::auth::recovery::FEW_CODES;
use crate::auth::session::{BegunWith, Offers, PendingLogin, Session};
use crate::auth::stage::{Factor, FullyAuthenticated, Login};
use crate::auth::throttle::{NETWORK_LIVES, NETWORKS_MOST, NetworkDigest, SeenNetwork};
use crate::auth::token::{PendingToken, PlainToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId, TreeId};
use crate::base::secret::Secret;

/// Longest time by which a link sets the password before its login begins.
const SET_BEFORE: Duration = Duration::from_mins(1);

/// The sessions at apps below a session that continues under a new id, and requests under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branches {
    /// They continue.
    Continue,
    /// They end, because a credential was changed: one of them may be stolen.
    End,
}

/// Sessions that begin, or continue under a new id.
pub(super) struct NewSessions {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) limits: Arc<PasswordLimits>,
    pub(super) apps: Arc<AppPasswords>,
    pub(super) parking: Arc<Parking>,
}

/// Returns the event of a sign-in.
fn signed_in(session: &Session, app: String, new_browser: bool) -> Event {
    Event::SignedIn {
        session: session.id,
        factor: session.method,
        app,
        new_browser,
        amr: session.methods().join(" "),
        key: session.key.as_ref().and_then(|key| key.id),
    }
}

impl NewSessions {
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
        let (now, factor) = (self.deps.now(), finished.method());
        // A login that begins and ends in one request is stored only after the checks, so that an end
        // of sessions meanwhile does not remove it. It ends the session by its start.
        let in_one_request = finished.is_by_passkey_alone() || factor == Factor::App;
        let started_at = if in_one_request { login.started_at } else { now };
        let read = login.begun_with != BegunWith::AppClient;
        let notices =
            if read { self.news(&account, &login, token, factor).await? } else { Vec::new() };
        let new_browser = self.is_new(&account, &login, caller).await?;
        let browser = self.make_known(&account.identity, caller, now)?;
        let held = self.apps.held_in(&login, token.hashed())?;
        let session = Session {
            password_at: login.first_factor_at(),
            id: SessionId::random(self.deps.random())?,
            identity: account.identity,
            app: login.app,
            method: factor,
            key: finished.key(),
            alone: finished.is_by_passkey_alone(),
            started_at,
            renewed_since: None,
            second_factor_at: now,
            last_seen_at: now,
            expires_at: now.plus(self.deps.limits.absolute),
            device: caller.device.clone(),
            recovery_codes_due: recovery_codes_due.then(|| login.return_to.clone()),
            offers: Offers::default(),
            notices,
            identity_changes: 0,
            tree: Some(TreeId::random(self.deps.random())?),
            branch: None,
            apps: Vec::new(),
        };
        let ttl = self.deps.limits.time_to_live(&session, now);
        let plain = PlainToken::<SessionToken>::generate(&self.deps.keys, self.deps.random())?;
        if !self.deps.sessions.promote(token.hashed(), plain.hashed(), &session, ttl).await? {
            return Ok(SecondFactor::StartAgain);
        }
        let resend = self.parking.begun(plain.hashed(), &session, caller).await;
        let (app, has_notices) = (session.app.clone(), !session.notices.is_empty());
        let event = signed_in(&session, app, new_browser);
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
            resend,
            app_cookies: held.set_cookies.iter().cloned().map(Secret::new).collect(),
        }))
    }

    /// Records that the account verified both factors from this network, under its name and under
    /// the typed one. A failure does not affect the sign-in: the network stays unknown.
    pub(super) async fn note_network(
        &self,
        session: &Session,
        typed: Option<String>,
        caller: &Caller,
    ) {
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
    pub(super) async fn clear_shown_notices(
        &self,
        account: AccountId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), LoginError> {
        let cleared = self.deps.guesses.forget_wrong_codes(account, now).await;
        // On failure, the next sign-in shows the notice again.
        cleared.unwrap_or_else(|error| tracing::warn!(%error, "failed to clear the wrong-code notice; it will be shown again"));
        Ok(self.deps.recovery.recovery_told(account, since).await?)
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
        let text = KnownBrowser::cookie(former, who, &self.deps.keys, self.deps.random(), now)?;
        let lives = self.deps.budgets().device_lives;
        Ok(text.map(|text| DeviceCookie { text, lives }))
    }

    /// Binds the credentials that the app issued to a new session and records the sign-in. If that
    /// fails, the client does not get the session's token.
    pub(super) async fn note_sign_in(
        &self,
        session: &Session,
        event: Event,
        held: &Held,
        token: &PlainToken<SessionToken>,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let noted = match self.apps.bind_held(held, token.hashed(), session, self.deps.now()).await
        {
            Ok(()) => self.journal.record(event, &Context::person(caller, &session.identity)).await,
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
    pub(super) async fn notices(
        &self,
        account: &Account,
        login: &str,
        since: Timestamp,
        method: Factor,
    ) -> Result<Vec<Notice>, LoginError> {
        let wrong = self.deps.guesses.wrong_codes(account.id()).await?;
        let all = self.deps.authenticators.authenticators(account.id()).await?;
        let suspended = all.iter().any(|one| one.suspended_at.is_some());
        // Both cases lead to enrolling an authenticator again.
        let again = match (suspended, method) {
            (true, _) => Some(Notice::AuthenticatorSuspended),
            (false, Factor::RecoveryCode) => Some(Notice::SignedInWithRecoveryCode),
            (false, Factor::Authenticator(_) | Factor::App) => None,
        };
        let used = self.deps.recovery.untold_recovery(account.id(), since).await?;
        let used = used.map(|at| Notice::RecoveryCodeUsed { at, address: None });
        let codes = self.deps.recovery.recovery_set(account.id()).await?;
        let few = codes.filter(|set| set.left <= FEW_CODES);
        let few = few.map(|set| Notice::FewRecoveryCodes { left: set.left });
        let wrong = Notice::of_wrong_codes(&wrong, login);
        Ok(wrong.into_iter().chain(used).chain(again).chain(few).collect())
    }

    /// Returns everything that the user reads first after this login.
    async fn news(
        &self,
        account: &Account,
        login: &PendingLogin,
        token: &PlainToken<PendingToken>,
        method: Factor,
    ) -> Result<Vec<Notice>, LoginError> {
        let hex = token.hashed().to_hex();
        let mut news = self.notices(account, &hex, login.started_at, method).await?;
        news.extend(self.remaining_keys(account, login).await?);
        Ok(news)
    }

    /// Names the keys that are older than the password, after a login that set it anew or began just
    /// after it was set.
    async fn remaining_keys(
        &self,
        account: &Account,
        login: &PendingLogin,
    ) -> Result<Option<Notice>, LoginError> {
        let began = login.started_at;
        let set_at = match login.begun_with {
            BegunWith::RecoveryCode => Some(began),
            BegunWith::PasswordAndTicket(_)
            | BegunWith::Password
            | BegunWith::App
            | BegunWith::AppClient
            | BegunWith::Passkey => {
                account.password_set_at.filter(|at| at.plus(SET_BEFORE) >= began)
            }
        };
        let Some(set_at) = set_at else { return Ok(None) };
        let all = self.deps.authenticators.authenticators(account.id()).await?;
        let keys = keys_of(&all, &self.deps.key_settings).filter(|key| key.created_at < set_at);
        let names: Vec<_> = keys.map(|key| key.name.clone()).collect();
        Ok((!names.is_empty()).then_some(Notice::KeysRemain { names }))
    }

    /// Continues the session under a new id and token, with the fields of `next`. It counts as
    /// started at `started_at`, so an end of all sessions after that time still ends it. Returns
    /// `None` if the session has ended.
    pub(super) async fn renew(
        &self,
        token: &PlainToken<SessionToken>,
        next: &Session,
        offers: Option<&Offers>,
        branches: Branches,
        started_at: Timestamp,
    ) -> Result<Option<Renewed>, LoginError> {
        let now = self.deps.now();
        let tree = match branches {
            Branches::Continue => next.tree,
            Branches::End => Some(TreeId::random(self.deps.random())?),
        };
        let session = Session {
            tree,
            id: SessionId::random(self.deps.random())?,
            renewed_since: Some(next.signed_in_at()),
            started_at,
            last_seen_at: now,
            ..next.clone()
        };
        let ttl = self.deps.limits.time_to_live(&session, now);
        let new = PlainToken::<SessionToken>::generate(&self.deps.keys, self.deps.random())?;
        if branches == Branches::Continue {
            self.parking.goes_on(token.hashed(), next, new.hashed()).await;
        }
        let won =
            self.deps.sessions.renew(token.hashed(), new.hashed(), &session, offers, ttl).await?;
        if won {
            self.parking.remember(new.hashed(), &session).await;
        }
        Ok(won.then_some(Renewed { token: new, session }))
    }
}
