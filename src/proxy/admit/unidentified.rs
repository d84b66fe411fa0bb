//! The failure to identify the visitor of a request.

use http::StatusCode;

use crate::auth::login::LoginError;
use crate::auth::ports::StoreError;
use crate::proxy::respond::refused::Refused;

/// The reason why the visitor of a request is not identified.
pub(in crate::proxy) enum Unidentified {
    /// A store failed.
    Store(StoreError),
    /// A token or another app credential is not accepted: the reason for the records, which the
    /// client does not learn, and the answer.
    Refused(&'static str, Box<Refused>),
}

impl Unidentified {
    /// Rejects an app credential.
    #[cold]
    pub(in crate::proxy) fn credential(why: &'static str, sentence: &'static str) -> Self {
        Self::refused(why, Refused::new(StatusCode::UNAUTHORIZED, "credential_refused", sentence))
    }

    /// Rejects a credential with this answer.
    #[cold]
    pub(in crate::proxy) fn refused(why: &'static str, answer: Refused) -> Self {
        Self::Refused(why, Box::new(answer))
    }
}

impl From<StoreError> for Unidentified {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LoginError> for Unidentified {
    fn from(error: LoginError) -> Self {
        Self::Store(match error {
            LoginError::Store(error) => error,
            other @ (LoginError::Busy
            | LoginError::AppSilent(_)
            | LoginError::WrongClock
            | LoginError::Broken(_)) => {
                StoreError { store: "the gateway", reason: other.to_string() }
            }
        })
    }
}
