//! Answers to auth requests. A success lets the original request pass, so nothing but an admission may
//! become one.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::gate::identity::IdentityHeaders;
use crate::proxy::app::App;
use crate::proxy::rewrite::app_headers::{ASSERTION, IdentityNames};
use crate::web::cookies::{self, Stripped};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Returns the answer that lets a request pass. Every header that the app trusts is there, if need be
/// empty, so that a proxy that copies them overwrites those of a client. `Cookie` is the one of the
/// `original` request without Vestibule's cookies.
pub(in crate::proxy) fn pass(
    app: &App,
    person: Option<&IdentityHeaders>,
    assertion: Option<HeaderValue>,
    original: &HeaderMap,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    let default;
    let names = if let Some(of_app) = app.headers.as_deref() {
        of_app.names()
    } else {
        default = IdentityNames::default();
        &default
    };
    for (name, value) in names.with(person) {
        if let Some(name) = name {
            headers.insert(name, value.cloned().unwrap_or(EMPTY));
        }
    }
    if app.headers.as_ref().is_some_and(|of_app| of_app.asserts()) {
        headers.insert(ASSERTION, assertion.unwrap_or(EMPTY));
    }
    let cookie = match cookies::strip_own_cookies(original) {
        Stripped::Untouched => original.get(COOKIE).cloned(),
        Stripped::Nothing => None,
        Stripped::Line(line) => Some(line),
    };
    headers.insert(COOKIE, cookie.unwrap_or(EMPTY));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Adapts a rejection to proxies: statuses that all of them pass on, redirects that do not depend on
/// the address of the auth request, and 401 in place of 303 if `wants_401`. `page` is the URL of
/// Vestibule's page at the app's host that asks for the missing proof. A redirect leads to that page
/// only, without a cookie, because proxies pass on only `Location`.
pub(in crate::proxy) fn reject(
    mut response: Response<Bytes>,
    page: Option<&str>,
    wants_401: bool,
) -> Response<Bytes> {
    response.headers_mut().remove(SET_COOKIE);
    let page = page.and_then(|page| HeaderValue::from_str(page).ok());
    if let (true, Some(page)) = (response.headers().contains_key(LOCATION), page) {
        response.headers_mut().insert(LOCATION, page);
    }
    *response.status_mut() = match response.status() {
        StatusCode::SEE_OTHER if wants_401 => StatusCode::UNAUTHORIZED,
        kept @ (StatusCode::SEE_OTHER
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::SERVICE_UNAVAILABLE) => kept,
        // The answer to a CORS preflight, which a proxy would take for a permission.
        success if success.is_success() => StatusCode::UNAUTHORIZED,
        _ => StatusCode::FORBIDDEN,
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_never_a_success_and_has_a_status_that_proxies_know() {
        for (status, expected) in [
            (200, 401),
            (204, 401),
            (303, 303),
            (308, 403),
            (400, 403),
            (401, 401),
            (403, 403),
            (404, 403),
            (405, 403),
            (414, 403),
            (421, 403),
            (429, 403),
            (431, 403),
            (500, 403),
            (503, 503),
        ] {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(reject(response, None, false).status().as_u16(), expected, "{status}");
        }
    }

    #[test]
    fn a_redirect_leads_to_the_page_of_the_app_and_sets_no_cookie() {
        let page = "https://gw.test/_auth/login?return_to=%2Fa";
        for to in ["/_auth/login?return_to=%2Fa", "https://sign-in.test/_auth/login?flow=x"] {
            for (wants_401, expected) in [(false, 303), (true, 401)] {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::SEE_OTHER;
                response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
                response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("a=b"));
                let response = reject(response, Some(page), wants_401);
                assert_eq!(response.status().as_u16(), expected);
                assert_eq!(response.headers()[LOCATION], page);
                assert!(!response.headers().contains_key(SET_COOKIE));
            }
        }
        let json = reject(Response::new(Bytes::new()), Some(page), true);
        assert!(!json.headers().contains_key(LOCATION));
    }
}
