//! Why an operator's act was not done, or not in full.

use crate::auth::account::LoginName;
use crate::auth::app_sign_in::Subject;
use crate::auth::password::{HashError, NotTaken, PasswordRefused};
use crate::auth::ports::StoreError;
use crate::base::id::{SessionId, TokenId};
use crate::base::random::NoRandomness;

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A store did not answer; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account was changed, but its sessions are still in the session store.
    #[error(
        "{name} was {done} and its sessions are refused from now on, but they could not be removed\
         {}: {source}",
        if *recorded { "" } else { ", and the audit trail does not tell" }
    )]
    SessionsLeft {
        /// Whose sessions.
        name: LoginName,
        /// "disabled", "removed", "given a new password" and the like.
        done: &'static str,
        /// The audit trail tells.
        recorded: bool,
        /// What the session store said.
        source: StoreError,
    },
    /// The account was changed, but its sessions do not know yet.
    #[error(
        "{name} was changed, but its sessions could not be told{}: {source}",
        if *recorded { "" } else { ", and the audit trail does not tell" }
    )]
    SessionsBehind {
        /// Whose sessions.
        name: LoginName,
        /// The audit trail tells.
        recorded: bool,
        /// What the session store said.
        source: StoreError,
    },
    /// One part was done, and another could not be.
    #[error("{done}, but {left}: {source}")]
    Partly {
        /// "the sessions were ended" and the like.
        done: &'static str,
        /// The rest.
        left: &'static str,
        /// What the store said.
        source: StoreError,
    },
    /// It was done, but the audit trail does not tell.
    #[error("it was done, but could not be written to the audit trail: {0}")]
    NotRecorded(StoreError),
    /// It was done and, since the audit trail would not have told, undone.
    #[error("it could not be written to the audit trail, so it was undone: {0}")]
    Undone(StoreError),
    /// The link was made and is worth something to nobody, since nobody sees it.
    #[error("the link could not be written to the audit trail, so it is not shown: {0}")]
    LinkWithheld(StoreError),
    /// There is no such account.
    #[error("there is no user {0}")]
    NoSuchUser(LoginName),
    /// The account is disabled.
    #[error("{0} is disabled, so that would open nothing")]
    Disabled(LoginName),
    /// The name is taken.
    #[error("there is a user {0} already")]
    NameTaken(LoginName),
    /// The account is another person of the app already.
    #[error("{name} is linked to another person of {app}: unlink that first")]
    LinkedAlready {
        /// Whose account.
        name: LoginName,
        /// Which app.
        app: String,
    },
    /// The person of the app is another account already.
    #[error("{subject} is the user {by} already: unlink that first")]
    SubjectTaken {
        /// The app's id of the person.
        subject: Subject,
        /// Whose account it is.
        by: LoginName,
    },
    /// The account is nobody of the app.
    #[error("{name} is not linked to anybody of {app}")]
    NotLinked {
        /// Whose account.
        name: LoginName,
        /// Which app.
        app: String,
    },
    /// The app keeps the password of the account, which has none of ours to set anew.
    #[error("{name} has no password here: {app} keeps it, and no link sets one")]
    PasswordKept {
        /// Whose account.
        name: LoginName,
        /// Which app.
        app: String,
    },
    /// There is no such token.
    #[error("there is no token {0}")]
    NoSuchToken(TokenId),
    /// There is no such session.
    #[error("there is no session {0}")]
    NoSuchSession(SessionId),
    /// A field of the account holds what an identity header cannot carry.
    #[error("the {field} does not fit: {rule}")]
    BadField {
        /// "display name", "email address" or "group".
        field: &'static str,
        /// What would fit.
        rule: &'static str,
    },
    /// The new password is not taken.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The new password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No random bytes for an id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<NotTaken> for AdminError {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Refused(refused) => Self::Password(refused),
            NotTaken::Hash(error) => Self::Hash(error),
        }
    }
}
