//! The right to replace a forgotten password.
//!
//! A recovery code in place of the password begins a login. Once the second factor is verified too,
//! the login has the right to set a new password once. Only then does it become a session.

use super::factor::Factor;
use super::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// The right of a login to set a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordReset {
    /// Login that holds the right.
    pub login: HashedToken<PendingToken>,
    /// Account of the login.
    pub account: AccountId,
    /// Second factor of the login.
    pub method: Factor,
    /// Start of the login. The right is void if the account has ended earlier sessions since.
    pub started_at: Timestamp,
    /// Time of expiry, together with the login.
    pub expires_at: Timestamp,
}
