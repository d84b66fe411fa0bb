//! Enrolment of a key: as the first second factor, or with a one-time link.

use super::{KeyAnswer, KeyPage, log_refusal};
use crate::auth::account::{Account, LoginName};
use crate::auth::amr::KeyEvidence;
use crate::auth::audit::Caller;
use crate::auth::authenticator::{AuthenticatorKind, Binding, NewAuthenticator};
use crate::auth::login::enrol::Enrolments;
use crate::auth::login::key::Keys;
use crate::auth::login::second::Admitted;
use crate::auth::login::{AppRef, LoginError, SecondFactor};
use crate::auth::stage::Factor;
use crate::auth::token::{PendingToken, PlainToken};
use crate::auth::webauthn::challenge::{Holder, Purpose};
use crate::auth::webauthn::credential::{self, Credential};
use crate::auth::webauthn::options::{Creation, KeyUser};
use crate::auth::webauthn::registration::{self, Registration};
use crate::auth::webauthn::response::RegistrationResponse;
use crate::auth::webauthn::{Refusal, UserVerification};
use crate::base::id::FactorId;

/// Maximum length of the name of a key, in characters.
pub const NAME_MOST: usize = 64;

/// The content of the page that enrols a key.
#[derive(Debug)]
pub struct EnrolKey {
    /// Creation options, as JSON that is safe within a `<script>` element.
    pub options: String,
    /// Login name.
    pub name: LoginName,
}

/// The result of enrolling a key.
#[derive(Debug)]
#[must_use]
pub enum KeyEnrolled {
    /// The answer was counted and checked, as that of any second factor.
    Checked(SecondFactor),
    /// The key is registered already.
    Registered,
}

impl Enrolments {
    /// Returns creation options for this login, or `None` if it is gone, may not enrol, or keys do not
    /// work here.
    pub async fn enrol_key_options(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        page: &KeyPage,
    ) -> Result<Option<EnrolKey>, LoginError> {
        let Some(login) = self.logins.pending(app, token).await? else { return Ok(None) };
        let Some(account) = self.logins.account_of(&login).await? else { return Ok(None) };
        if login.spent || !self.logins.may_enrol(&account, &login) {
            return Ok(None);
        }
        let asks = (Purpose::Enrol, Holder::Login(token.hashed()));
        let options = self.keys.creation_options(app, &account, page, asks).await?;
        Ok(Some(EnrolKey { options, name: account.identity.name }))
    }

    /// Stores the key as the account's second factor and begins the session. Recovery codes are due
    /// next.
    pub async fn enrol_key(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        (answer, name): (&KeyAnswer, &str),
        caller: &Caller,
    ) -> Result<KeyEnrolled, LoginError> {
        let guess = match self.second.admit_enrolment(app, token, caller).await? {
            Admitted::Yes(guess) => guess,
            Admitted::No(answer) => return Ok(KeyEnrolled::Checked(answer)),
        };
        let made = self.keys.registered(&guess.account, answer).await?;
        let made = match made {
            Ok(made) => made,
            Err(refusal) => {
                log_refusal(refusal, Some(guess.account.id()), caller);
                if refusal == Refusal::Registered {
                    return Ok(KeyEnrolled::Registered);
                }
                // Nothing can be guessed here: only the login counts it.
                self.second.forgive_enrolment(&guess.login).await?;
                let used_up = refusal == Refusal::Challenge;
                let factor = Factor::Authenticator(AuthenticatorKind::Webauthn);
                let wrong = self.second.wrong(&guess, token, factor, (used_up, None), caller);
                return Ok(KeyEnrolled::Checked(wrong.await?));
            }
        };
        let (new, evidence) = self.keys.new_key(&guess.account, made, answer, name)?;
        let done = self.file_enrolment(guess, &new, Some(evidence), token, caller).await?;
        Ok(KeyEnrolled::Checked(done))
    }
}

impl Keys {
    /// Returns creation options for an account.
    pub(super) async fn creation_options(
        &self,
        app: AppRef<'_>,
        account: &Account,
        page: &KeyPage,
        asks: (Purpose, Holder<'_>),
    ) -> Result<String, LoginError> {
        let keys = self.keys_for(account.id(), &page.party).await?;
        let registered: Vec<_> = keys.into_iter().map(|key| key.credential).collect();
        let challenge = self.challenge_for(account.id(), page, asks).await?;
        let settings = &self.deps.key_settings;
        let id = account.id();
        let user = KeyUser {
            handle: id.as_bytes(),
            name: account.identity.name.as_str(),
            display_name: &account.identity.display_name,
        };
        Ok(Creation {
            challenge: &challenge,
            party: &page.party,
            title: app.issuer,
            user,
            registered: &registered,
            discoverable: settings.passkey_sign_in,
            verification: match settings.user_verification {
                UserVerification::Required => UserVerification::Required,
                // A passkey that signs in alone needs it, so it is asked for where possible.
                UserVerification::Discouraged if !settings.passkey_sign_in => {
                    UserVerification::Discouraged
                }
                UserVerification::Preferred | UserVerification::Discouraged => {
                    UserVerification::Preferred
                }
            },
        }
        .to_json())
    }

    /// Verifies a registration for this account, and uses up its challenge.
    pub(super) async fn registered(
        &self,
        account: &Account,
        answer: &KeyAnswer,
    ) -> Result<Result<Registration, Refusal>, LoginError> {
        let response = match RegistrationResponse::parse(&answer.text) {
            Ok(response) => response,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let here = answer.page.circumstances(answer.purpose, Some(account.id()));
        if let Err(refusal) = self.use_challenge(response.challenge(), &here).await? {
            return Ok(Err(refusal));
        }
        let made = registration::verify(&response, &answer.page.party, self.verification());
        let made = match made {
            Ok(made) => made,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let lookup = credential::lookup(made.credential.id());
        let taken = self.deps.authenticators.authenticator_by(&lookup).await?.is_some();
        Ok(if taken { Err(Refusal::Registered) } else { Ok(made) })
    }

    /// Returns the record of a verified key, and its evidence.
    pub(super) fn new_key(
        &self,
        account: &Account,
        made: Registration,
        answer: &KeyAnswer,
        name: &str,
    ) -> Result<(NewAuthenticator, KeyEvidence), LoginError> {
        let Registration { credential, counter, user_verified } = made;
        let kind = AuthenticatorKind::Webauthn;
        let binding =
            Binding { kind, account: account.id(), id: FactorId::random(self.deps.random())? };
        let synced = credential.is_backup_eligible();
        let evidence = KeyEvidence { id: Some(binding.id), synced, user_verified };
        let new = NewAuthenticator {
            account: binding.account,
            id: binding.id,
            kind,
            name: key_name(name, &credential),
            sealed: self.seal_key(binding, &credential)?,
            lookup: Some(credential::lookup(credential.id())),
            rp_id: Some(answer.page.party.id().to_owned()),
            counter: counter.into(),
            created_at: self.deps.now(),
        };
        Ok((new, evidence))
    }
}

/// Returns a typed name in the form in which it is stored, or a default.
pub(super) fn key_name(typed: &str, credential: &Credential) -> String {
    tidy_name(typed).unwrap_or_else(|| {
        let default = if credential.is_backup_eligible() { "Passkey" } else { "Security key" };
        default.to_owned()
    })
}

/// Returns a typed name without control characters, surrounding space and excess length, or `None` if
/// nothing is left.
pub(super) fn tidy_name(typed: &str) -> Option<String> {
    let clean: String = typed.chars().filter(|c| !c.is_control()).take(NAME_MOST * 4).collect();
    let short: String = clean.trim().chars().take(NAME_MOST).collect();
    let short = short.trim_end();
    (!short.is_empty()).then(|| short.to_owned())
}
