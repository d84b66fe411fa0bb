//! Challenges: random, used once, and valid only where and for what they were issued.

use std::fmt;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Refusal, sign_in};
use crate::auth::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};
use crate::base::random::{Random, RandomError, bytes};

/// Length in bytes of the random part: 256 bits, twice what the specification demands (WebAuthn §13.4.3).
pub const LEN: usize = 32;
/// Lifetime of a challenge.
pub const LIFETIME: Duration = Duration::from_mins(5);

/// A challenge: random bytes, or one of the sign-in page, which carries more ([`sign_in`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Vec<u8>);

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}

impl Challenge {
    /// Generates a challenge.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        bytes::<LEN>(random).map(|random| Self(random.to_vec()))
    }

    /// Returns the challenge of a sign-in page.
    pub(super) fn signed(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the challenge with these bytes, if they are as many as a challenge has.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        [LEN, sign_in::LEN].contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Returns true if a challenge of this form is stored when it is issued.
    pub fn is_stored(&self) -> bool {
        self.0.len() == LEN
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the base64url form, for options.
    pub fn encoded(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Returns the key of the stored record. The challenge cannot be derived from it.
    pub fn id(&self) -> ChallengeId {
        ChallengeId(HEXLOWER.encode(digest::digest(&digest::SHA256, &self.0).as_ref()))
    }
}

/// The hash of a challenge, as 64 hexadecimal digits: the key of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeId(String);

impl ChallengeId {
    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ceremony that a challenge was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Enrolment of a key as the first second factor.
    Enrol,
    /// The second factor of a pending login.
    SecondFactor,
    /// Sign-in by a passkey alone.
    PasskeySignIn,
    /// A fresh proof within a session.
    StepUp,
    /// Registration of a further key.
    AddKey,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::SecondFactor => "second_factor",
            Self::PasskeySignIn => "passkey_sign_in",
            Self::StepUp => "step_up",
            Self::AddKey => "add_key",
        }
    }
}

/// The browser of a ceremony: a digest of its session token, or of its random cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrowserBinding(String);

impl fmt::Debug for BrowserBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserBinding(…)")
    }
}

impl BrowserBinding {
    /// Derives the binding from a value that only this browser holds.
    pub fn of(held: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"browser of a challenge\n");
        context.update(held.as_bytes());
        Self(HEXLOWER.encode(context.finish().as_ref()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The holder of stored challenges. To become one costs a proof.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// A pending login.
    Login(&'a HashedToken<PendingToken>),
    /// A session.
    Session(SessionId),
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(token) => f.write_str(&token.to_hex()),
            Self::Session(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// The circumstances that a challenge is bound to. All of them must be the same when it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// Ceremony.
    pub purpose: Purpose,
    /// Browser.
    pub browser: BrowserBinding,
    /// Account, if it is known.
    pub account: Option<AccountId>,
    /// Origin of the page.
    pub origin: String,
}

impl Circumstances {
    /// Returns the name of the challenges that `holder` has for the same account and purpose. Not
    /// those of the browser: a client chooses the value that its browser is known by.
    pub fn group(&self, holder: Holder<'_>) -> String {
        let account = self.account.map(|account| account.to_string()).unwrap_or_default();
        format!("{account}.{}.{holder}", self.purpose.as_str())
    }
}

/// An issued challenge, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedChallenge {
    /// Circumstances that it is bound to.
    pub bound: Circumstances,
    /// Time of expiry.
    pub expires_at: Timestamp,
}

impl IssuedChallenge {
    /// Returns the record of a challenge that is issued now.
    pub fn new(bound: Circumstances, now: Timestamp) -> Self {
        Self { bound, expires_at: now.plus(LIFETIME) }
    }

    /// Verifies that the challenge was issued in the same circumstances.
    pub fn check(&self, here: &Circumstances) -> Result<(), Refusal> {
        let bound = &self.bound;
        if bound.purpose != here.purpose {
            return Err(Refusal::OtherPurpose);
        }
        if bound.origin != here.origin {
            return Err(Refusal::OtherHost);
        }
        if bound.account != here.account {
            return Err(Refusal::OtherAccount);
        }
        if !bool::from(bound.browser.0.as_bytes().ct_eq(here.browser.0.as_bytes())) {
            return Err(Refusal::OtherBrowser);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn a_challenge_has_256_random_bits() {
        let one = Challenge::generate(&OsRandom::new()).unwrap();
        let two = Challenge::generate(&OsRandom::new()).unwrap();
        assert_eq!(BASE64URL_NOPAD.decode(one.encoded().as_bytes()).unwrap().len() * 8, 256);
        assert!(one != two && one.id() != two.id());
        assert!(!one.id().as_str().contains(&HEXLOWER.encode(&one.0)));
    }

    #[test]
    fn a_challenge_is_bound_to_purpose_origin_account_and_browser() {
        let account = AccountId::random(&OsRandom::new()).unwrap();
        let bound = Circumstances {
            purpose: Purpose::SecondFactor,
            browser: BrowserBinding::of("one"),
            account: Some(account),
            origin: "https://gw.test".to_owned(),
        };
        let issued = IssuedChallenge::new(bound.clone(), Timestamp::EPOCH);
        assert_eq!(issued.check(&bound), Ok(()));
        let other = AccountId::random(&OsRandom::new()).unwrap();
        for (here, refusal) in [
            (Circumstances { purpose: Purpose::StepUp, ..bound.clone() }, Refusal::OtherPurpose),
            (
                Circumstances { origin: "https://b.test".to_owned(), ..bound.clone() },
                Refusal::OtherHost,
            ),
            (Circumstances { account: Some(other), ..bound.clone() }, Refusal::OtherAccount),
            (Circumstances { account: None, ..bound.clone() }, Refusal::OtherAccount),
            (Circumstances { browser: BrowserBinding::of("two"), ..bound }, Refusal::OtherBrowser),
        ] {
            assert_eq!(issued.check(&here), Err(refusal));
        }
    }
}
