//! First enrolment.

use std::fmt;
use std::sync::Arc;

use super::deps::LoginDeps;
use super::events::Journal;
use super::key::Keys;
use super::logins::Logins;
use super::prove::FactorCheck;
use super::second::{Admitted, Guess, SecondFactors, enrolment_attempts};
use super::sessions::OpenSessions;
use super::{AppRef, Enrolment, LoginError, SecondFactor};
use crate::auth::amr::KeyEvidence;
use crate::auth::audit::{Caller, Context, Event, TicketPurpose};
use crate::auth::authenticator::{AuthenticatorKind, NewAuthenticator};
use crate::auth::session::{BegunWith, PendingLogin, ProvisionalSecret};
use crate::auth::stage::{Factor, SecondCheck, SecondFactorProof};
use crate::auth::token::{HashedToken, PendingToken, PlainToken};
use crate::auth::totp::{Code, TotpSecret};
use crate::base::id::FactorId;

/// Enrolment in a login.
pub struct Enrolments {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) logins: Arc<Logins>,
    pub(super) keys: Arc<Keys>,
    pub(super) check: Arc<FactorCheck>,
    pub(super) sessions: Arc<OpenSessions>,
    pub(super) second: Arc<SecondFactors>,
}

impl fmt::Debug for Enrolments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolments(…)")
    }
}

impl Enrolments {
    /// Returns the authenticator offered in this login, which is the same on every page load.
    /// Returns `None` if the login is gone or may not enrol. An account that was ever enrolled
    /// needs a ticket, even after data loss.
    pub async fn enrolment(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<Enrolment>, LoginError> {
        let Some(login) = self.logins.pending(app, token).await? else { return Ok(None) };
        let Some(account) = self.logins.account_of(&login).await? else { return Ok(None) };
        if !self.logins.may_enrol(&account, &login) {
            return Ok(None);
        }
        let id = account.id();
        let offered = if let Some(offered) = login.enrolment {
            offered
        } else {
            let factor = FactorId::random(self.deps.random())?;
            let secret = TotpSecret::generate(self.deps.random())?;
            let sealed = secret.seal(&self.deps.keys, self.deps.random(), id, factor)?;
            let new = ProvisionalSecret { factor, sealed };
            let now = self.deps.now();
            match self.deps.pending.offer_enrolment(token.hashed(), &new, now).await? {
                Some(offered) => offered,
                None => return Ok(None),
            }
        };
        let secret = TotpSecret::open(&self.deps.keys, id, offered.factor, &offered.sealed)?;
        let name = account.identity.name;
        let uri = secret.to_uri(app.issuer, name.as_str());
        Ok(Some(Enrolment { secret: secret.to_base32(), uri, name }))
    }

    /// Confirms the offered authenticator with one of its codes, which counts as used, and begins
    /// the session. Recovery codes are due next.
    pub async fn confirm_enrolment(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        code: &Code,
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        let guess = match self.second.admit_enrolment(app, token, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(answer),
        };
        let Some(offered) = guess.login.enrolment.clone() else {
            return Ok(SecondFactor::StartAgain);
        };
        let id = guess.account.id();
        let secret = TotpSecret::open(&self.deps.keys, id, offered.factor, &offered.sealed)?;
        let now = self.deps.now();
        let Some(step) = secret.matching_step(code, now) else {
            let clock = self.check.clock_off(id, (offered.factor, &secret), None, code).await?;
            return self.second.wrong(&guess, token, Factor::TOTP, (false, clock), caller).await;
        };
        let new = NewAuthenticator {
            account: id,
            id: offered.factor,
            kind: AuthenticatorKind::Totp,
            name: String::new(),
            sealed: offered.sealed,
            lookup: None,
            rp_id: None,
            counter: step.number(),
            created_at: now,
        };
        self.file_enrolment(guess, &new, None, token, caller).await
    }

    /// Stores a confirmed authenticator of any kind and begins the session.
    pub(super) async fn file_enrolment(
        &self,
        guess: Box<Guess>,
        new: &NewAuthenticator,
        key: Option<KeyEvidence>,
        token: &PlainToken<PendingToken>,
        caller: &Caller,
    ) -> Result<SecondFactor, LoginError> {
        self.journal.may_record().await?;
        if !self.file_authenticator(&guess.login, new).await? {
            return Ok(SecondFactor::StartAgain);
        }
        self.record_enrolment(&guess, new, caller).await?;
        self.deps.attempts.clear(&enrolment_attempts(&guess.login)).await?;
        let check = key.map_or(SecondCheck::Enrolment(new.kind), SecondCheck::Key);
        let proof = SecondFactorProof::assertion(new.account, check);
        let by_ticket = matches!(guess.login.begun_with, BegunWith::PasswordAndTicket(_));
        let done = self.second.finish(*guess, proof, token, caller, true).await?;
        if by_ticket {
            self.sessions.forget_others(new.account, Some(&done)).await;
        }
        Ok(done)
    }

    async fn record_enrolment(
        &self,
        guess: &Guess,
        new: &NewAuthenticator,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let context = Context::person(caller, &guess.account.identity);
        if matches!(guess.login.begun_with, BegunWith::PasswordAndTicket(_)) {
            self.journal
                .record(Event::TicketUsed { asked: TicketPurpose::SecondFactor }, &context)
                .await?;
        }
        let (factor, kind) = (new.id, new.kind);
        let event = if guess.account.ever_enrolled {
            // A ticket replaces authenticators of every kind.
            Event::SecondFactorReplaced { factor, kind, keys: Vec::new() }
        } else {
            Event::SecondFactorEnrolled { factor, kind }
        };
        self.journal.record(event, &context).await
    }

    /// Stores the confirmed authenticator: the account's first, or any with a ticket, which is used
    /// up in the same step. Returns false if that is not allowed, or no longer: the login may have
    /// been ended since it was looked up.
    async fn file_authenticator(
        &self,
        login: &PendingLogin,
        new: &NewAuthenticator,
    ) -> Result<bool, LoginError> {
        Ok(match &login.begun_with {
            BegunWith::Password | BegunWith::App | BegunWith::AppClient => {
                self.deps.authenticators.enrol_first(new, login.started_at).await?
            }
            BegunWith::PasswordAndTicket(ticket) => {
                let Some(ticket) = HashedToken::from_hex(ticket) else { return Ok(false) };
                self.deps.tickets.redeem_enrolment(&ticket, new, login.started_at).await?
            }
            BegunWith::RecoveryCode | BegunWith::Passkey => false,
        })
    }
}
