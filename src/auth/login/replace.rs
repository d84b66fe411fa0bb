//! Replacement of the second factor and of the recovery codes. The new one is offered in the
//! session, sealed, and is the same on every page load. The current one stays valid until the new
//! one is confirmed.

use std::fmt;
use std::sync::Arc;

use super::deps::LoginDeps;
use super::events::Journal;
use super::key::Keys;
use super::new_sessions::{Branches, NewSessions};
use super::offered_codes::{Offered, OwnCodes, unreadable};
use super::prove::FactorCheck;
use super::{AppRef, Changed, ClockOff, Enrolment, LoginError};
use crate::auth::audit::{Caller, Context, Event, TicketPurpose};
use crate::auth::authenticator::{AuthenticatorKind, NewAuthenticator};
use crate::auth::fresh::FreshFactors;
use crate::auth::session::{Offer, Offers, ProvisionalSecret, Session};
use crate::auth::stage::Factor;
use crate::auth::token::{PlainToken, SessionToken};
use crate::auth::totp::{Code, TotpSecret};
use crate::base::id::FactorId;

/// The result of confirming a new authenticator.
#[derive(Debug)]
#[must_use]
pub enum Replaced {
    /// The authenticator was replaced. This session continues and offers the new recovery codes.
    Done(Changed),
    /// The code is not one of the new authenticator.
    Wrong {
        /// Clock error of the phone, if that is the cause.
        clock: Option<ClockOff>,
    },
    /// There is no offer: load the page again first.
    NothingOffered,
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// The session has ended.
    Ended,
}

/// The authenticator app of a signed-in user.
pub struct OwnAuthenticators {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) keys: Arc<Keys>,
    pub(super) check: Arc<FactorCheck>,
    pub(super) new_sessions: Arc<NewSessions>,
    pub(super) codes: Arc<OwnCodes>,
}

impl fmt::Debug for OwnAuthenticators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnAuthenticators(…)")
    }
}

impl OwnAuthenticators {
    /// Returns the new authenticator offered in this session. An account that has a key needs it first,
    /// or a recovery code.
    pub async fn offered_authenticator(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
    ) -> Result<Offered<Enrolment>, LoginError> {
        if self.keys.owes_key(fresh.session()).await? {
            return Ok(Offered::NeedsKey);
        }
        let identity = &fresh.session().identity;
        let account = identity.account;
        let factor = FactorId::random(self.deps.random())?;
        let new = TotpSecret::generate(self.deps.random())?;
        let sealed = new.seal(&self.deps.keys, self.deps.random(), account, factor)?;
        let new = serde_json::json!(ProvisionalSecret { factor, sealed }).to_string();
        let held = self.deps.sessions.offer(token.hashed(), Offer::Authenticator, &new).await?;
        let Some(held) = held else { return Ok(Offered::Ended) };
        let offered: ProvisionalSecret =
            serde_json::from_str(&held).map_err(|_json| unreadable())?;
        let secret = TotpSecret::open(&self.deps.keys, account, offered.factor, &offered.sealed)?;
        let uri = secret.to_uri(app.issuer, identity.name.as_str());
        let name = identity.name.clone();
        Ok(Offered::Shown(Enrolment { secret: secret.to_base32(), uri, name }))
    }

    /// Replaces the current authenticator with the offered one, confirmed by one of its codes,
    /// which counts as used. The same step replaces the recovery codes and ends every other
    /// session. This session continues under a new id.
    pub async fn replace_authenticator(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
        code: &Code,
        caller: &Caller,
    ) -> Result<Replaced, LoginError> {
        let session = fresh.session();
        let account = session.identity.account;
        let Some(held) = &session.offers.authenticator else {
            return Ok(Replaced::NothingOffered);
        };
        if self.keys.owes_key(session).await? {
            return Ok(Replaced::NeedsKey);
        }
        let offered: ProvisionalSecret =
            serde_json::from_str(held).map_err(|_json| unreadable())?;
        let secret = TotpSecret::open(&self.deps.keys, account, offered.factor, &offered.sealed)?;
        let Some(step) = secret.matching_step(code, self.deps.now()) else {
            let clock =
                self.check.clock_off(account, (offered.factor, &secret), None, code).await?;
            return Ok(Replaced::Wrong { clock });
        };
        let new = NewAuthenticator {
            account,
            id: offered.factor,
            kind: AuthenticatorKind::Totp,
            name: String::new(),
            sealed: offered.sealed,
            lookup: None,
            rp_id: None,
            counter: step.number(),
            created_at: self.deps.now(),
        };
        self.file_replacement(token, fresh, new, caller).await
    }

    /// Puts a confirmed authenticator of any kind in place of those of its kind.
    pub(super) async fn file_replacement(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
        new: NewAuthenticator,
        caller: &Caller,
    ) -> Result<Replaced, LoginError> {
        let session = fresh.session();
        let (account, since) = (new.account, session.started_at);
        let codes = self.codes.generate_codes(account).await?;
        let set = self.codes.hashed_set(account, &codes, None).await?;
        let now = self.deps.now().max(since);
        let new = NewAuthenticator { created_at: now, ..new };
        self.journal.may_record().await?;
        let replaced = self.deps.authenticators.replace_authenticator(&new, &set, since).await?;
        let Some(link) = replaced else { return Ok(Replaced::Ended) };
        let context = Context::person(caller, &session.identity);
        let keys = match new.kind {
            AuthenticatorKind::Totp => self.deps.remaining_keys(account).await,
            AuthenticatorKind::Webauthn => Vec::new(),
        };
        let event = Event::SecondFactorReplaced { factor: new.id, kind: new.kind, keys };
        self.journal.record_done(event, &context).await;
        self.journal.record_done(Event::RecoveryCodesMade, &context).await;
        self.journal.record_ended_link(link, TicketPurpose::SecondFactor, &context).await;
        let offers = Offers {
            authenticator: None,
            recovery_codes: Some(self.codes.seal_codes(account, &codes, true, None)?),
        };
        let next = Session {
            second_factor_at: now,
            method: Factor::Authenticator(new.kind),
            // The first factor, if a passkey was both.
            key: session.key.filter(|_| session.alone),
            recovery_codes_due: None,
            ..session.clone()
        };
        let Some(renewed) =
            self.new_sessions.renew(token, &next, Some(&offers), Branches::End, now).await?
        else {
            return Ok(Replaced::Ended);
        };
        self.deps.sessions.end_others(account, renewed.token.hashed()).await?;
        let browser = self.new_sessions.make_known(&session.identity, caller, now)?;
        Ok(Replaced::Done(Changed { token: renewed.token, browser }))
    }
}
