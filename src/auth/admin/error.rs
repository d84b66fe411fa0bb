//! Errors of the administration.

use crate::auth::account::LoginName;
use crate::auth::app_sign_in::Subject;
use crate::auth::password::{HashError, NewPasswordError, PasswordRefused};
use crate::auth::ports::StoreError;
use crate::base::id::{SessionId, TokenId};
use crate::base::random::RandomError;

/// An administrative action that failed or was incomplete.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account was changed, but its sessions are still in the session store.
    #[error(
        "{done}, and the sessions of {name} are rejected from now on, but could not be deleted{}: \
         {source}",
        if *recorded { "" } else { "; the audit log has no row" }
    )]
    SessionsLeft {
        /// Login name.
        name: LoginName,
        /// Completed action, such as "account disabled".
        done: &'static str,
        /// True if the audit log has the event.
        recorded: bool,
        /// Error of the session store.
        source: StoreError,
    },
    /// The account was changed, but its sessions do not have the change yet.
    #[error(
        "{name} was changed, but the sessions could not be notified{}: {source}",
        if *recorded { "" } else { "; the audit log has no row" }
    )]
    SessionsBehind {
        /// Login name.
        name: LoginName,
        /// True if the audit log has the event.
        recorded: bool,
        /// Error of the session store.
        source: StoreError,
    },
    /// One part of the action was completed and another part failed.
    #[error("{done}, but {left}: {source}")]
    Partly {
        /// Completed part, such as "the sessions were ended".
        done: &'static str,
        /// Failed part.
        left: &'static str,
        /// Error of the store.
        source: StoreError,
    },
    /// The action was completed, but its event is not in the audit log.
    #[error("done, but not recorded in the audit log: {0}")]
    NotRecorded(StoreError),
    /// The action was undone, because its event could not be written to the audit log.
    #[error("undone, because the audit log could not be written: {0}")]
    Undone(StoreError),
    /// The link was created but is not shown, so it cannot be used.
    #[error("the link is not shown, because the audit log could not be written: {0}")]
    LinkWithheld(StoreError),
    /// The user does not exist.
    #[error("there is no user {0}")]
    NoSuchUser(LoginName),
    /// The user has no such key.
    #[error("{0} has no such key")]
    NoSuchKey(LoginName),
    /// The account is disabled.
    #[error("{0} is disabled")]
    Disabled(LoginName),
    /// The login name is taken.
    #[error("user {0} already exists")]
    NameTaken(LoginName),
    /// The account is linked to another user of the app.
    #[error("{name} is linked to another user of {app}: unlink it first")]
    LinkedAlready {
        /// Login name.
        name: LoginName,
        /// Name of the app.
        app: String,
    },
    /// The user of the app is linked to another account.
    #[error("{subject} is linked to the user {by}: unlink it first")]
    SubjectTaken {
        /// The app's id of the user.
        subject: Subject,
        /// Login name of that account.
        by: LoginName,
    },
    /// The account is not linked to the app.
    #[error("{name} is not linked to {app}")]
    NotLinked {
        /// Login name.
        name: LoginName,
        /// Name of the app.
        app: String,
    },
    /// The app checks the password of the account. There is no password of Vestibule's to set.
    #[error("{name} has no password here: {app} checks it, so a link cannot set one")]
    PasswordKept {
        /// Login name.
        name: LoginName,
        /// Name of the app.
        app: String,
    },
    /// The token does not exist.
    #[error("there is no token {0}")]
    NoSuchToken(TokenId),
    /// The session does not exist.
    #[error("there is no session {0}, or it has ended already. Its end is recorded in any case")]
    NoSuchSession(SessionId),
    /// A field holds a value that an identity header cannot carry.
    #[error("invalid {field}: {rule}")]
    BadField {
        /// "display name", "email address" or "group".
        field: &'static str,
        /// Rule for the field.
        rule: &'static str,
    },
    /// The new password does not meet the policy.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The new password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No random bytes for an id.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<NewPasswordError> for AdminError {
    fn from(error: NewPasswordError) -> Self {
        match error {
            NewPasswordError::Refused(refused) => Self::Password(refused),
            NewPasswordError::Hash(error) => Self::Hash(error),
        }
    }
}
