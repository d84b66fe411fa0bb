//! Authenticator data (WebAuthn §6.1): what the authenticator signs, apart from the client data.

use ring::digest;

use super::cbor::Map;
use super::public_key::PublicKey;
use super::{Refusal, UserVerification};

/// Maximum length.
pub(super) const MOST: usize = 4096;
/// Maximum length of a credential id (WebAuthn §5.8.3, §7.1 step 25).
pub(super) const MOST_ID: usize = 1023;

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

/// Decoded authenticator data.
#[derive(Debug)]
pub(super) struct AuthenticatorData {
    flags: u8,
    /// The signature counter, zero if the authenticator has none.
    pub(super) counter: u32,
    /// The new credential, in a registration.
    pub(super) attested: Option<Attested>,
}

/// Attested credential data (WebAuthn §6.5.1).
#[derive(Debug)]
pub(super) struct Attested {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
}

fn split(input: &[u8], at: usize) -> Result<(&[u8], &[u8]), Refusal> {
    input.split_at_checked(at).ok_or(Refusal::AuthenticatorData)
}

impl AuthenticatorData {
    /// Decodes the data and verifies that it is of this relying party.
    pub(super) fn parse(input: &[u8], rp_id: &str) -> Result<Self, Refusal> {
        if input.len() > MOST {
            return Err(Refusal::TooLong);
        }
        let (hash, rest) = split(input, digest::SHA256_OUTPUT_LEN)?;
        let (head, mut rest) = split(rest, 5)?;
        let [flags, counter @ ..] = head else { return Err(Refusal::AuthenticatorData) };
        let counter = counter.try_into().map_err(|_length| Refusal::AuthenticatorData)?;
        if hash != digest::digest(&digest::SHA256, rp_id.as_bytes()).as_ref() {
            return Err(Refusal::RelyingParty);
        }
        let mut attested = None;
        if flags & ATTESTED != 0 {
            let (found, after) = Attested::parse(rest)?;
            (attested, rest) = (Some(found), after);
        }
        if flags & EXTENSIONS != 0 {
            // None was asked for. What an authenticator adds by itself is ignored.
            (_, rest) = Map::decode(rest)?;
        }
        if !rest.is_empty() {
            return Err(Refusal::AuthenticatorData);
        }
        let data = Self { flags: *flags, counter: u32::from_be_bytes(counter), attested };
        if data.is_backed_up() && !data.is_backup_eligible() {
            return Err(Refusal::Backup);
        }
        Ok(data)
    }

    /// Verifies that the user was present, and verified where that is required.
    pub(super) fn check_user(&self, verification: UserVerification) -> Result<(), Refusal> {
        if self.flags & USER_PRESENT == 0 {
            return Err(Refusal::UserPresence);
        }
        if verification == UserVerification::Required && !self.is_user_verified() {
            return Err(Refusal::UserVerification);
        }
        Ok(())
    }

    /// Returns true if the authenticator verified the user.
    pub(super) fn is_user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    /// Returns true if the key can be copied to other devices.
    pub(super) fn is_backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    /// Returns true if the key is copied to other devices.
    pub(super) fn is_backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}

impl Attested {
    fn parse(input: &[u8]) -> Result<(Self, &[u8]), Refusal> {
        let (_model, rest) = split(input, 16)?;
        let (len, rest) = split(rest, 2)?;
        let len = len.try_into().map(u16::from_be_bytes);
        let len = len.map(usize::from).map_err(|_length| Refusal::AuthenticatorData)?;
        if len == 0 || len > MOST_ID {
            return Err(Refusal::CredentialId);
        }
        let (id, rest) = split(rest, len)?;
        let (key, rest) = PublicKey::parse(rest)?;
        Ok((Self { id: id.to_vec(), key }, rest))
    }
}
