//! Web origins (RFC 6454) as scheme, lower-case host and effective port, for forms, WebSocket
//! handshakes and URLs. Also finds the origin that a request was sent from, by Fetch Metadata,
//! `Origin` and `Referer`.

use std::fmt;
use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, ORIGIN, REFERER};

use crate::base::authority;

pub(super) const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Bytes that end the authority of a URL in browsers.
const AFTER_AUTHORITY: [u8; 4] = *b"/?#\\";

/// An origin of scheme `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    https: bool,
    /// Host name in lower case; an IPv6 address in brackets.
    name: String,
    port: u16,
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Splits an authority into host and port. An empty port counts as absent; an invalid one returns
/// `None`.
fn parts(authority: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = authority::split(authority)?;
    match port.filter(|port| !port.is_empty()) {
        None => Some((name, None)),
        Some(port) => Some((name, Some(port.parse().ok()?))),
    }
}

impl WebOrigin {
    /// Returns the origin of a scheme, host name and port. Without a port, it uses the scheme's default.
    pub fn new(https: bool, name: &str, port: Option<u16>) -> Self {
        let port = port.unwrap_or_else(|| default_port(https));
        Self { https, name: name.to_ascii_lowercase(), port }
    }

    /// Parses `scheme://name[:port]` with nothing after it.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let https = match scheme {
            s if s.eq_ignore_ascii_case("https") => true,
            s if s.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let (name, port) = parts(authority)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        name.bytes().all(plain).then(|| Self::new(https, name, port))
    }

    /// Returns the rest of an absolute URL after this origin, or `None` if the URL has another origin.
    pub fn after<'a>(&self, url: &'a [u8]) -> Option<&'a [u8]> {
        let scheme: &[u8] = if self.https { b"https://" } else { b"http://" };
        let (start, rest) = url.split_at_checked(scheme.len())?;
        let end = rest.iter().position(|byte| AFTER_AUTHORITY.contains(byte));
        let (authority, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let (name, port) = parts(std::str::from_utf8(authority).ok()?)?;
        let same = start.eq_ignore_ascii_case(scheme)
            && name.eq_ignore_ascii_case(&self.name)
            && port.unwrap_or_else(|| default_port(self.https)) == self.port;
        same.then_some(after)
    }

    /// Returns true if `text`, as in an `Origin` header, is this origin.
    pub fn is(&self, text: &[u8]) -> bool {
        self.after(text).is_some_and(<[u8]>::is_empty)
    }

    /// Returns true if the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Returns the port if it is not the scheme's default.
    pub fn port(&self) -> Option<u16> {
        (self.port != default_port(self.https)).then_some(self.port)
    }

    /// Returns the host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if browsers treat the host as loopback and keep its `Secure` cookies over plain
    /// http.
    pub fn is_loopback(&self) -> bool {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare.ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for WebOrigin {
    /// Writes the origin as browsers do, without the scheme's default port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.name)?;
        self.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The origin that a request was sent from, as the browser reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A page of the same origin.
    Here,
    /// Another origin, or an ambiguous one.
    Elsewhere,
    /// Unknown: the request has none of the headers.
    Unknown,
}

impl Source {
    /// Reads the source from the headers. `Origin: null` with `Sec-Fetch-Site: same-origin` comes from
    /// an own page with `Referrer-Policy: no-referrer`; a sandboxed or foreign page is never
    /// `same-origin`.
    pub fn of(headers: &HeaderMap, here: &WebOrigin) -> Self {
        let several = [SITE, ORIGIN, REFERER].iter().any(|n| headers.get_all(n).iter().count() > 1);
        let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        let is_here = match (value(SITE), value(ORIGIN), value(REFERER)) {
            _ if several => false,
            (Some(site), origin, _) => {
                let hidden = |origin: &[u8]| origin == b"null" || here.is(origin);
                site == b"same-origin" && origin.is_none_or(hidden)
            }
            (None, Some(origin), _) => here.is(origin),
            (None, None, Some(referer)) => here.after(referer).is_some(),
            (None, None, None) => return Self::Unknown,
        };
        if is_here { Self::Here } else { Self::Elsewhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_by_scheme_host_and_effective_port() {
        let here = WebOrigin::new(true, "GW.test", None);
        for same in
            ["https://gw.test", "https://GW.Test", "HTTPS://gw.test:443", "https://gw.test:"]
        {
            assert!(here.is(same.as_bytes()), "{same}");
        }
        for other in [
            "http://gw.test",
            "http://gw.test:443",
            "https://gw.test:444",
            "https://gw.test:4 43",
            "https://gw.test:+443",
            "https://gw.test/",
            "https://gw.test.evil.example",
            "https://user@gw.test",
            "https://xgw.test",
            "https:gw.test",
            "null",
            "",
        ] {
            assert!(!here.is(other.as_bytes()), "{other}");
        }
        let with_port = WebOrigin::new(true, "[::1]", Some(8443));
        assert!(with_port.is(b"https://[::1]:8443") && !with_port.is(b"https://[::1]"));
        assert_eq!(with_port.after(b"https://[::1]:8443/a?b"), Some(&b"/a?b"[..]));
        assert_eq!(here.after(b"https://gw.test\\x"), Some(&b"\\x"[..]));
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (text, written) in [
            ("https://gw.test:443", "https://gw.test"),
            ("http://GW.test:80", "http://gw.test"),
            ("https://gw.test:8443", "https://gw.test:8443"),
            ("http://[::1]:443", "http://[::1]:443"),
        ] {
            assert_eq!(WebOrigin::parse(text).unwrap().to_string(), written);
        }
        for bad in [
            "gw.test",
            "ftp://gw.test",
            "https://",
            "https://:443",
            "https://a/b",
            "https://a:x",
            "https://e:]:",
        ] {
            assert_eq!(WebOrigin::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn loopback_is_recognised_by_name() {
        let loopback = |name| WebOrigin::new(false, name, Some(8080)).is_loopback();
        for name in ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(loopback(name), "{name}");
        }
        for name in ["gw.test", "10.0.0.1", "localhost.evil.example", "[::2]", "127.0.0.1.test"] {
            assert!(!loopback(name), "{name}");
        }
    }

    #[test]
    fn a_null_origin_is_same_origin_only_with_fetch_metadata() {
        let here = WebOrigin::new(true, "gw.test", None);
        let of = |pairs: &[(&'static str, &'static str)]| {
            let line =
                |(n, v): &(&'static str, &'static str)| (n.parse().unwrap(), v.parse().unwrap());
            Source::of(&pairs.iter().map(line).collect(), &here)
        };
        assert_eq!(of(&[("origin", "null"), ("sec-fetch-site", "same-origin")]), Source::Here);
        assert_eq!(of(&[("origin", "https://GW.TEST:443")]), Source::Here);
        assert_eq!(of(&[]), Source::Unknown);
        for elsewhere in [
            &[("origin", "null")][..],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null"), ("sec-fetch-site", "same-site")],
            &[("origin", "null"), ("sec-fetch-site", "none")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")],
            &[("origin", "null"), ("referer", "https://gw.test/")],
            &[("origin", "https://gw.test"), ("origin", "https://gw.test")],
        ] {
            assert_eq!(of(elsewhere), Source::Elsewhere, "{elsewhere:?}");
        }
    }
}
