//! The ways that a request can go.

use http::StatusCode;

use super::vet::Malformed;
use super::visitor::Presented;
use crate::auth::app_sign_in::AppPolicy;
use crate::gate::admission::Visitor;
use crate::gate::evaluate::Denial;
use crate::gate::path::RulePath;
use crate::gate::policy::First;
use crate::gate::target::BadTarget;
use crate::proxy::dialect::in_dialect::Carried;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::omitted::Omitted;
use crate::web::cookies::DuplicateCookie;

/// The decision about a request, as far as it goes without a store call.
pub(in crate::proxy) enum Decided {
    /// Forwarded to the app.
    Forward,
    /// Decided after a store call.
    Ask(Box<Question>),
}

/// The answer to a request that is not forwarded.
pub(in crate::proxy) enum Answer {
    /// One of our own pages.
    Own,
    /// The app's own sign-in.
    SignIn(AppPolicy),
    /// A rejection.
    Refuse(Box<Refused>),
}

/// A decision that waits for the visitor.
pub(in crate::proxy) struct Question {
    pub(in crate::proxy) presented: Presented,
    /// The path that rules match on.
    pub(in crate::proxy) path: Option<RulePath<'static>>,
    pub(in crate::proxy) first: First,
    pub(in crate::proxy) changes: Changes,
}

/// The request to forward, as far as it differs from the client's.
pub(in crate::proxy) struct Changes {
    /// The target, if it is rewritten.
    pub(in crate::proxy) rewritten: Option<String>,
    /// The parts that concern the app's dialect, if it has one.
    pub(in crate::proxy) carried: Option<Carried>,
    /// The app credentials that are omitted.
    pub(in crate::proxy) omitted: Omitted,
}

impl Changes {
    pub(in crate::proxy) fn new(rewritten: Option<String>, carried: Option<Carried>) -> Self {
        Self { rewritten, carried, omitted: Omitted::default() }
    }
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

impl From<Refused> for Answer {
    #[cold]
    fn from(refused: Refused) -> Self {
        Self::Refuse(Box::new(refused))
    }
}

impl From<Malformed> for Answer {
    #[cold]
    fn from(why: Malformed) -> Self {
        Refused::from(why).into()
    }
}

impl From<BadTarget> for Answer {
    #[cold]
    fn from(why: BadTarget) -> Self {
        Malformed::from(why).into()
    }
}

impl From<DuplicateCookie> for Answer {
    #[cold]
    fn from(_twice: DuplicateCookie) -> Self {
        let sentence = "The request has a Vestibule cookie more than once.";
        Malformed { status: StatusCode::BAD_REQUEST, sentence }.into()
    }
}

impl From<Denial> for Answer {
    #[cold]
    fn from(why: Denial) -> Self {
        Refused::from(why).into()
    }
}

#[cold]
pub(in crate::proxy) fn refuse(
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
) -> Answer {
    Refused::new(status, code, sentence).into()
}
