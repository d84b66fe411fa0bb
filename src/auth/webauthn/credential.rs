//! Registered credentials.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest;
use serde::{Deserialize, Serialize};

use super::public_key::PublicKey;
use super::{Algorithm, Refusal};

/// A registered credential. Its stored form is sealed to the account and the credential id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    /// Ways to reach the authenticator, as the browser named them at registration.
    pub(super) transports: Vec<String>,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) verifies_user: bool,
}

/// The stored form: JSON with binary parts in base64url.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: String,
    key: String,
    #[serde(default)]
    transports: Vec<String>,
    backup_eligible: bool,
    backed_up: bool,
    #[serde(default)]
    verifies_user: bool,
}

/// The stored form of a credential cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a stored key cannot be read")]
pub struct NotACredential;

impl From<Refusal> for NotACredential {
    fn from(_refusal: Refusal) -> Self {
        Self
    }
}

/// Returns the key by which a credential is found: the hash of its id.
pub fn lookup(id: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, id).as_ref())
}

impl Credential {
    /// Returns the credential id.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// Returns the signature algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Returns the ways to reach the authenticator.
    pub fn transports(&self) -> &[String] {
        &self.transports
    }

    /// Returns true if the key can be copied to other devices, so that it is not bound to one piece of
    /// hardware.
    pub fn is_backup_eligible(&self) -> bool {
        self.backup_eligible
    }

    /// Returns true if the key is copied to other devices: a synced passkey.
    pub fn is_backed_up(&self) -> bool {
        self.backed_up
    }

    /// Returns the credential with the backup state of its last assertion.
    #[must_use]
    pub fn with_backup_state(mut self, backed_up: bool) -> Self {
        self.backed_up = backed_up;
        self
    }

    /// Returns true if the authenticator verified its owner at registration, or since then beside
    /// another first factor. Only then is user verification a factor, because anyone can set a PIN on
    /// a key that has none.
    pub fn verifies_user(&self) -> bool {
        self.verifies_user
    }

    /// Returns the credential, with user verification as a factor from now on if `verifies` is true.
    #[must_use]
    pub fn with_user_verification(mut self, verifies: bool) -> Self {
        self.verifies_user |= verifies;
        self
    }

    /// Returns the stored form, to be sealed.
    pub fn to_record(&self) -> Vec<u8> {
        let record = Record {
            id: BASE64URL_NOPAD.encode(&self.id),
            key: BASE64URL_NOPAD.encode(self.key.as_cose()),
            transports: self.transports.clone(),
            backup_eligible: self.backup_eligible,
            backed_up: self.backed_up,
            verifies_user: self.verifies_user,
        };
        serde_json::json!(record).to_string().into_bytes()
    }

    /// Reads the stored form.
    pub fn from_record(record: &[u8]) -> Result<Self, NotACredential> {
        let record: Record =
            serde_json::from_slice(record).map_err(|_not_the_json| NotACredential)?;
        let bytes = |text: &str| {
            BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_not_base64| NotACredential)
        };
        Ok(Self {
            id: bytes(&record.id)?,
            key: PublicKey::parse_all(&bytes(&record.key)?)?,
            transports: record.transports,
            backup_eligible: record.backup_eligible,
            backed_up: record.backed_up,
            verifies_user: record.verifies_user,
        })
    }
}
