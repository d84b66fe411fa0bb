//! A software authenticator with its browser: answers options as `PublicKeyCredential.toJSON()` would.
//! A closure may change any part before it is encoded and signed.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// Flags of authenticator data.
pub(crate) const PRESENT: u8 = 1;
pub(crate) const VERIFIED: u8 = 1 << 2;
pub(crate) const ELIGIBLE: u8 = 1 << 3;
pub(crate) const BACKED_UP: u8 = 1 << 4;
pub(crate) const ATTESTED: u8 = 1 << 6;
pub(crate) const EXTENSIONS: u8 = 1 << 7;

/// A private key.
pub(crate) enum PrivateKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl PrivateKey {
    pub(crate) fn es256() -> Self {
        let (random, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap())
    }

    pub(crate) fn eddsa() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// A key in PKCS #8: `ring` does not generate RSA keys.
    pub(crate) fn rs256(pkcs8: &[u8]) -> Self {
        Self::Rs256(Box::new(RsaKeyPair::from_pkcs8(pkcs8).unwrap()))
    }

    /// The public key in COSE form.
    pub(crate) fn cose(&self) -> Vec<u8> {
        let entry = |label: i64, value: Vec<u8>| [cbor::int(label), value].concat();
        let entries = match self {
            Self::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                vec![
                    entry(1, cbor::int(2)),
                    entry(3, cbor::int(-7)),
                    entry(-1, cbor::int(1)),
                    entry(-2, cbor::bytes(x)),
                    entry(-3, cbor::bytes(y)),
                ]
            }
            Self::EdDsa(key) => vec![
                entry(1, cbor::int(1)),
                entry(3, cbor::int(-8)),
                entry(-1, cbor::int(6)),
                entry(-2, cbor::bytes(key.public_key().as_ref())),
            ],
            Self::Rs256(key) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                vec![
                    entry(1, cbor::int(3)),
                    entry(3, cbor::int(-257)),
                    entry(-1, cbor::bytes(&public.n)),
                    entry(-2, cbor::bytes(&public.e)),
                ]
            }
        };
        [cbor::head(5, entries.len()), entries.concat()].concat()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// CBOR in canonical form.
pub(crate) mod cbor {
    pub(crate) fn head(major: u8, n: usize) -> Vec<u8> {
        let major = major << 5;
        match n {
            0..=23 => vec![major | u8::try_from(n).unwrap()],
            24..=0xff => vec![major | 0x18, u8::try_from(n).unwrap()],
            0x100..=0xffff => {
                [&[major | 0x19][..], &u16::try_from(n).unwrap().to_be_bytes()].concat()
            }
            _ => [&[major | 0x1a][..], &u32::try_from(n).unwrap().to_be_bytes()].concat(),
        }
    }

    pub(crate) fn int(n: i64) -> Vec<u8> {
        let (major, n) = if n < 0 { (1, -1 - n) } else { (0, n) };
        head(major, usize::try_from(n).unwrap())
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
        [head(2, bytes.len()), bytes.to_vec()].concat()
    }

    pub(crate) fn text(text: &str) -> Vec<u8> {
        [head(3, text.len()), text.as_bytes().to_vec()].concat()
    }
}

/// What is signed, before it is encoded.
pub(crate) struct Parts {
    /// Client data.
    pub(crate) client: Value,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) id: Vec<u8>,
    /// Public key in COSE form, in a registration.
    pub(crate) cose: Vec<u8>,
    /// After the rest of the authenticator data.
    pub(crate) tail: Vec<u8>,
    /// Format and statement of the attestation, in CBOR.
    pub(crate) format: Vec<u8>,
    pub(crate) statement: Vec<u8>,
    pub(crate) user_handle: Option<Vec<u8>>,
    /// In place of what the parts make.
    pub(crate) raw: Raw,
}

/// Encoded parts, signed as they are.
#[derive(Default)]
pub(crate) struct Raw {
    pub(crate) client: Option<Vec<u8>>,
    pub(crate) authenticator_data: Option<Vec<u8>>,
    pub(crate) attestation_object: Option<Vec<u8>>,
}

impl Parts {
    pub(crate) fn client_data(&self) -> Vec<u8> {
        self.raw.client.clone().unwrap_or_else(|| self.client.to_string().into_bytes())
    }

    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw.authenticator_data {
            return raw.clone();
        }
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        if self.flags & ATTESTED != 0 {
            data.extend([0; 16]);
            data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            data.extend(&self.id);
            data.extend(&self.cose);
        }
        data.extend(&self.tail);
        data
    }

    pub(crate) fn attestation_object(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw.attestation_object {
            return raw.clone();
        }
        [
            cbor::head(5, 3),
            [cbor::text("fmt"), self.format.clone()].concat(),
            [cbor::text("attStmt"), self.statement.clone()].concat(),
            [cbor::text("authData"), cbor::bytes(&self.authenticator_data())].concat(),
        ]
        .concat()
    }
}

/// A credential of the authenticator.
pub(crate) struct Held {
    pub(crate) id: Vec<u8>,
    pub(crate) rp_id: String,
    pub(crate) user_handle: Vec<u8>,
    pub(crate) key: PrivateKey,
}

/// An authenticator. It registers every credential as a passkey.
pub(crate) struct Authenticator {
    pub(crate) held: Vec<Held>,
    /// Flags of its answers: user presence, user verification, backup.
    pub(crate) flags: u8,
    /// Signature counter of the next answer. Zero for an authenticator without one.
    pub(crate) counter: u32,
    /// Keys of the next credentials, last first. ES256 if there are none.
    pub(crate) keys: Vec<PrivateKey>,
}

impl Default for Authenticator {
    fn default() -> Self {
        Self { held: Vec::new(), flags: PRESENT | VERIFIED, counter: 1, keys: Vec::new() }
    }
}

fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn unb64(text: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

impl Authenticator {
    /// Answers creation options (`{"publicKey": …}`) on a page of `origin`.
    pub(crate) fn create(&mut self, options: &Value, origin: &str) -> Value {
        self.create_with(options, origin, |_| ())
    }

    pub(crate) fn create_with(
        &mut self,
        options: &Value,
        origin: &str,
        change: impl FnOnce(&mut Parts),
    ) -> Value {
        let options = &options["publicKey"];
        let key = self.keys.pop().unwrap_or_else(PrivateKey::es256);
        let mut id = vec![0; 32];
        SystemRandom::new().fill(&mut id).unwrap();
        let mut parts = Parts {
            client: client("webauthn.create", options, origin),
            rp_id: options["rp"]["id"].as_str().unwrap().to_owned(),
            flags: self.flags | ATTESTED,
            counter: self.counter(),
            id,
            cose: key.cose(),
            tail: Vec::new(),
            format: cbor::text("none"),
            statement: cbor::head(5, 0),
            user_handle: Some(unb64(&options["user"]["id"])),
            raw: Raw::default(),
        };
        change(&mut parts);
        let id = b64(&parts.id);
        let answer = json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": b64(&parts.client_data()),
                "attestationObject": b64(&parts.attestation_object()),
                "transports": ["internal", "hybrid"],
            },
            "clientExtensionResults": {},
        });
        let user_handle = parts.user_handle.unwrap_or_default();
        self.held.push(Held { id: parts.id, rp_id: parts.rp_id, user_handle, key });
        answer
    }

    /// Answers request options (`{"publicKey": …}`) on a page of `origin`, with the newest credential
    /// that they allow.
    pub(crate) fn get(&mut self, options: &Value, origin: &str) -> Value {
        self.get_with(options, origin, |_| ())
    }

    pub(crate) fn get_with(
        &mut self,
        options: &Value,
        origin: &str,
        change: impl FnOnce(&mut Parts),
    ) -> Value {
        let options = &options["publicKey"];
        let allowed: Vec<_> = options["allowCredentials"]
            .as_array()
            .map_or_else(Vec::new, |all| all.iter().map(|allowed| unb64(&allowed["id"])).collect());
        let counter = self.counter();
        let fits = |held: &&Held| {
            held.rp_id == options["rpId"].as_str().unwrap()
                && (allowed.is_empty() || allowed.contains(&held.id))
        };
        let held = self.held.iter().rev().find(fits).expect("no credential fits");
        let mut parts = Parts {
            client: client("webauthn.get", options, origin),
            rp_id: held.rp_id.clone(),
            flags: self.flags,
            counter,
            id: held.id.clone(),
            cose: Vec::new(),
            tail: Vec::new(),
            format: Vec::new(),
            statement: Vec::new(),
            user_handle: Some(held.user_handle.clone()),
            raw: Raw::default(),
        };
        change(&mut parts);
        let (client, data) = (parts.client_data(), parts.authenticator_data());
        let hash = digest(&SHA256, &client);
        let signature = held.key.sign(&[data.as_slice(), hash.as_ref()].concat());
        let id = b64(&parts.id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": b64(&client),
                "authenticatorData": b64(&data),
                "signature": b64(&signature),
                "userHandle": parts.user_handle.map(|handle| b64(&handle)),
            },
            "clientExtensionResults": {},
        })
    }

    fn counter(&mut self) -> u32 {
        let counter = self.counter;
        self.counter += u32::from(counter > 0);
        counter
    }
}

fn client(ceremony: &str, options: &Value, origin: &str) -> Value {
    let challenge = &options["challenge"];
    json!({ "type": ceremony, "challenge": challenge, "origin": origin, "crossOrigin": false })
}
