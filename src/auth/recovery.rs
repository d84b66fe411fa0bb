//! Recovery codes: ten at a time, 80 random bits each, good for one use in place of a factor.
//!
//! Written as 17 characters of Crockford's base32 in groups, the last of which is a check
//! character (Luhn modulo 32), so that a typo is found before it costs a try.

use std::fmt;

use data_encoding::{Encoding, Specification};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::typed;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;
use crate::base::random::{NoRandomness, Random, bytes};

/// From how few codes on the person is warned.
pub const FEW_CODES: u32 = 3;
/// Codes in a set.
pub const CODES_IN_SET: usize = 10;
const CODE_BYTES: usize = 10;
const BODY_LEN: usize = 16;
const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A recovery code in its one form: 17 characters without separators.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<String>);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(***)")
    }
}

/// Not a recovery code, or one with a typo in it.
#[derive(Debug, thiserror::Error)]
#[error("not a recovery code, or one with a typo in it")]
pub struct NotARecoveryCode;

/// The argon2id hash of a code, under the salt of its set, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryHash(pub(super) String);

impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryHash(…)")
    }
}

impl RecoveryHash {
    /// The hash of no code.
    pub(super) fn of_nothing() -> Self {
        Self(String::new())
    }

    /// Its text, for the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From a store's text.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// The recovery codes of an account, as far as a store may tell.
#[derive(Clone, Debug)]
pub struct RecoverySet {
    /// What the codes were hashed with: base64url.
    pub salt: String,
    /// The id of the pepper they were hashed with.
    pub pepper_id: String,
    /// Codes not used yet.
    pub left: u32,
    /// When the set was made.
    pub created_at: Timestamp,
    /// When the person said to have kept them.
    pub confirmed_at: Option<Timestamp>,
}

/// A set of codes that replaces the former one.
#[derive(Clone, Debug)]
pub struct NewRecoverySet {
    /// Whose they are.
    pub account: AccountId,
    /// What the codes were hashed with: base64url.
    pub salt: String,
    /// The id of the pepper they were hashed with.
    pub pepper_id: String,
    /// The hashes.
    pub hashes: Vec<RecoveryHash>,
    /// When.
    pub created_at: Timestamp,
    /// When the person showed to have kept them, if that is so already.
    pub confirmed_at: Option<Timestamp>,
}

fn crockford() -> Option<Encoding> {
    let mut spec = Specification::new();
    spec.symbols.push_str(ALPHABET);
    spec.encoding().ok()
}

/// The check character of a code's body: Luhn's algorithm modulo 32.
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
    /// A new random code.
    pub fn generate(random: &dyn Random) -> Result<Self, NoRandomness> {
        let raw: Zeroizing<[u8; CODE_BYTES]> = Zeroizing::new(bytes(random)?);
        let encoding = crockford().ok_or(NoRandomness)?;
        let mut text = Zeroizing::new(encoding.encode(raw.as_slice()));
        let check = check_character(&text).ok_or(NoRandomness)?;
        text.push(check);
        Ok(Self(text))
    }

    /// Parses what was typed or pasted: case, spaces and dashes do not matter, `O` is `0`, `I` and
    /// `L` are `1` (Crockford). A list number or a label before the code is left out.
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

    /// The code as it is shown: `XXXX-XXXX-XXXX-XXXXX`.
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

    /// Whether the other is the same code.
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// What is hashed.
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
