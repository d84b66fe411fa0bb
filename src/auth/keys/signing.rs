//! Keys that sign assertions, and their public halves as a JSON Web Key Set (RFC 7517).
//!
//! Every key of the ring is listed, so that verifiers know a key before it signs. The id of a key is
//! its thumbprint (RFC 7638).

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::key::{Key, SealError};
use crate::base::random::for_signatures;

/// The signature algorithm of an assertion (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    #[default]
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 2] = [Self::Es256, Self::EdDsa];

    /// Returns its name in the configuration and in JSON Web Tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An entry of the assertion ring.
#[derive(Clone)]
pub struct AssertionKey {
    /// The Ed25519 seed, with the id of the entry in the key file.
    pub key: Key,
    /// The P-256 key (PKCS #8). Entries of older key files have none.
    pub es256: Option<Zeroizing<Vec<u8>>>,
    /// True if the entry is listed but does not sign yet.
    pub waits: bool,
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKey({}, ***)", self.key.id)
    }
}

/// Returns true if `ring` has a key that signs with `algorithm`.
pub(super) fn signs(ring: &[AssertionKey], algorithm: SigningAlgorithm) -> bool {
    let signer = ring.iter().find(|entry| !entry.waits);
    signer.is_some_and(|entry| match algorithm {
        SigningAlgorithm::Es256 => entry.es256.is_some(),
        SigningAlgorithm::EdDsa => true,
    })
}

/// Creates a P-256 key (PKCS #8).
pub fn generate_es256() -> Option<Zeroizing<Vec<u8>>> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &for_signatures());
    made.ok().map(|document| Zeroizing::new(document.as_ref().to_vec()))
}

/// Returns true if `pkcs8` is a P-256 key.
pub fn is_es256(pkcs8: &[u8]) -> bool {
    es256(pkcs8).is_ok()
}

fn es256(pkcs8: &[u8]) -> Result<EcdsaKeyPair, SealError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &for_signatures())
        .map_err(|_rejected| SealError::Broken)
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// A key pair with everything about it that every token contains.
struct Signer {
    pair: Pair,
    /// The encoded header of its tokens, with the dot that follows it.
    head: String,
    jwk: Value,
}

impl Signer {
    fn new(pair: Pair) -> Self {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        // RFC 7638 §3.2: the required members in lexicographic order, without white space.
        let (algorithm, thumbprint, mut jwk) = match &pair {
            Pair::EdDsa(pair) => {
                let x = encode(pair.public_key().as_ref());
                let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
                (SigningAlgorithm::EdDsa, members, jwk)
            }
            Pair::Es256(pair) => {
                // SEC 1 §2.3.3: 4, then both coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                let (x, y) = (encode(x), encode(y));
                let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
                (SigningAlgorithm::Es256, members, jwk)
            }
        };
        let algorithm = algorithm.as_str();
        let id = encode(digest(&SHA256, thumbprint.as_bytes()).as_ref());
        let head = json!({ "alg": algorithm, "kid": id, "typ": "JWT" }).to_string();
        if let Some(members) = jwk.as_object_mut() {
            members.extend([
                ("kid".to_owned(), json!(id)),
                ("use".to_owned(), json!("sig")),
                ("alg".to_owned(), json!(algorithm)),
            ]);
        }
        Self { pair, head: format!("{}.", encode(head.as_bytes())), jwk }
    }

    /// Returns these claims as a signed token in compact form (RFC 7515 §7.1).
    fn sign(&self, claims: &str) -> Option<String> {
        let mut token = self.head.clone();
        BASE64URL_NOPAD.encode_append(claims.as_bytes(), &mut token);
        let signature = match &self.pair {
            Pair::EdDsa(pair) => pair.sign(token.as_bytes()),
            Pair::Es256(pair) => pair.sign(&for_signatures(), token.as_bytes()).ok()?,
        };
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        Some(token)
    }
}

/// The keys that sign assertions, as of one key file. An app keeps those that it was configured with,
/// so a request that a reload overtakes is signed as its app wants.
#[derive(Clone)]
pub struct AssertionSigner(pub(super) Arc<Signers>);

impl fmt::Debug for AssertionSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionSigner(***)")
    }
}

impl AssertionSigner {
    /// Returns these claims, as JSON, as a signed JSON Web Token. Returns `None` if no key signs with
    /// this algorithm.
    pub fn sign(&self, algorithm: SigningAlgorithm, claims: &str) -> Option<String> {
        self.0.sign(algorithm, claims)
    }

    /// Returns the JSON Web Key Set.
    pub(super) fn set(&self) -> &str {
        self.0.set()
    }
}

/// The key pairs of the assertion ring.
pub(super) struct Signers {
    es256: Option<Signer>,
    ed_dsa: Option<Signer>,
    /// The JSON Web Key Set.
    set: String,
}

impl Signers {
    pub(super) fn new(ring: &[AssertionKey]) -> Result<Self, SealError> {
        let (mut es256_signer, mut ed_dsa_signer, mut jwks) = (None, None, Vec::new());
        let signing = ring.iter().position(|entry| !entry.waits);
        for (at, entry) in ring.iter().enumerate() {
            let es = entry.es256.as_ref().map(|pkcs8| es256(pkcs8)).transpose()?;
            let es = es.map(|pair| Signer::new(Pair::Es256(pair)));
            let ed = Ed25519KeyPair::from_seed_unchecked(entry.key.bytes.as_slice())
                .map_err(|_rejected| SealError::Broken)?;
            let ed = Signer::new(Pair::EdDsa(ed));
            jwks.extend(es.iter().chain([&ed]).map(|signer| signer.jwk.clone()));
            if signing == Some(at) {
                es256_signer = es;
                ed_dsa_signer = Some(ed);
            }
        }
        let set = json!({ "keys": jwks }).to_string();
        Ok(Self { es256: es256_signer, ed_dsa: ed_dsa_signer, set })
    }

    /// Signs with the key that signs now. Returns `None` if there is none for this algorithm.
    pub(super) fn sign(&self, algorithm: SigningAlgorithm, claims: &str) -> Option<String> {
        let signer = match algorithm {
            SigningAlgorithm::Es256 => self.es256.as_ref(),
            SigningAlgorithm::EdDsa => self.ed_dsa.as_ref(),
        };
        signer?.sign(claims)
    }

    pub(super) fn set(&self) -> &str {
        &self.set
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    use super::*;
    use crate::auth::keys::KEY_LEN;

    fn entry(number: u8, waits: bool) -> AssertionKey {
        let key = Key { id: format!("k{number}"), bytes: Zeroizing::new([number; KEY_LEN]) };
        AssertionKey { key, es256: generate_es256(), waits }
    }

    fn decode(text: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_token_verifies_with_the_listed_key_that_it_names() {
        let signers = Signers::new(&[entry(1, false), entry(2, true)]).unwrap();
        let set: Value = serde_json::from_str(signers.set()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 4, "the waiting keys are listed too");
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let token = signers.sign(algorithm, r#"{"sub":"a"}"#).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let (head, claims) = signed.split_once('.').unwrap();
            assert_eq!(decode(claims), br#"{"sub":"a"}"#);
            let head: Value = serde_json::from_slice(&decode(head)).unwrap();
            assert_eq!(head["alg"], algorithm.as_str());
            let jwk = keys.iter().find(|jwk| jwk["kid"] == head["kid"]).unwrap();
            let x = decode(jwk["x"].as_str().unwrap());
            let verified = match algorithm {
                SigningAlgorithm::EdDsa => UnparsedPublicKey::new(&ED25519, x)
                    .verify(signed.as_bytes(), &decode(signature)),
                SigningAlgorithm::Es256 => {
                    let y = decode(jwk["y"].as_str().unwrap());
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], x, y].concat())
                        .verify(signed.as_bytes(), &decode(signature))
                }
            };
            assert!(verified.is_ok(), "{token}");
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037, appendices A.1 and A.3.
        let seed = decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let signer = Signer::new(Pair::EdDsa(pair));
        assert_eq!(signer.jwk["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn an_entry_without_a_p256_key_signs_with_ed25519_only() {
        let old = AssertionKey { es256: None, ..entry(1, false) };
        let signers = Signers::new(std::slice::from_ref(&old)).unwrap();
        assert!(signers.sign(SigningAlgorithm::Es256, "{}").is_none());
        assert!(signers.sign(SigningAlgorithm::EdDsa, "{}").is_some());
        let ring = [old, entry(2, true)];
        assert!(!signs(&ring, SigningAlgorithm::Es256) && signs(&ring, SigningAlgorithm::EdDsa));
        assert!(!signs(&[entry(1, true)], SigningAlgorithm::EdDsa), "nothing signs yet");
    }
}
