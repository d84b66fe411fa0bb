//! Typed ids: random, opaque, and not secret.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::random::{Random, RandomError, bytes};

/// An error for text that is not an id. Holds the expected number of digits.
#[derive(Debug, thiserror::Error)]
#[error("not an id: expected {0} hexadecimal digits")]
pub struct ParseIdError(usize);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length of the text form, in characters.
            pub const TEXT_LEN: usize = $bytes * 2;

            /// Creates a random id.
            pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
                Ok(Self(bytes(random)?))
            }

            /// Returns the bytes, for binding other data to the id.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|b| b.try_into().ok())
                    .map(Self)
                    .ok_or(ParseIdError(Self::TEXT_LEN))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The id of an account. It stays the same when the account is renamed.
    AccountId,
    16
);
id!(
    /// The id of a known browser.
    BrowserId,
    16
);
id!(
    /// The id of a second factor of an account.
    FactorId,
    16
);
id!(
    /// The id of a session in lists and commands. It is not the session token and grants no access.
    SessionId,
    8
);
id!(
    /// The id of a session tree: a session at the portal with the sessions at apps below it.
    TreeId,
    8
);
id!(
    /// The id of an access token in lists and commands. It is not the token and grants no access.
    TokenId,
    8
);
id!(
    /// The id of a request in logs and in `X-Request-Id`.
    RequestId,
    12
);

impl RequestId {
    /// Creates an id from a value that identifies the node and a number that the node counts up.
    pub fn from_parts(node: [u8; 4], number: u64) -> Self {
        let mut id = [0; 12];
        if let Some((first, rest)) = id.split_first_chunk_mut() {
            *first = node;
            rest.copy_from_slice(&number.to_be_bytes());
        }
        Self(id)
    }

    /// Returns the id as hexadecimal digits. Each request has one, so they are computed without a
    /// table, which the compiler turns into vector instructions.
    pub fn hex(self) -> [u8; Self::TEXT_LEN] {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut text = [0; Self::TEXT_LEN];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        text
    }

    /// Returns the reference: a short form that can be read out, such as `K7QX-3FZA`. It is unique
    /// among the requests of a few days.
    pub fn reference(self) -> String {
        let text = BASE32_NOPAD.encode(self.0.get(7..).unwrap_or_default());
        match text.split_at_checked(4) {
            Some((first, last)) => format!("{first}-{last}"),
            None => text,
        }
    }

    /// Returns the suffix shared by all ids with this reference, as hexadecimal digits.
    pub fn end_of_reference(reference: &str) -> Option<String> {
        let text: String = reference.chars().filter(|c| *c != '-').collect();
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        (bytes.len() == 5).then(|| HEXLOWER.encode(&bytes))
    }

    /// Returns the part of the id that each node counts up.
    pub fn number(self) -> u64 {
        let mut number = [0; 8];
        number.iter_mut().zip(self.0.iter().skip(4)).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn an_id_survives_its_text() {
        let id = AccountId::random(&OsRandom::new()).unwrap();
        assert_eq!(id.to_string().parse::<AccountId>().unwrap(), id);
    }

    #[test]
    fn the_digits_of_a_request_id_are_its_text() {
        for number in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = RequestId::from_parts([0x09, 0xa0, 0xf9, 0xff], number);
            assert_eq!(id.hex(), id.to_string().as_bytes());
        }
    }

    #[test]
    fn an_id_ends_as_its_reference_says() {
        let id = RequestId::from_parts([1, 2, 3, 4], 0x0102_0304_0506_0708);
        let end = RequestId::end_of_reference(&id.reference()).unwrap();
        assert!(id.to_string().ends_with(&end) && end.len() == 10, "{id} {end}");
        assert_eq!(RequestId::end_of_reference("K7QX"), None);
        assert_eq!(RequestId::end_of_reference("k7qx-3fz1"), None);
    }

    #[test]
    fn text_of_another_length_is_not_an_id() {
        assert!("abcd".parse::<AccountId>().is_err());
    }
}
