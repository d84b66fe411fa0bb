//! Rejects requests for the gateway's pages that are not navigations, judged by Fetch Metadata,
//! `Origin` and `Referer`. Scripts of the app share the origin and must not read these pages.
//! Sessions and form tokens are checked elsewhere.

use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::failure::Failure;
use super::origin::{SITE, Source, WebOrigin};

const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSES: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// The kind of resource, which decides who may request it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page, for navigations only.
    Page,
    /// Data about the user, also for scripts of the same origin.
    Data,
    /// A file or redirect without secrets, for anyone.
    Public,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // A value that is not ASCII matches nothing that is allowed.
    headers.get(name).map(|v| v.to_str().unwrap_or("?"))
}

fn refused(sentence: &'static str) -> Failure {
    Failure::refused(StatusCode::FORBIDDEN, "forbidden", sentence)
}

/// Rejects a request that the resource does not allow. `origin` is the scheme and host that the
/// browser used.
pub(super) fn check(
    kind: Kind,
    method: &Method,
    headers: &HeaderMap,
    origin: &str,
) -> Result<(), Failure> {
    if headers.contains_key("service-worker") || text(headers, DEST) == Some("serviceworker") {
        return Err(refused("You can't load a service worker from here."));
    }
    match kind {
        Kind::Public => Ok(()),
        Kind::Data => match text(headers, SITE) {
            None | Some("same-origin" | "none") => destination(headers),
            Some(_) => Err(refused("Other sites can't read this.")),
        },
        Kind::Page => {
            navigation(headers)?;
            if method == Method::POST { from_here(headers, origin) } else { Ok(()) }
        }
    }
}

fn destination(headers: &HeaderMap) -> Result<(), Failure> {
    match text(headers, DEST) {
        None | Some("document" | "empty") => Ok(()),
        Some(_) => Err(refused("This page can't be embedded in another page.")),
    }
}

fn navigation(headers: &HeaderMap) -> Result<(), Failure> {
    destination(headers)?;
    if !matches!(text(headers, MODE), None | Some("navigate")) {
        return Err(refused("Scripts can't read this page. Open it in your browser."));
    }
    let early = |name: &str| {
        headers.get(name).is_some_and(|v| v.to_str().unwrap_or("prefetch").contains("prefetch"))
    };
    if PURPOSES.into_iter().any(early) {
        return Err(refused("This page can't be preloaded."));
    }
    Ok(())
}

/// Rejects a form that was not sent from a page of this origin.
fn from_here(headers: &HeaderMap, origin: &str) -> Result<(), Failure> {
    match WebOrigin::parse(origin).map(|here| Source::of(headers, &here)) {
        // Current browsers always send one of the three; the form token still decides.
        Some(Source::Here | Source::Unknown) => Ok(()),
        Some(Source::Elsewhere) | None => {
            Err(refused("This form was sent from another site, so nothing was changed."))
        }
    }
}

/// Rejects pages over plain http, except on a loopback host. Browsers drop `Secure` cookies over plain
/// http, so no form could be sent. `links` is the https origin to suggest.
pub(super) fn transport(origin: &str, links: &str) -> Result<(), Failure> {
    let plain = |here: WebOrigin| !here.is_https() && !here.is_loopback();
    if !WebOrigin::parse(origin).is_some_and(plain) {
        return Ok(());
    }
    let sentence = format!(
        "This page needs https, but it was opened over plain http. Open {links}/_auth/login \
         instead. If the address bar already shows https, ask your administrator to make the proxy \
         in front send X-Forwarded-Proto."
    );
    Err(Failure::refused(StatusCode::FORBIDDEN, "https_required", sentence))
}

/// Returns true if a one-time secret may be shown: the user opened the page from this origin or
/// directly, not from another site.
pub(super) fn is_own_navigation(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && matches!(text(headers, SITE), None | Some("same-origin" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://gw.test";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn passes(kind: Kind, method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        check(kind, method, &headers(pairs), HERE).is_ok()
    }

    #[test]
    fn pages_are_for_navigations_only() {
        let get = |pairs| passes(Kind::Page, &Method::GET, pairs);
        assert!(get(&[]));
        assert!(get(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(get(&[("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site")]));
        for mode in ["cors", "no-cors", "same-origin", "websocket", "\u{7f}x"] {
            let Ok(value) = http::HeaderValue::from_str(mode) else { continue };
            let map = HeaderMap::from_iter([(MODE, value)]);
            assert!(check(Kind::Page, &Method::GET, &map, HERE).is_err(), "{mode}");
        }
        for dest in ["iframe", "script", "image", "serviceworker", "embed", "object", "frame"] {
            let map = headers(&[("sec-fetch-mode", "navigate")]);
            let mut map = map;
            map.insert(DEST, http::HeaderValue::from_static(dest));
            assert!(check(Kind::Page, &Method::GET, &map, HERE).is_err(), "{dest}");
        }
        assert!(!get(&[("service-worker", "script")]));
        assert!(!get(&[("sec-purpose", "prefetch;prerender")]));
    }

    #[test]
    fn forms_are_accepted_from_this_origin_only() {
        let post = |pairs| passes(Kind::Page, &Method::POST, pairs);
        assert!(post(&[]));
        assert!(post(&[("sec-fetch-site", "same-origin"), ("origin", HERE)]));
        assert!(post(&[("origin", HERE)]));
        assert!(post(&[("referer", "https://gw.test/_auth/login")]));
        assert!(post(&[("origin", "https://GW.test:443")]));
        assert!(post(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        for bad in [
            &[("sec-fetch-site", "same-site")][..],
            &[("sec-fetch-site", "cross-site"), ("origin", HERE)],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site"), ("origin", "null")],
            &[("origin", "null")],
            &[("origin", "http://gw.test")],
            &[("origin", "https://gw.test:444")],
            &[("origin", "https://evil.example"), ("referer", "https://gw.test/")],
            &[("referer", "https://gw.test.evil.example/")],
        ] {
            assert!(!post(bad), "{bad:?}");
        }
    }

    #[test]
    fn pages_need_https_except_on_loopback() {
        for good in
            ["https://gw.test", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:1"]
        {
            assert!(transport(good, "https://gw.test").is_ok(), "{good}");
        }
        for bad in ["http://gw.test", "http://10.0.0.1:8080"] {
            assert!(transport(bad, "https://gw.test").is_err(), "{bad}");
        }
    }

    #[test]
    fn data_is_for_this_origin_and_files_are_for_anyone() {
        let data = |pairs| passes(Kind::Data, &Method::GET, pairs);
        assert!(data(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]));
        assert!(!data(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]));
        assert!(!data(&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "script")]));
        assert!(passes(Kind::Public, &Method::GET, &[("sec-fetch-dest", "style")]));
        assert!(!passes(Kind::Public, &Method::GET, &[("service-worker", "script")]));
    }

    #[test]
    fn one_time_secrets_are_shown_to_same_origin_navigations_only() {
        let own = |method, pairs| is_own_navigation(method, &headers(pairs));
        assert!(own(&Method::GET, &[]));
        assert!(own(&Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(!own(&Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(!own(&Method::HEAD, &[]));
    }
}
