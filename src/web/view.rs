//! Responses of pages, and the messages shown beside form fields.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};

use super::csrf::Stale;
use super::failure::Failure;
use super::frame::titled;
use super::refusal::RefusalSummary;
use super::words;

/// A response under construction.
pub(super) struct Answer(Response);

impl Answer {
    pub(super) fn page(status: StatusCode, page: &impl Template) -> Result<Self, Failure> {
        let mut response = Response::new(Body::from(titled(page.render()?, status)));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(Self(response))
    }

    /// Redirects with 303 to a path on this host, or to a configured host.
    pub(super) fn see_other(path: &str) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let location =
            HeaderValue::from_str(path).unwrap_or_else(|_never| HeaderValue::from_static("/"));
        response.headers_mut().insert(LOCATION, location);
        Self(response)
    }

    pub(super) fn json(value: &impl serde::Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_string(value).map_err(|e| Failure::Broken(e.to_string()))?;
        let mut response = Response::new(Body::from(body));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(Self(response))
    }

    /// Omits `Referer` from what follows, because the requested address contains a secret.
    #[must_use]
    pub(super) fn unreferred(mut self) -> Self {
        let none = HeaderValue::from_static("no-referrer");
        self.0.headers_mut().insert(REFERRER_POLICY, none);
        self
    }

    #[must_use]
    pub(super) fn cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        if let Some(cookie) = cookie {
            self.0.headers_mut().append(SET_COOKIE, cookie);
        }
        self
    }

    /// Attaches the reason of a rejected form, for `vestibule why`.
    #[must_use]
    pub(super) fn with_summary(mut self, complaint: &Complaint) -> Self {
        if let Some(sentence) = complaint.text.clone().filter(|_| complaint.stale) {
            let (status, code) = (self.0.status(), "stale_form");
            self.0.extensions_mut().insert(RefusalSummary {
                status,
                code,
                sentence: sentence.into(),
            });
        }
        self
    }

    #[must_use]
    pub(super) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            let seconds = HeaderValue::from(words::whole_seconds(wait));
            self.0.headers_mut().insert(RETRY_AFTER, seconds);
        }
        self
    }

    pub(super) fn done(self) -> Response {
        self.0
    }
}

/// A message beside a form field about its input.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    pub(super) text: Option<String>,
    pub(super) wait: Option<Duration>,
    stale: bool,
}

impl Complaint {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    pub(super) fn wait(wait: Duration) -> Self {
        let text = format!("Too many attempts. Wait {} and try again.", words::duration(wait));
        Self { text: Some(text), wait: Some(wait), stale: false }
    }

    /// For a stale form, which is shown again.
    pub(super) fn stale(why: &Stale, host: &str) -> Self {
        let text = if why.cookies {
            "This page was out of date, so nothing was changed. Try again.".to_owned()
        } else {
            format!(
                "Your browser sent no cookie with this form, so nothing was changed. Signing in needs \
                 cookies: allow them for {host}, then try again."
            )
        };
        Self { text: Some(text), wait: None, stale: true }
    }

    /// Returns the seconds to wait, for the countdown script.
    pub(super) fn wait_seconds(&self) -> Option<u64> {
        self.wait.map(words::whole_seconds)
    }

    pub(super) fn status(&self) -> StatusCode {
        match (&self.text, self.wait) {
            _ if self.stale => StatusCode::FORBIDDEN,
            (_, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
            (Some(_), None) => StatusCode::UNAUTHORIZED,
            (None, None) => StatusCode::OK,
        }
    }
}
