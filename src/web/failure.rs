//! What keeps one of our pages from being shown, and the refusal it becomes.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::RequestContext;
use super::cookies::DuplicateCookie;
use super::refusal::{NOT_CHECKED, Refusal, WayOn};
use crate::auth::login::LoginError;

const NO_SIGN_IN: &str = "Signing in isn't possible right now. This is not your fault, and what you \
                          typed was not found wrong.";

#[derive(Debug)]
pub(super) enum Failure {
    /// A use case could not be carried out.
    Unavailable(LoginError),
    /// The request is not one we answer.
    Refused {
        status: StatusCode,
        code: &'static str,
        sentence: Cow<'static, str>,
        way_on: Option<WayOn>,
    },
    /// Ours: for the log.
    Broken(String),
}

impl Failure {
    pub(super) fn refused(
        status: StatusCode,
        code: &'static str,
        sentence: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Refused { status, code, sentence: sentence.into(), way_on: None }
    }

    /// A form whose token is not this browser's, and which is not shown anew. `way_on` is where the
    /// person finds it.
    pub(super) fn stale_form(href: String, label: &'static str) -> Self {
        Self::Refused {
            status: StatusCode::FORBIDDEN,
            code: "stale_form",
            sentence: "This form is out of date, so nothing was done. That happens when a page \
                       stays open for long, or when you sign in or out in another tab. Cookies \
                       must be allowed for this site."
                .into(),
            way_on: Some(WayOn { href, label, hint: None }),
        }
    }

    /// Notes it in the log where the operator has to know, and makes the refusal. `signed_in` is true
    /// if the browser holds a session, as far as is known.
    pub(super) fn into_refusal(self, context: &RequestContext, signed_in: bool) -> Refusal {
        let reference = context.request_id.reference();
        let unavailable = |seconds, sentence: &'static str| Refusal {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                sentence,
                context.request_id.reference(),
            )
        };
        match self {
            Self::Refused { status, code, sentence, way_on } => {
                Refusal { way_on, ..Refusal::new(status, code, sentence, reference) }
            }
            Self::Unavailable(LoginError::Busy) => {
                tracing::warn!(request = %context.request_id, %reference, "too many passwords are being checked");
                unavailable(2, "Very many people are signing in right now. This is not your fault.")
            }
            Self::Unavailable(error) => {
                tracing::error!(request = %context.request_id, %reference, %error, "a page could not be answered");
                unavailable(5, if signed_in { NOT_CHECKED } else { NO_SIGN_IN })
            }
            Self::Broken(reason) => {
                tracing::error!(request = %context.request_id, %reference, %reason, "a page could not be made");
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Something went wrong on our side. This is not your fault.",
                    reference,
                )
            }
        }
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<DuplicateCookie> for Failure {
    fn from(error: DuplicateCookie) -> Self {
        let DuplicateCookie(name) = error;
        Self::refused(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!(
                "Your browser sent the cookie {name} more than once. Clear this site's cookies \
                 and try again."
            ),
        )
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::Broken(error.to_string())
    }
}
