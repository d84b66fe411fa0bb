//! The key ring: token keys, data-encryption keys, peppers. It does not know where keys are kept.
//!
//! Each ring holds its keys newest first. The first is used for what is made now; all are used to
//! read what was made before, so that keys rotate while the gateway runs.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::base::random::{NoRandomness, Random, bytes};

/// Bytes in every key.
pub const KEY_LEN: usize = 32;

/// One key and the id it is known by in what it made.
#[derive(Clone)]
pub struct Key {
    /// Short and unique in its ring; stored beside what the key made.
    pub id: String,
    /// The key itself.
    pub bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ***)", self.id)
    }
}

/// What the key file holds, each ring newest first and never empty.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// For session and login tokens and for CSRF.
    pub token: Vec<Key>,
    /// For second-factor secrets at rest, and for the signatures of the audit trail.
    pub data: Vec<Key>,
    /// Mixed into every password hash.
    pub pepper: Vec<Key>,
}

/// What was sealed cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key that sealed it is not in the key file.
    #[error("the data key {0} is missing from the key file: put the former key file's entry back")]
    UnknownKey(String),
    /// It was changed, or belongs to another account.
    #[error("a stored secret does not open: it was changed or moved to another account")]
    Broken,
    /// A ring of the key file is empty.
    #[error("the key file holds no {0} key")]
    EmptyRing(&'static str),
    /// No random bytes for a nonce.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// What comes of checking a signature of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Signed {
    /// It is right.
    Right,
    /// It is not.
    Wrong,
    /// The key with this id is not in the key file.
    UnknownKey(String),
}

/// A token key, ready for use: one HMAC key for each purpose.
pub(super) struct TokenKey {
    /// Makes the stored hash.
    pub(super) hash: hmac::Key,
    /// Makes the tag that tells our tokens from random text.
    pub(super) tag: hmac::Key,
}

/// The keys, ready for use.
pub struct KeyRing {
    pub(super) tokens: Vec<TokenKey>,
    csrf: Vec<hmac::Key>,
    names: hmac::Key,
    trail: Vec<(String, hmac::Key)>,
    browsers: Vec<hmac::Key>,
    data: Vec<(String, LessSafeKey)>,
    peppers: Vec<Key>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(***)")
    }
}

/// A key for one purpose, derived so that no key does two jobs (NIST SP 800-57 §5.2).
fn derive(key: &Key, purpose: &[u8]) -> hmac::Key {
    let master = hmac::Key::new(hmac::HMAC_SHA256, key.bytes.as_slice());
    let derived = hmac::sign(&master, purpose);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

impl KeyRing {
    /// Makes the keys ready; fails when a ring is empty.
    pub fn new(material: &KeyMaterial) -> Result<Self, SealError> {
        let first = material.token.first().ok_or(SealError::EmptyRing("token"))?;
        if material.pepper.is_empty() {
            return Err(SealError::EmptyRing("pepper"));
        }
        let data = material
            .data
            .iter()
            .map(|k| {
                UnboundKey::new(&AES_256_GCM, k.bytes.as_slice())
                    .map(|u| (k.id.clone(), LessSafeKey::new(u)))
                    .map_err(|ring::error::Unspecified| SealError::Broken)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if data.is_empty() {
            return Err(SealError::EmptyRing("data"));
        }
        Ok(Self {
            tokens: material
                .token
                .iter()
                .map(|k| TokenKey { hash: derive(k, b"token hash"), tag: derive(k, b"token tag") })
                .collect(),
            csrf: material.token.iter().map(|k| derive(k, b"csrf")).collect(),
            names: derive(first, b"names in counters"),
            // Of the data ring, whose former keys are kept for good: rows live longer than tokens.
            trail: material
                .data
                .iter()
                .map(|k| (k.id.clone(), derive(k, b"audit trail")))
                .collect(),
            browsers: material.token.iter().map(|k| derive(k, b"known browsers")).collect(),
            data,
            peppers: material.pepper.clone(),
        })
    }

    /// Encrypts `plain` under the newest data key, bound to `context` (an account and a factor):
    /// it opens in that context only.
    pub fn seal(
        &self,
        random: &dyn Random,
        context: &[u8],
        plain: &[u8],
    ) -> Result<String, SealError> {
        let (id, key) = self.data.first().ok_or(SealError::EmptyRing("data"))?;
        let nonce: [u8; NONCE_LEN] = bytes(random)?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut sealed,
        )
        .map_err(|ring::error::Unspecified| SealError::Broken)?;
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        Ok(format!("v1.{id}.{}", BASE64URL_NOPAD.encode(&out)))
    }

    /// Decrypts what [`Self::seal`] made in the same `context`.
    pub fn open(&self, context: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Broken);
        };
        let (_, key) = self
            .data
            .iter()
            .find(|(known, _)| known == id)
            .ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let raw =
            BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_not_base64| SealError::Broken)?;
        let (nonce, cipher) = raw.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)
            .map_err(|ring::error::Unspecified| SealError::Broken)?;
        let mut buffer = Zeroizing::new(cipher.to_vec());
        let len = key
            .open_in_place(nonce, Aad::from(context), &mut buffer)
            .map_err(|ring::error::Unspecified| SealError::Broken)?
            .len();
        buffer.truncate(len);
        Ok(buffer)
    }

    /// The newest pepper.
    pub(super) fn pepper(&self) -> Option<&Key> {
        self.peppers.first()
    }

    /// The pepper that a stored password hash names.
    pub(super) fn pepper_by_id(&self, id: &str) -> Option<&Key> {
        self.peppers.iter().find(|p| p.id == id)
    }

    /// A tag for the cookie of a known browser by the key at this place of the ring, newest first.
    pub(super) fn browser_tag(&self, key: usize, parts: &[&[u8]]) -> Option<hmac::Tag> {
        let mut context = hmac::Context::with_key(self.browsers.get(key)?);
        for part in parts {
            context.update(part);
        }
        Some(context.sign())
    }

    /// The place in the ring of the key that made this tag.
    pub(super) fn browser_key(&self, text: &[u8], tag: &[u8]) -> Option<usize> {
        self.browsers.iter().position(|key| hmac::verify(key, text, tag).is_ok())
    }

    /// A CSRF token bound to `state`: the browser's login or session token, or its random cookie.
    pub fn csrf_token(&self, state: &str) -> String {
        self.csrf
            .first()
            .map(|key| BASE64URL_NOPAD.encode(hmac::sign(key, state.as_bytes()).as_ref()))
            .unwrap_or_default()
    }

    /// Whether `token` was made for `state`, in constant time.
    pub fn csrf_matches(&self, state: &str, token: &str) -> bool {
        let Ok(mac) = BASE64URL_NOPAD.decode(token.as_bytes()) else { return false };
        self.csrf.iter().any(|key| hmac::verify(key, state.as_bytes(), &mac).is_ok())
    }

    /// Signs a part of the audit trail; `part` keeps the kinds of part apart.
    pub(super) fn sign_trail(&self, part: &str, text: &str) -> String {
        let signature = self.trail.first().map(|(id, key)| {
            let mac = hmac::sign(key, format!("{part}\n{text}").as_bytes());
            format!("{id}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))
        });
        signature.unwrap_or_default()
    }

    /// Checks what [`Self::sign_trail`] made of the same part and text, in constant time.
    pub(super) fn check_trail(&self, part: &str, text: &str, signature: &str) -> Signed {
        let Some((id, mac)) = signature.split_once('.') else { return Signed::Wrong };
        let Some((_, key)) = self.trail.iter().find(|(known, _)| known == id) else {
            return Signed::UnknownKey(id.to_owned());
        };
        let Ok(mac) = BASE64URL_NOPAD.decode(mac.as_bytes()) else { return Signed::Wrong };
        match hmac::verify(key, format!("{part}\n{text}").as_bytes(), &mac) {
            Ok(()) => Signed::Right,
            Err(ring::error::Unspecified) => Signed::Wrong,
        }
    }

    /// What stands for a typed name in counters: the same for one name, unreadable in a dump.
    pub(super) fn name_digest(&self, name: &str) -> String {
        let digest = hmac::sign(&self.names, name.as_bytes());
        data_encoding::HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) fn material() -> KeyMaterial {
        let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
        KeyMaterial { token: vec![key(1)], data: vec![key(2)], pepper: vec![key(3)] }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::material;
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn what_is_sealed_opens_in_its_own_context_only() {
        let ring = KeyRing::new(&material()).unwrap();
        let sealed = ring.seal(&OsRandom::new(), b"alice", b"seed").unwrap();
        assert_eq!(ring.open(b"alice", &sealed).unwrap().as_slice(), b"seed");
        assert!(matches!(ring.open(b"bob", &sealed), Err(SealError::Broken)));
    }

    #[test]
    fn an_old_data_key_still_opens_after_rotation() {
        let old = KeyRing::new(&material()).unwrap();
        let sealed = old.seal(&OsRandom::new(), b"a", b"seed").unwrap();
        let mut rotated = material();
        rotated.data.insert(0, Key { id: "new".into(), bytes: Zeroizing::new([9; KEY_LEN]) });
        let new = KeyRing::new(&rotated).unwrap();
        assert_eq!(new.open(b"a", &sealed).unwrap().as_slice(), b"seed");
        assert!(new.seal(&OsRandom::new(), b"a", b"x").unwrap().starts_with("v1.new."));
    }

    #[test]
    fn a_csrf_token_is_worth_nothing_for_another_state() {
        let ring = KeyRing::new(&material()).unwrap();
        let token = ring.csrf_token("one");
        assert!(ring.csrf_matches("one", &token));
        assert!(!ring.csrf_matches("two", &token));
        assert!(!ring.csrf_matches("one", ""));
    }
}
