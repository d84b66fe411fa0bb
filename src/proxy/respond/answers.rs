//! The format of gateway responses to an app's clients: pages or JSON, and the origins whose
//! scripts may read them.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, ORIGIN,
    TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::gate::glob::PathGlob;
use crate::gate::target::CanonicalTarget;
use crate::web::headers::harden;
use crate::web::refusal::ErrorShape;

/// The handling of preflight requests (Fetch Standard §4.8), which browsers send without cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preflight {
    /// Answered here, for the configured origins.
    #[default]
    Answer,
    /// Forwarded to the app, without an identity.
    Pass,
}

/// The format of responses to the clients of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerSettings {
    /// Paths that only scripts request.
    pub api_paths: Vec<PathGlob>,
    /// Origins whose scripts may read gateway responses, as browsers write them.
    pub cors_origins: Vec<String>,
    /// The handling of preflight requests.
    pub preflight: Preflight,
    /// The field names of JSON errors.
    pub errors: ErrorShape,
}

impl AnswerSettings {
    /// Returns true if only scripts request this raw target. Matches the canonical path in any case.
    /// A target without one is matched by prefix. Nothing is folded, because only the format of a
    /// response depends on it.
    pub fn is_api(&self, raw: &[u8]) -> bool {
        if self.api_paths.is_empty() {
            return false;
        }
        if let Ok(target) = CanonicalTarget::canonical(raw) {
            return self.api_paths.iter().any(|glob| glob.matches_in_any_case(target.rule_path()));
        }
        let starts = |glob: &PathGlob| raw.starts_with(glob.literal_start().as_bytes());
        self.api_paths.iter().any(starts)
    }

    /// Returns the origin of a request if its scripts may read gateway responses.
    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        self.cors_origins.iter().any(|o| o.as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// Returns true if the request is a CORS preflight.
    pub(in crate::proxy) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        let body = headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        method == Method::OPTIONS
            && !body
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Returns true if the request is a preflight that the app answers.
    pub(in crate::proxy) fn passes(&self, method: &Method, headers: &HeaderMap) -> bool {
        self.preflight == Preflight::Pass
            && Self::is_preflight(method, headers)
            && (self.cors_origins.is_empty() || self.allowed(headers).is_some())
    }

    /// Returns the response to a preflight of a configured origin.
    pub(in crate::proxy) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
        https: bool,
    ) -> Option<Response<bytes::Bytes>> {
        self.allowed(headers).filter(|_| Self::is_preflight(method, headers))?;
        let mut response = Response::new(bytes::Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        harden(answer, https);
        self.let_read(answer, headers);
        answer.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        let asked = [
            (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
            (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
        ];
        for (asked, allowed) in asked {
            if let Some(value) = headers.get(asked) {
                answer.insert(allowed, value.clone());
            }
        }
        Some(response)
    }

    /// Returns true if the request comes from an origin whose scripts may read gateway responses.
    pub(in crate::proxy) fn lets_read(&self, headers: &HeaderMap) -> bool {
        self.allowed(headers).is_some()
    }

    /// Adds the CORS headers for a configured origin.
    pub(in crate::proxy) fn let_read(&self, answer: &mut HeaderMap, asked: &HeaderMap) {
        if self.cors_origins.is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.allowed(asked) else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_canonical_form_is_an_api_path_by_what_it_starts_with() {
        let api_paths = ["/api/**", "/v/*/data"].map(|p| PathGlob::parse(p).unwrap()).to_vec();
        let answers = AnswerSettings { api_paths, ..AnswerSettings::default() };
        for api in ["/api/a", "/api", "/%61pi/a?x", "/api//a", "/api/../b", "/v/1/data", "/v/..%2f"]
        {
            assert!(answers.is_api(api.as_bytes()), "{api}");
        }
        for other in ["/", "/apis", "/v/1/other", "/a//api/", "//api/a", "*"] {
            assert!(!answers.is_api(other.as_bytes()), "{other}");
        }
    }
}
