//! Who may ask for our pages, by what the browser says about the request (Fetch Metadata,
//! `Origin`, `Referer`). Scripts of the app share our origin: they must not read our pages.
//! It knows nothing of sessions or form tokens.

use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::failure::Failure;
use super::origin::{SITE, Source, WebOrigin};

const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSES: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// What kind of thing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page: for navigations only.
    Page,
    /// Data about the person: also for scripts of this very origin.
    Data,
    /// Style, script, icon: no secret in them.
    Asset,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // What is not text matches nothing that is allowed.
    headers.get(name).map(|v| v.to_str().unwrap_or("?"))
}

fn refused(sentence: &'static str) -> Failure {
    Failure::refused(StatusCode::FORBIDDEN, "forbidden", sentence)
}

/// Lets a request through or says why not. `origin` is the scheme and host the browser used.
pub(super) fn check(
    kind: Kind,
    method: &Method,
    headers: &HeaderMap,
    origin: &str,
) -> Result<(), Failure> {
    if headers.contains_key("service-worker") || text(headers, DEST) == Some("serviceworker") {
        return Err(refused("A service worker cannot be loaded from here."));
    }
    match kind {
        Kind::Asset => Ok(()),
        Kind::Data => match text(headers, SITE) {
            None | Some("same-origin" | "none") => destination(headers),
            Some(_) => Err(refused("This cannot be read from another site.")),
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
        Some(_) => Err(refused("This cannot be embedded in another page.")),
    }
}

fn navigation(headers: &HeaderMap) -> Result<(), Failure> {
    destination(headers)?;
    if !matches!(text(headers, MODE), None | Some("navigate")) {
        return Err(refused("This page cannot be read by scripts. Open it in the browser."));
    }
    let early = |name: &str| {
        headers.get(name).is_some_and(|v| v.to_str().unwrap_or("prefetch").contains("prefetch"))
    };
    if PURPOSES.into_iter().any(early) {
        return Err(refused("This page is not loaded ahead of time."));
    }
    Ok(())
}

/// A form must come from a page of this origin.
fn from_here(headers: &HeaderMap, origin: &str) -> Result<(), Failure> {
    match WebOrigin::parse(origin).map(|here| Source::of(headers, &here)) {
        // No browser of our time is silent on all three; the form token still decides.
        Some(Source::Here | Source::Unsaid) => Ok(()),
        Some(Source::Elsewhere) | None => {
            Err(refused("This form was sent from another site, so nothing was done."))
        }
    }
}

/// Pages that sign in need https: over plain http a browser keeps none of our cookies, so that no
/// form could ever be sent from them. It does on this very machine. `links` leads to them.
pub(super) fn transport(origin: &str, links: &str) -> Result<(), Failure> {
    let plain = |here: WebOrigin| !here.is_https() && !here.is_loopback();
    if !WebOrigin::parse(origin).is_some_and(plain) {
        return Ok(());
    }
    let sentence = format!(
        "This page needs https, and it was asked for over plain http. Open {links}/_auth/login \
         instead. If the address bar shows https already, the proxy in front does not say so: ask \
         your administrator to have it send X-Forwarded-Proto."
    );
    Err(Failure::refused(StatusCode::FORBIDDEN, "https_required", sentence))
}

/// Whether a secret may be shown that is shown once: only when the person opened the page here,
/// and not when another site led here.
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
    fn forms_are_taken_from_this_origin_only() {
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
    fn pages_need_https_but_for_this_very_machine() {
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
    fn data_is_for_this_origin_and_assets_are_for_all() {
        let data = |pairs| passes(Kind::Data, &Method::GET, pairs);
        assert!(data(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]));
        assert!(!data(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]));
        assert!(!data(&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "script")]));
        assert!(passes(Kind::Asset, &Method::GET, &[("sec-fetch-dest", "style")]));
        assert!(!passes(Kind::Asset, &Method::GET, &[("service-worker", "script")]));
    }

    #[test]
    fn what_is_shown_once_is_shown_to_a_navigation_from_here_only() {
        let own = |method, pairs| is_own_navigation(method, &headers(pairs));
        assert!(own(&Method::GET, &[]));
        assert!(own(&Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(!own(&Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(!own(&Method::HEAD, &[]));
    }
}
