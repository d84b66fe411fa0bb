//! Tokens. Only the browser's cookie holds the plain token and only the store holds its hash. The
//! token cannot be derived from the hash.
//!
//! Text of a token: 64 characters of base64url for 32 random bytes and a 16-byte tag made with the
//! token key. The tag distinguishes issued tokens from random text without a store lookup.

use std::fmt;
use std::marker::PhantomData;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{KeyRing, TokenKey};
use crate::base::random::{Random, RandomError};

const RANDOM_LEN: usize = 32;
const TAG_LEN: usize = 16;
const RAW_LEN: usize = RANDOM_LEN + TAG_LEN;

/// Length of the text of a token, in characters.
pub const TOKEN_TEXT_LEN: usize = 64;

/// The kind of a token. Tokens of different kinds are never interchangeable.
pub trait Kind: Send + Sync + 'static {
    /// Separates the kinds in the hash.
    const PURPOSE: &'static [u8];
}

/// The token of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionToken {}
impl Kind for SessionToken {
    const PURPOSE: &'static [u8] = b"session";
}

/// The token of a pending login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingToken {}
impl Kind for PendingToken {
    const PURPOSE: &'static [u8] = b"pending login";
}

/// The token of a ticket, in its one-time link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketToken {}
impl Kind for TicketToken {
    const PURPOSE: &'static [u8] = b"ticket";
}

/// The token of a hand-over from the portal to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandOverToken {}
impl Kind for HandOverToken {
    const PURPOSE: &'static [u8] = b"hand-over";
}

/// A token that an app issued. It has no tag, and only its hash is stored here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppToken {}
impl Kind for AppToken {
    const PURPOSE: &'static [u8] = b"token of an app";
}

/// An access token; see [`super::access_token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessToken {}
impl Kind for AccessToken {
    const PURPOSE: &'static [u8] = b"access token";
}

/// The token of a kept request, in a cookie of the browser that was sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParkedToken {}
impl Kind for ParkedToken {
    const PURPOSE: &'static [u8] = b"parked request";
}

/// A token as the browser holds it.
pub struct PlainToken<K> {
    text: Zeroizing<String>,
    hashed: HashedToken<K>,
}

impl<K> fmt::Debug for PlainToken<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(***)")
    }
}

/// The hash of a token, as stored.
pub struct HashedToken<K> {
    hash: [u8; 32],
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for HashedToken<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for HashedToken<K> {}
impl<K> PartialEq for HashedToken<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}
impl<K> Eq for HashedToken<K> {}
impl<K> std::hash::Hash for HashedToken<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
impl<K> fmt::Debug for HashedToken<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedToken(…)")
    }
}

impl<K> HashedToken<K> {
    fn of_tag(tag: &hmac::Tag) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(h, m)| *h = *m);
        Self { hash, kind: PhantomData }
    }

    /// Returns the hash as 64 hexadecimal digits: the record's key in a store.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }

    /// Parses a store's key.
    pub fn from_hex(text: &str) -> Option<Self> {
        let hash = HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { hash, kind: PhantomData })
    }
}

impl HashedToken<AppToken> {
    /// Returns the hashes of a token that `app` issued, under each token key, newest first.
    pub fn of_app<'a>(
        keys: &KeyRing,
        app: &'a str,
        text: &'a [u8],
    ) -> impl Iterator<Item = Self> + use<'a> {
        let keys = keys.now();
        (0..keys.tokens.len()).filter_map(move |place| {
            let key = keys.tokens.get(place)?;
            let name = mac(&key.hash, AppToken::PURPOSE, app.as_bytes());
            // The length prefix keeps two pairs of name and token from having the same input.
            let mut context = hmac::Context::with_key(&key.hash);
            context.update(AppToken::PURPOSE);
            context.update(name.as_ref());
            context.update(text);
            Some(Self::of_tag(&context.sign()))
        })
    }
}

impl<K: Kind> PlainToken<K> {
    /// Generates a random token under the first token key.
    pub fn generate(keys: &KeyRing, random: &dyn Random) -> Result<Self, RandomError> {
        let mut raw = Zeroizing::new([0_u8; RAW_LEN]);
        let (secret, tag) = raw.split_at_mut(RANDOM_LEN);
        random.fill(secret)?;
        let keys = keys.now();
        let key = keys.tokens.first().ok_or(RandomError)?;
        tag.copy_from_slice(&tag_of::<K>(key, secret));
        let hashed = hash_of::<K>(key, secret);
        Ok(Self { text: Zeroizing::new(BASE64URL_NOPAD.encode(raw.as_slice())), hashed })
    }

    /// Parses the token in a cookie's value. Returns `None` if no token key made it.
    pub fn parse(text: &str, keys: &KeyRing) -> Option<Self> {
        if text.len() != TOKEN_TEXT_LEN {
            return None;
        }
        let mut raw = Zeroizing::new([0_u8; RAW_LEN]);
        BASE64URL_NOPAD.decode_mut(text.as_bytes(), raw.as_mut_slice()).ok()?;
        let (secret, tag) = raw.split_at(RANDOM_LEN);
        let keys = keys.now();
        let key = keys.tokens.iter().find(|key| bool::from(tag_of::<K>(key, secret).ct_eq(tag)))?;
        Some(Self { text: Zeroizing::new(text.to_owned()), hashed: hash_of::<K>(key, secret) })
    }

    /// Returns the text of the token, for the cookie.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Returns the hash of the token, for the store.
    pub fn hashed(&self) -> &HashedToken<K> {
        &self.hashed
    }
}

fn mac(key: &hmac::Key, purpose: &[u8], secret: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose);
    context.update(secret);
    context.sign()
}

fn tag_of<K: Kind>(key: &TokenKey, secret: &[u8]) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    tag.iter_mut().zip(mac(&key.tag, K::PURPOSE, secret).as_ref()).for_each(|(t, m)| *t = *m);
    tag
}

fn hash_of<K: Kind>(key: &TokenKey, secret: &[u8]) -> HashedToken<K> {
    HashedToken::of_tag(&mac(&key.hash, K::PURPOSE, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::base::random::OsRandom;

    #[test]
    fn a_token_is_recognised_again_by_its_hash() {
        let keys = KeyRing::new(&material()).unwrap();
        let token = PlainToken::<SessionToken>::generate(&keys, &OsRandom::new()).unwrap();
        assert_eq!(token.reveal().len(), TOKEN_TEXT_LEN);
        let again = PlainToken::<SessionToken>::parse(token.reveal(), &keys).unwrap();
        assert_eq!(again.hashed(), token.hashed());
        assert!(!token.reveal().contains(&token.hashed().to_hex()));
    }

    #[test]
    fn of_many_tokens_no_two_are_alike_and_every_bit_is_drawn() {
        let (keys, random) = (KeyRing::new(&material()).unwrap(), OsRandom::new());
        let (mut seen, mut ones) = (std::collections::HashSet::new(), [0_u32; 256]);
        for _ in 0..4000 {
            let token = PlainToken::<SessionToken>::generate(&keys, &random).unwrap();
            let bytes = BASE64URL_NOPAD.decode(token.reveal().as_bytes()).unwrap();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
            }
            assert!(seen.insert(token.reveal().to_owned()));
        }
        // Ten standard deviations: not a matter of chance.
        assert!(ones.iter().all(|n| (1684..=2316).contains(n)), "{ones:?}");
    }

    #[test]
    fn a_login_token_is_no_session_token() {
        let keys = KeyRing::new(&material()).unwrap();
        let token = PlainToken::<PendingToken>::generate(&keys, &OsRandom::new()).unwrap();
        assert!(PlainToken::<SessionToken>::parse(token.reveal(), &keys).is_none());
    }

    #[test]
    fn a_token_of_one_app_is_no_token_of_another() {
        let keys = KeyRing::new(&material()).unwrap();
        let of = |app, text: &str| HashedToken::of_app(&keys, app, text.as_bytes()).next().unwrap();
        assert_eq!(of("one", "s:a.b"), of("one", "s:a.b"));
        assert_ne!(of("one", "s:a.b"), of("two", "s:a.b"));
        assert_ne!(of("one", "s:a.b"), of("ones", ":a.b"));
    }

    #[test]
    fn text_we_did_not_make_is_not_looked_up() {
        let keys = KeyRing::new(&material()).unwrap();
        assert!(PlainToken::<SessionToken>::parse(&"A".repeat(64), &keys).is_none());
        assert!(PlainToken::<SessionToken>::parse("", &keys).is_none());
        assert!(PlainToken::<SessionToken>::parse(&"é".repeat(32), &keys).is_none());
    }
}
