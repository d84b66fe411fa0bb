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

use super::amr::KeyEvidence;
use super::authenticator::AuthenticatorKind;
use super::factor::FirstFactorKind;
pub use super::factor::{Factor, NotAFactor};
use super::session::{BegunWith, PendingLogin, Session};
use crate::base::id::AccountId;

/// A proof that the first factor of this account has just been verified.
#[derive(Debug)]
pub struct PasswordProof {
    account: AccountId,
    check: FirstCheck,
}

/// The check behind a [`PasswordProof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstCheck {
    /// A method of this kind verified it and named the user.
    Method(FirstFactorKind),
    /// A ticket has just set the password: an operator vouched for its holder.
    Ticket,
}

impl PasswordProof {
    /// Asserts that `check` has just succeeded for the account. The only way to make a proof: each
    /// caller names its check.
    pub(super) fn assertion(account: AccountId, check: FirstCheck) -> Self {
        Self { account, check }
    }

    /// Returns the beginning that a login has by this proof.
    pub(super) fn begins_with(&self) -> BegunWith {
        match self.check {
            FirstCheck::Method(FirstFactorKind::App) => BegunWith::App,
            FirstCheck::Method(FirstFactorKind::Password) | FirstCheck::Ticket => {
                BegunWith::Password
            }
        }
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
    key: Option<KeyEvidence>,
}

/// A proof that a passkey of this account, which verified its user, has just signed: possession and a
/// PIN, fingerprint or face are both factors.
#[derive(Debug)]
pub struct PasskeyProof {
    account: AccountId,
    key: KeyEvidence,
}

impl PasskeyProof {
    /// Made only by the check of a passkey. Returns `None` if it did not verify its user.
    pub(super) fn verified(account: AccountId, key: KeyEvidence) -> Option<Self> {
        key.user_verified.then_some(Self { account, key })
    }
}

/// The check behind a [`SecondFactorProof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondCheck {
    /// A response of this factor was verified and used up.
    Response(Factor),
    /// The answer of a key was verified and used up, or a new key was verified and stored.
    Key(KeyEvidence),
    /// An authenticator of this kind was confirmed by a response and stored.
    Enrolment(AuthenticatorKind),
    /// The app verified a code of its own, and the configuration accepts it.
    App,
    /// The login has the right to set a new password, which a response of this factor granted.
    Reset(Factor),
}

impl SecondFactorProof {
    /// Asserts that `check` has just succeeded for the account. The only way to make a proof: each
    /// caller names its check.
    pub(super) fn assertion(account: AccountId, check: SecondCheck) -> Self {
        let key = match check {
            SecondCheck::Key(key) => Some(key),
            SecondCheck::Response(_)
            | SecondCheck::Reset(_)
            | SecondCheck::Enrolment(_)
            | SecondCheck::App => None,
        };
        let method = match check {
            SecondCheck::Response(factor) | SecondCheck::Reset(factor) => factor,
            SecondCheck::Key(_) => Factor::KEY,
            SecondCheck::Enrolment(kind) => Factor::Authenticator(kind),
            SecondCheck::App => Factor::App,
        };
        Self { account, method, key }
    }

    /// Returns the evidence of the key, if the second factor is one.
    pub(super) fn key(&self) -> Option<KeyEvidence> {
        self.key
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
    key: Option<KeyEvidence>,
    alone: bool,
}

impl FullyAuthenticated {
    fn with(proof: &SecondFactorProof) -> Self {
        Self { method: proof.method, key: proof.key, alone: false }
    }
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
            BegunWith::RecoveryCode | BegunWith::Passkey => None,
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
        Ok(Login { account: self.account, stage: FullyAuthenticated::with(&proof) })
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
            | BegunWith::AppClient
            | BegunWith::Passkey => None,
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
        Ok(Login { account: self.account, stage: FullyAuthenticated::with(&proof) })
    }
}

impl Login<FullyAuthenticated> {
    /// Finishes a login with a passkey alone, which is both proofs.
    #[expect(clippy::needless_pass_by_value, reason = "a proof is used up")]
    pub fn by_passkey(proof: PasskeyProof) -> Self {
        let stage = FullyAuthenticated { method: Factor::KEY, key: Some(proof.key), alone: true };
        Self { account: proof.account, stage }
    }

    /// Returns the evidence of the key that finished the login, if any.
    pub fn key(&self) -> Option<KeyEvidence> {
        self.stage.key
    }

    /// Returns true if a passkey was both factors.
    pub fn is_by_passkey_alone(&self) -> bool {
        self.stage.alone
    }

    /// Resumes a finished login from a session.
    pub fn resume(session: &Session) -> Self {
        Self {
            account: session.identity.account,
            stage: FullyAuthenticated {
                method: session.method,
                key: session.key,
                alone: session.alone,
            },
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
        let login = || Login::begin(&PasswordProof::assertion(mine, FirstCheck::Ticket));
        let code = SecondCheck::Response(Factor::TOTP);
        assert!(login().complete(SecondFactorProof::assertion(theirs, code)).is_err());
        assert!(login().complete(SecondFactorProof::assertion(mine, code)).is_ok());
    }

    #[test]
    fn a_forgotten_password_needs_a_second_factor_and_a_new_password_of_the_same_account() {
        let (mine, theirs) = (
            AccountId::random(&OsRandom::new()).unwrap(),
            AccountId::random(&OsRandom::new()).unwrap(),
        );
        let done = |second, password| {
            let check = SecondCheck::Reset(Factor::RecoveryCode);
            let proof = SecondFactorProof::assertion(second, check);
            let login = Login::forgotten(&RecoveryProof::used(mine));
            login.complete(proof, NewPassword::set(password)).is_ok()
        };
        assert!(done(mine, mine));
        assert!(!done(theirs, mine) && !done(mine, theirs) && !done(theirs, theirs));
    }
}
