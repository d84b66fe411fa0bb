//! The check of a key as second factor, in a login or a session.

use super::{Answered, KeyAnswer, KeyPage, StoredKey, log_refusal};
use crate::auth::account::{Account, Identity};
use crate::auth::amr::KeyEvidence;
use crate::auth::audit::{Caller, Event};
use crate::auth::authenticator::AuthenticatorUse;
use crate::auth::login::key::Keys;
use crate::auth::login::prove::Verdict;
use crate::auth::login::second::SecondFactors;
use crate::auth::login::{AppRef, LoginError};
use crate::auth::token::{PendingToken, PlainToken};
use crate::auth::webauthn::assertion::{self, Handle};
use crate::auth::webauthn::challenge::{Holder, Purpose};
use crate::auth::webauthn::relying_party::RelyingParty;
use crate::auth::webauthn::response::AssertionResponse;
use crate::auth::webauthn::{Refusal, UserVerification, credential};

/// The requirements for an answer.
pub(super) struct Asked<'a> {
    pub(super) handle: Handle<'a>,
    pub(super) verification: UserVerification,
    pub(super) party: &'a RelyingParty,
    pub(super) challenge: &'a Answered,
    /// True if the account's first factor was verified beside the key, in the same login or step-up.
    pub(super) first_proved: bool,
}

impl SecondFactors {
    /// Returns request options for the second factor of a login, or `None` if the login is gone or its
    /// account has no key that works here.
    pub async fn key_options(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        page: &KeyPage,
    ) -> Result<Option<String>, LoginError> {
        let Some(login) = self.logins.pending(app, token).await? else { return Ok(None) };
        let Some(account) = self.logins.account_of(&login).await? else { return Ok(None) };
        let asks = (Purpose::SecondFactor, Holder::Login(token.hashed()));
        self.keys.request_options(account.id(), page, asks).await
    }
}

impl Keys {
    /// Checks the answer of a key of this account and uses it up. `first_proved` is true if the first
    /// factor was verified beside it.
    pub(in crate::auth::login) async fn check_key(
        &self,
        account: &Account,
        answer: &KeyAnswer,
        first_proved: bool,
        caller: &Caller,
    ) -> Result<(Verdict, Option<KeyEvidence>), LoginError> {
        Ok(match self.proven_key(account, answer, first_proved, caller).await? {
            Ok(evidence) => (Verdict::Accepted, Some(evidence)),
            Err(refusal) => {
                log_refusal(refusal, Some(account.id()), caller);
                // A copy of a form that was sent before: no attempt of its own.
                let used_up = refusal == Refusal::Challenge;
                (if used_up { Verdict::UsedUp } else { Verdict::Wrong }, None)
            }
        })
    }

    async fn proven_key(
        &self,
        account: &Account,
        answer: &KeyAnswer,
        first_proved: bool,
        caller: &Caller,
    ) -> Result<Result<KeyEvidence, Refusal>, LoginError> {
        let id = account.id();
        let response = match AssertionResponse::parse(&answer.text) {
            Ok(response) => response,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let here = answer.page.circumstances(answer.purpose, Some(id));
        let challenge = match self.use_challenge(response.challenge(), &here).await? {
            Ok(challenge) => challenge,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let keys = self.keys_for(id, &answer.page.party).await?;
        let asked = response.credential_id();
        let Some(key) = keys.into_iter().find(|key| key.credential.id() == asked) else {
            let lookup = credential::lookup(asked);
            let found = self.deps.authenticators.authenticator_by(&lookup).await?;
            return Ok(Err(match found {
                Some(one) if one.account != id => Refusal::OtherCredential,
                Some(_) | None => Refusal::Unknown,
            }));
        };
        let asked = Asked {
            handle: Handle::IfPresent(id.as_bytes()),
            verification: self.verification(),
            party: &answer.page.party,
            challenge: &challenge,
            first_proved,
        };
        self.accept_key(key, &response, &asked, &account.identity, caller).await
    }

    /// Verifies an answer by this key and stores its counter.
    pub(super) async fn accept_key(
        &self,
        key: StoredKey,
        response: &AssertionResponse,
        asked: &Asked<'_>,
        who: &Identity,
        caller: &Caller,
    ) -> Result<Result<KeyEvidence, Refusal>, LoginError> {
        let StoredKey { row, credential } = key;
        let Asked { handle, verification, party, challenge, first_proved } = *asked;
        let verified = assertion::verify(response, &credential, handle, party, verification);
        let proven = match verified {
            Ok(proven) => proven,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // The database also keeps the counter of a key. The answer of a key without one would be valid
        // again if the session store lost the use of its challenge.
        let durable = !challenge.stored || proven.counter == 0;
        if durable && !self.use_up(challenge).await? {
            return Ok(Err(Refusal::Challenge));
        }
        let changed = credential
            .clone()
            .with_backup_state(proven.backed_up)
            .with_user_verification(proven.user_verified && first_proved);
        let evidence = KeyEvidence {
            id: Some(row.id),
            synced: changed.is_backup_eligible(),
            user_verified: proven.user_verified && changed.verifies_user(),
        };
        let sealed = if changed == credential {
            None
        } else {
            Some(self.seal_key(row.binding(), &changed)?)
        };
        let used = AuthenticatorUse {
            account: who.account,
            id: row.id,
            counter: proven.counter.into(),
            sealed,
            at: self.deps.now(),
        };
        if self.deps.authenticators.use_authenticator(&used).await? {
            return Ok(Ok(evidence));
        }
        let lookup = credential::lookup(response.credential_id());
        if self.deps.authenticators.authenticator_by(&lookup).await?.is_none() {
            return Ok(Err(Refusal::Unknown)); // removed meanwhile
        }
        // Two authenticators with one private key, or a concurrent answer of the same one.
        let event = Event::KeyCounterRegressed { key: row.id, name: row.name };
        self.journal.record_about(who, event, caller).await?;
        Ok(Err(Refusal::Counter))
    }
}
