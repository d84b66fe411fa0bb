//! The key ring: token keys, data-encryption keys and peppers. Key storage is elsewhere.
//!
//! Each ring holds its keys newest first. The first key writes and all keys read, so keys rotate
//! while the gateway runs.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::base::random::{Random, RandomError, bytes};

/// Length of every key, in bytes.
pub const KEY_LEN: usize = 32;

/// A key and its id.
#[derive(Clone)]
pub struct Key {
    /// Id of the key: short, unique in its ring, and stored beside the key's output.
    pub id: String,
    /// Bytes of the key.
    pub bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ***)", self.id)
    }
}

/// The content of the key file. Each ring is newest first and never empty.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// Keys for session, login and CSRF tokens.
    pub token: Vec<Key>,
    /// Keys for second-factor secrets at rest and for the signatures of the audit log.
    pub data: Vec<Key>,
    /// Peppers, mixed into every password hash.
    pub pepper: Vec<Key>,
}

/// Sealed data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key that sealed the data is not in the key file.
    #[error(
        "the data key {0} is missing from the key file: restore its entry from the former key file"
    )]
    UnknownKey(String),
    /// The data was changed or belongs to another account.
    #[error("a stored secret cannot be opened: it was changed or belongs to another account")]
    Broken,
    /// A ring of the key file is empty.
    #[error("the key file holds no {0} key")]
    EmptyRing(&'static str),
    /// No random bytes for a nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The result of a check of an audit log signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum SignatureCheck {
    /// The signature is valid.
    Right,
    /// The signature is not valid.
    Wrong,
    /// The key with this id is not in the key file.
    UnknownKey(String),
}

/// A token key, derived into one HMAC key for each purpose.
pub(super) struct TokenKey {
    /// Key of the stored hash.
    pub(super) hash: hmac::Key,
    /// Key of the tag that distinguishes issued tokens from random text.
    pub(super) tag: hmac::Key,
}

/// The derived keys.
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

/// Derives a key for one purpose. No key serves two purposes (NIST SP 800-57 §5.2).
fn derive(key: &Key, purpose: &[u8]) -> hmac::Key {
    let master = hmac::Key::new(hmac::HMAC_SHA256, key.bytes.as_slice());
    let derived = hmac::sign(&master, purpose);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

impl KeyRing {
    /// Derives the keys. Returns an error if a ring is empty.
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
            // From the data ring, which keeps its former keys for good: rows outlive tokens.
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

    /// Encrypts `plain` with the newest data key, bound to `context` (an account and a factor).
    /// Only the same context opens it.
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

    /// Decrypts the output of [`Self::seal`] in the same `context`.
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

    /// Returns the newest pepper.
    pub(super) fn pepper(&self) -> Option<&Key> {
        self.peppers.first()
    }

    /// Returns the pepper with this id, as stored beside a password hash.
    pub(super) fn pepper_by_id(&self, id: &str) -> Option<&Key> {
        self.peppers.iter().find(|p| p.id == id)
    }

    /// Makes the tag of a known browser's cookie with the key at this index of the ring.
    pub(super) fn browser_tag(&self, key: usize, parts: &[&[u8]]) -> Option<hmac::Tag> {
        let mut context = hmac::Context::with_key(self.browsers.get(key)?);
        for part in parts {
            context.update(part);
        }
        Some(context.sign())
    }

    /// Returns the index in the ring of the key that made this tag.
    pub(super) fn browser_key(&self, text: &[u8], tag: &[u8]) -> Option<usize> {
        self.browsers.iter().position(|key| hmac::verify(key, text, tag).is_ok())
    }

    /// Returns a CSRF token bound to `state`: the browser's login or session token, or its random
    /// cookie.
    pub fn csrf_token(&self, state: &str) -> String {
        self.csrf
            .first()
            .map(|key| BASE64URL_NOPAD.encode(hmac::sign(key, state.as_bytes()).as_ref()))
            .unwrap_or_default()
    }

    /// Returns true if `token` was made for `state`. Compares in constant time.
    pub fn csrf_matches(&self, state: &str, token: &str) -> bool {
        let Ok(mac) = BASE64URL_NOPAD.decode(token.as_bytes()) else { return false };
        self.csrf.iter().any(|key| hmac::verify(key, state.as_bytes(), &mac).is_ok())
    }

    /// Signs a part of the audit log. `part` separates the kinds of part.
    pub(super) fn sign_trail(&self, part: &str, text: &str) -> String {
        let signature = self.trail.first().map(|(id, key)| {
            let mac = hmac::sign(key, format!("{part}\n{text}").as_bytes());
            format!("{id}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))
        });
        signature.unwrap_or_default()
    }

    /// Verifies a signature made by [`Self::sign_trail`] over the same part and text, in constant
    /// time.
    pub(super) fn check_trail(&self, part: &str, text: &str, signature: &str) -> SignatureCheck {
        let Some((id, mac)) = signature.split_once('.') else { return SignatureCheck::Wrong };
        let Some((_, key)) = self.trail.iter().find(|(known, _)| known == id) else {
            return SignatureCheck::UnknownKey(id.to_owned());
        };
        let Ok(mac) = BASE64URL_NOPAD.decode(mac.as_bytes()) else { return SignatureCheck::Wrong };
        match hmac::verify(key, format!("{part}\n{text}").as_bytes(), &mac) {
            Ok(()) => SignatureCheck::Right,
            Err(ring::error::Unspecified) => SignatureCheck::Wrong,
        }
    }

    /// Returns the digest of a typed name for counters. Equal names have equal digests, and a
    /// database dump does not reveal the name.
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
