//! Verification of an assertion (WebAuthn §7.2).

use ring::digest;
use subtle::ConstantTimeEq;

use super::authenticator_data::AuthenticatorData;
use super::credential::Credential;
use super::relying_party::RelyingParty;
use super::response::AssertionResponse;
use super::{Refusal, UserVerification};

/// The account that the assertion has to be of.
#[derive(Clone, Copy, Debug)]
pub enum Handle<'a> {
    /// This user handle, where the authenticator returns one.
    IfPresent(&'a [u8]),
    /// This user handle: the authenticator alone says who signs in.
    Required(&'a [u8]),
}

/// A verified assertion. The store still has to accept its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Signature counter, zero if the authenticator has none.
    pub counter: u32,
    /// True if the authenticator verified the user.
    pub user_verified: bool,
    /// True if the key is copied to other devices.
    pub backed_up: bool,
}

/// Verifies an assertion by `credential`, whose challenge was used up before.
pub fn verify(
    response: &AssertionResponse,
    credential: &Credential,
    handle: Handle<'_>,
    party: &RelyingParty,
    verification: UserVerification,
) -> Result<Assertion, Refusal> {
    if response.id != credential.id {
        return Err(Refusal::CredentialId);
    }
    let sent = response.user_handle.as_deref();
    let is_theirs = match handle {
        Handle::IfPresent(theirs) => sent.is_none_or(|sent| bool::from(sent.ct_eq(theirs))),
        Handle::Required(theirs) => sent.is_some_and(|sent| bool::from(sent.ct_eq(theirs))),
    };
    if !is_theirs {
        return Err(Refusal::UserHandle);
    }
    response.client_data.check_origin(party.origin())?;
    let data = AuthenticatorData::parse(&response.authenticator_data, party.id())?;
    data.check_user(verification)?;
    if data.attested.is_some() {
        return Err(Refusal::AuthenticatorData);
    }
    if data.is_backup_eligible() != credential.backup_eligible {
        return Err(Refusal::Backup);
    }
    let client_data = digest::digest(&digest::SHA256, &response.client_data_json);
    let signed = [response.authenticator_data.as_slice(), client_data.as_ref()].concat();
    credential.key.verify(&signed, &response.signature)?;
    Ok(Assertion {
        counter: data.counter,
        user_verified: data.is_user_verified(),
        backed_up: data.is_backed_up(),
    })
}
