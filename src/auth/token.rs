//! Tokens. The plain token lives in the browser's cookie only, its hash in the store only, and
//! there is no way back from the one to the other.
//!
//! Text of a token: 64 characters of base64url for 32 random bytes and a 16-byte tag made with the
//! token key. The tag tells our tokens from random text without asking a store.

use std::fmt;
use std::marker::PhantomData;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{KeyRing, TokenKey};
use crate::base::random::{NoRandomness, Random};

const RANDOM_LEN: usize = 32;
const TAG_LEN: usize = 16;
const RAW_LEN: usize = RANDOM_LEN + TAG_LEN;

/// Characters in the text of a token.
pub const TOKEN_TEXT_LEN: usize = 64;

/// What a token is for. Tokens of two kinds never stand in for each other.
pub trait Kind: Send + Sync + 'static {
    /// Separates the kinds in the hash.
    const PURPOSE: &'static [u8];
}

/// The token of a finished session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionToken {}
impl Kind for SessionToken {
    const PURPOSE: &'static [u8] = b"session";
}

/// The token of a login in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingToken {}
impl Kind for PendingToken {
    const PURPOSE: &'static [u8] = b"pending login";
}

/// The token of a ticket, in the link that an operator hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketToken {}
impl Kind for TicketToken {
    const PURPOSE: &'static [u8] = b"ticket";
}

/// A token that an app gave out. We did not make it: it has no tag, and only its hash is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppToken {}
impl Kind for AppToken {
    const PURPOSE: &'static [u8] = b"token of an app";
}

/// A token of ours that lets a program in for a person: see [`super::access_token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessToken {}
impl Kind for AccessToken {
    const PURPOSE: &'static [u8] = b"access token";
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

/// What the store knows of a token.
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

    /// The hash as 64 hexadecimal digits: the key under which a store files the record.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }

    /// From a store's key.
    pub fn from_hex(text: &str) -> Option<Self> {
        let hash = HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { hash, kind: PhantomData })
    }
}

impl HashedToken<AppToken> {
    /// What is known of a token that `app` gave out, under each of our keys, newest first.
    pub fn of_app<'a>(
        keys: &'a KeyRing,
        app: &'a str,
        text: &'a [u8],
    ) -> impl Iterator<Item = Self> + 'a {
        keys.tokens.iter().map(move |key| {
            let name = mac(&key.hash, AppToken::PURPOSE, app.as_bytes());
            // The name in a fixed length: no name and text run into another name and text.
            let mut context = hmac::Context::with_key(&key.hash);
            context.update(AppToken::PURPOSE);
            context.update(name.as_ref());
            context.update(text);
            Self::of_tag(&context.sign())
        })
    }
}

impl<K: Kind> PlainToken<K> {
    /// A new random token under the newest token key.
    pub fn generate(keys: &KeyRing, random: &dyn Random) -> Result<Self, NoRandomness> {
        let mut raw = Zeroizing::new([0_u8; RAW_LEN]);
        let (secret, tag) = raw.split_at_mut(RANDOM_LEN);
        random.fill(secret)?;
        let key = keys.tokens.first().ok_or(NoRandomness)?;
        tag.copy_from_slice(&tag_of::<K>(key, secret));
        let hashed = hash_of::<K>(key, secret);
        Ok(Self { text: Zeroizing::new(BASE64URL_NOPAD.encode(raw.as_slice())), hashed })
    }

    /// The token in a cookie's value, or nothing when it was not made by one of our keys.
    pub fn parse(text: &str, keys: &KeyRing) -> Option<Self> {
        if text.len() != TOKEN_TEXT_LEN {
            return None;
        }
        let mut raw = Zeroizing::new([0_u8; RAW_LEN]);
        BASE64URL_NOPAD.decode_mut(text.as_bytes(), raw.as_mut_slice()).ok()?;
        let (secret, tag) = raw.split_at(RANDOM_LEN);
        let key = keys.tokens.iter().find(|key| bool::from(tag_of::<K>(key, secret).ct_eq(tag)))?;
        Some(Self { text: Zeroizing::new(text.to_owned()), hashed: hash_of::<K>(key, secret) })
    }

    /// Its text, for the cookie.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its hash, for the store.
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
        // Ten standard deviations off would be no chance.
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
