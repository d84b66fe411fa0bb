//! Codes from an authenticator app: RFC 6238 with SHA-1, 6 digits, 30 seconds, one step either way.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use super::authenticator::{AuthenticatorKind, Binding};
use super::keys::{KeyRing, SealError};
use super::typed;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};
use crate::base::random::{Random, RandomError, bytes};

/// Length of a secret, in bytes: 160 bits (RFC 4226 §4, R6).
const SECRET_LEN: usize = 20;
/// Number of digits in a code.
pub const DIGITS: u8 = 6;
/// Validity of a code (RFC 6238 §5.2).
pub const PERIOD: Duration = Duration::from_secs(30);
/// Number of steps accepted before and after the current one, for slow typing and clock drift (RFC
/// 6238 §5.2).
const SKEW: u16 = 1;
/// Number of steps either way within which a wrong code is recognised as a clock error: ten
/// minutes.
const FAR: i64 = 20;

/// A 30-second step since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeStep(u64);

impl TimeStep {
    /// Returns the step that contains `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(now.as_secs() / PERIOD.as_secs())
    }

    /// Creates a step from its number.
    pub fn from_number(step: u64) -> Self {
        Self(step)
    }

    /// Returns the number of the step.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A typed code: exactly six ASCII digits.
pub struct Code(Zeroizing<String>);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(***)")
    }
}

/// The text is not six digits.
#[derive(Debug, thiserror::Error)]
#[error("not a code of six digits")]
pub struct NotACode;

impl Code {
    /// Parses a typed or pasted code. Spaces, dashes, labels, quotes and digits of other scripts
    /// are folded first.
    pub fn parse(typed: &str) -> Result<Self, NotACode> {
        typed::digits(typed, usize::from(DIGITS)).map(Self).ok_or(NotACode)
    }
}

/// The secret shared with an authenticator app.
pub struct TotpSecret(Zeroizing<[u8; SECRET_LEN]>);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(***)")
    }
}

/// Returns the context that a secret is sealed to.
fn binding(account: AccountId, id: FactorId) -> Binding {
    Binding { kind: AuthenticatorKind::Totp, account, id }
}

impl TotpSecret {
    /// Generates a random secret.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self(Zeroizing::new(bytes(random)?)))
    }

    /// Encrypts the secret for the store.
    pub fn seal(
        &self,
        keys: &KeyRing,
        random: &dyn Random,
        account: AccountId,
        factor: FactorId,
    ) -> Result<String, SealError> {
        binding(account, factor).seal(keys, random, self.0.as_slice())
    }

    /// Decrypts a secret from the store.
    pub fn open(
        keys: &KeyRing,
        account: AccountId,
        factor: FactorId,
        sealed: &str,
    ) -> Result<Self, SealError> {
        let plain = binding(account, factor).open(keys, sealed)?;
        let secret = plain.as_slice().try_into().map_err(|_length| SealError::Broken)?;
        Ok(Self(Zeroizing::new(secret)))
    }

    fn totp(&self, issuer: &str, account: &str) -> Option<Totp> {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(SKEW)
            .with_step_duration(PERIOD.as_secs())
            .with_secret(self.0.to_vec())
            .with_issuer(Some(issuer.replace(':', " ")))
            .with_account_name(account.replace(':', " "))
            .build()
            .ok()
    }

    /// Returns the step of this code, if it is within one of `now`.
    pub fn matching_step(&self, code: &Code, now: Timestamp) -> Option<TimeStep> {
        self.totp("", "").and_then(|t| t.check(&code.0, now.as_secs())).map(TimeStep)
    }

    /// Returns the distance in steps between `now` and the step of this code, if it is within ten
    /// minutes but too far to be accepted; negative for a past step. Returns the nearest if there
    /// are several.
    pub fn steps_off(&self, code: &Code, now: Timestamp) -> Option<i64> {
        let totp = self.totp("", "")?;
        let present = TimeStep::at(now).number();
        let near = i64::from(SKEW) + 1;
        (near..=FAR).flat_map(|n| [-n, n]).find(|n| {
            let step = present.saturating_add_signed(*n);
            let shown = Zeroizing::new(totp.generate(step * PERIOD.as_secs()).to_string());
            bool::from(shown.as_bytes().ct_eq(code.0.as_bytes()))
        })
    }

    /// Returns the code of a step.
    pub fn code(&self, step: TimeStep) -> Zeroizing<String> {
        let totp = self.totp("", "");
        let code = totp.map(|totp| totp.generate(step.0 * PERIOD.as_secs()).to_string());
        Zeroizing::new(code.unwrap_or_default())
    }

    /// Returns the secret as users type it: base32 without padding (RFC 4648 §6).
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::BASE32_NOPAD.encode(self.0.as_slice()))
    }

    /// Returns the `otpauth:` URI that authenticator apps read from a QR code.
    pub fn to_uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let uri = self.totp(issuer, account).and_then(|t| t.to_url().ok());
        Zeroizing::new(uri.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::base::random::OsRandom;

    fn rfc_secret() -> TotpSecret {
        TotpSecret(Zeroizing::new(*b"12345678901234567890"))
    }

    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        // RFC 6238 appendix B, SHA-1, the last six of eight digits.
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_millis(time * 1000);
            let step = rfc_secret().matching_step(&Code::parse(code).unwrap(), now);
            assert_eq!(step, Some(TimeStep::at(now)), "at {time}");
            assert_eq!(*rfc_secret().code(TimeStep::at(now)), code);
        }
    }

    #[test]
    fn a_code_holds_one_step_either_way_and_no_more() {
        let code = Code::parse("287082").unwrap(); // step 1: 30 s to 59 s
        let at = |secs: u64| rfc_secret().matching_step(&code, Timestamp::from_millis(secs * 1000));
        assert_eq!(at(0), Some(TimeStep(1)));
        assert_eq!(at(89), Some(TimeStep(1)));
        assert_eq!(at(90), None);
        assert_eq!(at(120), None);
    }

    #[test]
    fn a_code_of_another_time_is_told_by_its_distance_and_one_that_is_accepted_is_not() {
        let code = Code::parse("287082").unwrap(); // step 1: 30 s to 59 s
        let off = |s: u64| rfc_secret().steps_off(&code, Timestamp::from_millis(s * 1000));
        assert_eq!([off(0), off(30), off(60)], [None; 3]);
        assert_eq!(off(90), Some(-2));
        assert_eq!(off(21 * 30), Some(-20));
        assert_eq!(off(22 * 30), None);
        let ahead = Code::parse("081804").unwrap(); // at 1111111109
        let off = |s: u64| rfc_secret().steps_off(&ahead, Timestamp::from_millis(s * 1000));
        assert_eq!(off(1_111_111_109 - 300), Some(10));
        assert_eq!(off(1_111_111_109 - 30), None);
    }

    #[test]
    fn only_six_digits_are_a_code() {
        for good in [" 123 456 ", "123-456", "１２３４５６", "Code: 123456"] {
            assert_eq!(Code::parse(good).unwrap().0.as_str(), "123456", "{good:?}");
        }
        for bad in ["", "1", "12345", "1234567", "12345a"] {
            assert!(Code::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_factor_only() {
        let random = OsRandom::new();
        let keys = KeyRing::new(&material()).unwrap();
        let account = AccountId::random(&random).unwrap();
        let (factor, other) =
            (FactorId::random(&random).unwrap(), FactorId::random(&random).unwrap());
        let sealed = rfc_secret().seal(&keys, &random, account, factor).unwrap();
        assert!(TotpSecret::open(&keys, account, factor, &sealed).is_ok());
        assert!(TotpSecret::open(&keys, account, other, &sealed).is_err());
    }

    #[test]
    fn the_address_for_apps_names_issuer_and_account() {
        let uri = rfc_secret().to_uri("Cell: Engine & Co", "alice");
        assert!(uri.starts_with("otpauth://totp/"), "{}", *uri);
        assert!(uri.contains("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"));
        assert!(uri.contains("issuer=Cell"));
    }
}
