//! The ways that a request can go.

use http::StatusCode;

use super::vet::Malformed;
use super::visitor::Presented;
use crate::auth::app_sign_in::AppPolicy;
use crate::gate::admission::Visitor;
use crate::gate::dialect::Credentials;
use crate::gate::policy::First;
use crate::proxy::respond::refused::Refused;

/// The way that a request goes.
pub(in crate::proxy) enum Way {
    /// Forwarded to the app.
    Forward,
    /// Answered by our own pages.
    Own,
    /// Answered here, as the app's own sign-in.
    SignIn(AppPolicy),
    /// Rejected.
    Refuse(Box<Refused>),
    /// Rejected by closing the connection: its client does not read its responses.
    HangUp,
    /// Decided after a store call.
    Ask(Box<Question>),
}

/// A decision that waits for the visitor.
pub(in crate::proxy) struct Question {
    pub(in crate::proxy) presented: Presented,
    /// The path that rules match on.
    pub(in crate::proxy) path: Option<String>,
    pub(in crate::proxy) first: First,
    pub(in crate::proxy) rewritten: Option<String>,
    /// The app credentials in the request, if the app has a dialect.
    pub(in crate::proxy) found: Option<Credentials>,
}

impl Question {
    /// Returns true if the credential is one that the gateway issued, which the token key proves.
    pub(in crate::proxy) fn is_vouched_for(&self) -> bool {
        match &self.presented {
            Presented::Session(..) | Presented::Login(_) => true,
            Presented::Token => false,
            Presented::Known(visitor) => !matches!(visitor, Visitor::Anonymous),
        }
    }
}

impl From<Refused> for Way {
    #[cold]
    fn from(refused: Refused) -> Self {
        Self::Refuse(Box::new(refused))
    }
}

impl From<Malformed> for Way {
    #[cold]
    fn from(why: Malformed) -> Self {
        Refused::from(why).into()
    }
}

#[cold]
pub(in crate::proxy) fn refuse(
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
) -> Way {
    Refused::new(status, code, sentence).into()
}
