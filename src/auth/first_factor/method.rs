//! A method of checking a first factor, and its answers.

use async_trait::async_trait;

use crate::auth::account::{Account, Identity};
use crate::auth::app_sign_in::{Held, NoAnswer, Relayed, Subject, Typed};
use crate::auth::audit::Caller;
use crate::auth::factor::FirstFactorKind;
use crate::auth::password::HashError;
use crate::auth::ports::StoreError;
use crate::auth::turns::Asker;

/// A user whose first factor was verified.
#[derive(Debug)]
pub enum ProvedUser {
    /// This account.
    Account(Box<Account>),
    /// A user of the service that verified it, which may be linked to an account.
    Subject(Subject),
}

/// Credentials that a first factor accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The user.
    pub user: ProvedUser,
    /// True if the service asked for a code of its own and accepted it.
    pub code_taken: bool,
    /// Credentials that the service issued.
    pub held: Held,
    /// The service's answer.
    pub answer: Relayed,
}

/// The answer of a first factor to typed credentials.
#[derive(Debug)]
#[must_use]
pub enum FirstAnswer {
    /// The credentials are correct.
    Accepted(Box<Accepted>),
    /// The service requires a code of its own, and none was typed.
    CodeWanted(Relayed),
    /// The name, the password or the code is wrong, or the account is disabled.
    Refused {
        /// Account with the typed name, if Vestibule looked for one.
        known: Option<Box<Identity>>,
        /// The service's answer.
        answer: Relayed,
    },
    /// The service cannot decide at the moment.
    Undecided(Relayed),
}

/// The credentials were not checked.
#[derive(Debug, thiserror::Error)]
pub enum NotChecked {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The service did not answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// A method of checking a first factor.
#[async_trait]
pub trait FirstFactorMethod: Send + Sync {
    /// Returns the kind.
    fn kind(&self) -> FirstFactorKind;
    /// Returns true if strangers have to wait for others' checks to finish.
    fn sheds_strangers(&self) -> bool;
    /// Checks the credentials typed at `app`. Known and unknown names cost the same.
    async fn check(
        &self,
        app: &str,
        typed: Typed,
        caller: &Caller,
        asker: Asker,
    ) -> Result<FirstAnswer, NotChecked>;
}
