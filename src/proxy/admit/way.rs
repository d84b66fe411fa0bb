//! The ways a request can go.

use http::StatusCode;

use super::vet::Malformed;
use super::visitor::Held;
use crate::auth::app_sign_in::AppPolicy;
use crate::gate::admission::Visitor;
use crate::gate::dialect::Credentials;
use crate::gate::policy::First;
use crate::proxy::respond::refused::Refused;

/// Where a request goes.
pub(in crate::proxy) enum Way {
    /// On to the app.
    Forward,
    /// To our own pages.
    Own,
    /// To the app's own sign-in, which is answered here.
    SignIn(AppPolicy),
    /// Nowhere.
    Refuse(Box<Refused>),
    /// Nowhere, and the connection ends: its client takes no answers.
    HangUp,
    /// That depends on whose session this is, and the store has to be asked.
    Ask(Box<Question>),
}

/// What is still to be decided once the visitor is known.
pub(in crate::proxy) struct Question {
    pub(in crate::proxy) token: Held,
    /// The path that rules look at.
    pub(in crate::proxy) path: Option<String>,
    pub(in crate::proxy) first: First,
    pub(in crate::proxy) rewritten: Option<String>,
    /// The app's credentials in the request, where it has a description of them.
    pub(in crate::proxy) found: Option<Credentials>,
}

impl Question {
    /// Whether it is about a credential that we gave out, which the token key tells.
    pub(in crate::proxy) fn is_vouched_for(&self) -> bool {
        match &self.token {
            Held::Session(..) | Held::Login(_) => true,
            Held::Token => false,
            Held::Known(visitor) => !matches!(visitor, Visitor::Anonymous),
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
