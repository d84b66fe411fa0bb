//! What stands between a forgotten password and a new one.
//!
//! A recovery code in place of the password begins a login. Once the second factor is proved too,
//! that login has the right to set a new password, once, and only then becomes a session.

use super::stage::Factor;
use super::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// The right of one login to set a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordReset {
    /// Which login.
    pub login: HashedToken<PendingToken>,
    /// Whose it is.
    pub account: AccountId,
    /// What the second factor was.
    pub method: Factor,
    /// When the login began: worth nothing once the account ends what began before.
    pub started_at: Timestamp,
    /// When it lapses, with the login.
    pub expires_at: Timestamp,
}
