//! First enrolment.

use super::second::{Admitted, Guess};
use super::{AppRef, Enrolment, LoginError, LoginService, SecondFactor};
use crate::auth::audit::{Caller, Context, Event, TicketPurpose};
use crate::auth::session::{BegunWith, PendingLogin, ProvisionalTotp};
use crate::auth::stage::{Factor, SecondFactorProof};
use crate::auth::throttle::AttemptKey;
use crate::auth::token::{HashedToken, PendingToken, PlainToken};
use crate::auth::totp::{Code, NewTotpFactor, TotpSecret};
use crate::base::id::FactorId;

impl LoginService {
    /// Returns the authenticator offered in this login, which is the same on every page load.
    /// Returns `None` if the login is gone or may not enrol. An account that was ever enrolled
    /// needs a ticket, even after data loss.
    pub async fn enrolment(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
    ) -> Result<Option<Enrolment>, LoginError> {
        let Some(login) = self.pending(app, token).await? else { return Ok(None) };
        let Some(account) = self.account_of(&login).await? else { return Ok(None) };
        if !self.may_enrol(&account, &login) {
            return Ok(None);
        }
        let id = account.id();
        let offered = if let Some(offered) = login.enrolment {
            offered
        } else {
            let factor = FactorId::random(self.random())?;
            let secret = TotpSecret::generate(self.random())?;
            let sealed = secret.seal(&self.deps.keys, self.random(), id, factor)?;
            let new = ProvisionalTotp { factor, sealed };
            let now = self.now();
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
        let guess = match self.admit_enrolment(app, token, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(answer),
        };
        let Some(offered) = guess.login.enrolment.clone() else {
            return Ok(SecondFactor::StartAgain);
        };
        if !self.may_enrol(&guess.account, &guess.login) {
            return Ok(SecondFactor::StartAgain);
        }
        let id = guess.account.id();
        let secret = TotpSecret::open(&self.deps.keys, id, offered.factor, &offered.sealed)?;
        let now = self.now();
        let Some(step) = secret.matching_step(code, now) else {
            let clock = self.clock_off(id, (offered.factor, &secret), None, code).await?;
            return self.wrong(&guess, token, Factor::Totp, (false, clock), caller).await;
        };
        let factor = NewTotpFactor {
            account: id,
            id: offered.factor,
            sealed: offered.sealed,
            confirmed_step: step,
            confirmed_at: now,
        };
        self.may_record().await?;
        if !self.file_factor(&guess.login, &factor).await? {
            return Ok(SecondFactor::StartAgain);
        }
        self.record_enrolment(&guess, factor.id, caller).await?;
        self.deps.attempts.clear(&AttemptKey::second_factor(id)).await?;
        let proof = SecondFactorProof::verified(id, Factor::Totp);
        let by_ticket = matches!(guess.login.begun_with, BegunWith::PasswordAndTicket(_));
        let done = self.finish(*guess, proof, token, caller, true).await?;
        if by_ticket {
            self.forget_others(id, Some(&done)).await;
        }
        Ok(done)
    }

    async fn record_enrolment(
        &self,
        guess: &Guess,
        factor: FactorId,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let context = Context::person(caller, &guess.account.identity);
        if matches!(guess.login.begun_with, BegunWith::PasswordAndTicket(_)) {
            self.record(Event::TicketUsed { asked: TicketPurpose::SecondFactor }, &context).await?;
        }
        let event = if guess.account.ever_enrolled {
            Event::SecondFactorReplaced { factor }
        } else {
            Event::SecondFactorEnrolled { factor }
        };
        self.record(event, &context).await
    }

    /// Stores the confirmed authenticator: the account's first, or any with a ticket, which is used
    /// up in the same step. Returns false if that is not allowed, or no longer.
    async fn file_factor(
        &self,
        login: &PendingLogin,
        factor: &NewTotpFactor,
    ) -> Result<bool, LoginError> {
        Ok(match &login.begun_with {
            BegunWith::Password | BegunWith::App | BegunWith::AppClient => {
                self.deps.factors.enrol_first(factor).await?
            }
            BegunWith::PasswordAndTicket(ticket) => {
                let Some(ticket) = HashedToken::from_hex(ticket) else { return Ok(false) };
                self.deps.tickets.redeem_enrolment(&ticket, factor).await?
            }
            BegunWith::RecoveryCode => false,
        })
    }
}
