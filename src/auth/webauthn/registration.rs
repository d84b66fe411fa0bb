//! Verification of a registration (WebAuthn §7.1).

use super::attestation::Attestation;
use super::authenticator_data::AuthenticatorData;
use super::credential::Credential;
use super::relying_party::RelyingParty;
use super::response::RegistrationResponse;
use super::{Refusal, UserVerification};

/// A verified registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The new credential.
    pub credential: Credential,
    /// Signature counter, zero if the authenticator has none.
    pub counter: u32,
    /// True if the authenticator verified the user.
    pub user_verified: bool,
}

/// Verifies a registration, whose challenge was used up before.
pub fn verify(
    response: &RegistrationResponse,
    party: &RelyingParty,
    verification: UserVerification,
) -> Result<Registration, Refusal> {
    response.client_data.check_origin(party.origin())?;
    let attestation = Attestation::parse(&response.attestation)?;
    let mut data = AuthenticatorData::parse(&attestation.data, party.id())?;
    data.check_user(verification)?;
    let attested = data.attested.take().ok_or(Refusal::AuthenticatorData)?;
    if attested.id != response.id {
        return Err(Refusal::CredentialId);
    }
    attested.key.check_point()?;
    attestation.check(&attested.key, response.client_data_hash.as_ref())?;
    Ok(Registration {
        counter: data.counter,
        user_verified: data.is_user_verified(),
        credential: Credential {
            id: attested.id,
            key: attested.key,
            transports: response.transports.iter().map(|&name| name.to_owned()).collect(),
            backup_eligible: data.is_backup_eligible(),
            backed_up: data.is_backed_up(),
            verifies_user: data.is_user_verified(),
        },
    })
}
