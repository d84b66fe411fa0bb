//! New recovery codes, offered in the session, sealed, and the same on every page load. The current ones
//! stay valid until the new ones are confirmed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::Journal;
use super::key::Keys;
use super::step_up::StepUps;
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::fresh::FreshFactors;
use crate::auth::recovery::{CODES_IN_SET, NewRecoverySet, RecoveryCode, RecoveryHash};
use crate::auth::session::{Offer, Session};
use crate::auth::throttle::{AttemptKey, RECOVERY_SETS, Verdict};
use crate::auth::token::{PlainToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

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

/// A new credential on offer in a session. It takes effect once the user confirms it.
#[derive(Debug)]
#[must_use]
pub enum Offered<T> {
    /// The offer, the same on every page load.
    Shown(T),
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// The session has ended.
    Ended,
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
    /// The codes are not in force, the account has a key, and the session was last proved by a code.
    NeedsKey,
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

pub(super) fn unreadable() -> LoginError {
    LoginError::Broken("invalid offer in a session".to_owned())
}

/// The part of an offered set that the account database stores.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPart {
    pub(super) salt: String,
    pepper_id: String,
    hashes: Vec<String>,
    /// Salt of the set of recovery codes that this set replaces. `None` for the first set.
    pub(super) instead_of: Option<String>,
}

impl StoredPart {
    pub(super) fn of(set: &NewRecoverySet, instead_of: Option<String>) -> Self {
        Self {
            salt: set.salt.clone(),
            pepper_id: set.pepper_id.clone(),
            hashes: set.hashes.iter().map(|hash| hash.as_str().to_owned()).collect(),
            instead_of,
        }
    }

    pub(super) fn set(&self, account: AccountId, created_at: Timestamp) -> NewRecoverySet {
        NewRecoverySet {
            account,
            salt: self.salt.clone(),
            pepper_id: self.pepper_id.clone(),
            hashes: self.hashes.iter().cloned().map(RecoveryHash::from_stored).collect(),
            created_at,
            confirmed_at: None,
        }
    }
}

/// The recovery codes of a signed-in user.
pub struct OwnCodes {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) keys: Arc<Keys>,
    pub(super) step_ups: Arc<StepUps>,
}

impl fmt::Debug for OwnCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnCodes(…)")
    }
}

impl OwnCodes {
    /// Returns the new recovery codes offered in this session. The current ones stay valid until
    /// one of the new codes is typed. An account that has a key needs it first, or a recovery code,
    /// also for codes that were offered before it had one.
    pub async fn offered_codes(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
    ) -> Result<Offered<OfferedCodes>, LoginError> {
        let session = fresh.session();
        let account = session.identity.account;
        if self.owes_key(session).await? {
            return Ok(Offered::NeedsKey);
        }
        let held = if let Some(held) = &session.offers.recovery_codes {
            held.clone()
        } else {
            let codes = self.generate_codes(account).await?;
            let sealed = self.seal_codes(account, &codes, false, None)?;
            let offer = self.deps.sessions.offer(token.hashed(), Offer::RecoveryCodes, &sealed);
            let Some(held) = offer.await? else { return Ok(Offered::Ended) };
            held
        };
        Ok(Offered::Shown(self.open_codes(account, &held)?.shown()))
    }

    /// Returns true if this session needs a proof by key before it is offered recovery codes or
    /// confirms them. Codes that it put in force after such a proof are shown to it, and confirming them
    /// changes nothing.
    pub async fn owes_key(&self, session: &Session) -> Result<bool, LoginError> {
        Ok(!self.offers_codes_in_force(session).await? && self.keys.owes_key(session).await?)
    }

    async fn offers_codes_in_force(&self, session: &Session) -> Result<bool, LoginError> {
        let account = session.identity.account;
        let Some(held) = &session.offers.recovery_codes else { return Ok(false) };
        let offered = self.open_codes(account, held)?;
        let Some(filed) = &offered.filed else { return Ok(offered.in_force) };
        // The offer comes first: the codes may not have been filed.
        let present = self.deps.recovery.recovery_set(account).await?;
        Ok(present.is_some_and(|set| set.salt == filed.salt))
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
        if self.owes_key(fresh.session()).await? {
            return Ok(KeptCodes::NeedsKey);
        }
        let offered = self.open_codes(account, held)?;
        if !offered.has(typed) {
            return Ok(KeptCodes::Wrong);
        }
        self.journal.may_record().await?;
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
            let set = self.hashed_set(account, &offered.codes, Some(self.deps.now())).await?;
            // The request that removes the offer brings it into force, so a code used meanwhile
            // never becomes valid again.
            if !self.deps.sessions.withdraw(token.hashed(), Offer::RecoveryCodes).await? {
                return Ok(KeptCodes::NothingOffered);
            }
            let since = fresh.session().started_at;
            if !self.deps.recovery.replace_recovery(&set, since).await? {
                return Ok(KeptCodes::NothingOffered);
            }
            self.journal.record_done(Event::RecoveryCodesMade, &context).await;
        }
        self.journal.record_done(Event::RecoveryCodesKept, &context).await;
        Ok(KeptCodes::Done)
    }

    /// Generates a set of codes within the budget of the account.
    pub(super) async fn generate_codes(
        &self,
        account: AccountId,
    ) -> Result<Vec<RecoveryCode>, LoginError> {
        let budget = [(AttemptKey::recovery_set(account), RECOVERY_SETS)];
        if let Verdict::Wait(_) = self.deps.attempts.count(&budget, self.deps.now()).await? {
            return Err(LoginError::Busy);
        }
        let codes = (0..CODES_IN_SET).map(|_| RecoveryCode::generate(self.deps.random()));
        Ok(codes.collect::<Result<Vec<_>, _>>()?)
    }

    pub(super) async fn hashed_set(
        &self,
        account: AccountId,
        codes: &[RecoveryCode],
        confirmed_at: Option<Timestamp>,
    ) -> Result<NewRecoverySet, LoginError> {
        let (salt, pepper_id, hashes) = self.deps.passwords.hash_recovery_set(codes).await?;
        let created_at = self.deps.now();
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
        let sealed = keys.seal(self.deps.random(), &context(account), plain.as_bytes())?;
        let filed = filed
            .map(|filed| {
                let plain = serde_json::json!(filed).to_string();
                keys.seal(self.deps.random(), &filed_context(account), plain.as_bytes())
            })
            .transpose()?;
        let sealed = SealedCodes { sealed, in_force, made_at: self.deps.now(), filed };
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
