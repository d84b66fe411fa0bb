//! The recovery codes that are due after enrolment: one set until it is confirmed.
//!
//! The set is in force when it is first shown, so codes that were printed before the page was
//! closed work. It is offered in the session, sealed, until one of its codes is typed. The offer
//! also holds the data for the account database. Storing it depends on the set that it replaces, so
//! it can be repeated after a failure and never overwrites a later set.

use super::offered_codes::{OwnCodes, StoredPart};
use super::{KeptCodes, LoginError, OfferedCodes};
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::{Offer, Session};
use crate::auth::token::{PlainToken, SessionToken};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// The recovery codes that are due in a session.
#[derive(Debug)]
#[must_use]
pub enum DueCodes {
    /// The codes are in force and must be shown.
    Shown(OfferedCodes),
    /// The set in force was shown in another session and is not confirmed.
    ShownBefore {
        /// Time of creation.
        made_at: Timestamp,
    },
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// No codes are due, or the session has ended.
    NotDue,
}

impl OwnCodes {
    /// Returns the recovery codes due in this session, the same set on every page load. A set that
    /// another session showed stays in force unless `anew` requests a new one.
    pub async fn due_codes(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshSecondFactor<'_>,
        anew: bool,
        caller: &Caller,
    ) -> Result<DueCodes, LoginError> {
        let session = fresh.session();
        if session.recovery_codes_due.is_none() {
            return Ok(DueCodes::NotDue);
        }
        if self.owes_key(session).await? {
            return Ok(DueCodes::NeedsKey);
        }
        if let Some(held) = &session.offers.recovery_codes {
            return self.show_due(token, session, held, caller).await;
        }
        let account = session.identity.account;
        let present = self.deps.recovery.recovery_set(account).await?;
        if let Some(set) = &present
            && !anew
        {
            return Ok(DueCodes::ShownBefore { made_at: set.created_at });
        }
        let codes = self.generate_codes(account).await?;
        let set = self.hashed_set(account, &codes, None).await?;
        let filed = StoredPart::of(&set, present.map(|set| set.salt));
        let sealed = self.seal_codes(account, &codes, true, Some(&filed))?;
        let offer = self.deps.sessions.offer(token.hashed(), Offer::RecoveryCodes, &sealed);
        let Some(held) = offer.await? else { return Ok(DueCodes::NotDue) };
        self.show_due(token, session, &held, caller).await
    }

    /// Returns offered codes once they are in force.
    async fn show_due(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        held: &str,
        caller: &Caller,
    ) -> Result<DueCodes, LoginError> {
        let account = session.identity.account;
        let offered = self.open_codes(account, held)?;
        let Some(filed) = &offered.filed else { return Ok(DueCodes::NotDue) };
        let present = self.deps.recovery.recovery_set(account).await?;
        if present.as_ref().is_none_or(|set| set.salt != filed.salt) {
            let set = filed.set(account, offered.made_at);
            let (instead_of, since) = (filed.instead_of.as_deref(), session.started_at);
            self.journal.may_record().await?;
            if !self.deps.recovery.file_recovery(&set, instead_of, since).await? {
                return self.overtaken(token, account).await;
            }
            let context = Context::person(caller, &session.identity);
            self.journal.record_done(Event::RecoveryCodesMade, &context).await;
        }
        Ok(DueCodes::Shown(offered.shown()))
    }

    /// Discards codes that a later set has replaced.
    async fn overtaken(
        &self,
        token: &PlainToken<SessionToken>,
        account: AccountId,
    ) -> Result<DueCodes, LoginError> {
        self.deps.sessions.withdraw(token.hashed(), Offer::RecoveryCodes).await?;
        let present = self.deps.recovery.recovery_set(account).await?;
        Ok(match present {
            Some(set) => DueCodes::ShownBefore { made_at: set.created_at },
            None => DueCodes::NotDue,
        })
    }

    /// Confirms the due codes with one of them, which stays valid.
    pub async fn confirm_due_codes(
        &self,
        token: &PlainToken<SessionToken>,
        session: &Session,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Result<KeptCodes, LoginError> {
        if session.recovery_codes_due.is_none() {
            return Ok(KeptCodes::NothingOffered);
        }
        let account = session.identity.account;
        if let Some(held) = &session.offers.recovery_codes
            && !self.open_codes(account, held)?.has(typed)
        {
            return Ok(KeptCodes::Wrong);
        }
        // Without an offer, only the database can check the code, at the cost of a hash.
        if !self.step_ups.count_within_session(token, session, caller).await? {
            return Ok(KeptCodes::NothingOffered);
        }
        self.journal.may_record().await?;
        let kept = self.confirm_in_force(account, typed).await?;
        if kept != KeptCodes::Wrong {
            self.step_ups.forgive_within_session(session).await?;
        }
        if kept == KeptCodes::Done {
            self.deps.sessions.recovery_codes_done(token.hashed()).await?;
            self.deps.sessions.withdraw(token.hashed(), Offer::RecoveryCodes).await?;
            let context = Context::person(caller, &session.identity);
            self.journal.record_done(Event::RecoveryCodesKept, &context).await;
        }
        Ok(kept)
    }

    /// Records that the set in force was saved, with one of its unused codes as evidence.
    pub(super) async fn confirm_in_force(
        &self,
        account: AccountId,
        typed: &RecoveryCode,
    ) -> Result<KeptCodes, LoginError> {
        let set = self.deps.recovery.recovery_set(account).await?;
        let salted = set.as_ref().map(|s| (s.salt.as_str(), s.pepper_id.as_str()));
        let passwords = &self.deps.passwords;
        let Some(hash) = passwords.hash_recovery_code(typed, salted, Asker::Known).await? else {
            return Ok(KeptCodes::NothingOffered);
        };
        let recovery = &self.deps.recovery;
        Ok(if recovery.confirm_recovery_by(account, &hash, self.deps.now()).await? {
            KeptCodes::Done
        } else if recovery.recovery_was_used(account, &hash).await? {
            KeptCodes::Used
        } else {
            KeptCodes::Wrong
        })
    }
}
