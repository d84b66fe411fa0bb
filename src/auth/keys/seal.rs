//! Authenticated encryption at rest.

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::key::{KEY_LEN, Key, SealError};
use crate::base::random::{Random, bytes};

/// The keys of a ring by id. The first one encrypts.
pub(super) type SealKeys = Vec<(String, LessSafeKey)>;

/// Makes the keys of a ring.
pub(super) fn keys(
    ring: &[Key],
    of: impl Fn(&Key) -> [u8; KEY_LEN],
) -> Result<SealKeys, SealError> {
    let key = |key: &Key| {
        let made = UnboundKey::new(&AES_256_GCM, &of(key));
        made.map(|unbound| (key.id.clone(), LessSafeKey::new(unbound)))
            .map_err(|ring::error::Unspecified| SealError::Broken)
    };
    ring.iter().map(key).collect()
}

/// Encrypts `plain`, bound to `context`.
pub(super) fn seal(
    keys: &SealKeys,
    random: &dyn Random,
    context: &[u8],
    plain: &[u8],
) -> Result<String, SealError> {
    let (id, key) = keys.first().ok_or(SealError::EmptyRing("data"))?;
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

/// Decrypts the output of [`seal`] in the same `context`.
pub(super) fn open(
    keys: &SealKeys,
    context: &[u8],
    sealed: &str,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut parts = sealed.splitn(3, '.');
    let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SealError::Broken);
    };
    let (_, key) = keys
        .iter()
        .find(|(known, _)| known == id)
        .ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
    let raw = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_not_base64| SealError::Broken)?;
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
