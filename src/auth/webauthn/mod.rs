//! Passkeys and security keys: the relying party of W3C Web Authentication Level 3.
//!
//! [`options`] asks the browser, [`response`] reads its answer, and [`registration`] and [`assertion`]
//! verify the answer step by step (§7.1, §7.2). Every check that fails has a [`Refusal`] of its own, for
//! the log. Signatures are verified by `ring`, CBOR is decoded by `ciborium`.
//!
//! Stricter than the specification: attestation is `none` or by the new key itself, so an authenticator
//! proves possession of a key, not its make. CBOR must be in its one canonical form, without trailing bytes.
//! Every input has a maximum length.

pub mod assertion;
mod attestation;
mod authenticator_data;
mod cbor;
pub mod challenge;
mod client_data;
pub mod credential;
pub mod options;
mod public_key;
mod refusal;
pub mod registration;
pub mod relying_party;
pub mod response;
pub mod sign_in;

#[cfg(test)]
#[path = "../../../tests/it/support/authenticator.rs"]
mod authenticator;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

pub use self::public_key::Algorithm;
pub use self::refusal::Refusal;

/// Requirement for user verification: a PIN, a fingerprint or a face, checked by the authenticator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserVerification {
    /// An answer without it is refused.
    Required,
    /// The authenticator verifies the user if it can. Security keys without a PIN are accepted.
    #[default]
    Preferred,
    /// The authenticator is asked not to verify the user.
    Discouraged,
}

impl UserVerification {
    /// Returns the name in options and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
            Self::Discouraged => "discouraged",
        }
    }
}
