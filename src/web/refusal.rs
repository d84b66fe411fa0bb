//! Answers to requests that are not forwarded: a page for people, JSON for scripts. It does not
//! decide what is refused.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::headers::harden;
use super::view::Frame;
use super::words;

/// Where a refusal is shown, so that people see where they are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The app's name on our pages.
    pub title: &'a str,
    /// Scheme and host as the browser used them: `https://host[:port]`.
    pub origin: &'a str,
}

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// For scripts: `login_required`, `forbidden`, `unavailable`, `bad_request`,
    /// `method_not_allowed`, `misdirected`, ….
    pub code: &'static str,
    /// For people: one or two plain sentences.
    pub sentence: Cow<'static, str>,
    /// A short id that is also in the log.
    pub reference: String,
    /// When to come back; sent as whole seconds, rounded up.
    pub retry_after: Option<Duration>,
    /// The absolute address of the sign-in page, where signing in would help.
    pub login_url: Option<String>,
    /// The absolute address where the second factor is proved again, where that would help.
    pub step_up_url: Option<String>,
}

/// What the fields of a refusal are called in JSON; one without a name is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorShape {
    /// The sentence.
    pub error: String,
    /// The code.
    pub code: Option<String>,
    /// Where to sign in.
    pub login_url: Option<String>,
    /// Where to prove the second factor again.
    pub step_up_url: Option<String>,
    /// The reference.
    pub reference: Option<String>,
}

impl Default for ErrorShape {
    fn default() -> Self {
        let named = |name: &str| Some(name.to_owned());
        Self {
            error: "error".to_owned(),
            code: named("code"),
            login_url: named("login_url"),
            step_up_url: named("step_up_url"),
            reference: named("reference"),
        }
    }
}

/// What was told to whom a request was refused: an extension of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The HTTP status.
    pub status: StatusCode,
    /// For scripts.
    pub code: &'static str,
    /// For people.
    pub sentence: Cow<'static, str>,
}

/// A refusal in some shape.
struct Json<'a>(&'a Refusal, &'a ErrorShape);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(refusal, shape) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(&shape.error, &refusal.sentence)?;
        for (name, value) in [
            (&shape.code, Some(refusal.code)),
            (&shape.login_url, refusal.login_url.as_deref()),
            (&shape.step_up_url, refusal.step_up_url.as_deref()),
            (&shape.reference, Some(refusal.reference.as_str())),
        ] {
            if let (Some(name), Some(value)) = (name, value) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Page<'a> {
    frame: Frame,
    heading: &'static str,
    sentence: &'a str,
    reference: &'a str,
    retry: Option<String>,
    login_url: Option<&'a str>,
    home: bool,
}

impl Refusal {
    /// The answer, with all headers that answers of ours carry: a page when `wants_page`, else
    /// JSON. Without a `place` (an unknown host) the page stands without style.
    pub fn answer(&self, wants_page: bool, place: Option<Place<'_>>) -> Response<Bytes> {
        self.answer_in(wants_page, place, &ErrorShape::default())
    }

    /// The same, with JSON of that shape.
    pub fn answer_in(
        &self,
        wants_page: bool,
        place: Option<Place<'_>>,
        shape: &ErrorShape,
    ) -> Response<Bytes> {
        let page = if wants_page { self.page(place) } else { None };
        let (kind, body) = page.map_or_else(
            || ("application/json", self.json(shape)),
            |html| ("text/html; charset=utf-8", html),
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(words::whole_seconds(wait)));
        }
        harden(headers, place.is_some_and(|p| p.origin.starts_with("https://")));
        let (status, code, sentence) = (self.status, self.code, self.sentence.clone());
        response.extensions_mut().insert(Told { status, code, sentence });
        response
    }

    fn json(&self, shape: &ErrorShape) -> String {
        serde_json::to_string(&Json(self, shape)).unwrap_or_else(|_never| "{}".to_owned())
    }

    fn page(&self, place: Option<Place<'_>>) -> Option<String> {
        let page = Page {
            frame: place.map_or_else(Frame::nowhere, |p| Frame::new(p.title, p.origin)),
            heading: heading(self.status),
            sentence: &self.sentence,
            reference: &self.reference,
            retry: self.retry_after.map(words::duration),
            login_url: self.login_url.as_deref(),
            home: self.status == StatusCode::FORBIDDEN || self.status == StatusCode::NOT_FOUND,
        };
        page.render().ok()
    }
}

fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => "That did not work",
        StatusCode::UNAUTHORIZED => "Please sign in",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Page not found",
        StatusCode::METHOD_NOT_ALLOWED => "Not available this way",
        StatusCode::MISDIRECTED_REQUEST => "Unknown site",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::SERVICE_UNAVAILABLE => "Not available at the moment",
        _ => "Something went wrong",
    }
}

/// Whether a person looks at the answer: GET or HEAD with `Sec-Fetch-Mode: navigate`, or without
/// Fetch Metadata and with an `Accept` that names `text/html`.
pub fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    if method != Method::GET && method != Method::HEAD {
        return false;
    }
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let metadata = ["sec-fetch-site", "sec-fetch-dest", "sec-fetch-user"];
    !metadata.iter().any(|name| headers.contains_key(*name))
        && headers.get_all(ACCEPT).iter().any(|v| v.to_str().is_ok_and(names_html))
}

fn names_html(accept: &str) -> bool {
    accept.split(',').any(|item| {
        let kind = item.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: "login_required",
            sentence: "You are not signed in: \"<b>\".".into(),
            reference: "abc".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
            login_url: Some("https://gw.test/_auth/login".to_owned()),
            step_up_url: None,
        }
    }

    fn asks(method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        wants_page(method, &headers)
    }

    #[test]
    fn scripts_get_json_they_can_act_on() {
        let place = Place { title: "App", origin: "https://gw.test" };
        let response = refusal().answer(false, Some(place));
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers().contains_key("strict-transport-security"));
        let json: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(json["code"], "login_required");
        assert_eq!(json["login_url"], "https://gw.test/_auth/login");
        assert_eq!(json["reference"], "abc");
    }

    #[test]
    fn people_get_a_page_and_nothing_in_it_is_taken_for_markup() {
        let response = refusal().answer(true, None);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key("strict-transport-security"));
        let html = std::str::from_utf8(response.body()).unwrap();
        assert!(html.contains("abc") && !html.contains("<b>"));
    }

    #[test]
    fn only_a_navigation_wants_a_page() {
        assert!(asks(&Method::GET, &[("sec-fetch-mode", "navigate")]));
        assert!(asks(&Method::HEAD, &[("accept", "text/html,*/*;q=0.8")]));
        assert!(asks(&Method::GET, &[("accept", "application/xml, Text/HTML;q=0.9")]));
        assert!(!asks(&Method::POST, &[("sec-fetch-mode", "navigate")]));
        assert!(!asks(&Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")]));
        assert!(!asks(&Method::GET, &[("sec-fetch-dest", "empty"), ("accept", "text/html")]));
        assert!(!asks(&Method::GET, &[("accept", "*/*")]));
        assert!(!asks(&Method::GET, &[("accept", "text/htmlx")]));
        assert!(!asks(&Method::GET, &[]));
    }
}
