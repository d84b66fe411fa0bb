//! Proofs and stages of a login, as types.
//!
//! A proof is a value with private fields that only its check makes. A finished login therefore
//! requires that the same account has passed both checks.
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

pub use super::factor::{Factor, NotAFactor};
use super::session::{BegunWith, PendingLogin, Session};
use crate::base::id::AccountId;

/// A proof that the password of this account has just been verified.
#[derive(Debug)]
pub struct PasswordProof {
    account: AccountId,
}

impl PasswordProof {
    /// Made when a ticket has just set the password: an operator vouched for its holder.
    pub(super) fn set_by_ticket(account: AccountId) -> Self {
        Self { account }
    }

    /// Made when the app itself has checked the password and named the user.
    pub(super) fn checked_by_app(account: AccountId) -> Self {
        Self { account }
    }

    /// Made only by the password check.
    pub(super) fn verified(account: AccountId) -> Self {
        Self { account }
    }
}

/// A proof that a recovery code of this account has just been used in place of its password.
#[derive(Debug)]
pub struct RecoveryProof {
    account: AccountId,
}

impl RecoveryProof {
    /// Made only by the check of a recovery code.
    pub(super) fn used(account: AccountId) -> Self {
        Self { account }
    }
}

/// A proof that a new password of this account has just been set, by the right that a recovery code
/// and a second factor granted.
#[derive(Debug)]
pub struct NewPassword {
    account: AccountId,
}

impl NewPassword {
    /// Made only when the password is set.
    pub(super) fn set(account: AccountId) -> Self {
        Self { account }
    }
}

/// A proof that a second factor of this account has just been verified and used.
#[derive(Debug)]
pub struct SecondFactorProof {
    account: AccountId,
    method: Factor,
}

impl SecondFactorProof {
    /// Made only by the second-factor checks.
    pub(super) fn verified(account: AccountId, method: Factor) -> Self {
        Self { account, method }
    }

    /// Returns the account.
    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the kind of second factor.
    pub(super) fn method(&self) -> Factor {
        self.method
    }
}

/// Stage: the password is verified, the second factor is still required.
#[derive(Debug)]
pub struct PasswordVerified(());

/// Stage: a recovery code replaces a forgotten password. The second factor and a new password are
/// still required.
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
    /// Returns the account.
    pub fn account(&self) -> AccountId {
        self.account
    }
}

impl Login<PasswordVerified> {
    /// Begins a login with the first proof.
    pub fn begin(proof: &PasswordProof) -> Self {
        Self { account: proof.account, stage: PasswordVerified(()) }
    }

    /// Resumes a pending login from the store. Returns `None` if the password is forgotten.
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

    /// Finishes the login with the second proof, which must belong to the same account.
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
    /// Begins a login with a recovery code in place of the password.
    pub fn forgotten(proof: &RecoveryProof) -> Self {
        Self { account: proof.account, stage: PasswordForgotten(()) }
    }

    /// Resumes a pending login from the store. Returns `None` if a password began it.
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
    /// Resumes a finished login from a session.
    pub fn resume(session: &Session) -> Self {
        Self {
            account: session.identity.account,
            stage: FullyAuthenticated { method: session.method },
        }
    }

    /// Returns the second factor that finished the login.
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
