//! Recovery codes: ten to a set, 80 random bits each. Each is valid once, in place of a factor.
//!
//! A code is written as 17 characters of Crockford's base32 in groups. The last one is a check
//! character (Luhn modulo 32), so a typo is found before it counts as an attempt.

use std::fmt;

use data_encoding::{Encoding, Specification};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::typed;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;
use crate::base::random::{Random, RandomError, bytes};

/// Number of remaining codes at which the user is warned.
pub const FEW_CODES: u32 = 3;
/// Number of codes in a set.
pub const CODES_IN_SET: usize = 10;
const CODE_BYTES: usize = 10;
const BODY_LEN: usize = 16;
const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A recovery code in canonical form: 17 characters without separators.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<String>);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(***)")
    }
}

/// The text is not a recovery code, or has a typo.
#[derive(Debug, thiserror::Error)]
#[error("not a recovery code, or a typo in one")]
pub struct NotARecoveryCode;

/// The argon2id hash of a code under the salt of its set, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryHash(pub(super) String);

impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryHash(…)")
    }
}

impl RecoveryHash {
    /// Returns the hash that no code has.
    pub(super) fn of_nothing() -> Self {
        Self(String::new())
    }

    /// Returns the text of the hash, for the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Creates a hash from a store's text.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// The recovery codes of an account, without their hashes.
#[derive(Clone, Debug)]
pub struct RecoverySet {
    /// Salt of the hashes, in base64url.
    pub salt: String,
    /// Id of the pepper of the hashes.
    pub pepper_id: String,
    /// Number of unused codes.
    pub left: u32,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the user confirmed having saved the codes.
    pub confirmed_at: Option<Timestamp>,
}

/// A new set of codes, which replaces the former one.
#[derive(Clone, Debug)]
pub struct NewRecoverySet {
    /// Account of the set.
    pub account: AccountId,
    /// Salt of the hashes, in base64url.
    pub salt: String,
    /// Id of the pepper of the hashes.
    pub pepper_id: String,
    /// Hashes of the codes.
    pub hashes: Vec<RecoveryHash>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which the user confirmed having saved the codes, if already confirmed.
    pub confirmed_at: Option<Timestamp>,
}

fn crockford() -> Option<Encoding> {
    let mut spec = Specification::new();
    spec.symbols.push_str(ALPHABET);
    spec.encoding().ok()
}

/// Computes the check character of a code's body with Luhn's algorithm modulo 32.
fn check_character(body: &str) -> Option<char> {
    let mut sum = 0_usize;
    for (i, c) in body.chars().rev().enumerate() {
        let value = ALPHABET.find(c)?;
        let doubled = if i % 2 == 0 { value * 2 } else { value };
        sum += doubled / 32 + doubled % 32;
    }
    ALPHABET.chars().nth((32 - sum % 32) % 32)
}

impl RecoveryCode {
    /// Generates a random code.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let raw: Zeroizing<[u8; CODE_BYTES]> = Zeroizing::new(bytes(random)?);
        let encoding = crockford().ok_or(RandomError)?;
        let mut text = Zeroizing::new(encoding.encode(raw.as_slice()));
        let check = check_character(&text).ok_or(RandomError)?;
        text.push(check);
        Ok(Self(text))
    }

    /// Parses a typed or pasted code. Case, spaces and dashes do not matter, `O` is read as `0`,
    /// and `I` and `L` as `1` (Crockford). A list number or a label before the code is removed.
    pub fn parse(typed: &str) -> Result<Self, NotARecoveryCode> {
        let folded = typed::letters_and_digits(typed);
        let label = folded.len().checked_sub(BODY_LEN + 1).ok_or(NotARecoveryCode)?;
        if label > BODY_LEN {
            return Err(NotARecoveryCode);
        }
        let mut text = Zeroizing::new(String::with_capacity(BODY_LEN + 1));
        text.extend(folded.chars().skip(label).map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        }));
        let (body, check) = text.split_at_checked(BODY_LEN).ok_or(NotARecoveryCode)?;
        let expected = check_character(body).ok_or(NotARecoveryCode)?.to_string();
        if bool::from(expected.as_bytes().ct_eq(check.as_bytes())) {
            Ok(Self(text))
        } else {
            Err(NotARecoveryCode)
        }
    }

    /// Returns the code as shown to the user: `XXXX-XXXX-XXXX-XXXXX`.
    pub fn to_display(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(20));
        for (i, c) in self.0.chars().enumerate() {
            if i > 0 && i % 4 == 0 && i < BODY_LEN {
                out.push('-');
            }
            out.push(c);
        }
        out
    }

    /// Returns true if the other code is the same.
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// Returns the text to hash.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = RecoveryCode::generate(&OsRandom::new()).unwrap();
        let shown = code.to_display();
        assert_eq!(shown.len(), 20);
        let wide = |c: char| match c {
            '-' => '\u{2013}',
            c => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
        };
        for typed in [
            shown.to_lowercase(),
            shown.replace('-', " "),
            shown.replace('-', "\u{2011}"),
            shown.replace('-', "\u{2212}\u{200b}"),
            shown.replace('0', "o").replace('1', "l"),
            shown.chars().map(wide).collect(),
            format!(" {} ", *shown),
            format!("3. {}", *shown),
            format!("10) {}", *shown),
            format!("Recovery code 3: \u{201c}{}\u{201d}\r\n", *shown),
        ] {
            assert_eq!(RecoveryCode::parse(&typed).unwrap().reveal(), code.reveal(), "{typed:?}");
        }
        let other = RecoveryCode::generate(&OsRandom::new()).unwrap();
        let both = format!("{} {}", *shown, *other.to_display());
        assert!(RecoveryCode::parse(&both).is_err(), "two codes are none");
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_always_found(at in 0_usize..17, by in 1_usize..32) {
            let code = RecoveryCode::generate(&OsRandom::new()).unwrap();
            let mut chars: Vec<char> = code.reveal().chars().collect();
            let value = ALPHABET.find(chars[at]).unwrap();
            chars[at] = ALPHABET.chars().nth((value + by) % 32).unwrap();
            prop_assert!(RecoveryCode::parse(&chars.iter().collect::<String>()).is_err());
        }

        #[test]
        fn whatever_is_typed_is_read_without_panic(typed in ".*") {
            prop_assert!(RecoveryCode::parse(&typed).map_or(true, |c| c.reveal().len() == 17));
        }
    }
}
