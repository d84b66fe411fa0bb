//! Sign-in by a passkey alone: possession of the key, and a PIN, fingerprint or face that it verified.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::check::Asked;
use super::{KeyAnswer, KeyPage, log_refusal};
use crate::auth::account::Account;
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::login::app_passwords::AppPasswords;
use crate::auth::login::deps::LoginDeps;
use crate::auth::login::events::{Journal, count_failure, rows, throttled};
use crate::auth::login::key::Keys;
use crate::auth::login::logins::Logins;
use crate::auth::login::new_sessions::NewSessions;
use crate::auth::login::{AppRef, LoginError, SecondFactor, SignedIn};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{Login, PasskeyProof};
use crate::auth::throttle::{AttemptKey, Verdict};
use crate::auth::webauthn::assertion::Handle;
use crate::auth::webauthn::challenge::Purpose;
use crate::auth::webauthn::options::Request;
use crate::auth::webauthn::response::AssertionResponse;
use crate::auth::webauthn::{Refusal, UserVerification, credential};
use crate::base::clock::Timestamp;

/// An answer from the sign-in page.
#[derive(Debug)]
pub struct PasskeyAttempt {
    /// Answer of the passkey.
    pub answer: KeyAnswer,
    /// Client of the request.
    pub caller: Caller,
    /// Path and query on the same host to redirect to after sign-in.
    pub return_to: String,
}

/// The result of a sign-in by passkey.
#[derive(Debug)]
#[must_use]
pub enum ByPasskey {
    /// A session has begun.
    SignedIn(Box<SignedIn>),
    /// The answer was refused: one answer for every cause.
    Refused,
    /// Too many refused answers from this network: the remaining wait.
    Wait(Duration),
}

/// Sign-in with a passkey alone.
pub struct Passkeys {
    pub(in crate::auth::login) deps: Arc<LoginDeps>,
    pub(in crate::auth::login) journal: Arc<Journal>,
    pub(in crate::auth::login) apps: Arc<AppPasswords>,
    pub(in crate::auth::login) logins: Arc<Logins>,
    pub(in crate::auth::login) keys: Arc<Keys>,
    pub(in crate::auth::login) new_sessions: Arc<NewSessions>,
}

impl fmt::Debug for Passkeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkeys(…)")
    }
}

impl Passkeys {
    /// Returns true if passkeys sign in at this app. Not where the app itself checks passwords: it has
    /// to be asked, and has no key.
    fn takes_passkeys(&self, app: AppRef<'_>) -> bool {
        self.deps.key_settings.passkey_sign_in && self.apps.app_policy(app.name).is_none()
    }

    /// Returns request options for the sign-in page, or `None` if passkeys do not sign in here. They
    /// name no account and no key, and nothing is stored for them.
    pub fn passkey_options(
        &self,
        app: AppRef<'_>,
        page: &KeyPage,
    ) -> Result<Option<String>, LoginError> {
        if !self.takes_passkeys(app) {
            return Ok(None);
        }
        let challenge = self.keys.sign_in_challenge(page)?;
        let options = Request {
            challenge: &challenge,
            party: &page.party,
            allowed: &[],
            verification: UserVerification::Required,
        };
        Ok(Some(options.to_json()))
    }

    /// Signs in by a passkey. Only refused answers are counted: a right one cannot be guessed.
    pub async fn by_passkey(
        &self,
        app: AppRef<'_>,
        attempt: PasskeyAttempt,
    ) -> Result<ByPasskey, LoginError> {
        let PasskeyAttempt { answer, caller, return_to } = attempt;
        if !self.takes_passkeys(app) {
            return Ok(ByPasskey::Refused);
        }
        self.deps.check_clock().await?;
        // Read before the check, so that an end of sessions meanwhile also ends this login.
        let asked_at = self.deps.now();
        match self.proven_passkey(&answer.page, &answer, &caller).await? {
            Ok((account, proof)) => {
                let login = self.passkey_login(app, &account, return_to, asked_at);
                self.begin_by_passkey(login, account, proof, &caller).await
            }
            Err((refusal, account)) => {
                log_refusal(refusal, account.as_ref().map(Account::id), &caller);
                self.passkey_refused(refusal, account.as_ref(), &caller).await
            }
        }
    }

    async fn proven_passkey(
        &self,
        page: &KeyPage,
        answer: &KeyAnswer,
        caller: &Caller,
    ) -> Result<Result<(Account, PasskeyProof), (Refusal, Option<Account>)>, LoginError> {
        let response = match AssertionResponse::parse(&answer.text) {
            Ok(response) => response,
            Err(refusal) => return Ok(Err((refusal, None))),
        };
        let here = page.circumstances(Purpose::PasskeySignIn, None);
        let challenge = match self.keys.open_sign_in(response.challenge(), &here).await? {
            Ok(challenge) => challenge,
            Err(refusal) => return Ok(Err((refusal, None))),
        };
        let lookup = credential::lookup(response.credential_id());
        let found = self.deps.authenticators.authenticator_by(&lookup).await?;
        let known = found.filter(|one| {
            one.kind == AuthenticatorKind::Webauthn && super::works_at(one, Some(&page.party))
        });
        let Some(row) = known else { return Ok(Err((Refusal::Unknown, None))) };
        let account = self.deps.accounts.by_id(row.account).await?;
        // An account without a password has its first factor at an app, which alone can let it in.
        let takes = |account: &Account| !account.disabled && account.password.is_some();
        let Some(account) = account.filter(takes) else {
            return Ok(Err((Refusal::Unknown, None)));
        };
        let key = self.keys.open_key(row)?;
        let id = account.id();
        let asked = Asked {
            handle: Handle::Required(id.as_bytes()),
            verification: UserVerification::Required,
            party: &page.party,
            challenge: &challenge,
            first_proved: false,
        };
        let accepted =
            self.keys.accept_key(key, &response, &asked, &account.identity, caller).await?;
        Ok(match accepted {
            Ok(evidence) => match PasskeyProof::verified(id, evidence) {
                Some(proof) => Ok((account, proof)),
                None => Err((Refusal::UserVerification, Some(account))),
            },
            Err(refusal) => Err((refusal, Some(account))),
        })
    }

    fn passkey_login(
        &self,
        app: AppRef<'_>,
        account: &Account,
        return_to: String,
        asked_at: Timestamp,
    ) -> PendingLogin {
        PendingLogin {
            account: account.id(),
            app: app.name.to_owned(),
            begun_with: BegunWith::Passkey,
            started_at: asked_at,
            expires_at: asked_at.plus(self.logins.pending_lives()),
            return_to,
            enrolment: None,
            typed_name: None,
            held: None,
            spent: false,
        }
    }

    /// Begins the session. The login is pending for a moment only, under a token that no browser has.
    async fn begin_by_passkey(
        &self,
        login: PendingLogin,
        account: Account,
        proof: PasskeyProof,
        caller: &Caller,
    ) -> Result<ByPasskey, LoginError> {
        let token = self.logins.file_login(&login).await?;
        let codes = self.deps.recovery.recovery_set(account.id()).await?;
        let due = codes.is_none_or(|set| set.confirmed_at.is_none());
        let finished = Login::by_passkey(proof);
        Ok(
            match self.new_sessions.promote(&finished, account, login, &token, caller, due).await? {
                SecondFactor::SignedIn(done) => ByPasskey::SignedIn(Box::new(done)),
                SecondFactor::NewPasswordOwed
                | SecondFactor::Wrong { .. }
                | SecondFactor::Suspended
                | SecondFactor::Wait(_)
                | SecondFactor::StartAgain => ByPasskey::Refused,
            },
        )
    }

    /// Counts a refused answer for its network. An answer to a challenge that is gone is a copy, or came
    /// late, and is not counted.
    async fn passkey_refused(
        &self,
        refusal: Refusal,
        account: Option<&Account>,
        caller: &Caller,
    ) -> Result<ByPasskey, LoginError> {
        count_failure("passkey");
        if refusal == Refusal::Challenge {
            return Ok(ByPasskey::Refused);
        }
        let unknown = Context::unknown(caller);
        let context = account.map(|account| Context::person(caller, &account.identity));
        let context = context.as_ref().unwrap_or(&unknown);
        let key = AttemptKey::address(&self.deps.keys, caller.device.address);
        let pace = [(key.clone().by(caller.reference), self.deps.budgets().address)];
        match self.deps.attempts.pace(&pace, self.deps.now()).await? {
            Verdict::Go => {
                let event = Event::PasskeyRefused { reason: refusal.as_str() };
                self.journal.record_capped(rows(event.name()), event, context, &unknown).await?;
                Ok(ByPasskey::Refused)
            }
            Verdict::Wait(wait) => {
                let event = throttled(Guess::SecondFactor, wait, None);
                self.journal.record_throttled(&[key], event, wait, &unknown).await?;
                Ok(ByPasskey::Wait(wait))
            }
        }
    }
}
