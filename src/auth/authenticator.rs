//! Authenticators: what a user holds for the second factor. The kind of an authenticator is data.
//! Storage, throttling, events and pages treat all kinds alike, and one module checks the responses
//! of each kind: [`super::totp`] those of authenticator apps.

use zeroize::Zeroizing;

use super::keys::{KeyRing, SealError};
use super::webauthn::relying_party::KeySettings;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};
use crate::base::random::Random;

/// A kind of authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// An app that shows one-time codes (RFC 6238).
    Totp,
    /// A passkey or security key (WebAuthn Level 3).
    Webauthn,
}

impl AuthenticatorKind {
    /// All kinds.
    pub const ALL: &[Self] = &[Self::Totp, Self::Webauthn];

    /// Returns the name in the store, in logs, metrics and JSON. Sealed data is bound to it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
        }
    }

    /// Returns the name in sentences.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Totp => "authenticator app",
            Self::Webauthn => "passkey or security key",
        }
    }

    /// Returns the name in tables, after what its user does.
    pub fn in_brief(self) -> &'static str {
        match self {
            Self::Totp => "code",
            Self::Webauthn => "key",
        }
    }

    /// Returns true if a response can be guessed. Consecutive failures then lead to backoff and
    /// suspension.
    pub fn is_guessable(self) -> bool {
        match self {
            Self::Totp => true,
            Self::Webauthn => false,
        }
    }
}

/// The text is not the name of a kind of authenticator.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a kind of authenticator")]
pub struct NotAKind;

impl std::str::FromStr for AuthenticatorKind {
    type Err = NotAKind;

    fn from_str(name: &str) -> Result<Self, NotAKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name).ok_or(NotAKind)
    }
}

/// A confirmed authenticator as stored.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// Id of the authenticator.
    pub id: FactorId,
    /// Account of the authenticator.
    pub account: AccountId,
    /// Kind.
    pub kind: AuthenticatorKind,
    /// Name that its user gave it; empty if none.
    pub name: String,
    /// Encrypted TOTP secret or public key. Kind, account and authenticator id are its associated data.
    pub sealed: String,
    /// Relying party that a key is registered with.
    pub rp_id: Option<String>,
    /// Last used time step, or signature counter. It only grows; a key without a counter stays at zero.
    pub counter: u64,
    /// Time of confirmation.
    pub created_at: Timestamp,
    /// Time at which a response was last accepted.
    pub last_used_at: Option<Timestamp>,
    /// Number of consecutive wrong responses.
    pub failures: u32,
    /// Time of suspension, if suspended.
    pub suspended_at: Option<Timestamp>,
}

/// A newly confirmed authenticator.
#[derive(Clone, Debug)]
pub struct NewAuthenticator {
    /// Account of the authenticator.
    pub account: AccountId,
    /// Id of the authenticator.
    pub id: FactorId,
    /// Kind.
    pub kind: AuthenticatorKind,
    /// Name that its user gave it; empty if none.
    pub name: String,
    /// Encrypted TOTP secret or public key. Kind, account and authenticator id are its associated data.
    pub sealed: String,
    /// Key by which it is found without its account, unique over all accounts.
    pub lookup: Option<String>,
    /// Relying party that a key is registered with.
    pub rp_id: Option<String>,
    /// First value of the counter. The response that confirmed it counts as used.
    pub counter: u64,
    /// Time of confirmation.
    pub created_at: Timestamp,
}

/// A response of an authenticator that was verified and is to be used up.
#[derive(Clone, Debug)]
pub struct AuthenticatorUse {
    /// Account of the authenticator.
    pub account: AccountId,
    /// Id of the authenticator.
    pub id: FactorId,
    /// Counter of the response, which must be greater than the stored one. Zero if the authenticator
    /// has none, and the stored one has to be zero as well.
    pub counter: u64,
    /// Data to store instead of the present one, if it changed.
    pub sealed: Option<String>,
    /// Time of use.
    pub at: Timestamp,
}

/// The context that the data of an authenticator is sealed to.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Kind of the authenticator.
    pub kind: AuthenticatorKind,
    /// Account of the authenticator.
    pub account: AccountId,
    /// Id of the authenticator.
    pub id: FactorId,
}

impl Binding {
    fn context(&self) -> Vec<u8> {
        let kind = self.kind.as_str().as_bytes();
        [kind, self.account.as_bytes(), self.id.as_bytes()].concat()
    }

    /// Encrypts data for the store.
    pub fn seal(
        &self,
        keys: &KeyRing,
        random: &dyn Random,
        plain: &[u8],
    ) -> Result<String, SealError> {
        keys.seal(random, &self.context(), plain)
    }

    /// Decrypts data from the store. Fails if it belongs to another authenticator or account.
    pub fn open(&self, keys: &KeyRing, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        keys.open(&self.context(), sealed)
    }
}

impl Authenticator {
    /// Returns true if it can be used on a page of the relying party `rp_id`. Keys belong to one, other
    /// authenticators can be used anywhere.
    pub fn works_at(&self, rp_id: Option<&str>) -> bool {
        match self.kind {
            AuthenticatorKind::Totp => true,
            AuthenticatorKind::Webauthn => rp_id.is_some() && self.rp_id.as_deref() == rp_id,
        }
    }

    /// Returns the context of its sealed data.
    pub fn binding(&self) -> Binding {
        Binding { kind: self.kind, account: self.account, id: self.id }
    }
}

/// Returns the keys among these that sign in by these settings, in the same order.
pub fn keys_of<'a>(
    authenticators: &'a [Authenticator],
    settings: &KeySettings,
) -> impl Iterator<Item = &'a Authenticator> {
    authenticators.iter().filter(move |one| {
        one.kind == AuthenticatorKind::Webauthn && settings.accepts(one.rp_id.as_deref())
    })
}

/// Returns the authenticator app among these, if any.
pub fn app_of(authenticators: &[Authenticator]) -> Option<&Authenticator> {
    authenticators.iter().find(|one| one.kind == AuthenticatorKind::Totp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::base::random::OsRandom;

    #[test]
    fn sealed_data_opens_for_its_own_account_and_authenticator_only() {
        let random = OsRandom::new();
        let keys = KeyRing::new(&material()).unwrap();
        let account = || AccountId::random(&random).unwrap();
        let id = || FactorId::random(&random).unwrap();
        let own = Binding { kind: AuthenticatorKind::Totp, account: account(), id: id() };
        let sealed = own.seal(&keys, &random, b"secret").unwrap();
        assert_eq!(own.open(&keys, &sealed).unwrap().as_slice(), b"secret");
        assert!(Binding { account: account(), ..own }.open(&keys, &sealed).is_err());
        assert!(Binding { id: id(), ..own }.open(&keys, &sealed).is_err());
    }

    #[test]
    fn each_kind_is_found_by_its_name() {
        for kind in AuthenticatorKind::ALL {
            assert_eq!(kind.as_str().parse::<AuthenticatorKind>().unwrap(), *kind);
        }
        assert!("Totp".parse::<AuthenticatorKind>().is_err());
    }
}
