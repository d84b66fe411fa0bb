//! Answers to requests that are not forwarded: a page for people, JSON for scripts. It does not
//! decide what is refused.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use http::{Method, Response, StatusCode};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::headers::harden;
use super::view::{Frame, titled};
use super::{assets, words};

/// For a browser with a session while the store that knows it does not answer: the session may well be
/// good.
pub const NOT_CHECKED: &str = "We can't check right now that you are signed in. This is not your fault, \
                               and you need not sign in again for it.";

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
    /// For people: the way on from the page.
    pub way_on: Option<WayOn>,
}

/// A link on the page of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayOn {
    /// Where it leads: a path on the same host, or an absolute address of ours.
    pub href: String,
    /// Its text.
    pub label: &'static str,
    /// More to know before following it.
    pub hint: Option<&'static str>,
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
    /// Seconds to wait before the next try.
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
    way_on: Option<&'a WayOn>,
    home: bool,
}

impl Refusal {
    /// A refusal that leads nowhere.
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
            way_on: None,
        }
    }

    /// The sentence, with the time to wait where there is one.
    fn sentence_and_wait(&self) -> Cow<'_, str> {
        match self.retry_after {
            Some(wait) => {
                let wait = words::duration(wait);
                format!("{} Try again in {wait}.", self.sentence).into()
            }
            None => Cow::Borrowed(&self.sentence),
        }
    }

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
        if wants_page && !can_load(place) {
            headers.insert(CONTENT_SECURITY_POLICY, assets::inline_policy());
        }
        let (status, code, sentence) = (self.status, self.code, self.sentence.clone());
        response.extensions_mut().insert(Told { status, code, sentence });
        response
    }

    fn json(&self, shape: &ErrorShape) -> String {
        serde_json::to_string(&Json(self, shape)).unwrap_or_else(|_never| "{}".to_owned())
    }

    fn page(&self, place: Option<Place<'_>>) -> Option<String> {
        let page = Page {
            frame: place.map_or_else(Frame::nowhere, |p| {
                let frame = Frame::new(p.title, p.origin);
                if can_load(place) { frame } else { frame.inline() }
            }),
            heading: heading(self.status, self.code),
            sentence: &self.sentence,
            reference: &self.reference,
            retry: self.retry_after.map(|w| (words::whole_seconds(w), words::duration(w))),
            way_on: self.way_on.as_ref(),
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

/// True if a page at this place can load our style: not at a host of nobody's, and not over plain
/// http, where a listener may do nothing but redirect.
fn can_load(place: Option<Place<'_>>) -> bool {
    place.is_some_and(|place| place.origin.starts_with("https://"))
}

fn heading(status: StatusCode, code: &str) -> &'static str {
    match (status, code) {
        (_, "step_up_required") => "Confirm that it is you",
        (_, "https_required") => "Use the secure address",
        (StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => "That did not work",
        (StatusCode::UNAUTHORIZED, _) => "Please sign in again",
        (StatusCode::FORBIDDEN, "stale_form") => "This page was out of date",
        (StatusCode::FORBIDDEN, _) => "Not allowed",
        (StatusCode::NOT_FOUND, _) => "Page not found",
        (StatusCode::METHOD_NOT_ALLOWED, _) => "Not available this way",
        (StatusCode::REQUEST_TIMEOUT, _) => "That took too long",
        (StatusCode::PAYLOAD_TOO_LARGE, _) => "That is too large",
        (StatusCode::URI_TOO_LONG, _) => "This address is too long",
        (StatusCode::MISDIRECTED_REQUEST, _) => "Unknown site",
        (StatusCode::TOO_MANY_REQUESTS, _) => "Too many tries",
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, _) => "Your browser sent too much",
        (StatusCode::SERVICE_UNAVAILABLE, _) => "Not available at the moment",
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => {
            "No answer from the application"
        }
        _ => "Something went wrong",
    }
}

/// True if a person looks at the answer: a request with `Sec-Fetch-Mode: navigate`, whatever its
/// method. Without Fetch Metadata (older browsers, plain http) it is a GET or HEAD whose `Accept`
/// names `text/html`, or a form as browsers send it.
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

/// True for a form as a browser sends it without Fetch Metadata. `text/html` alone says nothing:
/// Java's `HttpURLConnection` and jQuery name it in scripts, and never `application/xhtml+xml`.
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
            sentence: "You are not signed in: \"<b>\".".into(),
            reference: "abc".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
            login_url: Some("https://gw.test/_auth/login".to_owned()),
            step_up_url: None,
            way_on: None,
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
        assert_eq!(json["retry_after"], 2);
        assert!(json["error"].as_str().unwrap().ends_with(" Try again in 2 seconds."));
    }

    #[test]
    fn people_get_a_page_and_nothing_in_it_is_taken_for_markup() {
        let response = refusal().answer(true, None);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key("strict-transport-security"));
        let html = std::str::from_utf8(response.body()).unwrap();
        assert!(html.contains("abc") && !html.contains("<b>"));
        assert!(html.contains("<title>Error: Please sign in again"), "{html}");
        assert!(html.contains("<p data-wait=\"2\">Try again in 2 seconds.</p>"), "{html}");
    }

    #[test]
    fn a_page_that_can_load_nothing_brings_its_style_along() {
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

    /// As browsers accept a page.
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn without_fetch_metadata_a_form_of_a_browser_wants_a_page_and_no_script_does() {
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
