//! Marks of keys: they tell keys apart without revealing them, so that nodes can compare their key
//! files.

use data_encoding::HEXLOWER;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{Key, KeyMaterial, derive};

/// Bytes of a digest. Keys are random, so this suffices to tell them apart.
const DIGEST_LEN: usize = 8;

/// Name of the ring whose keys sign assertions.
pub(in crate::auth) const ASSERTION: &str = "assertion";

/// The mark of a key.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KeyMark {
    /// Ring of the key: token, data, pepper or assertion.
    pub ring: String,
    /// Id of the key.
    pub id: String,
    /// Digest of the key, in hexadecimal.
    pub digest: String,
    /// True if new data is written with the key.
    pub writes: bool,
}

/// Returns the marks of all keys.
pub(super) fn of(material: &KeyMaterial) -> Vec<KeyMark> {
    let KeyMaterial { token, data, pepper, assertion } = material;
    let rings = [("token", token), ("data", data), ("pepper", pepper)];
    let marks = rings.into_iter().flat_map(|(ring, keys)| {
        keys.iter().enumerate().map(move |(place, key)| mark(ring, key, place == 0))
    });
    let signing = assertion.iter().position(|entry| !entry.waits);
    let of_assertions = assertion
        .iter()
        .enumerate()
        .map(|(place, entry)| mark(ASSERTION, &entry.key, Some(place) == signing));
    marks.chain(of_assertions).collect()
}

fn mark(ring: &str, key: &Key, writes: bool) -> KeyMark {
    let tag = hmac::sign(&derive(key, b"mark"), ring.as_bytes());
    let digest = HEXLOWER.encode(tag.as_ref().get(..DIGEST_LEN).unwrap_or_default());
    KeyMark { ring: ring.to_owned(), id: key.id.clone(), digest, writes }
}
