//! Reasons to refuse the answer of an authenticator.

/// A reason to refuse the answer of an authenticator. Users see one sentence for all of them; the log
/// has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refusal {
    /// The answer is not the JSON form of a credential.
    Malformed,
    /// The answer, or a part of it, is longer than any authenticator makes it.
    TooLong,
    /// The client data is not the JSON of the specification.
    ClientData,
    /// The client data is of the other ceremony, or of none.
    Type,
    /// The challenge was never issued, has expired or was used.
    Challenge,
    /// The challenge was issued to another browser, login or session.
    OtherBrowser,
    /// The challenge was issued for another account.
    OtherAccount,
    /// The challenge was issued on another host.
    OtherHost,
    /// The challenge was issued for another purpose.
    OtherPurpose,
    /// The answer was made on another origin.
    Origin,
    /// The answer was made in a frame of another origin.
    CrossOrigin,
    /// The authenticator data is truncated, or has trailing bytes or contradictory flags.
    AuthenticatorData,
    /// The authenticator data is of another relying party.
    RelyingParty,
    /// The authenticator did not ask for a touch.
    UserPresence,
    /// The authenticator did not verify the user, which was required.
    UserVerification,
    /// The key is backed up but not eligible for backup, or its eligibility changed.
    Backup,
    /// The CBOR is truncated, nested too deeply, not canonical, or has trailing bytes.
    Cbor,
    /// The attestation object lacks a part, has an unknown one, or its signature does not verify.
    Attestation,
    /// The attestation is neither `none` nor a self attestation.
    AttestationFormat,
    /// The algorithm was not offered.
    Algorithm,
    /// The public key contradicts its algorithm.
    PublicKey,
    /// The credential id is empty, too long, or differs within the answer.
    CredentialId,
    /// The credential id is registered already.
    Registered,
    /// The credential id is not registered.
    Unknown,
    /// The credential belongs to another account.
    OtherCredential,
    /// The user handle is missing where it is required, or is another account's.
    UserHandle,
    /// The signature does not verify.
    Signature,
    /// The signature counter did not advance.
    Counter,
}

impl Refusal {
    /// Returns the name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "credential_malformed",
            Self::TooLong => "credential_too_long",
            Self::ClientData => "client_data_malformed",
            Self::Type => "client_data_type",
            Self::Challenge => "challenge_unknown_or_used",
            Self::OtherBrowser => "challenge_of_other_browser",
            Self::OtherAccount => "challenge_of_other_account",
            Self::OtherHost => "challenge_of_other_host",
            Self::OtherPurpose => "challenge_of_other_purpose",
            Self::Origin => "origin",
            Self::CrossOrigin => "cross_origin",
            Self::AuthenticatorData => "authenticator_data_malformed",
            Self::RelyingParty => "rp_id_hash",
            Self::UserPresence => "user_not_present",
            Self::UserVerification => "user_not_verified",
            Self::Backup => "backup_flags",
            Self::Cbor => "cbor",
            Self::Attestation => "attestation_malformed",
            Self::AttestationFormat => "attestation_format",
            Self::Algorithm => "algorithm",
            Self::PublicKey => "public_key",
            Self::CredentialId => "credential_id",
            Self::Registered => "credential_registered",
            Self::Unknown => "credential_unknown",
            Self::OtherCredential => "credential_of_other_account",
            Self::UserHandle => "user_handle",
            Self::Signature => "signature",
            Self::Counter => "counter_regressed",
        }
    }
}
