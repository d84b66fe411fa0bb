//! The answers of browsers: the text of `PublicKeyCredential.toJSON()` (WebAuthn §5.1.8).

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{self, Digest};
use serde::Deserialize;

use super::challenge::Challenge;
use super::client_data::{Ceremony, ClientData};
use super::{Refusal, attestation, authenticator_data, client_data};

/// Maximum length of an answer: what fits into a form. The longest honest ones have about 6 KiB.
pub const MOST: usize = 8 * 1024;
/// Maximum length of a signature: RSA with 4096 bits.
const MOST_SIGNATURE: usize = 512;
/// Maximum length of a user handle (WebAuthn §5.4.3).
const MOST_HANDLE: usize = 64;
/// Known transports (WebAuthn §5.8.4). Others are dropped.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    id: String,
    raw_id: String,
    r#type: String,
    response: T,
}

#[derive(Deserialize)]
struct Registered {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "attestationObject")]
    attestation: String,
    #[serde(default)]
    transports: Vec<String>,
}

#[derive(Deserialize)]
struct Asserted {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "authenticatorData")]
    authenticator_data: String,
    signature: String,
    #[serde(default, rename = "userHandle")]
    user_handle: Option<String>,
}

/// Reads the envelope, and returns the credential id with the rest.
fn envelope<'a, T: Deserialize<'a>>(text: &'a str) -> Result<(Vec<u8>, T), Refusal> {
    if text.len() > MOST {
        return Err(Refusal::TooLong);
    }
    let envelope: Envelope<T> = serde_json::from_str(text).map_err(|_other| Refusal::Malformed)?;
    if envelope.r#type != "public-key" {
        return Err(Refusal::Malformed);
    }
    let id = decoded(&envelope.raw_id, usize::MAX)?;
    if envelope.id != envelope.raw_id || !(1..=authenticator_data::MOST_ID).contains(&id.len()) {
        return Err(Refusal::CredentialId);
    }
    Ok((id, envelope.response))
}

fn decoded(text: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    let bytes =
        BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_not_base64| Refusal::Malformed)?;
    if bytes.len() <= most { Ok(bytes) } else { Err(Refusal::TooLong) }
}

/// The answer to creation options, not yet verified.
#[derive(Clone, Debug)]
pub struct RegistrationResponse {
    pub(super) id: Vec<u8>,
    pub(super) client_data: ClientData,
    pub(super) client_data_hash: Digest,
    pub(super) attestation: Vec<u8>,
    pub(super) transports: Vec<&'static str>,
}

impl RegistrationResponse {
    /// Reads an answer.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (id, response): (_, Registered) = envelope(text)?;
        let client_data = decoded(&response.client_data, client_data::MOST)?;
        let known = |name: &&str| response.transports.iter().any(|t| t == name);
        Ok(Self {
            id,
            client_data: ClientData::parse(&client_data, Ceremony::Create)?,
            client_data_hash: digest::digest(&digest::SHA256, &client_data),
            attestation: decoded(&response.attestation, attestation::MOST)?,
            transports: TRANSPORTS.into_iter().filter(known).collect(),
        })
    }

    /// Returns the challenge that the answer claims to answer.
    pub fn challenge(&self) -> &Challenge {
        &self.client_data.challenge
    }
}

/// The answer to request options, not yet verified.
#[derive(Clone, Debug)]
pub struct AssertionResponse {
    pub(super) id: Vec<u8>,
    pub(super) client_data: ClientData,
    pub(super) client_data_json: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) user_handle: Option<Vec<u8>>,
}

impl AssertionResponse {
    /// Reads an answer.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (id, response): (_, Asserted) = envelope(text)?;
        let client_data_json = decoded(&response.client_data, client_data::MOST)?;
        let handle = response.user_handle.as_deref().map(|text| decoded(text, MOST_HANDLE));
        Ok(Self {
            id,
            client_data: ClientData::parse(&client_data_json, Ceremony::Get)?,
            client_data_json,
            authenticator_data: decoded(&response.authenticator_data, authenticator_data::MOST)?,
            signature: decoded(&response.signature, MOST_SIGNATURE)?,
            user_handle: handle.transpose()?,
        })
    }

    /// Returns the challenge that the answer claims to answer.
    pub fn challenge(&self) -> &Challenge {
        &self.client_data.challenge
    }

    /// Returns the id of the credential that the answer claims to be made with.
    pub fn credential_id(&self) -> &[u8] {
        &self.id
    }
}
