//! Typed ids: random, opaque, not secret.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::random::{NoRandomness, Random, bytes};

/// Not the text of an id.
#[derive(Debug, thiserror::Error)]
#[error("not an id: it should be {0} hexadecimal digits")]
pub struct NotAnId(usize);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Characters in its text.
            pub const TEXT_LEN: usize = $bytes * 2;

            /// A new random id.
            pub fn random(random: &dyn Random) -> Result<Self, NoRandomness> {
                Ok(Self(bytes(random)?))
            }

            /// Its bytes, for binding other data to it.
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
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|b| b.try_into().ok())
                    .map(Self)
                    .ok_or(NotAnId(Self::TEXT_LEN))
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
    /// An account, for as long as it exists; names may change, this does not.
    AccountId,
    16
);
id!(
    /// A browser that accounts know.
    BrowserId,
    16
);
id!(
    /// One configured authenticator of an account.
    FactorId,
    16
);
id!(
    /// What names a session in lists and commands. It is not the token and admits nobody.
    SessionId,
    8
);
id!(
    /// What names a token of ours in lists and commands. It is not the token and admits nobody.
    TokenId,
    8
);
id!(
    /// One request, in logs and in `X-Request-Id`.
    RequestId,
    12
);

impl RequestId {
    /// From what tells nodes apart and a number that counts up on each.
    pub fn from_parts(node: [u8; 4], number: u64) -> Self {
        let mut id = [0; 12];
        id.iter_mut()
            .zip(node.into_iter().chain(number.to_be_bytes()))
            .for_each(|(to, from)| *to = from);
        Self(id)
    }

    /// Its short form, which people can read out: `K7QX-3FZA`. It tells the requests of some days
    /// apart.
    pub fn reference(self) -> String {
        let text = BASE32_NOPAD.encode(self.0.get(7..).unwrap_or_default());
        match text.split_at_checked(4) {
            Some((first, last)) => format!("{first}-{last}"),
            None => text,
        }
    }

    /// The end that is common to all ids with this short form, as hexadecimal digits.
    pub fn end_of_reference(reference: &str) -> Option<String> {
        let text: String = reference.chars().filter(|c| *c != '-').collect();
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        (bytes.len() == 5).then(|| HEXLOWER.encode(&bytes))
    }

    /// The number that counts up on each node.
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
    fn an_id_ends_as_its_short_form_says() {
        let id = RequestId::from_parts([1, 2, 3, 4], 0x0102_0304_0506_0708);
        let end = RequestId::end_of_reference(&id.reference()).unwrap();
        assert!(id.to_string().ends_with(&end) && end.len() == 10, "{id} {end}");
        assert_eq!(RequestId::end_of_reference("K7QX"), None);
        assert_eq!(RequestId::end_of_reference("k7qx-3fz1"), None);
    }

    #[test]
    fn text_of_another_length_is_no_id() {
        assert!("abcd".parse::<AccountId>().is_err());
    }
}
