//! What shape our own answers to an app's clients have: for people or for scripts, and for scripts
//! of which other origins.

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

/// What is done with preflight requests (Fetch Standard §4.8) that nobody is signed in for: browsers
/// send them without cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preflight {
    /// Those of the configured origins are answered here.
    #[default]
    Answer,
    /// They are forwarded to the app, which is told of nobody.
    Pass,
}

/// How the clients of an app are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerSettings {
    /// Where only scripts ask.
    pub api_paths: Vec<PathGlob>,
    /// The origins whose scripts may read our answers, as browsers write them.
    pub cors_origins: Vec<String>,
    /// What is done with preflights.
    pub preflight: Preflight,
    /// The fields of our JSON.
    pub errors: ErrorShape,
}

impl AnswerSettings {
    /// Whether a raw target is one that only scripts ask for. It goes by the canonical path; what
    /// has none by what it starts with, since nothing but the shape of an answer depends on it.
    pub fn is_api(&self, raw: &[u8]) -> bool {
        if self.api_paths.is_empty() {
            return false;
        }
        if let Ok(target) = CanonicalTarget::canonical(raw) {
            return self.api_paths.iter().any(|glob| glob.matches_loosely(target.path()));
        }
        let starts = |glob: &PathGlob| raw.starts_with(glob.literal_start().as_bytes());
        self.api_paths.iter().any(starts)
    }

    /// The origin that asks, where its scripts may read our answers.
    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        self.cors_origins.iter().any(|o| o.as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// Whether a request asks what its like may do from another origin.
    pub(in crate::proxy) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        let body = headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        method == Method::OPTIONS
            && !body
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Whether it is one that the app is to answer.
    pub(in crate::proxy) fn passes(&self, method: &Method, headers: &HeaderMap) -> bool {
        self.preflight == Preflight::Pass
            && Self::is_preflight(method, headers)
            && (self.cors_origins.is_empty() || self.allowed(headers).is_some())
    }

    /// The answer to a preflight of one of the configured origins.
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

    /// Whether it comes from an origin whose scripts may read our answers.
    pub(in crate::proxy) fn lets_read(&self, headers: &HeaderMap) -> bool {
        self.allowed(headers).is_some()
    }

    /// Lets the scripts of the origin that asks read an answer of ours, if it is a configured one.
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
