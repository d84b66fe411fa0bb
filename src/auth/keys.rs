//! The key ring: token keys, data-encryption keys, peppers and assertion keys. Key storage is
//! elsewhere.
//!
//! The first key of a ring writes and all its keys read, so keys rotate while the gateway runs.

mod key;
mod mark;
mod seal;
mod signing;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use zeroize::Zeroizing;

pub use self::key::{KEY_LEN, Key, SealError};
pub(super) use self::mark::ASSERTION;
pub use self::mark::KeyMark;
use self::seal::SealKeys;
use self::signing::Signers;
pub use self::signing::{
    AssertionKey, AssertionSigner, SigningAlgorithm, generate_es256, is_es256,
};
use crate::base::random::Random;

/// A tag of a challenge of the sign-in page.
pub(super) type ChallengeTag = [u8; 32];

/// The content of the key file. No ring but that of the assertions is empty, and the first key of
/// each writes.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// Keys for session, login and CSRF tokens.
    pub token: Vec<Key>,
    /// Keys for second-factor secrets at rest and for the signatures of the audit log.
    pub data: Vec<Key>,
    /// Peppers, mixed into every password hash.
    pub pepper: Vec<Key>,
    /// Keys that sign assertions. The first that does not wait signs.
    pub assertion: Vec<AssertionKey>,
}

impl KeyMaterial {
    /// Returns true if a key signs assertions with this algorithm.
    pub fn signs(&self, algorithm: SigningAlgorithm) -> bool {
        signing::signs(&self.assertion, algorithm)
    }
}

/// The result of a check of a signature of the audit log or of a backup.
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

/// The derived keys. Everything that uses keys shares one ring, whose content can be replaced.
pub struct KeyRing {
    keys: ArcSwap<Keys>,
}

/// The derived keys of one key file.
pub(super) struct Keys {
    pub(super) tokens: Vec<TokenKey>,
    csrf: Vec<hmac::Key>,
    names: hmac::Key,
    trail: Vec<(String, hmac::Key)>,
    backups: Vec<(String, hmac::Key)>,
    browsers: Vec<hmac::Key>,
    challenges: Vec<hmac::Key>,
    data: SealKeys,
    parked: SealKeys,
    peppers: Vec<Key>,
    signer: AssertionSigner,
    marks: Vec<KeyMark>,
}

/// Derived keys that are not in use yet.
pub struct DerivedKeys(Keys);

impl DerivedKeys {
    /// Returns the assertion keys, for the apps that are configured together with them.
    pub fn assertion_signer(&self) -> AssertionSigner {
        self.0.signer.clone()
    }
}

impl fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKeys(***)")
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(***)")
    }
}

/// Derives a key for one purpose. No key serves two purposes (NIST SP 800-57 §5.2).
fn derive(key: &Key, purpose: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive_bytes(key, purpose))
}

/// Derives a key for one purpose from each key of a ring, with the ids of the ring.
fn derive_named(ring: &[Key], purpose: &[u8]) -> Vec<(String, hmac::Key)> {
    ring.iter().map(|key| (key.id.clone(), derive(key, purpose))).collect()
}

/// Signs with the first of these keys. The signature names the key.
fn sign(keys: &[(String, hmac::Key)], text: &[u8]) -> String {
    let signature = keys.first().map(|(id, key)| {
        format!("{id}.{}", BASE64URL_NOPAD.encode(hmac::sign(key, text).as_ref()))
    });
    signature.unwrap_or_default()
}

/// Verifies a signature made by [`sign`], in constant time.
fn check(keys: &[(String, hmac::Key)], text: &[u8], signature: &str) -> SignatureCheck {
    let Some((id, mac)) = signature.split_once('.') else { return SignatureCheck::Wrong };
    let Some((_, key)) = keys.iter().find(|(known, _)| known == id) else {
        return SignatureCheck::UnknownKey(id.to_owned());
    };
    let Ok(mac) = BASE64URL_NOPAD.decode(mac.as_bytes()) else { return SignatureCheck::Wrong };
    match hmac::verify(key, text, &mac) {
        Ok(()) => SignatureCheck::Right,
        Err(ring::error::Unspecified) => SignatureCheck::Wrong,
    }
}

fn derive_bytes(key: &Key, purpose: &[u8]) -> [u8; KEY_LEN] {
    let master = hmac::Key::new(hmac::HMAC_SHA256, key.bytes.as_slice());
    let mut derived = [0; KEY_LEN];
    let tag = hmac::sign(&master, purpose);
    derived.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    derived
}

impl Keys {
    fn derive(material: &KeyMaterial) -> Result<Self, SealError> {
        let first = material.token.first().ok_or(SealError::EmptyRing("token"))?;
        if material.pepper.is_empty() {
            return Err(SealError::EmptyRing("pepper"));
        }
        let data = seal::keys(&material.data, |key| *key.bytes)?;
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
            trail: derive_named(&material.data, b"audit trail"),
            backups: derive_named(&material.data, b"backups"),
            browsers: material.token.iter().map(|k| derive(k, b"known browsers")).collect(),
            challenges: material.token.iter().map(|k| derive(k, b"sign-in challenges")).collect(),
            parked: seal::keys(&material.data, |key| derive_bytes(key, b"parked requests"))?,
            data,
            peppers: material.pepper.clone(),
            signer: AssertionSigner(Arc::new(Signers::new(&material.assertion)?)),
            marks: mark::of(material),
        })
    }
}

impl KeyRing {
    /// Derives the keys. Returns an error if a ring is empty.
    pub fn new(material: &KeyMaterial) -> Result<Self, SealError> {
        let keys = ArcSwap::from_pointee(Keys::derive(material)?);
        Ok(Self { keys })
    }

    /// Derives keys that can replace those of this ring. Returns an error if a ring is empty.
    pub fn derive(material: &KeyMaterial) -> Result<DerivedKeys, SealError> {
        Keys::derive(material).map(DerivedKeys)
    }

    /// Replaces all keys at once.
    pub fn replace(&self, keys: DerivedKeys) {
        self.keys.store(Arc::new(keys.0));
    }

    /// Returns the assertion keys in effect now.
    pub fn assertion_signer(&self) -> AssertionSigner {
        self.now().signer.clone()
    }

    /// Returns the public halves of all assertion keys as a JSON Web Key Set.
    pub fn key_set(&self) -> String {
        self.now().signer.set().to_owned()
    }

    /// Returns the keys in effect now.
    pub(super) fn now(&self) -> arc_swap::Guard<Arc<Keys>> {
        self.keys.load()
    }

    /// Returns the marks of all keys.
    pub fn marks(&self) -> Vec<KeyMark> {
        self.now().marks.clone()
    }

    /// Encrypts `plain` with the first data key, bound to `context` (an account and a factor).
    /// Only the same context opens it.
    pub fn seal(
        &self,
        random: &dyn Random,
        context: &[u8],
        plain: &[u8],
    ) -> Result<String, SealError> {
        seal::seal(&self.now().data, random, context, plain)
    }

    /// Decrypts the output of [`Self::seal`] in the same `context`.
    pub fn open(&self, context: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        seal::open(&self.now().data, context, sealed)
    }

    /// Encrypts a request that waits for its sender, under a key of its own.
    pub(super) fn seal_parked(
        &self,
        random: &dyn Random,
        context: &[u8],
        plain: &[u8],
    ) -> Result<String, SealError> {
        seal::seal(&self.now().parked, random, context, plain)
    }

    /// Decrypts the output of [`Self::seal_parked`] in the same `context`.
    pub(super) fn open_parked(
        &self,
        context: &[u8],
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        seal::open(&self.now().parked, context, sealed)
    }

    /// Returns the pepper of new hashes.
    pub(super) fn pepper(&self) -> Option<Key> {
        self.now().peppers.first().cloned()
    }

    /// Returns the pepper with this id, as stored beside a password hash.
    pub(super) fn pepper_by_id(&self, id: &str) -> Option<Key> {
        self.now().peppers.iter().find(|p| p.id == id).cloned()
    }

    /// Makes the tag of a known browser's cookie with the key at this index of the ring.
    pub(super) fn browser_tag(&self, key: usize, parts: &[&[u8]]) -> Option<hmac::Tag> {
        let mut context = hmac::Context::with_key(self.now().browsers.get(key)?);
        for part in parts {
            context.update(part);
        }
        Some(context.sign())
    }

    /// Returns the index in the ring of the key that made this tag.
    pub(super) fn browser_key(&self, text: &[u8], tag: &[u8]) -> Option<usize> {
        self.now().browsers.iter().position(|key| hmac::verify(key, text, tag).is_ok())
    }

    /// Returns a CSRF token bound to `state`: the browser's login or session token, or its random
    /// cookie.
    pub fn csrf_token(&self, state: &str) -> String {
        let keys = self.now();
        let key = keys.csrf.first();
        key.map(|key| BASE64URL_NOPAD.encode(hmac::sign(key, state.as_bytes()).as_ref()))
            .unwrap_or_default()
    }

    /// Returns true if `token` was made for `state`. Compares in constant time.
    pub fn csrf_matches(&self, state: &str, token: &str) -> bool {
        let Ok(mac) = BASE64URL_NOPAD.decode(token.as_bytes()) else { return false };
        self.now().csrf.iter().any(|key| hmac::verify(key, state.as_bytes(), &mac).is_ok())
    }

    /// Makes the tag of a challenge of the sign-in page.
    pub(super) fn challenge_tag(&self, text: &[u8]) -> ChallengeTag {
        let keys = self.now();
        let tag = keys.challenges.first().map(|key| hmac::sign(key, text));
        tag.and_then(|tag| tag.as_ref().try_into().ok()).unwrap_or_default()
    }

    /// Returns true if a key of the ring made this tag. Compares in constant time.
    pub(super) fn is_challenge_tag(&self, text: &[u8], tag: &[u8]) -> bool {
        self.now().challenges.iter().any(|key| hmac::verify(key, text, tag).is_ok())
    }

    /// Signs a part of the audit log. `part` separates the kinds of part.
    pub(super) fn sign_trail(&self, part: &str, text: &str) -> String {
        sign(&self.now().trail, format!("{part}\n{text}").as_bytes())
    }

    /// Verifies a signature made by [`Self::sign_trail`] over the same part and text, in constant
    /// time.
    pub(super) fn check_trail(&self, part: &str, text: &str, signature: &str) -> SignatureCheck {
        check(&self.now().trail, format!("{part}\n{text}").as_bytes(), signature)
    }

    /// Signs the description of a backup.
    pub fn sign_backup(&self, description: &[u8]) -> String {
        sign(&self.now().backups, description)
    }

    /// Verifies a signature made by [`Self::sign_backup`], by any data key of the ring.
    pub fn check_backup(&self, description: &[u8], signature: &str) -> SignatureCheck {
        check(&self.now().backups, description, signature)
    }

    /// Returns the digest of a typed name for counters. Equal names have equal digests, and a
    /// database dump does not reveal the name.
    pub(super) fn name_digest(&self, name: &str) -> String {
        let digest = hmac::sign(&self.now().names, name.as_bytes());
        data_encoding::HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) fn material() -> KeyMaterial {
        let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
        let assertion = AssertionKey { key: key(4), es256: generate_es256(), waits: false };
        KeyMaterial {
            token: vec![key(1)],
            data: vec![key(2)],
            pepper: vec![key(3)],
            assertion: vec![assertion],
        }
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
    fn a_backup_is_verified_by_any_data_key_and_by_nothing_for_another_purpose() {
        let old = KeyRing::new(&material()).unwrap();
        let signature = old.sign_backup(b"a backup");
        assert_eq!(old.check_backup(b"a backup", &signature), SignatureCheck::Right);
        for (text, signature) in [
            (&b"b"[..], signature.as_str()),
            (b"a backup", "k2.AAAA"),
            (b"a backup", "k2."),
            (b"a backup", ""),
            (b"a part\na backup", &old.sign_trail("a part", "a backup")),
        ] {
            assert_eq!(old.check_backup(text, signature), SignatureCheck::Wrong, "{signature}");
        }
        let mut rotated = material();
        rotated.data.insert(0, Key { id: "new".into(), bytes: Zeroizing::new([9; KEY_LEN]) });
        let new = KeyRing::new(&rotated).unwrap();
        assert_eq!(new.check_backup(b"a backup", &signature), SignatureCheck::Right);
        rotated.data.truncate(1);
        let lost = KeyRing::new(&rotated).unwrap();
        let unknown = SignatureCheck::UnknownKey("k2".to_owned());
        assert_eq!(lost.check_backup(b"a backup", &signature), unknown);
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
