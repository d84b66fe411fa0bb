//! What keeps one of our pages from being shown, and the refusal it becomes.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::RequestContext;
use super::cookies::DuplicateCookie;
use super::refusal::Refusal;
use crate::auth::login::LoginError;

#[derive(Debug)]
pub(super) enum Failure {
    /// A use case could not be carried out.
    Unavailable(LoginError),
    /// The request is not one we answer.
    Refused { status: StatusCode, code: &'static str, sentence: Cow<'static, str>, again: bool },
    /// Ours: for the log.
    Broken(String),
}

impl Failure {
    pub(super) fn refused(
        status: StatusCode,
        code: &'static str,
        sentence: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Refused { status, code, sentence: sentence.into(), again: false }
    }

    pub(super) fn stale_form() -> Self {
        Self::Refused {
            status: StatusCode::FORBIDDEN,
            code: "stale_form",
            sentence: "This form is out of date, so nothing was done. That happens when a page \
                       stays open for long, or when you sign in or out in another tab. Cookies \
                       must be allowed for this site."
                .into(),
            again: true,
        }
    }

    /// Notes it in the log where the operator has to know, and makes the refusal.
    pub(super) fn into_refusal(self, context: &RequestContext) -> Refusal {
        let reference = context.request_id.reference();
        let login_url = || Some(format!("{}/_auth/login", context.links));
        let unavailable = |seconds, sentence: &'static str| Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "unavailable",
            sentence: sentence.into(),
            reference: context.request_id.reference(),
            retry_after: Some(Duration::from_secs(seconds)),
            login_url: None,
            step_up_url: None,
        };
        match self {
            Self::Refused { status, code, sentence, again } => Refusal {
                status,
                code,
                sentence,
                reference,
                retry_after: None,
                login_url: if again { login_url() } else { None },
                step_up_url: None,
            },
            Self::Unavailable(LoginError::Busy) => {
                tracing::warn!(request = %context.request_id, %reference, "too many passwords are being checked");
                unavailable(
                    2,
                    "Very many people are signing in at this moment. This is not your fault. \
                     Please try again in a few seconds.",
                )
            }
            Self::Unavailable(error) => {
                tracing::error!(request = %context.request_id, %reference, %error, "a page could not be answered");
                unavailable(
                    5,
                    "Signing in does not work at this moment. This is not your fault, and what \
                     you typed was not found wrong. Please try again in a few seconds.",
                )
            }
            Self::Broken(reason) => {
                tracing::error!(request = %context.request_id, %reference, %reason, "a page could not be made");
                Refusal {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    code: "internal",
                    sentence: "Something went wrong on our side. This is not your fault.".into(),
                    reference,
                    retry_after: None,
                    login_url: None,
                    step_up_url: None,
                }
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
