//! Passkeys and security keys in the use cases: as second factor, as sole sign-in, and on the account
//! page.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::Journal;
use crate::auth::audit::Caller;
use crate::auth::authenticator::{Authenticator, AuthenticatorKind, Binding, keys_of};
use crate::auth::ports::ChallengeGroup;
use crate::auth::session::Session;
use crate::auth::stage::Factor;
use crate::auth::webauthn::challenge::{
    BrowserBinding, Challenge, ChallengeId, Circumstances, Holder, IssuedChallenge, Purpose,
};
use crate::auth::webauthn::credential::Credential;
use crate::auth::webauthn::options::Request;
use crate::auth::webauthn::relying_party::RelyingParty;
use crate::auth::webauthn::sign_in::{self, SignInChallenge};
use crate::auth::webauthn::{Refusal, UserVerification, credential};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

mod account;
mod check;
mod enrol;
mod passkey;

pub use self::account::{AddKey, KeyAdded, KeyRemoved, KeyView, OwnKeys};
pub use self::enrol::{EnrolKey, KeyEnrolled, NAME_MOST as KEY_NAME_MOST};
pub use self::passkey::{ByPasskey, PasskeyAttempt, Passkeys};

/// Time for which the database remembers a used challenge after it expires, because node clocks may
/// differ.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Challenges of one purpose that wait for an answer in one login or session: one for each open tab.
const MOST_OF_HOLDER: u32 = 8;

/// The page of a ceremony: its relying party, and the browser that shows it.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// Relying party.
    pub party: RelyingParty,
    /// Browser.
    pub browser: BrowserBinding,
}

/// The answer of a key to the options of a page.
#[derive(Clone, Debug)]
pub struct KeyAnswer {
    /// Text of `PublicKeyCredential.toJSON()`.
    pub text: String,
    /// Page that sent it.
    pub page: KeyPage,
    /// Ceremony of that page.
    pub purpose: Purpose,
}

impl KeyPage {
    fn circumstances(&self, purpose: Purpose, account: Option<AccountId>) -> Circumstances {
        Circumstances {
            purpose,
            browser: self.browser.clone(),
            account,
            origin: self.party.origin().to_owned(),
        }
    }
}

/// The challenge of an answer, issued in the same circumstances.
pub(super) struct Answered {
    id: ChallengeId,
    expires_at: Timestamp,
    /// True if it was stored. The session store has used it up, and may lose that.
    stored: bool,
}

/// A stored key with its credential.
pub(super) struct StoredKey {
    pub(super) row: Authenticator,
    pub(super) credential: Credential,
}

/// Challenges and answers of passkeys and security keys.
pub struct Keys {
    pub(in crate::auth::login) deps: Arc<LoginDeps>,
    pub(in crate::auth::login) journal: Arc<Journal>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// Issues a challenge for a known account, which its answer uses up.
    async fn challenge_for(
        &self,
        account: AccountId,
        page: &KeyPage,
        (purpose, holder): (Purpose, Holder<'_>),
    ) -> Result<Challenge, LoginError> {
        let bound = page.circumstances(purpose, Some(account));
        // Another login or session of the account must not be able to remove the challenge of this one.
        let name = bound.group(holder);
        let group = ChallengeGroup { name: &name, most: MOST_OF_HOLDER };
        let challenge = Challenge::generate(self.deps.random())?;
        let now = self.deps.now();
        let issued = IssuedChallenge::new(bound, now);
        self.deps.challenges.issue_challenge(&challenge.id(), &issued, group, now).await?;
        Ok(challenge)
    }

    /// Issues a challenge for a sign-in page. Stores nothing, because anyone can open the page. It works
    /// while a store is full, too.
    fn sign_in_challenge(&self, page: &KeyPage) -> Result<Challenge, LoginError> {
        let bound = page.circumstances(Purpose::PasskeySignIn, None);
        Ok(sign_in::issue(&self.deps.keys, self.deps.random(), &bound, self.deps.now())?)
    }

    /// Opens a challenge that was not stored: one of a sign-in page. It must have been issued in the
    /// same circumstances. Records nothing: the caller uses it up once the signature is verified, so
    /// that only the owner of a key can fill the store.
    async fn open_signed(
        &self,
        challenge: &Challenge,
        here: &Circumstances,
    ) -> Result<Result<Answered, Refusal>, LoginError> {
        let opened = SignInChallenge::open(challenge, &self.deps.keys, self.deps.now());
        let Some(opened) = opened else { return Ok(Err(Refusal::Challenge)) };
        let Err(refusal) = opened.check(here) else {
            let (id, expires_at) = (opened.id().clone(), opened.expires_at());
            return Ok(Ok(Answered { id, expires_at, stored: false }));
        };
        // A copy is called a copy wherever it is sent.
        let used = self.deps.used_challenges.is_used(opened.id()).await?;
        Ok(Err(if used { Refusal::Challenge } else { refusal }))
    }

    /// Uses up a challenge in the account database, which never loses it. Returns true to exactly one
    /// caller.
    async fn use_up(&self, challenge: &Answered) -> Result<bool, LoginError> {
        let until = challenge.expires_at.plus(REMEMBERED);
        Ok(self.deps.used_challenges.use_up(&challenge.id, until, self.deps.now()).await?)
    }

    /// Opens the challenge of an answer on a sign-in page. Anyone can send one there, so it does not
    /// look up a stored challenge: that is of another page, or made up.
    async fn open_sign_in(
        &self,
        challenge: &Challenge,
        here: &Circumstances,
    ) -> Result<Result<Answered, Refusal>, LoginError> {
        if challenge.is_stored() {
            return Ok(Err(Refusal::OtherPurpose));
        }
        self.open_signed(challenge, here).await
    }

    /// Uses up the stored challenge of an answer. It must have been issued in the same circumstances.
    async fn use_challenge(
        &self,
        challenge: &Challenge,
        here: &Circumstances,
    ) -> Result<Result<Answered, Refusal>, LoginError> {
        if !challenge.is_stored() {
            let opened = self.open_signed(challenge, here).await?;
            return Ok(Err(opened.err().unwrap_or(Refusal::OtherPurpose)));
        }
        let id = challenge.id();
        let issued = self.deps.challenges.use_challenge(&id, self.deps.now()).await?;
        Ok(issued.ok_or(Refusal::Challenge).and_then(|issued| {
            issued.check(here)?;
            Ok(Answered { id, expires_at: issued.expires_at, stored: true })
        }))
    }

    /// Opens a stored key.
    fn open_key(&self, row: Authenticator) -> Result<StoredKey, LoginError> {
        let plain = row.binding().open(&self.deps.keys, &row.sealed)?;
        let credential = Credential::from_record(&plain)
            .map_err(|error: credential::NotACredential| LoginError::Broken(error.to_string()))?;
        Ok(StoredKey { row, credential })
    }

    fn seal_key(&self, binding: Binding, credential: &Credential) -> Result<String, LoginError> {
        Ok(binding.seal(&self.deps.keys, self.deps.random(), &credential.to_record())?)
    }

    /// Returns the keys of an account that work for this relying party, oldest first.
    pub(super) async fn keys_for(
        &self,
        account: AccountId,
        party: &RelyingParty,
    ) -> Result<Vec<StoredKey>, LoginError> {
        let all = self.deps.authenticators.authenticators(account).await?;
        let is_key = |one: &Authenticator| one.kind == AuthenticatorKind::Webauthn;
        let keys = all.into_iter().filter(|one| is_key(one) && works_at(one, Some(party)));
        keys.map(|row| self.open_key(row)).collect()
    }

    /// Returns request options for the keys of an account, or `None` if it has none that works here.
    async fn request_options(
        &self,
        account: AccountId,
        page: &KeyPage,
        asks: (Purpose, Holder<'_>),
    ) -> Result<Option<String>, LoginError> {
        let keys = self.keys_for(account, &page.party).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let allowed: Vec<_> = keys.into_iter().map(|key| key.credential).collect();
        let challenge = self.challenge_for(account, page, asks).await?;
        let options = Request {
            challenge: &challenge,
            party: &page.party,
            allowed: &allowed,
            verification: self.deps.key_settings.user_verification,
        };
        Ok(Some(options.to_json()))
    }

    /// Returns the ways of a step-up in this session: request options if the account has a key that
    /// works on this page, and the kinds of its authenticators.
    pub async fn step_up_ways(
        &self,
        session: &Session,
        page: Option<&KeyPage>,
    ) -> Result<(Option<String>, Vec<AuthenticatorKind>), LoginError> {
        let account = session.identity.account;
        let asks = (Purpose::StepUp, Holder::Session(session.id));
        let options = match page {
            Some(page) => self.request_options(account, page, asks).await?,
            None => None,
        };
        let all = self.deps.authenticators.authenticators(account).await?;
        Ok((options, all.iter().map(|one| one.kind).collect()))
    }

    /// Returns true if the second factor of this session was last proved by a code although the account
    /// has a key. A change that could give another person lasting access then needs the key: one
    /// phished code must not be enough to replace it. A recovery code does as well, because keys get
    /// lost.
    pub async fn owes_key(&self, session: &Session) -> Result<bool, LoginError> {
        match session.method {
            Factor::RecoveryCode => Ok(false),
            Factor::Authenticator(kind) if !kind.is_guessable() => Ok(false),
            Factor::Authenticator(_) | Factor::App => {
                let all = self.deps.authenticators.authenticators(session.identity.account).await?;
                Ok(keys_of(&all, &self.deps.key_settings).next().is_some())
            }
        }
    }

    /// User verification where an account has to exist already.
    fn verification(&self) -> UserVerification {
        self.deps.key_settings.user_verification
    }
}

/// Returns true if an authenticator can be used on a page of this relying party. Authenticators other
/// than keys can be used anywhere.
pub(super) fn works_at(one: &Authenticator, party: Option<&RelyingParty>) -> bool {
    one.works_at(party.map(RelyingParty::id))
}

/// Logs why the answer of a key was refused. Users see one sentence for every cause.
fn log_refusal(refusal: Refusal, account: Option<AccountId>, caller: &Caller) {
    tracing::info!(
        reason = refusal.as_str(),
        account = account.map(|account| account.to_string()).as_deref().unwrap_or("-"),
        id = %caller.reference,
        "key refused"
    );
    metrics::counter!("vestibule_keys_refused_total", "reason" => refusal.as_str()).increment(1);
}
