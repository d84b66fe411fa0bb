//! Replacement of the second factor and of the recovery codes. The new one is offered in the
//! session, sealed, and is the same on every page load. The current one stays valid until the new
//! one is confirmed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::first_codes::StoredPart;
use super::{AppRef, Changed, ClockOff, Enrolment, LoginError, LoginService};
use crate::auth::audit::{Caller, Context, Event, TicketPurpose};
use crate::auth::fresh::FreshFactors;
use crate::auth::recovery::{CODES_IN_SET, NewRecoverySet, RecoveryCode};
use crate::auth::session::{Offer, Offers, ProvisionalTotp, Session};
use crate::auth::stage::Factor;
use crate::auth::throttle::{AttemptKey, RECOVERY_SETS, Verdict};
use crate::auth::token::{PlainToken, SessionToken};
use crate::auth::totp::{Code, NewTotpFactor, TotpSecret};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

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
    /// The session has ended.
    Ended,
}

/// New recovery codes, until one of them is typed.
pub struct OfferedCodes {
    /// Codes as shown to the user.
    pub codes: Vec<Zeroizing<String>>,
    /// True if the codes are already in force.
    pub in_force: bool,
    /// Time of creation.
    pub made_at: Timestamp,
}

impl fmt::Debug for OfferedCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfferedCodes(***)")
    }
}

/// The result of typing one of the new codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum KeptCodes {
    /// The codes are in force.
    Done,
    /// The typed code is not one of them.
    Wrong,
    /// The typed code is one of them, but has been used.
    Used,
    /// There is no offer any more, or another set has replaced it.
    NothingOffered,
}

#[derive(Serialize, Deserialize)]
struct SealedCodes {
    sealed: String,
    in_force: bool,
    #[serde(default = "epoch")]
    made_at: Timestamp,
    /// [`StoredPart`], sealed.
    #[serde(default)]
    filed: Option<String>,
}

fn epoch() -> Timestamp {
    Timestamp::EPOCH
}

/// Offered recovery codes, unsealed.
pub(super) struct UnsealedCodes {
    codes: Vec<RecoveryCode>,
    in_force: bool,
    pub(super) made_at: Timestamp,
    pub(super) filed: Option<StoredPart>,
}

impl UnsealedCodes {
    pub(super) fn has(&self, typed: &RecoveryCode) -> bool {
        self.codes.iter().any(|code| code.is(typed))
    }

    pub(super) fn shown(&self) -> OfferedCodes {
        OfferedCodes {
            codes: self.codes.iter().map(RecoveryCode::to_display).collect(),
            in_force: self.in_force,
            made_at: self.made_at,
        }
    }
}

fn context(account: AccountId) -> Vec<u8> {
    [b"offered recovery codes".as_slice(), account.as_bytes()].concat()
}

fn filed_context(account: AccountId) -> Vec<u8> {
    [b"filed recovery codes".as_slice(), account.as_bytes()].concat()
}

fn unreadable() -> LoginError {
    LoginError::Broken("invalid offer in a session".to_owned())
}

impl LoginService {
    /// Returns the new authenticator offered in this session.
    pub async fn offered_authenticator(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
    ) -> Result<Option<Enrolment>, LoginError> {
        let identity = &fresh.session().identity;
        let account = identity.account;
        let factor = FactorId::random(self.random())?;
        let new = TotpSecret::generate(self.random())?;
        let sealed = new.seal(&self.deps.keys, self.random(), account, factor)?;
        let new = serde_json::json!(ProvisionalTotp { factor, sealed }).to_string();
        let held = self.deps.sessions.offer(token.hashed(), Offer::Authenticator, &new).await?;
        let Some(held) = held else { return Ok(None) };
        let offered: ProvisionalTotp = serde_json::from_str(&held).map_err(|_json| unreadable())?;
        let secret = TotpSecret::open(&self.deps.keys, account, offered.factor, &offered.sealed)?;
        let uri = secret.to_uri(app.issuer, identity.name.as_str());
        Ok(Some(Enrolment { secret: secret.to_base32(), uri, name: identity.name.clone() }))
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
        let (account, since) = (session.identity.account, session.started_at);
        let Some(held) = &session.offers.authenticator else {
            return Ok(Replaced::NothingOffered);
        };
        let offered: ProvisionalTotp = serde_json::from_str(held).map_err(|_json| unreadable())?;
        let secret = TotpSecret::open(&self.deps.keys, account, offered.factor, &offered.sealed)?;
        let Some(step) = secret.matching_step(code, self.now()) else {
            let clock = self.clock_off(account, (offered.factor, &secret), None, code).await?;
            return Ok(Replaced::Wrong { clock });
        };
        let codes = self.generate_codes(account).await?;
        let set = self.hashed_set(account, &codes, None).await?;
        let now = self.now().max(since);
        let factor = NewTotpFactor {
            account,
            id: offered.factor,
            sealed: offered.sealed,
            confirmed_step: step,
            confirmed_at: now,
        };
        self.may_record().await?;
        let replaced = self.deps.factors.replace_totp(&factor, &set, since).await?;
        let Some(link) = replaced else { return Ok(Replaced::Ended) };
        let context = Context::person(caller, &session.identity);
        self.record_done(Event::SecondFactorReplaced { factor: factor.id }, &context).await;
        self.record_done(Event::RecoveryCodesMade, &context).await;
        self.record_ended_link(link, TicketPurpose::SecondFactor, &context).await;
        let offers = Offers {
            authenticator: None,
            recovery_codes: Some(self.seal_codes(account, &codes, true, None)?),
        };
        let next = Session {
            second_factor_at: now,
            method: Factor::Totp,
            recovery_codes_due: None,
            ..session.clone()
        };
        let Some(renewed) = self.renew(token, &next, Some(&offers), now).await? else {
            return Ok(Replaced::Ended);
        };
        self.deps.sessions.end_others(account, renewed.token.hashed()).await?;
        let browser = self.make_known(&session.identity, caller, now)?;
        Ok(Replaced::Done(Changed { token: renewed.token, browser }))
    }

    /// Returns the new recovery codes offered in this session. The current ones stay valid until
    /// one of the new codes is typed.
    pub async fn offered_codes(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
    ) -> Result<Option<OfferedCodes>, LoginError> {
        let session = fresh.session();
        let account = session.identity.account;
        let held = if let Some(held) = &session.offers.recovery_codes {
            held.clone()
        } else {
            let codes = self.generate_codes(account).await?;
            let sealed = self.seal_codes(account, &codes, false, None)?;
            let offer = self.deps.sessions.offer(token.hashed(), Offer::RecoveryCodes, &sealed);
            let Some(held) = offer.await? else { return Ok(None) };
            held
        };
        Ok(Some(self.open_codes(account, &held)?.shown()))
    }

    /// Brings the offered codes into force, confirmed by one of them, which stays valid.
    pub async fn keep_codes(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Result<KeptCodes, LoginError> {
        let account = fresh.session().identity.account;
        let Some(held) = &fresh.session().offers.recovery_codes else {
            return Ok(KeptCodes::NothingOffered);
        };
        let offered = self.open_codes(account, held)?;
        if !offered.has(typed) {
            return Ok(KeptCodes::Wrong);
        }
        self.may_record().await?;
        let context = Context::person(caller, &fresh.session().identity);
        if offered.in_force {
            let kept = self.confirm_in_force(account, typed).await?;
            if kept == KeptCodes::Used {
                return Ok(kept);
            }
            self.deps.sessions.withdraw(token.hashed(), Offer::RecoveryCodes).await?;
            if kept != KeptCodes::Done {
                return Ok(KeptCodes::NothingOffered);
            }
        } else {
            let set = self.hashed_set(account, &offered.codes, Some(self.now())).await?;
            // The request that removes the offer brings it into force, so a code used meanwhile
            // never becomes valid again.
            if !self.deps.sessions.withdraw(token.hashed(), Offer::RecoveryCodes).await? {
                return Ok(KeptCodes::NothingOffered);
            }
            let since = fresh.session().started_at;
            if !self.deps.factors.replace_recovery(&set, since).await? {
                return Ok(KeptCodes::NothingOffered);
            }
            self.record_done(Event::RecoveryCodesMade, &context).await;
        }
        self.record_done(Event::RecoveryCodesKept, &context).await;
        Ok(KeptCodes::Done)
    }

    /// Generates a set of codes within the budget of the account.
    pub(super) async fn generate_codes(
        &self,
        account: AccountId,
    ) -> Result<Vec<RecoveryCode>, LoginError> {
        let budget = [(AttemptKey::recovery_set(account), RECOVERY_SETS)];
        if let Verdict::Wait(_) = self.deps.attempts.count(&budget, self.now()).await? {
            return Err(LoginError::Busy);
        }
        let codes = (0..CODES_IN_SET).map(|_| RecoveryCode::generate(self.random()));
        Ok(codes.collect::<Result<Vec<_>, _>>()?)
    }

    pub(super) async fn hashed_set(
        &self,
        account: AccountId,
        codes: &[RecoveryCode],
        confirmed_at: Option<Timestamp>,
    ) -> Result<NewRecoverySet, LoginError> {
        let (salt, pepper_id, hashes) = self.deps.passwords.hash_recovery_set(codes).await?;
        let created_at = self.now();
        Ok(NewRecoverySet { account, salt, pepper_id, hashes, created_at, confirmed_at })
    }

    pub(super) fn seal_codes(
        &self,
        account: AccountId,
        codes: &[RecoveryCode],
        in_force: bool,
        filed: Option<&StoredPart>,
    ) -> Result<String, LoginError> {
        let mut plain = Zeroizing::new(String::with_capacity(256));
        for code in codes {
            plain.push_str(&code.to_display());
            plain.push('\n');
        }
        let keys = &self.deps.keys;
        let sealed = keys.seal(self.random(), &context(account), plain.as_bytes())?;
        let filed = filed
            .map(|filed| {
                let plain = serde_json::json!(filed).to_string();
                keys.seal(self.random(), &filed_context(account), plain.as_bytes())
            })
            .transpose()?;
        let sealed = SealedCodes { sealed, in_force, made_at: self.now(), filed };
        Ok(serde_json::json!(sealed).to_string())
    }

    pub(super) fn open_codes(
        &self,
        account: AccountId,
        held: &str,
    ) -> Result<UnsealedCodes, LoginError> {
        let held: SealedCodes = serde_json::from_str(held).map_err(|_json| unreadable())?;
        let plain = self.deps.keys.open(&context(account), &held.sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_utf8| unreadable())?;
        let codes = text.lines().map(RecoveryCode::parse).collect::<Result<Vec<_>, _>>();
        let filed = match &held.filed {
            Some(sealed) => {
                let plain = self.deps.keys.open(&filed_context(account), sealed)?;
                Some(serde_json::from_slice(&plain).map_err(|_json| unreadable())?)
            }
            None => None,
        };
        Ok(UnsealedCodes {
            codes: codes.map_err(|_code| unreadable())?,
            in_force: held.in_force,
            made_at: held.made_at,
            filed,
        })
    }
}
