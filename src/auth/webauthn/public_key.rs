//! Public keys of credentials, in COSE form (RFC 9053), and their signatures.

use ciborium::Value;
use ring::signature;

use super::Refusal;
use super::cbor::Map;
use crate::base::curve::is_on_p256;

/// Maximum length of a key in COSE form: RSA with 4096 bits.
const MOST: usize = 600;
/// Length of a coordinate on P-256, and of an Ed25519 key.
const COORDINATE: usize = 32;
/// Lengths of an RSA modulus: 2048 to 4096 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// The only accepted RSA exponent, 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Labels of COSE key parameters (RFC 9052 §7.1, RFC 9053 §7, RFC 8230 §4).
mod label {
    pub(super) const KTY: i64 = 1;
    pub(super) const ALG: i64 = 3;
    pub(super) const CRV: i64 = -1;
    pub(super) const X: i64 = -2;
    pub(super) const Y: i64 = -3;
    pub(super) const N: i64 = -1;
    pub(super) const E: i64 = -2;
}

/// A signature algorithm that is offered to authenticators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// All algorithms, in order of preference.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Returns the number in the COSE registry.
    pub fn cose(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
        }
    }
}

/// The public key of a credential.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    cose: Vec<u8>,
    key: Key,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    /// The uncompressed point.
    Es256([u8; 1 + 2 * COORDINATE]),
    EdDsa([u8; COORDINATE]),
    Rs256(Vec<u8>),
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm())
    }
}

fn bytes(map: &Map, label: i64) -> Result<&[u8], Refusal> {
    map.number(label).and_then(Value::as_bytes).map(Vec::as_slice).ok_or(Refusal::PublicKey)
}

fn coordinate(map: &Map, label: i64) -> Result<[u8; COORDINATE], Refusal> {
    bytes(map, label)?.try_into().map_err(|_other_length| Refusal::PublicKey)
}

impl PublicKey {
    /// Parses the key at the start of `input`. Returns it and the bytes after it.
    pub(super) fn parse(input: &[u8]) -> Result<(Self, &[u8]), Refusal> {
        let (map, rest) = Map::decode(input)?;
        let used = input.len().saturating_sub(rest.len());
        let cose = input.get(..used).filter(|c| c.len() <= MOST).ok_or(Refusal::TooLong)?.to_vec();
        if !map.is_sorted() {
            return Err(Refusal::Cbor);
        }
        let number = |label| map.number(label).and_then(Value::as_integer).map(i128::from);
        let algorithm = number(label::ALG).ok_or(Refusal::PublicKey)?;
        let algorithm = Algorithm::ALL.into_iter().find(|a| i128::from(a.cose()) == algorithm);
        // Key type, curve and number of parameters (RFC 9053 §7.1, RFC 8230 §4). A key with more
        // parameters is refused (WebAuthn §6.5.1).
        let is = |kty, crv, len| {
            let same = number(label::KTY) == Some(kty) && map.len() == len;
            (same && crv == number(label::CRV)).then_some(()).ok_or(Refusal::PublicKey)
        };
        let key = match algorithm.ok_or(Refusal::Algorithm)? {
            Algorithm::Es256 => {
                is(2, Some(1), 5)?;
                let (x, y) = (coordinate(&map, label::X)?, coordinate(&map, label::Y)?);
                let mut point = [4; 1 + 2 * COORDINATE];
                point.iter_mut().skip(1).zip(x.iter().chain(&y)).for_each(|(to, from)| *to = *from);
                Key::Es256(point)
            }
            Algorithm::EdDsa => {
                is(1, Some(6), 4)?;
                Key::EdDsa(coordinate(&map, label::X)?)
            }
            Algorithm::Rs256 => {
                is(3, None, 4)?;
                let n = bytes(&map, label::N)?;
                let sound = MODULUS.contains(&n.len()) && n.first().is_some_and(|b| *b != 0);
                if !sound || bytes(&map, label::E)? != EXPONENT {
                    return Err(Refusal::PublicKey);
                }
                Key::Rs256(n.to_vec())
            }
        };
        Ok((Self { cose, key }, rest))
    }

    /// Parses a stored key.
    pub(super) fn parse_all(input: &[u8]) -> Result<Self, Refusal> {
        let (key, rest) = Self::parse(input)?;
        if rest.is_empty() { Ok(key) } else { Err(Refusal::Cbor) }
    }

    /// Verifies that a point is on its curve. No signature would ever verify by one that is not.
    pub(super) fn check_point(&self) -> Result<(), Refusal> {
        match &self.key {
            Key::Es256(point) if !is_on_p256(point) => Err(Refusal::PublicKey),
            Key::Es256(_) | Key::EdDsa(_) | Key::Rs256(_) => Ok(()),
        }
    }

    /// Returns the COSE form, for storage.
    pub(super) fn as_cose(&self) -> &[u8] {
        &self.cose
    }

    /// Returns the algorithm.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::Es256(_) => Algorithm::Es256,
            Key::EdDsa(_) => Algorithm::EdDsa,
            Key::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Verifies a signature. ECDSA signatures are in strict DER.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match &self.key {
            Key::Es256(point) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
                    .verify(message, signature)
            }
            Key::EdDsa(key) => signature::UnparsedPublicKey::new(&signature::ED25519, key)
                .verify(message, signature),
            Key::Rs256(n) => {
                signature::RsaPublicKeyComponents { n: n.as_slice(), e: &EXPONENT[..] }.verify(
                    &signature::RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
        };
        verified.map_err(|ring::error::Unspecified| Refusal::Signature)
    }
}
