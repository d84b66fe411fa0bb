//! The request that a proxy holds, read from the auth request by which it asks for a decision.
//!
//! Proxies use one of three dialects: `X-Forwarded-Method` and `X-Forwarded-Uri` (Traefik, Caddy,
//! `HAProxy`), `X-Original-Method` and `X-Original-URL` (nginx), or the method and the path of the
//! auth request itself (Envoy). An auth request in two dialects is rejected, because a client might
//! have written one of them. Nothing has a default: one that lacks a part is rejected.

use http::{HeaderMap, Method};

use crate::gate::target::CanonicalTarget;
use crate::proxy::admit::vet;
use crate::proxy::client::forwarded;

/// Path of auth requests.
const PATH: &[u8] = b"/_auth/verify";
/// Prefix of the path in auth requests of Envoy, with the original path behind it.
const ENVOY: &[u8] = b"/envoy";

const METHOD: &str = "x-forwarded-method";
const URI: &str = "x-forwarded-uri";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";
const ORIGINAL_METHOD: &str = "x-original-method";
const ORIGINAL_URL: &str = "x-original-url";

/// The reason for rejecting an auth request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::proxy) enum BadAuthRequest {
    #[error(
        "no original request: send X-Forwarded-Method and X-Forwarded-Uri, or X-Original-Method and \
         X-Original-URL"
    )]
    Missing,
    #[error(
        "two original requests: X-Forwarded-Method or -Uri, X-Original-Method or -URL, and the path \
         of Envoy exclude each other. Remove those that clients send"
    )]
    Both,
    #[error("{0} is missing")]
    Part(&'static str),
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
    #[error("the auth request must be a GET or HEAD request")]
    Method,
    #[error("X-Original-URL and X-Forwarded-Host name different hosts")]
    Hosts,
    #[error("X-Original-URL and X-Forwarded-Proto name different schemes")]
    Schemes,
}

/// The original request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct OriginalRequest {
    pub(in crate::proxy) method: Method,
    /// Path and query, as the client sent them.
    pub(in crate::proxy) target: Vec<u8>,
    /// The host, if the headers name it.
    pub(in crate::proxy) host: Option<String>,
    /// True for https, false for http; `None` if only `X-Forwarded-Proto` may state it.
    pub(in crate::proxy) https: Option<bool>,
}

/// Returns true for the path of an auth request. Other spellings of it are not.
pub(in crate::proxy) fn is_auth_request(raw: &[u8]) -> bool {
    let Some(rest) = raw.strip_prefix(PATH) else { return false };
    let rest = rest.strip_prefix(ENVOY).unwrap_or(rest);
    let whole = rest.is_empty() || rest.starts_with(b"?");
    whole || (envoy(raw).is_some() && rest.starts_with(b"/"))
}

/// Returns the parameters of an auth request. That of Envoy has none: its query is the client's.
fn parameters(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let query = raw.strip_prefix(PATH).and_then(|rest| rest.strip_prefix(b"?"));
    query.into_iter().flat_map(|query| query.split(|b| *b == b'&'))
}

/// Returns true if the proxy wants 401 in place of a redirect.
pub(in crate::proxy) fn wants_401(raw: &[u8]) -> bool {
    parameters(raw).any(|pair| pair == b"redirect=401")
}

/// Returns the name of the app that the proxy asks about, if it says so.
pub(in crate::proxy) fn app_of(raw: &[u8]) -> Option<&[u8]> {
    parameters(raw).find_map(|pair| pair.strip_prefix(b"app="))
}

/// Returns what follows the prefix of Envoy.
fn envoy(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(PATH)?.strip_prefix(ENVOY)
}

/// Returns the only line of a header as text.
fn only<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, BadAuthRequest> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(BadAuthRequest::Repeated(name));
    }
    line.to_str().map(Some).map_err(|_bytes| BadAuthRequest::Unreadable(name))
}

fn method(text: Option<&str>, name: &'static str) -> Result<Method, BadAuthRequest> {
    let text = text.ok_or(BadAuthRequest::Part(name))?;
    Method::from_bytes(text.as_bytes()).map_err(|_no_token| BadAuthRequest::Unreadable(name))
}

impl OriginalRequest {
    /// Reads the auth request with this method, raw target and header block.
    pub(in crate::proxy) fn of(
        own: &Method,
        raw: &[u8],
        headers: &HeaderMap,
    ) -> Result<Self, BadAuthRequest> {
        let has = |name| headers.contains_key(name);
        let forwarded = has(METHOD) || has(URI);
        let original = has(ORIGINAL_METHOD) || has(ORIGINAL_URL);
        let envoy = envoy(raw);
        match (forwarded, original, envoy) {
            (false, false, None) => Err(BadAuthRequest::Missing),
            (true, false, None) => Self::forwarded(own, headers),
            (false, true, None) => Self::original(own, headers),
            (false, false, Some(rest)) => Self::of_envoy(own, rest, headers),
            (true, true, _) | (true, false, Some(_)) | (false, true, Some(_)) => {
                Err(BadAuthRequest::Both)
            }
        }
    }

    fn forwarded(own: &Method, headers: &HeaderMap) -> Result<Self, BadAuthRequest> {
        is_readable(own)?;
        let target = only(headers, URI)?.ok_or(BadAuthRequest::Part(URI))?;
        if !target.starts_with('/') {
            return Err(BadAuthRequest::Unreadable(URI));
        }
        Ok(Self {
            method: method(only(headers, METHOD)?, METHOD)?,
            target: target.as_bytes().to_vec(),
            host: host(headers)?,
            https: None,
        })
    }

    fn original(own: &Method, headers: &HeaderMap) -> Result<Self, BadAuthRequest> {
        is_readable(own)?;
        let method = method(only(headers, ORIGINAL_METHOD)?, ORIGINAL_METHOD)?;
        let url = only(headers, ORIGINAL_URL)?.ok_or(BadAuthRequest::Part(ORIGINAL_URL))?;
        let unreadable = BadAuthRequest::Unreadable(ORIGINAL_URL);
        let (scheme, rest) = url.split_once("://").ok_or(unreadable)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(unreadable),
        };
        let path = rest.find('/').ok_or(unreadable)?;
        let (authority, target) = rest.split_at_checked(path).ok_or(unreadable)?;
        let name = vet::host_name(authority).map_err(|_no_host| unreadable)?;
        if let Some(said) = host(headers)?
            && !vet::host_name(&said).is_ok_and(|said| said == name)
        {
            return Err(BadAuthRequest::Hosts);
        }
        let mut protos = forwarded::entries(headers, PROTO);
        if let Some(said) = protos.next()
            && forwarded::is_secure(said) != Ok(https)
        {
            return Err(BadAuthRequest::Schemes);
        }
        let (host, target) = (Some(authority.to_owned()), target.as_bytes().to_vec());
        Ok(Self { method, target, host, https: Some(https) })
    }

    /// The method of the auth request is that of the original request.
    fn of_envoy(own: &Method, rest: &[u8], headers: &HeaderMap) -> Result<Self, BadAuthRequest> {
        // A proxy that passes our pages on might read this path as another one.
        if CanonicalTarget::canonical(rest).is_err() {
            return Err(BadAuthRequest::Unreadable("the path behind /_auth/verify/envoy"));
        }
        let host = host(headers)?;
        Ok(Self { method: own.clone(), target: rest.to_vec(), host, https: None })
    }
}

fn is_readable(own: &Method) -> Result<(), BadAuthRequest> {
    if matches!(*own, Method::GET | Method::HEAD) { Ok(()) } else { Err(BadAuthRequest::Method) }
}

/// Returns `X-Forwarded-Host`, which must be one valid host.
fn host(headers: &HeaderMap) -> Result<Option<String>, BadAuthRequest> {
    let Some(host) = only(headers, HOST)? else { return Ok(None) };
    vet::host_name(host).map_err(|_no_host| BadAuthRequest::Unreadable(HOST))?;
    Ok(Some(host.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ask(
        own: &Method,
        raw: &str,
        lines: &[(&'static str, &'static str)],
    ) -> Result<OriginalRequest, BadAuthRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        OriginalRequest::of(own, raw.as_bytes(), &headers)
    }

    fn get(lines: &[(&'static str, &'static str)]) -> Result<OriginalRequest, BadAuthRequest> {
        ask(&Method::GET, "/_auth/verify", lines)
    }

    #[test]
    fn each_dialect_names_method_target_and_host() {
        let asked = get(&[
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/a?b=%2F"),
            ("x-forwarded-host", "gw.test:8443"),
        ]);
        let expected = OriginalRequest {
            method: Method::POST,
            target: b"/a?b=%2F".to_vec(),
            host: Some("gw.test:8443".to_owned()),
            https: None,
        };
        assert_eq!(asked.as_ref(), Ok(&expected));
        let asked = get(&[
            ("x-original-method", "POST"),
            ("x-original-url", "https://gw.test:8443/a?b=%2F"),
            ("x-forwarded-host", "GW.test"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!(asked, Ok(OriginalRequest { https: Some(true), ..expected.clone() }));
        let asked = ask(&Method::POST, "/_auth/verify/envoy/a?b=%2F", &[]);
        assert_eq!(asked, Ok(OriginalRequest { host: None, ..expected }));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a list")]
    fn an_unclear_auth_request_is_rejected() {
        let (method, uri) = (("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"));
        let (original, url) =
            (("x-original-method", "GET"), ("x-original-url", "https://gw.test/a"));
        for (lines, why) in [
            (&[][..], BadAuthRequest::Missing),
            (&[("x-forwarded-host", "gw.test")], BadAuthRequest::Missing),
            (&[method], BadAuthRequest::Part(URI)),
            (&[uri], BadAuthRequest::Part(METHOD)),
            (&[url], BadAuthRequest::Part(ORIGINAL_METHOD)),
            (&[original], BadAuthRequest::Part(ORIGINAL_URL)),
            (&[method, uri, original, url], BadAuthRequest::Both),
            (&[method, uri, url], BadAuthRequest::Both),
            (&[original, url, uri], BadAuthRequest::Both),
            (&[method, uri, uri], BadAuthRequest::Repeated(URI)),
            (&[method, method, uri], BadAuthRequest::Repeated(METHOD)),
            (&[("x-forwarded-method", "GET, POST"), uri], BadAuthRequest::Unreadable(METHOD)),
            (&[("x-forwarded-method", ""), uri], BadAuthRequest::Unreadable(METHOD)),
            (&[method, ("x-forwarded-uri", "a")], BadAuthRequest::Unreadable(URI)),
            (&[method, ("x-forwarded-uri", "https://gw.test/a")], BadAuthRequest::Unreadable(URI)),
            (
                &[method, uri, ("x-forwarded-host", "a.test, b.test")],
                BadAuthRequest::Unreadable(HOST),
            ),
            (
                &[method, uri, ("x-forwarded-host", "a.test"), ("x-forwarded-host", "a.test")],
                BadAuthRequest::Repeated(HOST),
            ),
            (&[original, ("x-original-url", "/a")], BadAuthRequest::Unreadable(ORIGINAL_URL)),
            (
                &[original, ("x-original-url", "//gw.test/a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "https://gw.test")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "https:///a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "ftp://gw.test/a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "https://a@gw.test/a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "https://gw.test?/a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (
                &[original, ("x-original-url", "https://gw.test\\@evil.test/a")],
                BadAuthRequest::Unreadable(ORIGINAL_URL),
            ),
            (&[original, url, ("x-forwarded-host", "other.test")], BadAuthRequest::Hosts),
            (&[original, url, ("x-forwarded-proto", "http")], BadAuthRequest::Schemes),
            (&[original, url, ("x-forwarded-proto", "gopher")], BadAuthRequest::Schemes),
        ] {
            assert_eq!(get(lines), Err(why), "{lines:?}");
        }
        for (raw, lines) in
            [("/_auth/verify/envoy/a", &[method, uri][..]), ("/_auth/verify/envoy/a", &[url])]
        {
            assert_eq!(ask(&Method::GET, raw, lines), Err(BadAuthRequest::Both));
        }
        for path in ["", "/../../x", "/%2e%2e/%2e%2e/x", "/..%2f..%2fx", "//x", "/a;b", "/a\\b"] {
            let path = format!("/_auth/verify/envoy{path}");
            assert!(ask(&Method::GET, &path, &[]).is_err(), "{path}");
        }
        assert_eq!(
            ask(&Method::POST, "/_auth/verify", &[method, uri]),
            Err(BadAuthRequest::Method)
        );
        assert!(ask(&Method::HEAD, "/_auth/verify", &[method, uri]).is_ok());
    }

    #[test]
    fn only_the_plain_path_is_an_auth_request() {
        for raw in [
            "/_auth/verify",
            "/_auth/verify?redirect=401",
            "/_auth/verify/envoy",
            "/_auth/verify/envoy?a",
            "/_auth/verify/envoy/",
            "/_auth/verify/envoy/../a;b//c",
        ] {
            assert!(is_auth_request(raw.as_bytes()), "{raw}");
        }
        for raw in [
            "/_auth/verify/",
            "/_auth/verify/a",
            "/_auth/verifying",
            "/_auth/verify/envoys",
            "/_auth/%76erify",
            "//_auth/verify",
            "/_auth/verify;a",
        ] {
            assert!(!is_auth_request(raw.as_bytes()), "{raw}");
        }
        assert_eq!(app_of(b"/_auth/verify?redirect=401&app=wiki"), Some(&b"wiki"[..]));
        assert_eq!(app_of(b"/_auth/verify/envoy/a?app=wiki"), None);
        assert!(
            wants_401(b"/_auth/verify?redirect=401") && wants_401(b"/_auth/verify?a&redirect=401")
        );
        for raw in
            ["/_auth/verify", "/_auth/verify?redirect=4011", "/_auth/verify/envoy/a?redirect=401"]
        {
            assert!(!wants_401(raw.as_bytes()), "{raw}");
        }
    }
}
