//! Attestation objects (WebAuthn §6.5.4): `none`, and the self attestation of the format `packed`
//! (§8.2), which browsers do not always replace by `none`. It proves possession of the new key, not its
//! make.

use ciborium::Value;

use super::Refusal;
use super::cbor::Map;
use super::public_key::PublicKey;

/// Maximum length.
pub(super) const MOST: usize = super::authenticator_data::MOST + 64;

/// An attestation object, not yet verified.
pub(super) struct Attestation {
    /// Authenticator data.
    pub(super) data: Vec<u8>,
    /// Algorithm and signature of a self attestation.
    own: Option<(i128, Vec<u8>)>,
}

impl Attestation {
    /// Decodes an attestation object.
    pub(super) fn parse(object: &[u8]) -> Result<Self, Refusal> {
        if object.len() > MOST {
            return Err(Refusal::TooLong);
        }
        let object = Map::decode_all(object)?;
        let part = |name| object.text(name).ok_or(Refusal::Attestation);
        let format = part("fmt")?.as_text().ok_or(Refusal::Attestation)?;
        let statement = part("attStmt")?.as_map().ok_or(Refusal::Attestation)?;
        let data = part("authData")?.as_bytes().ok_or(Refusal::Attestation)?.clone();
        let own = match format {
            "none" if statement.is_empty() => None,
            "packed" => Some(own(statement)?),
            "none" => return Err(Refusal::Attestation),
            _ => return Err(Refusal::AttestationFormat),
        };
        if object.len() != 3 {
            return Err(Refusal::Attestation);
        }
        Ok(Self { data, own })
    }

    /// Verifies a self attestation by the new key itself, over the data and the hash of the client data.
    pub(super) fn check(&self, key: &PublicKey, client_data: &[u8]) -> Result<(), Refusal> {
        let Some((algorithm, signature)) = &self.own else { return Ok(()) };
        if *algorithm != i128::from(key.algorithm().cose()) {
            return Err(Refusal::Attestation);
        }
        let signed = [self.data.as_slice(), client_data].concat();
        key.verify(&signed, signature).map_err(|_signature| Refusal::Attestation)
    }
}

/// Returns algorithm and signature of a self attestation. A statement with certificates is refused: there
/// is no authority to verify them by.
fn own(statement: &[(Value, Value)]) -> Result<(i128, Vec<u8>), Refusal> {
    let part = |name| {
        statement.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value))
    };
    let algorithm = part("alg").and_then(Value::as_integer).map(i128::from);
    let signature = part("sig").and_then(Value::as_bytes).cloned();
    match (algorithm, signature) {
        (Some(algorithm), Some(signature)) if statement.len() == 2 => Ok((algorithm, signature)),
        _ => Err(Refusal::AttestationFormat),
    }
}
