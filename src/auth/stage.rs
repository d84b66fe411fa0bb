//! Proofs and stages: how far a person got, as types.
//!
//! A proof is a value with private fields that only the check itself makes, so a finished login
//! cannot be written down without both checks having been passed by the same account.
//!
//! ```compile_fail
//! use vestibule::auth::stage::PasswordProof;
//! let forged = PasswordProof { account: todo!() }; // the field is private
//! ```
//!
//! ```compile_fail
//! use vestibule::auth::stage::{FullyAuthenticated, Login};
//! fn skip(login: Login<vestibule::auth::stage::PasswordVerified>) -> Login<FullyAuthenticated> {
//!     login // a password alone is not enough
//! }
//! ```
//!
//! ```compile_fail
//! use vestibule::auth::stage::{FullyAuthenticated, Login, PasswordForgotten, SecondFactorProof};
//! fn skip(
//!     login: Login<PasswordForgotten>,
//!     proof: SecondFactorProof,
//! ) -> Option<Login<FullyAuthenticated>> {
//!     login.complete(proof).ok() // a new password has to be set first
//! }
//! ```
//!
//! ```
//! use vestibule::auth::stage::{
//!     FullyAuthenticated, Login, NewPassword, PasswordForgotten, SecondFactorProof,
//! };
//! fn finish(
//!     login: Login<PasswordForgotten>,
//!     proof: SecondFactorProof,
//!     password: NewPassword,
//! ) -> Option<Login<FullyAuthenticated>> {
//!     login.complete(proof, password).ok()
//! }
//! ```
//!
//! ```
//! use vestibule::auth::stage::{FullyAuthenticated, Login, PasswordVerified, SecondFactorProof};
//! fn finish(
//!     login: Login<PasswordVerified>,
//!     proof: SecondFactorProof,
//! ) -> Option<Login<FullyAuthenticated>> {
//!     login.complete(proof).ok()
//! }
//! ```

use serde::{Deserialize, Serialize};

use super::session::{BegunWith, PendingLogin, Session};
use crate::base::id::AccountId;

/// How somebody proved to be who they say, beyond the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A code from an authenticator app (RFC 6238).
    Totp,
    /// A recovery code in place of the second factor.
    RecoveryCode,
    /// The second factor of the app itself, where it is said to count.
    App,
}

impl Factor {
    /// Its name in logs, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::App => "app",
        }
    }
}

/// Not the name of a factor.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a second factor")]
pub struct NotAFactor;

impl std::str::FromStr for Factor {
    type Err = NotAFactor;

    fn from_str(name: &str) -> Result<Self, NotAFactor> {
        let all = [Self::Totp, Self::RecoveryCode, Self::App];
        all.into_iter().find(|factor| factor.as_str() == name).ok_or(NotAFactor)
    }
}

/// The password of this account was verified just now.
#[derive(Debug)]
pub struct PasswordProof {
    account: AccountId,
}

impl PasswordProof {
    /// Made where a ticket has just set the password: whoever holds it was named by an operator.
    pub(super) fn set_by_ticket(account: AccountId) -> Self {
        Self { account }
    }

    /// Made where the app itself has checked the password, and said whose it is.
    pub(super) fn checked_by_app(account: AccountId) -> Self {
        Self { account }
    }

    /// Made by the password check only.
    pub(super) fn verified(account: AccountId) -> Self {
        Self { account }
    }
}

/// A recovery code of this account was used up just now, in place of its password.
#[derive(Debug)]
pub struct RecoveryProof {
    account: AccountId,
}

impl RecoveryProof {
    /// Made by the check of a recovery code only.
    pub(super) fn used(account: AccountId) -> Self {
        Self { account }
    }
}

/// A new password of this account was set just now, by the right that a recovery code and a second
/// factor gave.
#[derive(Debug)]
pub struct NewPassword {
    account: AccountId,
}

impl NewPassword {
    /// Made where it is set only.
    pub(super) fn set(account: AccountId) -> Self {
        Self { account }
    }
}

/// A second factor of this account was verified, and used up, just now.
#[derive(Debug)]
pub struct SecondFactorProof {
    account: AccountId,
    method: Factor,
}

impl SecondFactorProof {
    /// Made by the second-factor checks only.
    pub(super) fn verified(account: AccountId, method: Factor) -> Self {
        Self { account, method }
    }

    /// Whose it is.
    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    /// What it was.
    pub(super) fn method(&self) -> Factor {
        self.method
    }
}

/// Stage: the password is verified, the second factor is still owed.
#[derive(Debug)]
pub struct PasswordVerified(());

/// Stage: a recovery code stands in for a forgotten password; the second factor and a new password
/// are still owed.
#[derive(Debug)]
pub struct PasswordForgotten(());

/// Stage: both factors are verified.
#[derive(Debug)]
pub struct FullyAuthenticated {
    method: Factor,
}

/// A login at stage `S`.
#[derive(Debug)]
pub struct Login<S> {
    account: AccountId,
    stage: S,
}

/// The second proof belongs to another account.
#[derive(Debug, thiserror::Error)]
#[error("the second factor belongs to another account")]
pub struct ForeignProof;

impl<S> Login<S> {
    /// Whose login it is.
    pub fn account(&self) -> AccountId {
        self.account
    }
}

impl Login<PasswordVerified> {
    /// Starts a login with the first proof.
    pub fn begin(proof: &PasswordProof) -> Self {
        Self { account: proof.account, stage: PasswordVerified(()) }
    }

    /// Takes up a login in progress from the pending store; nothing where the password is forgotten.
    pub fn resume(record: &PendingLogin) -> Option<Self> {
        match record.begun_with {
            BegunWith::Password
            | BegunWith::PasswordAndTicket(_)
            | BegunWith::App
            | BegunWith::AppClient => {
                Some(Self { account: record.account, stage: PasswordVerified(()) })
            }
            BegunWith::RecoveryCode => None,
        }
    }

    /// Finishes the login with the second proof, which must be of the same account.
    #[expect(clippy::needless_pass_by_value, reason = "a proof is used up")]
    pub fn complete(
        self,
        proof: SecondFactorProof,
    ) -> Result<Login<FullyAuthenticated>, ForeignProof> {
        if proof.account != self.account {
            return Err(ForeignProof);
        }
        Ok(Login { account: self.account, stage: FullyAuthenticated { method: proof.method } })
    }
}

impl Login<PasswordForgotten> {
    /// Starts a login with a recovery code in place of the password.
    pub fn forgotten(proof: &RecoveryProof) -> Self {
        Self { account: proof.account, stage: PasswordForgotten(()) }
    }

    /// Takes up a login in progress from the pending store; nothing where a password began it.
    pub fn resume(record: &PendingLogin) -> Option<Self> {
        match record.begun_with {
            BegunWith::RecoveryCode => {
                Some(Self { account: record.account, stage: PasswordForgotten(()) })
            }
            BegunWith::Password
            | BegunWith::PasswordAndTicket(_)
            | BegunWith::App
            | BegunWith::AppClient => None,
        }
    }

    /// Finishes the login with the second proof and a new password, both of the same account.
    #[expect(clippy::needless_pass_by_value, reason = "a proof is used up")]
    pub fn complete(
        self,
        proof: SecondFactorProof,
        password: NewPassword,
    ) -> Result<Login<FullyAuthenticated>, ForeignProof> {
        if proof.account != self.account || password.account != self.account {
            return Err(ForeignProof);
        }
        Ok(Login { account: self.account, stage: FullyAuthenticated { method: proof.method } })
    }
}

impl Login<FullyAuthenticated> {
    /// Takes up a finished login from the session store.
    pub fn resume(session: &Session) -> Self {
        Self {
            account: session.identity.account,
            stage: FullyAuthenticated { method: session.method },
        }
    }

    /// The second factor that finished it.
    pub fn method(&self) -> Factor {
        self.stage.method
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn a_second_factor_of_somebody_else_finishes_nothing() {
        let (mine, theirs) = (
            AccountId::random(&OsRandom::new()).unwrap(),
            AccountId::random(&OsRandom::new()).unwrap(),
        );
        let login = || Login::begin(&PasswordProof::verified(mine));
        assert!(login().complete(SecondFactorProof::verified(theirs, Factor::Totp)).is_err());
        assert!(login().complete(SecondFactorProof::verified(mine, Factor::Totp)).is_ok());
    }

    #[test]
    fn a_forgotten_password_needs_a_second_factor_and_a_new_password_of_the_same_account() {
        let (mine, theirs) = (
            AccountId::random(&OsRandom::new()).unwrap(),
            AccountId::random(&OsRandom::new()).unwrap(),
        );
        let done = |second, password| {
            let proof = SecondFactorProof::verified(second, Factor::RecoveryCode);
            let login = Login::forgotten(&RecoveryProof::used(mine));
            login.complete(proof, NewPassword::set(password)).is_ok()
        };
        assert!(done(mine, mine));
        assert!(!done(theirs, mine) && !done(mine, theirs) && !done(theirs, theirs));
    }
}
