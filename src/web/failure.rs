//! Errors of page handlers, and the refusals they turn into.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::RequestContext;
use super::cookies::DuplicateCookie;
use super::refusal::{NOT_CHECKED, Refusal, RefusalLink};
use crate::auth::login::LoginError;

const NO_SIGN_IN: &str = "Signing in isn't possible right now. It's not your fault, and nothing you \
                          entered was wrong.";
const WRONG_CLOCK: &str = "The clock of this server is wrong, so signing in isn't possible here right now. \
                           It's not your fault. Please tell your administrator.";

#[derive(Debug)]
pub(super) enum Failure {
    /// A use case failed, for example because a store is unavailable.
    Unavailable(LoginError),
    /// The request is rejected.
    Refused {
        status: StatusCode,
        code: &'static str,
        sentence: Cow<'static, str>,
        link: Option<RefusalLink>,
    },
    /// An internal error, with its cause for the log.
    Broken(String),
}

impl Failure {
    pub(super) fn refused(
        status: StatusCode,
        code: &'static str,
        sentence: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Refused { status, code, sentence: sentence.into(), link: None }
    }

    /// Returns the failure for a stale form that is not shown again, with a link to `href`.
    pub(super) fn stale_form(href: String, label: &'static str) -> Self {
        Self::Refused {
            status: StatusCode::FORBIDDEN,
            code: "stale_form",
            sentence:
                "This form was out of date, so nothing was changed. That happens when a page \
                       stays open for a long time, or when you sign in or out in another tab. \
                       Cookies must be allowed for this site."
                    .into(),
            link: Some(RefusalLink { href, label, hint: None }),
        }
    }

    /// Turns the failure into a refusal and logs those that an operator must know about. `signed_in`
    /// is true if the browser seems to have a session.
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
            Self::Refused { status, code, sentence, link } => {
                Refusal { link, ..Refusal::new(status, code, sentence, reference) }
            }
            Self::Unavailable(LoginError::Busy) => {
                tracing::warn!(id = %context.request_id, %reference, "login queue full");
                unavailable(2, "Too many people are signing in right now. It's not your fault.")
            }
            Self::Unavailable(error @ LoginError::WrongClock) => {
                tracing::error!(id = %context.request_id, %reference, %error, "second factor refused");
                unavailable(30, WRONG_CLOCK)
            }
            Self::Unavailable(LoginError::Store(error)) => {
                // The store logs the beginning and the end of an outage.
                tracing::debug!(id = %context.request_id, %reference, %error, "page unavailable");
                unavailable(5, if signed_in { NOT_CHECKED } else { NO_SIGN_IN })
            }
            Self::Unavailable(error) => {
                tracing::error!(id = %context.request_id, %reference, %error, "page unavailable");
                unavailable(5, if signed_in { NOT_CHECKED } else { NO_SIGN_IN })
            }
            Self::Broken(reason) => {
                tracing::error!(id = %context.request_id, %reference, %reason, "failed to render page");
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Something went wrong on our side. It's not your fault.",
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
