//! Responses to rejected requests: a page for browsers, JSON for scripts.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use http::{Method, Response, StatusCode};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::frame::{Frame, titled};
use super::headers::harden;
use super::{assets, words};

/// Message for a browser with a session cookie while the session store is unavailable. The session may
/// be valid.
pub const NOT_CHECKED: &str = "We can't check your sign-in right now. It's not your fault, and you don't \
                               need to sign in again.";

/// The site named on the page of a refusal.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Name of the app on pages.
    pub title: &'a str,
    /// Scheme and host as the browser used them: `https://host[:port]`.
    pub origin: &'a str,
}

/// The reason why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// Machine-readable code: `login_required`, `forbidden`, `unavailable`, `bad_request`,
    /// `method_not_allowed`, `misdirected`, ….
    pub code: &'static str,
    /// One or two sentences for the user.
    pub sentence: Cow<'static, str>,
    /// Short id of the request, which is also in the log.
    pub reference: String,
    /// Time to wait before a retry, sent as whole seconds, rounded up.
    pub retry_after: Option<Duration>,
    /// Absolute URL of the sign-in page, if signing in would help.
    pub login_url: Option<String>,
    /// Absolute URL of the step-up page, if a step-up would help.
    pub step_up_url: Option<String>,
    /// Link on the page.
    pub link: Option<RefusalLink>,
    /// The user who asked is signed in: the header of the page links to the account and to signing out.
    pub signed_in: bool,
}

/// A link on the page of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalLink {
    /// Path on the same host, or absolute URL of one of the gateway's pages.
    pub href: String,
    /// Text of the link.
    pub label: &'static str,
    /// Advice shown before the link.
    pub hint: Option<&'static str>,
}

/// Names of the JSON fields of a refusal; a field without a name is omitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorShape {
    /// Name of the sentence.
    pub error: String,
    /// Name of the code.
    pub code: Option<String>,
    /// Name of the URL of the sign-in page.
    pub login_url: Option<String>,
    /// Name of the URL of the step-up page.
    pub step_up_url: Option<String>,
    /// Name of the reference.
    pub reference: Option<String>,
    /// Name of the seconds to wait.
    pub retry_after: Option<String>,
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
            retry_after: named("retry_after"),
        }
    }
}

/// Summary of a refusal for the log and `vestibule why`, as an extension of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalSummary {
    /// The HTTP status.
    pub status: StatusCode,
    /// Machine-readable code.
    pub code: &'static str,
    /// Sentence for the user.
    pub sentence: Cow<'static, str>,
}

/// A refusal with the names of its JSON fields.
struct Json<'a>(&'a Refusal, &'a ErrorShape);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(refusal, shape) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(&shape.error, &refusal.sentence_and_wait())?;
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
        if let (Some(name), Some(wait)) = (&shape.retry_after, refusal.retry_after) {
            map.serialize_entry(name, &words::whole_seconds(wait))?;
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
    retry: Option<(u64, String)>,
    link: Option<&'a RefusalLink>,
    home: bool,
}

impl Refusal {
    /// Returns a refusal without links.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        sentence: impl Into<Cow<'static, str>>,
        reference: String,
    ) -> Self {
        Self {
            status,
            code,
            sentence: sentence.into(),
            reference,
            retry_after: None,
            login_url: None,
            step_up_url: None,
            link: None,
            signed_in: false,
        }
    }

    /// Returns the sentence, followed by the time to wait if there is one.
    fn sentence_and_wait(&self) -> Cow<'_, str> {
        match self.retry_after {
            Some(wait) => {
                let wait = words::duration(wait);
                format!("{} Try again in {wait}.", self.sentence).into()
            }
            None => Cow::Borrowed(&self.sentence),
        }
    }

    /// Returns the response with all security headers: a page if `wants_page` is set, else JSON.
    /// `place` is `None` for an unknown host.
    pub fn answer(&self, wants_page: bool, place: Option<Place<'_>>) -> Response<Bytes> {
        self.answer_in(wants_page, place, &ErrorShape::default())
    }

    /// Returns the response with JSON fields named by `shape`.
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
        if wants_page && !can_load(place) {
            headers.insert(CONTENT_SECURITY_POLICY, assets::inline_policy());
        }
        let (status, code, sentence) = (self.status, self.code, self.sentence.clone());
        response.extensions_mut().insert(RefusalSummary { status, code, sentence });
        response
    }

    fn json(&self, shape: &ErrorShape) -> String {
        serde_json::to_string(&Json(self, shape)).unwrap_or_else(|_never| "{}".to_owned())
    }

    fn page(&self, place: Option<Place<'_>>) -> Option<String> {
        let page = Page {
            frame: place.map_or_else(Frame::nowhere, |p| {
                let frame = Frame::new(p.title, p.origin).signed_in(self.signed_in);
                if can_load(place) { frame } else { frame.inline() }
            }),
            heading: heading(self.status, self.code),
            sentence: &self.sentence,
            reference: &self.reference,
            retry: self.retry_after.map(|w| (words::whole_seconds(w), words::duration(w))),
            link: self.link.as_ref(),
            home: matches!(
                self.status,
                StatusCode::BAD_REQUEST
                    | StatusCode::FORBIDDEN
                    | StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::URI_TOO_LONG
            ),
        };
        page.render().ok().map(|html| titled(html, self.status))
    }
}

/// Returns true if a page can link the style sheet. It cannot on an unknown host or over plain http,
/// where a listener may only redirect.
fn can_load(place: Option<Place<'_>>) -> bool {
    place.is_some_and(|place| place.origin.starts_with("https://"))
}

fn heading(status: StatusCode, code: &str) -> &'static str {
    match (status, code) {
        (_, "step_up_required") => "Confirm it's you",
        (_, "https_required") => "Use the secure address",
        (StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => "That didn't work",
        (StatusCode::UNAUTHORIZED, _) => "Sign in again",
        (StatusCode::FORBIDDEN, "stale_form") => "This page was out of date",
        (StatusCode::FORBIDDEN, _) => "Not allowed",
        (StatusCode::NOT_FOUND, _) => "Page not found",
        (StatusCode::METHOD_NOT_ALLOWED, _) => "Not available this way",
        (StatusCode::REQUEST_TIMEOUT, _) => "That took too long",
        (StatusCode::PAYLOAD_TOO_LARGE, _) => "That's too large",
        (StatusCode::URI_TOO_LONG, _) => "This address is too long",
        (StatusCode::MISDIRECTED_REQUEST, _) => "Unknown site",
        (StatusCode::TOO_MANY_REQUESTS, _) => "Too many attempts",
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, _) => "Your browser sent too much",
        (StatusCode::SERVICE_UNAVAILABLE, _) => "Not available right now",
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => {
            "No answer from the application"
        }
        _ => "Something went wrong",
    }
}

/// Returns true for a browser navigation. With Fetch Metadata that is any request with
/// `Sec-Fetch-Mode: navigate`. Without (older browsers, plain http), it is a GET or HEAD whose
/// `Accept` includes `text/html`, or a form as browsers send it.
pub fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let metadata = ["sec-fetch-site", "sec-fetch-dest", "sec-fetch-user"];
    if metadata.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    if method == Method::GET || method == Method::HEAD {
        return accepts(headers, "text/html");
    }
    method == Method::POST && is_sent_form(headers)
}

/// Returns true for a form as a browser sends it without Fetch Metadata. Scripts with jQuery or Java's
/// `HttpURLConnection` also accept `text/html`, but never `application/xhtml+xml`.
fn is_sent_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let forms = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
    forms.iter().any(|form| kind.eq_ignore_ascii_case(form))
        && !headers.contains_key("x-requested-with")
        && accepts(headers, "text/html")
        && accepts(headers, "application/xhtml+xml")
}

fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let names = |accept: &str| {
        accept.split(',').any(|item| {
            let kind = item.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case(wanted)
        })
    };
    headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: "login_required",
            sentence: "You're not signed in: \"<b>\".".into(),
            reference: "abc".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
            login_url: Some("https://gw.test/_auth/login".to_owned()),
            step_up_url: None,
            link: None,
            signed_in: false,
        }
    }

    fn asks(method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        wants_page(method, &headers)
    }

    #[test]
    fn scripts_get_machine_readable_json() {
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
        assert_eq!(json["retry_after"], 2);
        assert!(json["error"].as_str().unwrap().ends_with(" Try again in 2 seconds."));
    }

    #[test]
    fn browsers_get_a_page_with_escaped_text() {
        let response = refusal().answer(true, None);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key("strict-transport-security"));
        let html = std::str::from_utf8(response.body()).unwrap();
        assert!(html.contains("abc") && !html.contains("<b>"));
        assert!(html.contains("<title>Error: Sign in again"), "{html}");
        assert!(html.contains("<p data-wait=\"2\">Try again in 2 seconds.</p>"), "{html}");
    }

    #[test]
    fn a_page_that_cannot_load_files_has_an_inline_style() {
        let plain = Place { title: "App", origin: "http://gw.test" };
        for place in [None, Some(plain)] {
            let response = refusal().answer(true, place);
            let html = std::str::from_utf8(response.body()).unwrap();
            let (_, rest) = html.split_once("<style>").unwrap();
            let (style, _) = rest.split_once("</style>").unwrap();
            let hash = ring::digest::digest(&ring::digest::SHA256, style.as_bytes());
            let hash = data_encoding::BASE64.encode(hash.as_ref());
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
            assert!(!html.contains("/_auth/assets/") && style.contains("--ground"));
        }
        let https = Place { title: "App", origin: "https://gw.test" };
        let response = refusal().answer(true, Some(https));
        assert!(!std::str::from_utf8(response.body()).unwrap().contains("<style"));
    }

    #[test]
    fn only_a_navigation_wants_a_page() {
        assert!(asks(&Method::GET, &[("sec-fetch-mode", "navigate")]));
        assert!(asks(&Method::HEAD, &[("accept", "text/html,*/*;q=0.8")]));
        assert!(asks(&Method::GET, &[("accept", "application/xml, Text/HTML;q=0.9")]));
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert!(asks(&method, &[("sec-fetch-mode", "navigate"), ("accept", "*/*")]));
            assert!(!asks(&method, &[("sec-fetch-mode", "cors"), ("accept", BROWSER)]));
        }
        assert!(!asks(&Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")]));
        assert!(!asks(&Method::GET, &[("sec-fetch-dest", "empty"), ("accept", "text/html")]));
        assert!(!asks(&Method::GET, &[("accept", "*/*")]));
        assert!(!asks(&Method::GET, &[("accept", "text/htmlx")]));
        assert!(!asks(&Method::GET, &[]));
    }

    /// The `Accept` header of browsers for pages.
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn without_fetch_metadata_a_browser_form_wants_a_page_and_a_script_does_not() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        for kind in [form.1, "Multipart/Form-Data; boundary=x", "text/plain"] {
            assert!(asks(&Method::POST, &[("content-type", kind), ("accept", BROWSER)]), "{kind}");
        }
        let of_java = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2";
        for accept in ["*/*", "application/json, text/xml, application/xml, */*", of_java] {
            assert!(!asks(&Method::POST, &[form, ("accept", accept)]), "{accept}");
        }
        let json = ("content-type", "application/json");
        assert!(!asks(&Method::POST, &[json, ("accept", BROWSER)]));
        assert!(!asks(&Method::PUT, &[form, ("accept", BROWSER)]));
        let ajax = ("x-requested-with", "XMLHttpRequest");
        assert!(!asks(&Method::POST, &[form, ("accept", BROWSER), ajax]));
        assert!(!asks(&Method::POST, &[form, ("accept", BROWSER), ("sec-fetch-site", "none")]));
    }
}
